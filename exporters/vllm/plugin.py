"""A vLLM stat logger that evaluates every finished request and counts the outcomes on vLLM's own metrics page.

vLLM finds it by the entry point `vllm.stat_logger_plugins` when this package is installed in its environment. It reads the
objectives file named by PLIMSOLL_OBJECTIVES (else the packaged one) and counts the objectives of the pool whose model is
the served model name; where adapters are served or PLIMSOLL_DEPLOYMENT names a version, by those, too. A file that changes is read again, by a thread of its own; where the new one is wrong, the old one
stays. Several API servers of one vLLM count into prometheus_client's multiprocess files like vLLM itself. Nothing in here may
disturb serving: a fault is logged once and ends the counting.
"""

import os
import threading
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import Counter
from vllm.logger import init_logger
from vllm.v1.metrics.loggers import StatLoggerBase

from plimsoll.exporters.vllm.adapters import NONE, UNKNOWN, AdapterCounts, mark_adapters
from plimsoll.exporters.vllm.ttft_matching import TtftMatcher
from plimsoll.slo.metrics import OBJECTIVE_REQUESTS
from plimsoll.slo.spec.indicator import OUTCOMES, FinishedRequest, Indicator, Outcome
from plimsoll.slo.spec.objectives import load

logger = init_logger(f"vllm.{__name__}")
# How often the objectives file is looked at, in seconds.
CHECK_INTERVAL = 5.0
RequestCounts = list[tuple[str, Indicator, dict[Outcome, Counter]]]  # objective, how it evaluates, its counters


class Evaluators(NamedTuple):
    """What a request is evaluated by and counted into: replaced as a whole when the objectives change."""

    counted: RequestCounts
    adapters: AdapterCounts | None


class PlimsollStatLogger(StatLoggerBase):  # type: ignore[misc]  # vLLM is not installed where types are checked
    """Counts llm_objective_requests_total for one engine core (a data-parallel rank)."""

    def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
        self._matcher = TtftMatcher()
        self._evaluators = Evaluators([], None)
        self._stopped = threading.Event()
        path = os.environ.get("PLIMSOLL_OBJECTIVES")
        try:
            model, rank = vllm_config.model_config.served_model_name, str(engine_index)
            self._unmarked = _unmarked(vllm_config)
            seen = Path(path).stat().st_mtime_ns if path else 0
            self._evaluators = _evaluators(path, model, rank, self._unmarked)
            _log_counted(self._evaluators.counted, path, model)
        except Exception as error:
            self._stop(error)
            return
        if path:
            reload = threading.Thread(target=self._reload, args=(path, seen, model, rank), daemon=True)
            reload.start()

    def record(self, scheduler_stats: Any, iteration_stats: Any, *_args: Any, **_kwargs: Any) -> None:
        """Judge the requests that finished in one step. Called by vLLM in its event loop: no I/O, no waiting."""
        evaluators = self._evaluators
        if iteration_stats is None or not evaluators.counted:
            return
        try:
            now = iteration_stats.iteration_timestamp
            for time_to_first_token in iteration_stats.time_to_first_tokens_iter:
                self._matcher.first_token(now, time_to_first_token)
            for request in iteration_stats.finished_requests:
                self._count(now, request, evaluators)
        except Exception as error:
            self._stop(error)

    def log_engine_initialized(self) -> None:
        """Nothing to do: vLLM asks every stat logger to have it."""

    def _count(self, now: float, request: Any, evaluators: Evaluators) -> None:
        # Where its first token was not seen: what the engine core measured, less the last token's way to the frontend.
        estimate = request.e2e_latency - request.decode_time
        first = self._matcher.finished(now, request.e2e_latency, estimate)
        finished = FinishedRequest(
            reason=str(request.finish_reason),
            output_tokens=request.num_generation_tokens,
            time_to_first_token=estimate if first is None else first,
            time_per_output_token=request.mean_time_per_output_token,
            request_duration=request.e2e_latency,
        )
        outcomes: list[tuple[str, Outcome]] = []
        for name, indicator, counters in evaluators.counted:
            outcome = indicator.evaluate(finished)
            if outcome:
                counters[outcome].inc()
                outcomes.append((name, outcome))
        if evaluators.adapters:
            evaluators.adapters.count(request, outcomes)

    def _reload(self, path: str, seen: int, model: str, rank: str) -> None:
        """Read the objectives again whenever their file has changed. record() sees the old ones or the new, never a mixture."""
        while not self._stopped.wait(CHECK_INTERVAL):
            try:
                changed = Path(path).stat().st_mtime_ns
                if changed != seen:
                    seen = changed
                    evaluators = _evaluators(path, model, rank, self._unmarked)
                    if not self._stopped.is_set():
                        self._evaluators = evaluators
                        _log_counted(evaluators.counted, path, model)
            except Exception as error:
                logger.error("Plimsoll goes on with the objectives it has: %s: %s", type(error).__name__, error)
                self._stopped.wait(10 * CHECK_INTERVAL)

    def _stop(self, error: Exception) -> None:
        """Count no more, and say so; the counters stay where they are."""
        self._stopped.set()
        self._evaluators = Evaluators([], None)
        logger.error("Plimsoll counts objectives no more, serving goes on: %s: %s", type(error).__name__, error)


def _unmarked(vllm_config: Any) -> str:
    """The adapter of requests that carry no mark; empty where there is nothing to tell apart."""
    if getattr(vllm_config, "lora_config", None) is None:
        return NONE if os.environ.get("PLIMSOLL_DEPLOYMENT") else ""
    try:
        mark_adapters()
    except Exception as error:
        logger.warning("Plimsoll cannot tell adapters apart in this vLLM: %s: %s", type(error).__name__, error)
    return UNKNOWN


def _evaluators(path: str | None, model: str, rank: str, unmarked: str) -> Evaluators:
    counted = _objectives(path, model, rank)
    names = (name for name, *_ in counted)
    return Evaluators(counted, AdapterCounts(model, rank, names, unmarked) if unmarked else None)


def _objectives(path: str | None, model: str, rank: str) -> RequestCounts:
    """Pair each indicator that is evaluated here with its counters, which exist (at 0) from now on."""
    spec = load((Path(path) if path else files("plimsoll.slo") / "objectives.yaml").read_text(encoding="utf-8"))
    pools = {pool.name for pool in spec.pools if pool.model == model}
    return [
        (
            objective.id,
            objective.indicator,
            {outcome: _counter().labels(model, rank, objective.id, outcome) for outcome in OUTCOMES},
        )
        for objective in spec.objectives
        if objective.pool in pools and objective.indicator.per_request
    ]


def _log_counted(counted: RequestCounts, path: str | None, model: str) -> None:
    source = path or "the packaged objectives"
    if counted:
        logger.info("Plimsoll counts %d objectives of %s (%s)", len(counted), model, source)
    else:
        logger.warning("Plimsoll counts nothing: no objective of %s is on a pool with the model %s", source, model)


@cache
def _counter() -> Counter:
    """One family per process on the default registry, which is vLLM's; ranks share it."""
    return Counter(OBJECTIVE_REQUESTS.name, OBJECTIVE_REQUESTS.help, ("model_name", "engine", "objective", "outcome"))
