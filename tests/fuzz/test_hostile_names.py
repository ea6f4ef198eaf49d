"""A model's name may hold any visible text: it stays that text in every rule, template, dashboard, page and file made of it."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from fuzzing import fuzz
from plimsoll.alerts.build import render
from plimsoll.compose.cli import main
from plimsoll.dashboards.build import render as render_dashboards
from plimsoll.slo.exchange.to_openslo import write_openslo
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import Spec, load
from promql import nodes
from service_world import NOW, world
from stack import versions

HOSTILE = (
    'a{{ .CommonLabels }}"x{{ define }}',
    "back`tick` and \\ and \\x and $1 ${model} $model $$ [[model]] [[",
    "a|b.*(c)[d]^e{2}+?",
    "<script>alert('x')</script>&amp;\"'",
    "';rm -rf ~;$(id)`id`#",
    "модель 模型 🦙 \u202e\u200b",
    "}} {{ end }} %s %(x)s {0}",
)
FACTS = "node: {gpu: H100-80GB, gpus: 1}\n    nodes: {min: 1, max: 4}\n    timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}"
OBJECTIVES = """objectives:
  - {id: fast, pool: pool, indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d, bucket_mismatch: bounds}
  - {id: tokens, pool: pool, indicator: {time_per_output_token: 40ms}, target: 95%, window: 28d, bucket_mismatch: lower_bound}
  - {id: up, pool: pool, indicator: availability, target: 99.9%, window: 28d}
  - {id: joint, pool: pool, indicator: {goodput: {ttft: 600ms, tpot: 40ms, e2e: 4s}}, target: 95%, window: 28d}
"""
NAMES = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")) | st.sampled_from("\"'`\\{}$[]|%<>&#;"),
    min_size=1,
    max_size=40,
)


def spec_of(model: str) -> Spec:
    text = f"version: plimsoll/v1\npools:\n  - name: pool\n    model: {_quoted(model)}\n    {FACTS}\n"
    return load(text + OBJECTIVES)


def _quoted(text: str) -> str:
    """Write a text for YAML, which has no surrogate pairs."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7f")


def models_of(expr: str) -> Iterator[str]:
    """Every model that a query selects or sets by name; `$model` is the variable."""
    for node, _ in nodes(expr):
        kind = type(node).__name__
        if kind == "VectorSelector":
            yield from (
                one.value for one in node.matchers.matchers if one.name == "model" and str(one.op) == "MatchOp.Equal"
            )
        elif kind == "Call" and node.func.name == "label_replace" and node.args[1].val == "model":
            yield node.args[2].val.replace("$$", "$")


def texts(value: Any, key: str) -> Iterator[str]:
    """Every text below that key, wherever it stands."""
    if isinstance(value, Mapping):
        yield from (below for name, below in value.items() if name == key and isinstance(below, str))
        value = list(value.values())
    if isinstance(value, list):
        for below in value:
            yield from texts(below, key)


@fuzz(4)
@given(NAMES)
@example(HOSTILE[0])
@example(HOSTILE[1])
@example(HOSTILE[2])
@example(HOSTILE[3])
def test_every_rule_selects_exactly_that_model_and_no_template_expands_it(model: str) -> None:
    files, plain = render(spec_of(model)), PLAIN_RULES
    for name in ("objectives.rules.yml", "health.rules.yml", "fleet.rules.yml"):
        rules, others = (yaml.safe_load(found[name]) for found in (files, plain))
        exprs = list(texts(rules, "expr"))
        assert {one for expr in exprs for one in models_of(expr)} <= {model}
        assert sum(len(list(models_of(expr))) for expr in exprs) == sum(
            len(list(models_of(expr))) for expr in texts(others, "expr")
        )
        for ours, theirs in zip(texts(rules, "description"), texts(others, "description"), strict=True):
            queries, rest = zip(*(_apart(text) for text in (ours, theirs)), strict=True)
            assert rest[0] == rest[1], "the name stands in queries of templates only"
            assert [one for query in queries[0] for one in models_of(query)] == [
                model for query in queries[1] for _ in models_of(query)
            ]


