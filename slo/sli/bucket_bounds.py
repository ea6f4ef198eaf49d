"""A threshold beside the bounds of a histogram: which bounds are next to it, and how PromQL finds them. Pure.

A histogram holds how many requests took no longer than each of its bounds, and nothing about what lies between two of them. With the
bounds 500 and 750 ms, a threshold of 600 ms, and 900 and 960 of 1,000 requests within those bounds, between 900 and 960 were good.
Nothing more is known; a straight line between the two (924) would be a guess.
"""

from collections.abc import Collection, Iterator
from decimal import Decimal
from math import inf
from typing import NamedTuple

DIGITS = 1e-4  # seconds: from here on Python and Prometheus write a bound in digits alone, below it as 5e-05


class Edges(NamedTuple):
    """The bounds next to a threshold, in seconds: both equal it where it is a bound. No bound below: None; none above: infinite."""

    lower: float | None
    upper: float

    @property
    def exact(self) -> bool:
        """Whether the threshold is a bound itself."""
        return self.lower == self.upper


def edges(bounds: Collection[float], threshold: float) -> Edges | None:
    """Return the bounds next to a threshold, among the upper bounds of a histogram; None where it has only +Inf."""
    finite = [bound for bound in bounds if bound < inf]
    if not finite:
        return None
    lower, upper = (bound for bound in finite if bound <= threshold), (bound for bound in finite if bound >= threshold)
    return Edges(max(lower, default=None), min(upper, default=inf))


def at_most(threshold: float) -> str:
    """Write a pattern (RE2, anchored) of the values of `le` that are bounds up to a threshold, whatever bounds a fleet has.

    Never one above it. For a threshold below DIGITS, which no latency has, it finds none.
    """
    return "|".join([*_less(threshold), *_same(threshold)]) if threshold >= DIGITS else "0([.]0*)?"


def below(threshold: float) -> str:
    """Write a pattern of the values of `le` that are bounds below a threshold. What it does not match is not below."""
    return "|".join(_less(threshold)) if threshold >= DIGITS else "0([.]0*)?|[0-9.]+e-[0-9]+"


def _parts(threshold: float) -> tuple[str, str]:
    whole, _, rest = f"{Decimal(repr(float(threshold))):f}".partition(".")
    return whole, rest.rstrip("0")


def _same(threshold: float) -> Iterator[str]:
    whole, rest = _parts(threshold)
    yield f"{whole}[.]{rest}0*" if rest else f"{whole}([.]0*)?"


def _less(threshold: float) -> Iterator[str]:
    """Numbers with an exponent; with fewer digits before the point; and with the same first digits and then a smaller one or none."""
    whole, rest = _parts(threshold)
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
