"""A simulated pair of vLLM engines, prefill and decode, behind llm-d's endpoint picker: 100 requests whose fates are known.

Three fail at prefill and never reach decode; two fail at decode. The user's first token comes within 600 ms for 90 of the 95 others;
each engine's own clock has it within 250 ms.
"""

import json
from collections.abc import Mapping
from contextlib import ExitStack

from engine_pages import collect, pages, server
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.process_tree import ProcessTree
from plimsoll.slo.sources import Series

STEPS, EVERY = 10, 30  # scrapes after the first, and seconds between them
T0 = 1_700_000_100  # a slot's start
PROMPT, OUTPUT = 200, 50  # tokens of a request
SERVED, DECODE_ERRORS, PREFILL_ERRORS, FAST = 95, 2, 3, 90
SERVE_PREFILL = (
    "vllm",
    "serve",
    "m",
    "--kv-transfer-config",
    json.dumps({"kv_connector": "NixlConnector", "kv_role": "kv_producer"}),
)


def _lines(kind: str, name: str, rows: Mapping[str, float]) -> list[str]:
    return [f"# TYPE {name} {kind}", *(f"{row} {value}" for row, value in rows.items())]


def _histogram(name: str, labels: str, count: float, within: Mapping[str, float]) -> list[str]:
    buckets = {f'{name}_bucket{{{labels},le="{le}"}}': value for le, value in {**within, "+Inf": count}.items()}
    return _lines(
        "histogram", name, {**buckets, f"{name}_count{{{labels}}}": count, f"{name}_sum{{{labels}}}": count * 0.2}
    )


def _engine(served: float, errors: float, first: float, output: int, failed: float) -> str:
    reason = "length" if output == 1 else "stop"
    own = 'engine="0",model_name="m"'
    lines = _lines("gauge", "process_start_time_seconds", {"process_start_time_seconds": T0 - 9e5})
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
        lines += _lines("gauge", f"vllm:{name}", {f"vllm:{name}{{{own}}}": 0})
    finished = dict.fromkeys(("stop", "length", "abort", "error"), 0.0) | {reason: served, "error": errors}
    name = "vllm:request_success_total"
    lines += _lines("counter", name, {f'{name}{{{own},finished_reason="{key}"}}': n for key, n in finished.items()})
    for counter, value in (("prompt_tokens", first * PROMPT), ("generation_tokens", served * output)):
        lines += _lines("counter", f"vllm:{counter}_total", {f"vllm:{counter}_total{{{own}}}": value})
    for histogram in ("time_to_first_token_seconds", "e2e_request_latency_seconds"):
        lines += _histogram(f"vllm:{histogram}", own, first, {"0.25": first, "0.6": first})
    name = "vllm:request_time_per_output_token_seconds"
    lines += _histogram(name, own, served, {"0.05": served, "0.1": served})
    lines += _histogram("vllm:request_generation_tokens", own, served, {"1.0": served if output == 1 else 0.0})
    name = "vllm:nixl_num_failed_transfers_total"
    lines += _lines("counter", name, {f"{name}{{{own}}}": failed})
    lines += _histogram("vllm:nixl_xfer_time_seconds", own, first, {"0.1": first})
    return "\n".join(lines) + "\n"


def _front(requests: float, failed: float, answered: float, fast: float) -> str:
    own = 'model_name="m",target_model_name="m"'
    lines = _lines("counter", "llm_d_epp_request_total", {f"llm_d_epp_request_total{{{own}}}": requests})
    name = "llm_d_epp_request_error_total"
    lines += _lines("counter", name, {f'{name}{{{own},error_code="ModelServerError"}}': failed})
    streamed = f'{own},streaming="true"'
    lines += _histogram("llm_d_epp_request_ttft_seconds", streamed, answered, {"0.25": 20 * answered / 95, "0.6": fast})
    lines += _histogram("llm_d_epp_request_duration_seconds", own, answered, {"4.0": answered})
    return "\n".join(lines) + "\n"


def texts(transfers_failed: float = 0) -> dict[str, list[str]]:
    """The pages of prefill, decode and front, scrape by scrape."""
    found: dict[str, list[str]] = {"prefill": [], "decode": [], "front": []}
    for step in range(STEPS + 1):
        part = step / STEPS
        served, lost, broken = (int(n * part) for n in (SERVED, DECODE_ERRORS, PREFILL_ERRORS))
        reached = served + lost
        found["prefill"].append(_engine(reached, broken, reached, 1, int(transfers_failed * part)))
        found["decode"].append(_engine(served, lost, reached, OUTPUT, 0))
        found["front"].append(_front(reached + broken, lost + broken, served, int(FAST * part)))
    return found


def exported(front: bool = True, transfers_failed: float = 0) -> list[Series]:
    """What a Prometheus has of an exporter that reads the pair, and the front or not. The operator names the roles."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        collectors = []
        for name, some in texts(transfers_failed).items():
            if name == "front" and not front:
                continue
            url = stack.enter_context(server(pages(some)[0]))
            role = "" if name == "front" else f"#{name}"
            collectors.append(EngineCollector(f"{name}={url}{role}", tree=ProcessTree()))
        for step in range(STEPS + 1):
            for collector in collectors:
                for point in collect(collector):
                    name, labels = point.metric.name + point.suffix, {**point.labels, "instance": "n:9800"}
                    samples = found.setdefault((name, frozenset(labels.items())), [])
                    samples.append((float(T0 + EVERY * step), point.value))
    return [Series(name, dict(labels), samples) for (name, labels), samples in found.items()]
