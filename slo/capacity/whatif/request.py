"""A what-if question as people write it, by command, API or page, and its answer as one JSON object."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica
from plimsoll.slo.capacity.model.prices import Prices
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.whatif.evaluate import Answer, Question, arithmetic, gpu_price, hardware_in, hardware_of
from plimsoll.slo.capacity.whatif.hardware_scaling import Hardware
from plimsoll.slo.capacity.whatif.measured_scaling import KV_BYTES, MEASURED, beyond
from plimsoll.slo.capacity.whatif.measured_scaling import hardware_of as hardware_of_own
from plimsoll.slo.capacity.whatif.request_mix import Kind, mean_context, mean_prompt, parse, written
from plimsoll.slo.spec.objectives import Pool

Origin = Literal["given", "pool", "example"]
EXAMPLE = {"prompt": 500, "output": 200, "rate": 20.0}  # tokens, tokens, requests per second


@dataclass(frozen=True, slots=True)
class Asked:
    """What was written; None is not said. `replica` not said is the pool's own where it was measured. `mix` (plimsoll.slo.capacity.whatif.request_mix) replaces `prompt` and `output`, `gpu`, `gpus` and `weight_bits`
    what the replica's name says; `rate` (requests per second) is multiplied by `traffic`; `api_usd` is what an API asks for 1M tokens, `api` the name
    of one whose price is on record."""

    replica: str | None = None
    prompt: int | None = None
    output: int | None = None
    mix: str | None = None
    rate: float | None = None
    traffic: float = 1.0
    prefix_hit: float = 0.0
    gpu: str | None = None
    gpus: int | None = None
    weight_bits: int | None = None
    max_num_seqs: int = 256
    kv_bytes: int | None = None
    api_usd: float | None = None
    api: str | None = None

    def question(
        self,
        promise: LatencyTarget,
        pool: Pool | None,
        measured: Mapping[str, float],
        prices: Prices,
        price: float | None = None,
        replica: MeasuredReplica | None = None,
    ) -> Question:
        """Put it in numbers: what is not said is what was `measured` of the pool (`prompt`, `output`, `rate`), or an example.

        `price` is USD per GPU and hour, in place of the pool's own and of those on record (`prices`); `replica` is the pool's own
        where its step times were fitted. Raises ValueError for what does not exist.
        """
        name, replica = self._which(replica)
        now = hardware_of(name) if replica is None else hardware_of_own(replica)
        on = Hardware(
            self.gpu or now.gpu,
            now.gpus if self.gpus is None else self.gpus,
            now.weight_bits if self.weight_bits is None else self.weight_bits,
        )
        known = {**EXAMPLE, **measured}
        prompt = known["prompt"] if self.prompt is None else self.prompt
        output = known["output"] if self.output is None else self.output
        mix = parse(self.mix) if self.mix is not None else (Kind(max(1, round(prompt)), max(1, round(output))),)
        rate = known["rate"] if self.rate is None else self.rate
        of_pool = None if pool is None or price is not None else gpu_price(pool, on.gpu)
        own_price = of_pool if price is None else (price, price)
        usd = own_price or (prices.gpus[on.gpu].usd_per_hour if on.gpu in prices.gpus else None)
        if usd is None and replica is not None and on.gpu == replica.gpu:
            raise ValueError(f"gpu {on.gpu!r}: its price is not on record; give node.hourly_usd of the pool, or prices")
        return Question(
            replica=name,
            mix=mix,
            promise=promise,
            rate=rate * self.traffic,
            max_num_seqs=self.max_num_seqs,
            kv_value_bytes=KV_BYTES if self.kv_bytes is None and replica is None else self.kv_bytes,
            usd_per_gpu_hour=usd,
            hardware=on,
            prefix_hit=self.prefix_hit,
            api_usd_per_million=self._api_usd(mix, prices),
            owned=pool.node.owned if pool is not None and of_pool else None,
            own=replica,
        )

    def _which(self, own: MeasuredReplica | None) -> tuple[str, MeasuredReplica | None]:
        """Return the name of the replica that is asked about, and the pool's own if it is that one."""
        if self.replica == MEASURED or (self.replica is None and own is not None):
            if own is None:
                raise ValueError(
                    f"replica {MEASURED!r}: the pool's own step times are not known; its calibration says why"
                )
            return MEASURED, own
        return self.replica or step_time.names()[0], None

    def _api_usd(self, mix: Sequence[Kind], prices: Prices) -> float | None:
        """Price of 1M tokens of the mix at the API."""
        if self.api is None:
            return self.api_usd
        if self.api_usd is not None:
            raise ValueError(f"api {self.api!r}: its price is on record; leave out api_usd, or api")
        return prices.api(self.api).usd_per_million(mean_prompt(mix) / mean_context(mix))

    def origins(self, measured: Mapping[str, float]) -> dict[str, Origin]:
        """Say where prompt, output and rate are from."""
        given = {
            "prompt": self.mix is not None or self.prompt is not None,
            "output": self.mix is not None or self.output is not None,
            "rate": self.rate is not None,
        }
        return {name: "given" if said else "pool" if name in measured else "example" for name, said in given.items()}


def told(
    pool: str | None, asked: Asked, question: Question, measured: Mapping[str, float], answer: Answer | None
) -> dict[str, Any]:
    """Write question and answer as one object."""
    on = hardware_in(question)
    promise = question.promise
    limits = {"ttft_seconds": promise.ttft, "tpot_seconds": promise.tpot}
    return {
        "pool": pool,
        "replica": question.replica,
        "asked": {
            **{"gpu": on.gpu, "gpus": on.gpus, "weight_bits": on.weight_bits, "kv_bytes": question.kv_value_bytes},
            **{"max_num_seqs": question.max_num_seqs, "mix": written(question.mix), "prefix_hit": question.prefix_hit},
            **{
                "rate": question.rate,
                "traffic": asked.traffic,
                "api": asked.api,
                "api_usd": question.api_usd_per_million,
                "origins": asked.origins(measured),
            },
        },
        "promise": {
            **{name: limit if isfinite(limit) else None for name, limit in limits.items()},
            "target": promise.target,
        },
        "steps": [*arithmetic(question), *outside(question, answer)],
        "answer": None if answer is None else asdict(answer),
        "simulated": True,
    }


def outside(question: Question, answer: Answer | None) -> list[str]:
    """Say what of an answer of the pool's own replica goes beyond what was seen of it."""
    if question.own is None:
        return []
    return list(beyond(question.own, question.mix, None if answer is None else answer.concurrency))
