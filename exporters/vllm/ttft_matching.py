"""Joins a finished request to its time to first token, which vLLM reports without saying whose it was."""

from collections import deque

# First tokens of requests that never finish (their client left) stay until this many newer ones push them out.
MAX_PENDING = 20_000


class TtftMatcher:
    """Times to first token by the arrival of their request, which is known at the first token and again at the end.

    Both times vLLM computes `now - arrival` from the clock that its own histograms use. For two wall-clock readings the
    difference is exact (Sterbenz: neither is more than twice the other), and so is `now - (now - arrival)`: the arrival
    comes back to the bit. Requests that share an arrival (the n choices of one) are told apart by the engine core's own measure.
    """

    def __init__(self) -> None:
        self._first_tokens: dict[float, deque[float]] = {}

    def first_token(self, now: float, time_to_first_token: float) -> None:
        """Note a first token, `now` being the time it was seen (Unix seconds)."""
        self._first_tokens.setdefault(now - time_to_first_token, deque()).append(time_to_first_token)
        if len(self._first_tokens) > MAX_PENDING:
            del self._first_tokens[next(iter(self._first_tokens))]

    def finished(self, now: float, duration: float, estimate: float = 0.0) -> float | None:
        """Return the time to first token of a request that ended `now` after `duration` seconds; None where it was not seen.

        Of several with that arrival, it is the one nearest to the estimate: what the engine core measured, which lacks a
        token's way to the frontend.
        """
        arrival = now - duration
        waiting = self._first_tokens.get(arrival)
        if not waiting:
            return None
        first = waiting[0] if len(waiting) == 1 else min(waiting, key=lambda wait: abs(wait - estimate))
        waiting.remove(first)
        if not waiting:
            del self._first_tokens[arrival]
        return first