def _apart(template: str) -> tuple[list[str], str]:
    """The queries of a template (Go's raw strings), and the template without them."""
    return re.findall(r"with query `([^`]*)`", template), re.sub(r"with query `[^`]*`", "", template)


@fuzz(3)
@given(NAMES)
@example(HOSTILE[1])
@example(HOSTILE[2])
def test_every_dashboard_selects_exactly_that_model_and_grafana_finds_no_variable_in_it(model: str) -> None:
    files, plain = render_dashboards(spec_of(model), ""), PLAIN_BOARDS
    for name in (name for name in files if name.endswith(".json")):
        ours, theirs = (sorted(_variables(found[name])) for found in (files, plain))
        assert ours == theirs
        for query in _queries(json.loads(files[name])):
            assert set(models_of(query)) <= {model}


PLAIN_RULES = render(spec_of("plain"))
PLAIN_BOARDS = render_dashboards(spec_of("plain"), "")


def _variables(text: str) -> list[str]:
    """What Grafana takes for variables: $name, ${name} and [[name]]."""
    return re.findall(r"\$\w+|\$\{\w+|\[\[\w+", text)


def _queries(board: Any) -> Iterator[str]:
    for expr in [
        *texts(board, "expr"),
        *(re.sub(r"^query_result\((.*)\)$", r"\1", text) for text in texts(board, "query")),
    ]:
        if ("label_replace" in expr or "model=" in expr) and "label_values" not in expr:
            yield re.sub(r"\$__rate_interval", "5m", expr)


@fuzz(50)
@given(NAMES)
def test_an_openslo_file_and_an_objectives_file_give_the_name_back(model: str) -> None:
    spec = spec_of(model)
    assert spec.pools[0].model == model
    documents = list(yaml.safe_load_all(write_openslo(spec)[0]))
    assert json.loads(documents[0]["metadata"]["annotations"]["plimsoll/pool"])["model"] == model
    for query in texts(documents, "query"):
        assert set(models_of(query)) <= {model}


@pytest.mark.prometheus
@pytest.mark.parametrize("model", HOSTILE, ids=range(len(HOSTILE)))
def test_the_real_promtool_accepts_what_the_command_writes(model: str, tmp_path: Path) -> None:

    file = tmp_path / "objectives.yaml"
    file.write_text(
        f"version: plimsoll/v1\npools:\n  - name: pool\n    model: {_quoted(model)}\n    {FACTS}\n{OBJECTIVES}"
    )
    assert main(["build", "--objectives", str(file), "--out", str(tmp_path / "out")]) == 0
    for promtool in versions("promtool"):
        for rules in (tmp_path / "out" / "alerts").glob("*.rules.yml"):
            command = [promtool, "check", "rules", "--lint-fatal", str(rules)]
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("control", ["\n", "\x1b[2J", "\x7f", "\u2028", ""])
def test_a_name_that_no_terminal_shows_is_rejected(control: str) -> None:
    with pytest.raises(ValueError, match=r"^pools\[0\].model: Expected `str`"):
        spec_of(f"a{control}" if control else "")


def test_pages_show_hostile_texts_as_text(database: str, open_ledger: Callable[[str], Ledger]) -> None:
    script = HOSTILE[3]
    text = f"version: plimsoll/v1\npools:\n  - name: pool\n    model: {_quoted(script)}\n    {FACTS}\n{OBJECTIVES}"
    text += f"exclusions: [{{from: 2023-11-14T22:20:00Z, to: 2023-11-14T22:40:00Z, created_by: {_quoted(script)}, reason: {_quoted(script)}}}]\n"
    service = Service(load(text), world(), open_ledger(database), clock=lambda: NOW)
    service.ingest()
    client = TestClient(create_app(service))
    shown = 0
    for path in (
        "/",
        "/slos/fast",
        "/pools/pool",
        "/reviews/2023-W46",
        f"/pools/pool/whatif?request_rate={script}",
        f"/slos/{script}",
        f"/?{script}",
    ):
        answer = client.get(path, headers={"accept": "text/html"})
        page = answer.text if answer.headers["content-type"].startswith("text/html") else ""
        assert "<script>alert" not in page, path
        shown += "&lt;script&gt;alert" in page
    assert shown >= 2
