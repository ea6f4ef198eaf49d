"""What could have been done by somebody who knew the traffic: fewest node-hours that still serve as many requests well.

An offline search, not a proven optimum. It starts with the smallest constant number of nodes that meets the target.
Then, period by period, it removes nodes one at a time while a full simulation still meets the target. Nodes are
ordered one cold start ahead, and that is paid for.
"""

from collections.abc import Callable

from plimsoll.slo.capacity.simulator.policy import View


class Schedule:
    """Nodes by period, ordered `ahead` seconds before they are needed."""

    interval = 15.0

    def __init__(self, nodes: list[int], period: float, ahead: float) -> None:
        self.nodes, self.period, self.ahead = nodes, period, ahead

    def decide(self, view: View) -> int:
        """Return the most that is needed from now until an order of now would serve."""
        # An order that waits for the next evaluation would come too late.
        last = int((view.now + self.ahead + self.interval) // self.period)
        return max(self.nodes[int(max(0.0, view.now) // self.period) : last + 1] or self.nodes[-1:])


class Rush:
    """The most that anybody could do without foresight: order `nodes` at the first evaluation, from a fleet at its minimum."""

    interval = 15.0

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes

    def decide(self, view: View) -> int:
        """Return no node before the traffic begins, and all from then on."""
        return 0 if view.now < 0 else self.nodes


def search(span: float, period: float, ahead: float, nodes: range, enough: Callable[[Schedule], bool]) -> Schedule:
    """Find a cheap schedule over `span` seconds that is `enough`; where even the most nodes are not, that is returned."""
    periods = int(span // period) + 1
    most = next((count for count in nodes if enough(Schedule([count] * periods, period, ahead))), nodes[-1])
    best = [most] * periods
    for level in range(most, nodes[0], -1):
        for index in range(periods):
            if best[index] == level:
                tried = [*best[:index], level - 1, *best[index + 1 :]]
                if enough(Schedule(tried, period, ahead)):
                    best = tried
    return Schedule(best, period, ahead)
