"""What one decision about a pool measured and the next one needs: saved in the ledger, so that a restart changes no recommendation."""

from collections.abc import Mapping

import msgspec

from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.capacity.recommendation.error_budget.loop_state import BudgetLoop
from plimsoll.slo.capacity.recommendation.settings.models import SettingsAdvice

TENTH = 1  # decimal places of stored tokens per second


class MeasuredState(msgspec.Struct, frozen=True):
    """State after the decision at `at` (Unix seconds): the nodes that it recommended, the saturation throughput of the replicas
    that were present then, in tokens per second (None where it isn't known), the hours and changes of the last week, the highest
    load of a node that was served within the target, and what a replica of each role can carry, both in tokens per second, and the
    changes of settings that were simulated last."""

    at: float
    recommended_nodes: int
    throughput: ReplicaThroughput | None = None
    loop: BudgetLoop | None = None
    proven_load: float | None = None
    role_throughput: Mapping[str, float] | None = None
    settings: SettingsAdvice | None = None

    @property
    def typical(self) -> float | None:
        """Assumed throughput of a replica without a measurement, in tokens/s."""
        return None if self.throughput is None else self.throughput.typical

    @property
    def measured(self) -> Mapping[str, float]:
        """Tokens per second of the replicas that were measured by themselves, by name."""
        return {} if self.throughput is None else self.throughput.measured

    def to_json(self) -> str:
        """Return the text that is stored."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "MeasuredState":
        """Read stored text; raises msgspec.ValidationError for anything else."""
        return msgspec.json.decode(text, type=cls)


def rounded(throughput: ReplicaThroughput) -> ReplicaThroughput:
    """Return the throughput as stored: only present replicas, rounded to 0.1 tokens/s."""
    return ReplicaThroughput(
        None if throughput.typical is None else round(throughput.typical, TENTH),
        {name: round(rate, TENTH) for name, rate in throughput.measured.items() if name in throughput.present},
        throughput.present,
        dict(throughput.origins),
    )
