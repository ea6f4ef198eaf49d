"""What the loop on the error budget remembers between two decisions. It is part of the stored state, so that a restart changes nothing."""

import msgspec

from plimsoll.slo.capacity.recommendation.error_budget.attained_hours import HOUR, WEEK, AttainedHour

LEARNED = HOUR  # seconds that have to be counted before the loop decides
# Changes of direction in a week: a pool with a busy and a quiet time of day needs two a day. Nodes that were added are only removed while
# adding them again would be within it, so that there are no more, whatever the traffic does.
MOST_TURNS = 14
MOST_EARLY_TURNS = 2  # the same until the loop decides


class BudgetLoop(msgspec.Struct, frozen=True):
    """Hours of the last week, counted until `counted_until` (Unix seconds), and the `nodes` that they require.

    `load_factor` is how many times the load of the week is expected now; 1 near it. `allowed` is the ratio of requests that may miss
    the target, and `allowed_today` that until the end of the day, where the day requires more nodes than the week (None: it doesn't).
    `direction` is that of the last change (1, -1, 0: none), and `turns` are the times at which it changed.
    """

    counted_until: float
    nodes: int
    # Stored as `hours` before they had their misses as they were: those aren't known, so such hours are left out.
    hours: tuple[AttainedHour, ...] = msgspec.field(default=(), name="counted_hours")
    load_factor: float = 1.0
    allowed: float | None = None
    allowed_today: float | None = None
    direction: int = 0
    turns: tuple[float, ...] = ()

    @property
    def seconds(self) -> float:
        """Return the time that was counted."""
        return sum(one.seconds for one in self.hours)

    @property
    def decides(self) -> bool:
        """Whether enough was counted."""
        return self.allowed is not None and self.seconds >= LEARNED

    def may_turn(self, now: float) -> bool:
        """Whether nodes may be removed: those that were added last only a few times a week."""
        return self.direction != 1 or len(self._turns(now)) < (MOST_TURNS - 1 if self.decides else MOST_EARLY_TURNS)

    def after(self, before: int, count: int, now: float) -> "BudgetLoop":
        """Return the state after a recommendation of `count` nodes that follows one of `before`."""
        turns, direction = self._turns(now), (count > before) - (count < before) or self.direction
        if self.direction and direction != self.direction:
            turns = (*turns, now)
        nodes = max(self.nodes, count if count > before else 0) if self.decides else count
        return msgspec.structs.replace(self, nodes=nodes, direction=direction, turns=turns)

    def _turns(self, now: float) -> tuple[float, ...]:
        return tuple(at for at in self.turns if now - at < WEEK * HOUR)
