"""Objectives from Sloth, Pyrra and OpenSLO files as people write them: what is carried, what is said to be lost, nothing else."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from paths import FIXTURES, OBJECTIVES
from plimsoll.compose.cli import main
from plimsoll.compose.commands.slos.import_ import READERS, names
from plimsoll.slo.exchange.conversion import Reading, write
from plimsoll.slo.exchange.document import Document
from plimsoll.slo.exchange.to_openslo import write_openslo
from plimsoll.slo.spec.objectives import Objective, Spec, load

FIXTURES = FIXTURES / "exchange"
DEFAULT = OBJECTIVES
FILES = {"sloth": "sloth.yml", "pyrra": "pyrra.yaml", "openslo": "openslo.yaml"}
QWEN, LLAMA = "Qwen/Qwen3-8B", "meta-llama/Llama-3.3-70B-Instruct"


def imported(
    capsys: pytest.CaptureFixture[str], kind: str, file: Path | str, *options: str, status: int = 0
) -> tuple[Spec | None, list[str]]:
    """Run `plimsoll import`; the objectives that it prints, and the lines of what was lost."""
    capsys.readouterr()
    assert main(["import", kind, str(FIXTURES / file), *options]) == status
    said = capsys.readouterr()
    return (load(said.out) if said.out else None), said.err.splitlines()


def shown(spec: Spec | None) -> list[tuple[str, str, str, str, str]]:
    assert spec is not None
    return [
        (item.id, spec.pool(item.pool).model, str(item.indicator), f"{float(item.target):g}", str(item.window))
        for item in spec.objectives
    ]


def test_sloth_latencies_and_availability_are_carried_and_the_rest_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    spec, lost = imported(capsys, "sloth", "sloth.yml", "--window", "28d")
    assert shown(spec) == [
        ("chat-ttft", LLAMA, "time_to_first_token <= 500ms", "0.95", "28d"),
        ("chat-availability", LLAMA, "availability", "0.999", "28d"),
        ("chat-e2e", QWEN, "request_duration <= 5s", "0.995", "28d"),
    ]
    text = "\n".join(lost)
    for line in (
        "document 1, labels.owner: 'ml-platform': labels of Sloth's own rules",
        "document 1, slos[0].description: 'First token within 500 ms.': an SLO has no description",
        "document 1, slos[0].alerting.page_alert.labels.severity: 'pageteam': labels of Sloth's own rules",
        "document 1, slos[0].alerting.ticket_alert.disable: 'True': alerts are computed from target and window",
        "document 1, slos[0]: has no window: Sloth sets its period at run time; 28d is used (--window)",
        "document 1, slos[1].sli.events.total_query: namespace='llm' narrows what is counted",
        "document 1, slos[1].sli.events.total_query: counts requests that ended by abort as bad; Plimsoll leaves them out",
        "document 1, slos[1].sli.events.total_query: counts requests that ended by repetition as good; Plimsoll leaves",
        "document 1, slos[1].sli.events.total_query: doesn't count requests that were rejected or abandoned in the queue",
        "document 1, slos[1]: 'chat-Availability' is renamed to 'chat-availability'",
        "document 1, slos[3].sli.events.total_query: SLO skipped: reads http_requests_total, which isn't a request counter or",
        "document 1, slos[4].sli.events.total_query: SLO skipped: reads inter-token latency",
        "document 1, slos[5].objective: SLO skipped: 100 isn't a target",
        "document 1, slos[6].sli: SLO skipped: is neither events nor raw; a plugin's query isn't in the file",
        "document 2, slos[0].sli.events.total_query: SLO skipped: names no model, so its pool is unknown. Add --model NAME",
        "document 3, version: document skipped: not Sloth prometheus/v1",
        "doesn't describe pool 'llama-3-3-70b-instruct': node, nodes and timing are placeholders",
    ):
        assert line in text
    assert lost[-1].endswith(f"sloth.yml: 3 SLOs converted, {len(lost) - 1} losses")


def test_a_query_without_a_model_is_carried_where_the_model_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    spec, lost = imported(capsys, "sloth", "sloth.yml", "--model", QWEN)
    assert ("embed-anything", QWEN, "availability", "0.99", "30d") in shown(spec)
    assert any(f"document 2, slos[0].sli.events.total_query: names no model; '{QWEN}' is used" in line for line in lost)


def test_pyrra_ratios_and_latencies_are_carried(capsys: pytest.CaptureFixture[str]) -> None:
    spec, lost = imported(capsys, "pyrra", "pyrra.yaml")
    assert shown(spec) == [
        ("vllm-ttft", QWEN, "time_to_first_token <= 500ms", "0.95", "28d"),
        ("vllm-errors", QWEN, "availability", "0.999", "36h"),
        ("e2e-native", QWEN, "request_duration <= 2s", "0.99", "30d"),
    ]
    text = "\n".join(lost)
    for line in (
        "document 1, metadata.labels.pyrra.dev/team: 'ml-platform'",
        "document 1, spec.indicator.latency.grouping[0]: 'pod': an SLO is one number for its pool",
        "document 1, spec.alerting.absent: 'False': alerts are computed",
        "document 1, metadata.namespace: 'monitoring'",
        "document 3, spec.indicator.latencyNative: reads a native histogram by interpolation",
        "document 4, spec.indicator: SLO skipped: bool_gauge: only a ratio or a latency counts requests",
    ):
        assert line in text


def test_openslo_indicators_windows_and_targets_are_carried(capsys: pytest.CaptureFixture[str]) -> None:
    spec, lost = imported(capsys, "openslo", "openslo.yaml")
    week = "calendar week (Europe/Berlin)"
    assert shown(spec) == [
        ("tpot-1", QWEN, "time_per_output_token <= 50ms", "0.95", week),
        ("tpot-2", QWEN, "time_per_output_token <= 50ms", "0.995", week),
        ("e2e", QWEN, "request_duration <= 10s", "0.9", "30d"),
    ]
    text = "\n".join(lost)
    for line in (
        "document 2, spec.connectionDetails.url: 'http://prometheus.example:9090'",
        "document 3, spec.ratioMetric.total: counts requests with a single output token as good",
        "document 4, metadata.labels.team[1]: 'oncall'",
        "document 4, spec.alertPolicies[0].alertPolicyRef: 'burning': alerts are computed",
        "document 5, spec.timeWindow[0].duration: a rolling 1M has no fixed length",
        "document 6, spec.budgetingMethod: SLO skipped: counts time slices",
        "document 7, spec.indicator.spec: SLO skipped: isn't a ratioMetric",
        "document 8, top level: AlertPolicy: alerts are computed",
    ):
        assert line in text


def same(first: Objective, second: Objective) -> bool:
    return first.spec_hash == second.spec_hash


EVERYTHING = (
    DEFAULT.read_text()
    + """\
  - {id: week, pool: chat-70b, indicator: {request_duration: 2.5s}, target: 99.95%, window: {calendar: week, timezone: Asia/Kolkata}, bucket_mismatch: bounds}
  - {id: quarter, pool: chat-70b, indicator: availability, target: 90%, window: {calendar: quarter, timezone: UTC}}
  - {id: short, pool: chat-70b, indicator: {time_to_first_token: 1.5s}, target: 99%, window: 36h, bucket_mismatch: lower_bound}
