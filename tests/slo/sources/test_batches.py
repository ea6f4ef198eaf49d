"""A batch's one query selects every series of its selectors, and gives each selector its own."""

import re
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.slo.metrics import GPU_ASSIGNMENT
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.batches import alone, batches
from plimsoll.slo.sources.http import HttpClient, Request, Response
from plimsoll.slo.sources.prometheus import PrometheusSource
from plimsoll.slo.sources.selector import Matcher, Selector
from plimsoll.slo.usage import energy

MOST = 16 * 1024  # VictoriaMetrics' -search.maxQueryLen
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


def test_no_query_of_a_large_fleet_is_longer_than_a_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    uuids = [f"GPU-{n:08}-0000-0000-0000-000000000000" for n in range(1600)]
    gpus = energy.selectors([Series(GPU_ASSIGNMENT.name, {"uuid": uuid}, []) for uuid in uuids])
    pools = [Selector("a_total", (("model", (f"organization/model-{n}",)),)) for n in range(1000)]
    found = batches([*gpus, *pools])
    assert max(len(batch.promql("360001ms")) for batch in found) < MOST
    assert {uuid for batch in found for label, values in batch.labels if label == "uuid" for uuid in values} == set(
        uuids
    )
    asked: list[str] = []

    def answer(query: str) -> bytes:
        asked.append(query)
        return b"".join(
            b'%s{"metric":{"part":"%s"},"value":[1,"%s"]}' % (b"," if index else b"", part.encode(), part.encode())
            for index, part in enumerate(re.findall(r'"part", "(\d+)"', query))
        )

    def send(_: HttpClient, request: Request) -> Response:
        result = answer((request.form or {})["query"])
        whole = b'{"status":"success","data":{"resultType":"vector","result":[%s]}}' % result
        return Response(200, bytearray(whole), True)

    monkeypatch.setattr(HttpClient, "send", send)
    wanted = [*gpus, *pools]
    assert PrometheusSource("http://store").counts(wanted, 0.0, 300.0, inf) == list(range(len(wanted)))
    assert max(map(len, asked)) < MOST
    assert len(asked) < len(wanted) / 10
