"""What a selector writes is PromQL: a parser reads back the same name, labels and values, whatever characters are in them."""

import re
from typing import Any

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.slo.sources.selector import Matcher, Selector, promql

OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
values = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8), min_size=1, max_size=3
)


def parsed(expression: str) -> Any:
    return promql_parser.parse(expression)


def matchers(expression: str) -> list[tuple[str, str, str]]:
    tree = parsed(expression)
    return [(item.name, OPERATORS[str(item.op)], item.value) for item in tree.matchers.matchers]


@given(values)
def test_a_parser_finds_the_values_of_a_label_and_no_others(chosen: list[str]) -> None:
    selector = Selector("llm_requests_finished_total", (("reason", tuple(chosen)),))
    ((label, operator, value),) = matchers(str(selector))
    assert label == "reason"
    for text in (*chosen, chosen[0] + "x"):
        read = text == value if operator == "=" else re.fullmatch(value, text) is not None
        assert read == (text in chosen) == selector.matches(selector.name, {"reason": text})


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_quotes_backslashes_and_line_ends_stay_within_their_string(text: str) -> None:
    assert matchers(promql("up", [Matcher("job", "!=", text)])) == [("job", "!=", text)]


def test_more_matchers_and_a_range_are_appended() -> None:
    selector = Selector("llm_time_to_first_token_seconds_bucket", (("model", ("m",)),))
    written = selector.promql(Matcher("le", "=~", "0[.]5|0[.]6"), over="5m")
    assert written == 'llm_time_to_first_token_seconds_bucket{model="m",le=~"0[.]5|0[.]6"}[5m]'
    tree = parsed(written)
    assert tree.range.total_seconds() == 300
    assert [str(item.op) for item in tree.vector_selector.matchers.matchers] == ["MatchOp.Equal", "MatchOp.Re"]


@pytest.mark.parametrize("selector", [Selector("up"), Selector("up", ())])
def test_a_selector_without_labels_is_the_bare_name(selector: Selector) -> None:
    assert str(selector) == "up"
    assert matchers(str(selector)) == []
