"""Matches finished requests to their time to first token, which vLLM reports without a request ID."""

from collections import deque

# Maximum stored first tokens. It evicts those of requests that never finish, because their client disconnected.
MAX_PENDING = 20_000


class TtftMatcher:
    """Times to first token, by their request's arrival, which is known at the first token and at the end.

    vLLM computes `now - arrival` both times, from the same clock. For two wall-clock readings the difference is exact
    (Sterbenz: neither is more than twice the other), and so is `now - (now - arrival)`: the arrival is recovered bit for bit.
    Requests that share an arrival (the n choices of one) are distinguished by the engine core's own measurement.
    """

    def __init__(self) -> None:
        self._first_tokens: dict[float, deque[float]] = {}

    def first_token(self, now: float, time_to_first_token: float) -> None:
        """Store a first token, seen at `now` (Unix seconds)."""
        self._first_tokens.setdefault(now - time_to_first_token, deque()).append(time_to_first_token)
        if len(self._first_tokens) > MAX_PENDING:
            del self._first_tokens[next(iter(self._first_tokens))]

    def finished(self, now: float, duration: float, estimate: float = 0.0) -> float | None:
        """Return the time to first token of a request that ended `now` after `duration` seconds; None if it wasn't seen.

        Of several with that arrival, it returns the one nearest to `estimate`, the engine core's measurement, which excludes
        the transfer of a token to the frontend.
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
