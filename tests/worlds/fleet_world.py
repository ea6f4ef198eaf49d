"""A source over given series that ends at a moment which the test moves."""

from plimsoll.slo.sources import Series
from pool_signals import NOW
from world import World


class Fleet(World):
    """A source over given series, of which only what has been read by now is there."""

    now = NOW
    found: tuple[Series, ...] = ()

    def all_series(self) -> list[Series]:
        return [Series(item.name, item.labels, [s for s in item.samples if s[0] <= self.now]) for item in self.found]
