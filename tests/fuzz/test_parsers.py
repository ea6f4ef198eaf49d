"""Every parser of bytes from outside: a typed value, or its documented error in one line. Never another exception."""

import gzip
import json
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from fuzzing import fuzz
from mutation import VALUES, mutated, mutated_text, regrown
from paths import FIXTURES, ROOT
from plimsoll.compose.commands.slos.import_ import READERS, names
from plimsoll.compose.inputs import UserError, read_address
from plimsoll.compose.sources import read_source
from plimsoll.exporters.collector import CollectorError
from plimsoll.exporters.engines import parser
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.exposition import Renderer
from plimsoll.exporters.gateway.response import Response
from plimsoll.exporters.nvml.inventory import Inventory
from plimsoll.exporters.nvml.state import FILE, GpuState, StateError
from plimsoll.exporters.server import MAX_TIME_LIMIT, time_limit
from plimsoll.exporters.state_file import StateFile
from plimsoll.slo import strict_json, strict_yaml
from plimsoll.slo.capacity.model.prices import overridden
from plimsoll.slo.capacity.simulator import traces
from plimsoll.slo.exchange.conversion import Reading, write
from plimsoll.slo.exchange.document import read_documents
from plimsoll.slo.exchange.indicator_matching import recognize
from plimsoll.slo.exchange.queries import UnsupportedQueryError, read_ratio, read_sum
from plimsoll.slo.service.tokens import new_token, read_tokens
from plimsoll.slo.sources import http_config, metrics_page
from plimsoll.slo.spec.objectives import Spec, SpecError, Window, load
from plimsoll.slo.units import PROMETHEUS_UNITS, Duration, Target, compound, duration_text

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
PAGES = [path.read_bytes() for path in sorted(FIXTURES.glob("*.prom"))]
OBJECTIVES = (ROOT / "slo" / "objectives.yaml").read_text()
FOREIGN = {name: (FIXTURES / "exchange" / file).read_text() for name, file in (("sloth", "sloth.yml"), ("pyrra", "pyrra.yaml"), ("openslo", "openslo.yaml"))}  # fmt: skip
QUERIES = [
    'sum(rate(vllm:time_to_first_token_seconds_bucket{model_name="m",le="0.6"}[5m]))',
    'sum(rate(llm_requests_finished_total{model="m",reason=~"stop|length"}[{{.window}}])) - sum(rate(a[5m] offset 1h))',
    '1 - sum by (model) (rate(a_bucket{le="0.5"}[5m])) / (sum(rate(a_count[5m])) or vector(0))',
]
AZURE = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,110,27\n"
MOONCAKE = b'{"timestamp": 0, "input_length": 6755, "output_length": 500, "hash_ids": [0, 1]}\n{"timestamp": 30, "input_length": 7319, "output_length": 490, "hash_ids": [0, 2]}\n'
BENCH = b'{"start_times": [1.5, 2.5], "input_lens": [10, 20], "output_lens": [5, 0], "errors": ["", "x"]}\n'


def one_line(error: BaseException) -> None:
    """A documented error is one line of a length that a terminal shows."""
    assert "\n" not in str(error) and "\r" not in str(error)
    assert 0 < len(str(error)) < 5000, str(error)[:200]


def attempt(read: Callable[[], Any], *documented: type[BaseException]) -> Any:
    """Return what a parser reads, None where it raises a documented error."""
    try:
        return read()
    except documented as error:
        one_line(error)
        return None


@fuzz(120)
@given(mutated(*PAGES))
@example(b'vllm:a{b="c", ="e"} 1\n')
def test_an_engines_page(body: bytes) -> None:
    page = attempt(lambda: parser.Parser().parse(body), ValueError)
    if page is not None:
        assert all(0 <= value < math.inf for rows in page.series.values() for value in rows.values())


