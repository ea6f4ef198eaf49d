"""A limit beside the bounds of a histogram: the truth lies between what the bounds next to it say, and is both of them on a bound."""

import re
from math import inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plimsoll.slo.metrics import bucket_bound
from plimsoll.slo.sli.bucket_bounds import Edges, at_most, below, edges

latencies = st.floats(1e-7, 5000, exclude_min=True) | st.integers(1, 5_000_000).map(lambda ms: ms / 1000)


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        (0.6, Edges(0.5, 0.75)),
        (0.5, Edges(0.5, 0.5)),
        (0.75, Edges(0.75, 0.75)),
        (0.1, Edges(None, 0.25)),
        (4.0, Edges(1.0, inf)),
    ],
)
def test_the_edges_are_the_bounds_next_to_the_limit(limit: float, found: Edges) -> None:
    assert edges((0.25, 0.5, 0.75, 1.0, inf), limit) == found
    assert found.exact == (limit in (0.5, 0.75))


def test_a_histogram_without_a_finite_bound_tells_nothing() -> None:
    assert edges((inf,), 0.6) is None
    assert edges((), 0.6) is None


@given(st.lists(latencies, max_size=60), st.sets(latencies, min_size=1, max_size=12), latencies, st.booleans())
def test_the_truth_lies_between_the_edges_and_is_both_of_them_on_a_bound(
    requests: list[float], bounds: set[float], limit: float, on_a_bound: bool
) -> None:
    limit = min(bounds) if on_a_bound else limit
    found = edges(bounds | {inf}, limit)
    assert found is not None
    sure = sum(took <= found.lower for took in requests) if found.lower is not None else 0
    most = sum(took <= found.upper for took in requests)
    truth = sum(took <= limit for took in requests)
    assert sure <= truth <= most
    if limit in bounds:
        assert found.exact
        assert sure == truth == most


@given(bound=latencies, limit=st.floats(1e-4, 5000) | st.integers(1, 5_000_000).map(lambda ms: ms / 1000))
@example(bound=0.1, limit=0.105)
@example(bound=5.0, limit=12.5)
@example(bound=1e-5, limit=0.6)
@example(bound=4.0, limit=4.0)
def test_the_patterns_match_the_bounds_up_to_the_limit_and_no_others(bound: float, limit: float) -> None:
    """As Prometheus matches: the whole value, in a syntax that RE2 shares with Python."""
    for value in {bound, limit, round(bound, 3) or 0.001, inf}:
        text = bucket_bound(value)
        assert bool(re.fullmatch(at_most(limit), text)) == (value <= limit), text
        assert bool(re.fullmatch(below(limit), text)) == (value < limit), text


@given(bound=latencies, limit=st.floats(1e-7, 1e-4, exclude_max=True))
def test_a_limit_that_is_no_latency_takes_no_bound_above_it_for_lower_nor_one_below_it_for_upper(
    bound: float, limit: float
) -> None:
    text = bucket_bound(bound)
    if re.fullmatch(at_most(limit), text):
        assert bound <= limit
    if not re.fullmatch(below(limit), text):
        assert bound >= limit
