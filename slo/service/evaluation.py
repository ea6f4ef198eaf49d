"""All budgets at one moment, which every response of that moment has."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.error_budget.exclusions import Exclusion
from plimsoll.slo.error_budget.exhaustion import Exhaustion
from plimsoll.slo.reports.slo_status import Slo

EXHAUSTION_SECONDS = 60.0  # after which exhaustion is projected again


@dataclass(frozen=True)
class Evaluation:
    """All budgets by SLO ID at a moment (Unix seconds), in the order of the objectives file, without excluded time.

    `exhaustions` were projected at `projected_at`. `pages` caches serialized responses of the API.
    """

    at: float
    budgets: dict[str, Budget]
    exhaustions: dict[str, Exhaustion]
    projected_at: float
    exclusions: Sequence[Exclusion] = ()
    pages: dict[tuple[str, int], str] = field(default_factory=dict)

    @cached_property
    def slos(self) -> dict[str, Slo]:
        """The API's objects, built once: a thousand take longer than a response should."""
        return {name: Slo.of(budget, self.exhaustions[name]) for name, budget in self.budgets.items()}

    def projects(self, at: float, budgets: dict[str, Budget], exclusions: Sequence[Exclusion]) -> bool:
        """Whether its projections still hold a little later: the same budgets are exhausted."""
        exhausted = (self.exhaustions[name].state == "exhausted" for name in budgets)
        same = all(
            one == (budget.status == "exhausted") for one, budget in zip(exhausted, budgets.values(), strict=True)
        )
        return (
            self.projected_at < at < self.projected_at + EXHAUSTION_SECONDS and same and self.exclusions == exclusions
        )