exclusions:
  - {from: 2026-11-21T02:00:00Z, to: 2026-11-21T03:00:00Z, created_by: ann, reason: driver update}
"""
)


def test_a_round_trip_through_openslo_changes_nothing_but_what_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, file = tmp_path / "before.yaml", tmp_path / "openslo.yaml"
    before.write_text(EVERYTHING)
    assert main(["export-openslo", "--objectives", str(before)]) == 0
    said = capsys.readouterr()
    assert "not converted: exclusions[0]: OpenSLO has no exclusions" in said.err
    file.write_text(said.out)
    after, lost = imported(capsys, "openslo", file)
    assert lost == [f"{file}: 8 SLOs converted, 0 losses"]
    original = load(EVERYTHING)
    assert after is not None and after.pools == original.pools
    assert all(same(*pair) for pair in zip(original.objectives, after.objectives, strict=True))


def test_a_pool_that_was_edited_by_hand_into_nonsense_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, _ = write_openslo(load(DEFAULT.read_text()))
    file = tmp_path / "openslo.yaml"
    file.write_text(text.replace('"gpus": 2', '"gpus": 0'))
    assert main(["import", "openslo", str(file)]) == 2
    assert "pools[0].node.gpus: Expected `int` >= 1" in capsys.readouterr().err
    file.write_text(re.sub(r"plimsoll/pool: '\{", "plimsoll/pool: '[", text))
    _, lost = imported(capsys, "openslo", file)
    assert "plimsoll/pool: SLO skipped: isn't JSON" in lost[0]


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of every mapping in a document."""
    if isinstance(data, dict):
        yield path
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield from places(value, (*path, key))


