"""Published measurements of whole servers, and what the planner estimates for the same."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from statistics import median

import msgspec

from paths import ROOT
from plimsoll.slo.capacity.planner.planned_replica import plan
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.whatif.concurrency import AtConcurrency
from plimsoll.slo.capacity.whatif.evaluate import in_flight
from plimsoll.slo.capacity.whatif.request_mix import Kind
from plimsoll.slo.capacity.whatif.scenario import Scenario, room

FILE = ROOT / "tests" / "fixtures" / "published_serving.csv"
ANY = LatencyTarget(1e9, 1e9, 0.5)
SEQUENCES = {"vllm": 256, "trtllm": 2048}  # of a batch: the engines' defaults


@dataclass(frozen=True, slots=True)
class Point:
    """One published row. Numbers that it does not give are None."""

    source: str
    read: str
    split: str  # fitted: the bands were set by it; checked: compared with it only
    engine: str
    model: str
    gpu: str
    gpus: int
    weight_bits: int
    kv_bits: int
    concurrency: int
    input_tokens: int
    output_tokens: int
    tokens_per_second: float
    ttft_ms: float | None
    tpot_ms: float | None

    def estimated(self) -> AtConcurrency:
        """Return what the planner estimates for the same replica and load."""
        planned = plan(self.model, self.gpu, self.gpus, self.weight_bits, self.engine)
        scenario = Scenario(
            self.model,
            (Kind(self.input_tokens, self.output_tokens),),
            ANY,
            1.0,
            max_num_seqs=SEQUENCES[self.engine],
            kv_value_bytes=self.kv_bits // 8,
            planned=planned,
        )
        count = self.concurrency
        if self.ttft_ms is None:  # more requests than the batch twice only wait longer
            count = min(count, 2 * min(room(scenario).requests, scenario.max_num_seqs) + 8)
        return in_flight(replace(scenario, concurrencies=(count,)))[0]

    def numbers(self, estimate: AtConcurrency) -> Iterator[tuple[str, float, tuple[float, float]]]:
        """Yield what was measured beside the band of an estimate: tokens per second, and milliseconds where they were published."""
        yield "tokens/s", self.tokens_per_second, estimate.output_tokens_per_second
        if self.tpot_ms is not None:
            yield "TPOT", self.tpot_ms, (1000 * estimate.tpot_seconds[0], 1000 * estimate.tpot_seconds[1])
        if self.ttft_ms is not None:
            yield "TTFT", self.ttft_ms, (1000 * estimate.ttft_seconds[0], 1000 * estimate.ttft_seconds[1])


@cache
def points() -> tuple[Point, ...]:
    """Return all published rows."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(_point(row) for row in csv.DictReader(file))


def _point(row: dict[str, str]) -> Point:
    return msgspec.convert({name: text or None for name, text in row.items()}, Point, strict=False)


def width(bands: list[tuple[float, float]]) -> float:
    """Median of the bands' upper ends by their lower ones."""
    return median(high / low for low, high in bands)
