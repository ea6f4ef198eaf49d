"""A vLLM stat logger that evaluates every finished request and exports the outcomes on vLLM's own metrics endpoint.

vLLM finds it by the entry point `vllm.stat_logger_plugins` when this package is installed in its environment. It reads the
objectives file named by PLIMSOLL_OBJECTIVES (default: bundled file) and evaluates the SLOs of the pool whose model is the
served model name; also by adapter and deployment, if adapters are served or PLIMSOLL_DEPLOYMENT is set. A thread reloads the
file when it changes, and keeps the previous SLOs if the new file is invalid. Several API servers of one vLLM count into
prometheus_client's multiprocess files, as vLLM does. Nothing here may disturb serving: an error is logged once and stops the
evaluation. It also publishes the settings that vLLM runs with.
"""

import os
import threading
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import Counter
from vllm.logger import init_logger
from vllm.v1.metrics.loggers import StatLoggerBase

from plimsoll.exporters.vllm.adapters import NONE, UNKNOWN, AdapterCounts, mark_adapters
from plimsoll.exporters.vllm.settings import publish
from plimsoll.exporters.vllm.ttft_matching import TtftMatcher
from plimsoll.slo.metrics import OBJECTIVE_REQUESTS
from plimsoll.slo.spec.indicator import OUTCOMES, FinishedRequest, Indicator, Outcome
from plimsoll.slo.spec.objectives import load

logger = init_logger(f"vllm.{__name__}")
# Seconds between two checks of the objectives file.
CHECK_INTERVAL = 5.0
RequestCounts = list[tuple[str, Indicator, dict[Outcome, Counter]]]  # SLO ID, indicator, counters by outcome


class Evaluators(NamedTuple):
    """The SLOs and counters of a rank: replaced as a whole when the objectives file changes."""

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
            with suppress(
                Exception
            ):  # a vLLM that names its settings otherwise: absent, and everything else is evaluated
                publish(vllm_config, model, rank)
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
        """Evaluate the requests that finished in one step. vLLM calls it in its event loop: no I/O, no waiting."""
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
        """Do nothing: vLLM requires this method."""

    def _count(self, now: float, request: Any, evaluators: Evaluators) -> None:
        # If its first token wasn't seen: the engine core's measurement, without the last token's transfer to the frontend.
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
        """Reload the objectives file when it changes. record() sees either the old SLOs or the new ones, never a mixture."""
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
                logger.error("Plimsoll: keeping previous objectives: %s: %s", type(error).__name__, error)
                self._stopped.wait(10 * CHECK_INTERVAL)

    def _stop(self, error: Exception) -> None:
        """Stop the evaluation and log why; the counters keep their values."""
        self._stopped.set()
        self._evaluators = Evaluators([], None)
        logger.error("Plimsoll: SLO evaluation stopped; serving continues: %s: %s", type(error).__name__, error)


def _unmarked(vllm_config: Any) -> str:
    """Return the adapter of requests without a mark; empty if there is nothing to distinguish."""
    if getattr(vllm_config, "lora_config", None) is None:
        return NONE if os.environ.get("PLIMSOLL_DEPLOYMENT") else ""
    try:
        mark_adapters()
    except Exception as error:
        logger.warning("Plimsoll: adapters can't be distinguished in this vLLM: %s: %s", type(error).__name__, error)
    return UNKNOWN


def _evaluators(path: str | None, model: str, rank: str, unmarked: str) -> Evaluators:
    counted = _objectives(path, model, rank)
    names = (name for name, *_ in counted)
    return Evaluators(counted, AdapterCounts(model, rank, names, unmarked) if unmarked else None)


def _objectives(path: str | None, model: str, rank: str) -> RequestCounts:
    """Return each indicator evaluated here with its counters, which start at 0 now."""
    spec = load((Path(path) if path else files("plimsoll.slo") / "objectives.yaml").read_text(encoding="utf-8"))
    pools = {pool.name for pool in spec.pools if pool.model == model}
    return [
        (
            objective.id,
            objective.indicator,
            {outcome: _counter().labels(model, rank, objective.id, outcome) for outcome in OUTCOMES},
        )
        for objective in spec.objectives
        if objective.pool in pools and objective.indicator.per_request and objective.count_at == "engine"
    ]


def _log_counted(counted: RequestCounts, path: str | None, model: str) -> None:
    source = path or "bundled file"
    if counted:
        logger.info("Plimsoll: evaluating %d SLOs for %s (%s)", len(counted), model, source)
    else:
        logger.warning("Plimsoll: no SLO of %s matches model %s; nothing will be evaluated", source, model)


@cache
def _counter() -> Counter:
    """Return the counter, one per process on the default registry, which vLLM uses too; ranks share it."""
    return Counter(OBJECTIVE_REQUESTS.name, OBJECTIVE_REQUESTS.help, ("model_name", "engine", "objective", "outcome"))
