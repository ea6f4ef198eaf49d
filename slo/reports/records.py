"""What reports are functions of: the objectives, the ledger, exclusions, prices and a clock. The service is not among them."""

import time
from collections.abc import Callable

from plimsoll.slo.capacity.model.prices import Prices, packaged
from plimsoll.slo.error_budget.exclusions import Exclusion, of_file
from plimsoll.slo.ledger.manual_changes import stored_exclusions
from plimsoll.slo.ledger.retention import pruned_until
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.forecast import Forecasts, announced
from plimsoll.slo.spec.event import AnnouncedEvent
from plimsoll.slo.spec.objectives import Spec


class Records:
    """The stored truth and what is needed to read it. Every method may be called from any thread."""

    def __init__(
        self,
        spec: Spec,
        ledger: Ledger,
        clock: Callable[[], float] = time.time,
        prices: Prices | None = None,
    ) -> None:
        """`clock` gives Unix seconds; `prices` default to the packaged ones."""
        self.ledger, self.clock = ledger, clock
        self.prices = prices or packaged()
        self.use(spec)

    def use(self, spec: Spec) -> None:
        """Read by these objectives from now on."""
        self.spec, self.forecasts = spec, Forecasts(spec, self.ledger)

    def exclusions(self) -> list[Exclusion]:
        """Return every exclusion: of the objectives file, then those made through the API, newest first."""
        return [*of_file(self.spec, self.clock()), *stored_exclusions(self.ledger.engine)]

    def events(self) -> list[AnnouncedEvent]:
        """Return every announced event: of the objectives file, then those of the API, newest first."""
        return announced(self.spec, self.ledger)

    @property
    def pruned_until(self) -> float:
        """Unix time before which only sums over hours and days are stored."""
        return pruned_until(self.ledger.engine)