@pytest.mark.parametrize("kind", FILES)
def test_whatever_is_added_to_a_file_is_named_among_the_losses(kind: str) -> None:
    documents = list(yaml.safe_load_all((FIXTURES / FILES[kind]).read_text()))
    for number, document in enumerate(documents):
        for path in places(document):
            changed = copy.deepcopy(documents)
            place = changed[number]
            for key in path:
                place = place[key]
            place["surprise"] = "!"
            whole = [Document(data, f"document {index}") for index, data in enumerate(changed)]
            losses = READERS[kind](whole, Reading(names(), "30d")).losses
            inside = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")
            above = f"document {number}, "
            assert any(
                loss.path == f"{above}{inside}.surprise".replace(", .", ", ")
                or (
                    loss.reason.startswith(("SLO skipped", "document skipped", "AlertPolicy"))
                    and loss.path.startswith(above)
                )
                for loss in losses
            ), (number, path)


@pytest.mark.parametrize(
    "text",
    [
        "- a\n---\nhello\n---\n3\n",
        "version: prometheus/v1\nslos: {a: 1}\n",
        "version: prometheus/v1\nslos: [3, null, {name: [1], objective: x, sli: 7}, {name: x, sli: {events: [1]}}]\n",
        "apiVersion: pyrra.dev/v1alpha1\nkind: ServiceLevelObjective\nmetadata: [1]\nspec: 7\n",
        "apiVersion: openslo/v1\nkind: SLI\nmetadata: {name: {a: 1}}\n---\napiVersion: openslo/v1\nkind: [SLO]\n",
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: x}\nspec: {budgetingMethod: Occurrences, indicatorRef: y}\n",
        "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: x, annotations: {plimsoll/pool: '3'}}\n",
    ],
)
def test_what_is_no_such_file_at_all_is_lost_and_breaks_nothing(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    for kind in READERS:
        spec, lost = imported(capsys, kind, file, status=1)
        assert spec is None and "0 SLOs converted, 0 losses" not in lost[-1]


def test_names_that_are_taken_or_too_long_are_changed_and_said() -> None:
    slo = yaml.safe_load((FIXTURES / "sloth.yml").read_text().split("---")[0])["slos"][0]
    slos = [{**slo, "name": name} for name in ("A b", "a-b", "x" * 80, "日本")]
    carried = READERS["sloth"]([Document({"version": "prometheus/v1", "slos": slos})], Reading(names(), "30d"))
    spec = load(write(carried, "test"))
    assert [item.id for item in spec.objectives] == ["a-b", "a-b-2", "x" * 63, "objective"]
    assert sum("is renamed" in loss.reason for loss in carried.losses) == 4


def test_a_file_of_which_nothing_is_carried_ends_with_status_1_and_no_yaml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, lost = imported(capsys, "pyrra", "sloth.yml", status=1)
    assert spec is None and lost[-1].endswith("0 SLOs converted, 3 losses")
    broken = tmp_path / "broken.yaml"
    broken.write_text("slos: [")
    assert main(["import", "sloth", str(broken)]) == 2
    assert f"plimsoll: {broken}:1:8: not YAML" in capsys.readouterr().err
    assert main(["import", "sloth", str(tmp_path / "none")]) == 2
    assert main(["import", "sloth", str(FIXTURES / "sloth.yml"), "--window", "1M"]) == 2
    assert "--window: '1M' isn't a duration" in capsys.readouterr().err.splitlines()[-1]


def test_what_openslo_is_given_can_be_read_as_openslo_has_it() -> None:
    text, _ = write_openslo(load(EVERYTHING))
    for document in yaml.safe_load_all(text):
        assert document["apiVersion"] == "openslo/v1" and document["kind"] in ("Service", "SLO")
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", document["metadata"]["name"])
        if document["kind"] == "SLO":
            (window,) = document["spec"]["timeWindow"]
            assert re.fullmatch(r"\d+[mhdwMQY]", window["duration"])
            assert document["spec"]["budgetingMethod"] == "Occurrences"
            assert 0 <= document["spec"]["objectives"][0]["targetPercent"] < 100
        assert all(isinstance(value, str) for value in document["metadata"].get("annotations", {}).values())
