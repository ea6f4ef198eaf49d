"""Always the same number of nodes."""

from plimsoll.slo.capacity.simulator.policy import View


class Fixed:
    """A constant number of nodes."""

    interval = 15.0

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes

    def decide(self, view: View) -> int:
        """Return the same number always; a lost node is replaced."""
        return self.nodes