@fuzz(60)
@given(st.lists(mutated(*PAGES), min_size=1, max_size=3))
def test_an_engines_collector_gives_points_that_can_be_scraped(bodies: list[bytes]) -> None:
    collector, renderer = EngineCollector("http://127.0.0.1:1"), Renderer()
    for body in bodies:
        collector._reader.get = lambda url, deadline, body=body: body  # type: ignore[method-assign,misc]
        try:
            points = list(collector.collect(math.inf))
        except CollectorError as error:
            one_line(error)
            continue
        page = renderer.render(points, "")
        assert list(text_string_to_metric_families(page.body.decode()))


@fuzz(150)
@given(mutated_text(OBJECTIVES))
@example("objectives: {" + "&a " * 100)
def test_an_objectives_files_text(text: str) -> None:
    attempt(lambda: load(text), SpecError, strict_yaml.InvalidYamlError)


@fuzz(150)
@given(regrown(yaml.safe_load(OBJECTIVES)))
def test_an_objectives_files_values(data: Any) -> None:
    spec = attempt(lambda: load(yaml.safe_dump(data)), SpecError, strict_yaml.InvalidYamlError)
    assert spec is None or isinstance(spec, Spec)


@fuzz(60)
@given(st.data())
@pytest.mark.parametrize("kind", READERS)
def test_another_tools_slo_file(kind: str, data: st.DataObject) -> None:
    documents = list(yaml.safe_load_all(FOREIGN[kind]))
    dumped = regrown(documents).map(lambda found: yaml.safe_dump_all(found if isinstance(found, list) else [found]))
    text = data.draw(mutated_text(FOREIGN[kind]) | dumped)
    found = attempt(lambda: read_documents(text), strict_yaml.InvalidYamlError)
    if found is not None:
        converted = READERS[kind](found, READING)
        for loss in converted.losses:
            assert "\n" not in f"{loss.path}{loss.reason}"
        written = write(converted, "test")
        if converted.slos:
            attempt(lambda: load(written), SpecError, strict_yaml.InvalidYamlError)


def test_an_empty_window_is_a_loss() -> None:
    text = re.sub(r"duration: \w+", 'duration: ""', FOREIGN["openslo"])
    converted = READERS["openslo"](read_documents(text), READING)
    assert converted.slos == [] and len(converted.losses) > 0


READING = Reading(names(), "30d", "m")


@fuzz(200)
@given(mutated_text(*QUERIES))
def test_a_query(query: str) -> None:
    attempt(lambda: recognize(read_sum(query), read_sum(QUERIES[0]), READING.names), UnsupportedQueryError)
    attempt(lambda: read_ratio(query), UnsupportedQueryError)


@fuzz(200)
@given(mutated(AZURE, MOONCAKE, BENCH), st.booleans(), st.floats(0, 1))
@example(MOONCAKE, True, 0.5)
def test_a_trace(tmp_path: Path, body: bytes, zipped: bool, cut: float) -> None:
    path = tmp_path / ("trace.gz" if zipped else "trace")
    packed = gzip.compress(body)
    path.write_bytes(packed[: round(cut * len(packed))] if zipped else body)
    for arrival in attempt(lambda: traces.load(path), traces.TraceError, OSError) or ():
        assert 0 <= arrival.time < math.inf and arrival.prompt >= 1 and arrival.output >= 1


@fuzz(200)
@given(mutated_text("\n".join(str(new_token(name, "read")[1]) for name in ("a", "b")) + "\n# comment"))
def test_a_token_file(text: str) -> None:
    attempt(lambda: read_tokens(text), ValueError)


STATE = (
    b'{"gpus": {"GPU-1": {"pci_bus_id": "0000:21:00.0", "name": "H100"}}, "xids": {"GPU-1": {"79": [1, 1700000000.0]}}}'
)


@fuzz(150)
@given(mutated(STATE) | regrown(json.loads(STATE)).map(lambda value: json.dumps(value).encode()))
@example(STATE.replace(b'"0000:21:00.0"', b"7"))
def test_a_state_file(tmp_path: Path, body: bytes) -> None:
    (tmp_path / FILE).write_bytes(body)
    (tmp_path / "name.json").write_bytes(body)
    StateFile(tmp_path, "name").read()
    state = attempt(lambda: GpuState(tmp_path), StateError)
    points = list(state.points())
    assert Renderer().render(points, "").problems == []
    state.expect([{"uuid": "GPU-2", "pci_bus_id": "00000000:22:00.0", "name": "H100"}])


