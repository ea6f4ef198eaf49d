"""A limit beside the bounds of a histogram: which bounds are next to it, and how PromQL finds them. Pure.

A histogram says how many requests took no longer than each of its bounds, and nothing of what lies between two of them. With the
bounds 500 and 750 ms, a limit of 600 ms, and 900 and 960 of 1,000 requests within those bounds, between 900 and 960 were good. That is
all that is known; a straight line between the two (924) would be a guess.
"""

from collections.abc import Collection, Iterator
from decimal import Decimal
from math import inf
from typing import NamedTuple

DIGITS = 1e-4  # seconds: from here on Python and Prometheus write a bound in digits alone, below it as 5e-05


class Edges(NamedTuple):
    """The bounds next to a limit, in seconds: both are the limit where it is a bound. No bound below: None; none above: infinite."""

    lower: float | None
    upper: float

    @property
    def exact(self) -> bool:
        """Whether the limit is a bound itself."""
        return self.lower == self.upper


def edges(bounds: Collection[float], limit: float) -> Edges | None:
    """Return the bounds next to a limit, among the upper bounds of a histogram; None where it has none but +Inf, and so tells nothing."""
    finite = [bound for bound in bounds if bound < inf]
    if not finite:
        return None
    lower, upper = (bound for bound in finite if bound <= limit), (bound for bound in finite if bound >= limit)
    return Edges(max(lower, default=None), min(upper, default=inf))


def at_most(limit: float) -> str:
    """Write a pattern (RE2, anchored) of the values of `le` that are bounds up to a limit, whatever bounds a fleet has.

    Never one above the limit. Of a limit below DIGITS, which is no latency, it finds none.
    """
    return "|".join([*_less(limit), *_same(limit)]) if limit >= DIGITS else "0([.]0*)?"


def below(limit: float) -> str:
    """Write a pattern of the values of `le` that are bounds below a limit. What it does not match is not below."""
    return "|".join(_less(limit)) if limit >= DIGITS else "0([.]0*)?|[0-9.]+e-[0-9]+"


def _parts(limit: float) -> tuple[str, str]:
    whole, _, rest = f"{Decimal(repr(float(limit))):f}".partition(".")
    return whole, rest.rstrip("0")


def _same(limit: float) -> Iterator[str]:
    whole, rest = _parts(limit)
    yield f"{whole}[.]{rest}0*" if rest else f"{whole}([.]0*)?"


def _less(limit: float) -> Iterator[str]:
    """Numbers with an exponent; with fewer digits before the point; and with the same first digits and then a smaller one or none."""
    whole, rest = _parts(limit)
    yield "[0-9.]+e-[0-9]+"
    if len(whole) > 1:
        yield f"[0-9]{{1,{len(whole) - 1}}}([.][0-9]*)?"
    for index, digit in enumerate(whole):
        if digit > "0":
            yield f"{whole[:index]}{_under(digit)}{'[0-9]' * (len(whole) - index - 1)}([.][0-9]*)?"
    for index, digit in enumerate(rest):
        smaller = f"{_under(digit)}[0-9]*" if digit > "0" else ""
        if index:
            yield f"{whole}[.]{rest[:index]}" + (f"({smaller})?" if smaller else "")
        else:
            yield whole + (f"([.]{smaller})?" if smaller else "")


def _under(digit: str) -> str:
    return "0" if digit == "1" else f"[0-{int(digit) - 1}]"
