"""Kubernetes' HorizontalPodAutoscaler, on a queue or on GPU utilization; KEDA hands its queries to the same machine.

desired = ceil(current x value / target), left alone within the tolerance of 10 %; grown by at most the larger of 100 % and
4 pods per 15 s; shrunk only to the highest answer of the last 300 s (autoscaling/v2 defaults; the API's documentation).
"""

from collections import deque
from math import ceil

from plimsoll.slo.capacity.simulator.policy import View

TOLERANCE = 0.1
STABILIZATION = 300.0  # seconds: scaleDown.stabilizationWindowSeconds
GROWTH_NODES, GROWTH_RATIO = 4, 1.0  # scaleUp.policies, per 15 s
SYNC = 15.0  # seconds: --horizontal-pod-autoscaler-sync-period


class Behavior:
    """The part that every HPA shares: how fast an answer is followed."""

    def __init__(self) -> None:
        self._answers: deque[tuple[float, int]] = deque()

    def follow(self, now: float, current: int, answer: int) -> int:
        """Limit growth by the policies, and shrink only to the highest answer of the window."""
        self._answers.append((now, answer))
        while self._answers[0][0] <= now - STABILIZATION:
            self._answers.popleft()
        if answer > current:
            return min(answer, current + max(GROWTH_NODES, ceil(current * GROWTH_RATIO)))
        return min(current, max(recent for _, recent in self._answers))


def scaled(current: int, value: float, target: float) -> int:
    """Return the pods that bring an average `value` per pod to `target`; `current` within the tolerance."""
    ratio = value / target
    return current if abs(ratio - 1) <= TOLERANCE else ceil(current * ratio)


class HpaQueue:
    """Requests waiting per pod against a target; 5 is the threshold of vLLM production-stack's chart."""

    interval = SYNC

    def __init__(self, target: float = 5.0) -> None:
        self.target = target
        self._behavior = Behavior()

    def decide(self, view: View) -> int:
        """Return ceil(waiting / target), followed as an HPA follows it; without a sample it keeps what there is."""
        if not view.scraped:
            return view.nodes
        answer = scaled(view.nodes, view.waiting / view.nodes, self.target)
        return self._behavior.follow(view.now, view.nodes, answer)


class HpaUtilization:
    """Mean GPU utilization against a target of 80 %."""

    interval = SYNC

    def __init__(self, target: float = 0.8) -> None:
        self.target = target
        self._behavior = Behavior()

    def decide(self, view: View) -> int:
        """Return the nodes for the mean over serving nodes; a starting node counts as 0, like HPA's missing pods."""
        if not view.busy:
            return view.nodes
        answer = scaled(view.serving, sum(view.busy) / len(view.busy), self.target)
        # Pods that are not ready count 0 % on the way up and the target on the way down: they never add to an answer.
        answer = max(answer, view.nodes) if answer > view.serving else answer + view.pending
        return self._behavior.follow(view.now, view.nodes, answer)