@fuzz(100)
@given(mutated(b"Model: \t\t NVIDIA H100\nIRQ: 1\nGPU UUID: \t GPU-12345678-1234-1234-1234-123456789abc\n"))
def test_the_kernels_text_on_a_gpu(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "0000:21:00.0").mkdir(exist_ok=True)
    (tmp_path / "0000:21:00.0" / "information").write_bytes(body)
    assert all(info["uuid"] for info in Inventory(tmp_path).others(set()))


@fuzz(300)
@given(VALUES | mutated_text("600ms", "1d12h", "99.9%", "28d", "1e3ms"))
@example("9" * 400 + "d")
@example("9" * 400 + "d1s")
def test_a_duration_and_a_percentage(value: Any) -> None:
    duration = attempt(lambda: Duration.parse(value), ValueError)
    assert duration is None or (0 < duration < math.inf and duration_text(duration))
    target = attempt(lambda: Target.parse(value), ValueError)
    assert target is None or 0 < target < 1
    attempt(lambda: Window.parse(value), ValueError)
    if isinstance(value, str):
        attempt(lambda: compound(value, PROMETHEUS_UNITS), ValueError)


@fuzz(200)
@given(
    st.text(max_size=40)
    | mutated_text("127.0.0.1:9800", "[::1]:80", "prometheus:http://h:9090", "scrape:http://a,http://b")
)
def test_addresses_and_headers(text: str) -> None:
    attempt(lambda: read_address(text), UserError)
    attempt(lambda: read_source(text, None), UserError)
    attempt(lambda: EngineCollector(text), ValueError)
    assert 0 < time_limit(text) <= MAX_TIME_LIMIT


@fuzz(200)
@given(mutated(MOONCAKE.splitlines()[0]) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_json(body: bytes) -> None:
    attempt(lambda: strict_json.load(body), strict_json.InvalidJsonError)


@fuzz(150)
@given(mutated_text((ROOT / "slo" / "data" / "prices.yaml").read_text()))
def test_prices(text: str) -> None:
    attempt(lambda: overridden(text), ValueError)


@fuzz(100)
@given(
    mutated_text(
        "authorization: {type: Bearer, credentials: hunter2}\ntls_config: {insecure_skip_verify: false}\nhttp_headers: {X-Scope-OrgID: {values: [team]}}\n"
    )
)
def test_the_credentials_of_a_source(tmp_path: Path, text: str) -> None:
    file = tmp_path / "source.yaml"
    file.write_text(text)
    file.chmod(0o600)
    attempt(lambda: http_config.load(file), http_config.HttpConfigError)


@fuzz(100)
@given(mutated(*PAGES), st.booleans())
def test_a_scraped_page_of_an_exporter(body: bytes, framed: bool) -> None:
    names = {"vllm:num_requests_running", "vllm:time_to_first_token_seconds_bucket", "sglang:num_running_reqs"}
    found = attempt(lambda: list(metrics_page.samples(body, framed, names)), ValueError)
    assert all(one.name in names for one in found or ())


EVENT = {"choices": [{"delta": {"content": "a"}, "text": "b"}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "message": {"usage": {"input_tokens": 1}}, "type": "content_block_delta"}  # fmt: skip


@fuzz(200)
@given(st.lists(regrown(EVENT).map(lambda event: b"data: " + json.dumps(event).encode() + b"\n\n") | mutated(b'data: {"choices": []}\n\n'), max_size=3), st.booleans())  # fmt: skip
def test_a_response_that_passes_a_gateway(parts: Sequence[bytes], streamed: bool) -> None:
    found = Response(status=200, streamed=streamed)
    with suppress(ValueError):
        for part in parts:
            found.feed(part if streamed else part[6:], 1.0)
    with suppress(ValueError):
        found.finish()
    assert found.tokens is None or isinstance(found.tokens, int)
    assert found.time_per_output_token is None or found.time_per_output_token >= 0
