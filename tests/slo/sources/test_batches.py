"""A batch's one query selects every series of its selectors, and gives each selector its own."""

from hypothesis import given
from hypothesis import strategies as st

from plimsoll.slo.sources.batches import alone, batches
from plimsoll.slo.sources.selector import Matcher, Selector

NAMES, VALUES = ("a_total", "a_bucket", "b"), ("x", "y.z", "w|")
LABELS = st.dictionaries(st.sampled_from(("model", "le")), st.sampled_from(VALUES))
SELECTORS = st.builds(
    Selector,
    st.sampled_from(NAMES),
    st.dictionaries(st.sampled_from(("model", "le")), st.lists(st.sampled_from(VALUES), min_size=1, unique=True)).map(
        lambda found: tuple((label, tuple(values)) for label, values in found.items())
    ),
    st.sampled_from(((), (Matcher("le", "!=", "x"),))),
)


@given(st.lists(SELECTORS, unique=True), st.lists(st.tuples(st.sampled_from(NAMES), LABELS)))
def test_each_selector_is_in_one_batch_that_selects_and_tells_apart_its_series(
    selectors: list[Selector], series: list[tuple[str, dict[str, str]]]
) -> None:
    found = batches(selectors)
    assert sorted(map(str, (one for batch in found for one in batch.selectors))) == sorted(map(str, selectors))
    for batch in found:
        matchers = [Matcher.one_of("__name__", batch.names), *(Matcher.one_of(*one) for one in batch.labels)]
        for name, labels in series:
            asked = all(matcher.holds({"__name__": name, **labels}) for matcher in (*matchers, *batch.further))
            wanted = [one for one in batch.selectors if one.matches(name, labels)]
            assert asked or not wanted
            if asked:
                assert list(batch.selecting(name, labels)) == (
                    wanted if len(batch.selectors) > 1 else [*batch.selectors]
                )


def test_what_differs_in_names_or_in_one_labels_values_is_one_query_and_the_rest_is_not() -> None:
    pool, other = (("model", ("m",)),), (("model", ("m",)), ("le", ("0.6",)))
    some = [
        Selector("a", pool),
        Selector("b", pool),
        Selector("h_bucket", other),
        Selector("h_bucket", (pool[0], ("le", ("1.0",)))),
    ]
    assert [batch.promql("5m") for batch in batches(some)] == [
        '{__name__=~"a|b",model="m"}[5m]',
        '{__name__="h_bucket",model="m",le=~"0\\\\.6|1\\\\.0"}[5m]',
    ]
    assert [batch.promql("5m") for batch in alone(some[:2])] == ['a{model="m"}[5m]', 'b{model="m"}[5m]']
