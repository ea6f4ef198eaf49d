"""The page that Prometheus reads."""

import math
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from plimsoll.exporters.collector import Point
from plimsoll.exporters.exposition import Exposition, Renderer
from plimsoll.slo import metrics as catalogue
from stack import require

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
RANK = {"replica": "a", "model": "m", "engine": "vllm", "rank": "0"}


def histogram(replica: str, bounds: dict[str, float], total: float = 3.5) -> list[Point]:
    labels = RANK | {"replica": replica}
    buckets = [Point(catalogue.TTFT, labels | {"le": le}, count, "_bucket") for le, count in bounds.items()]
    count = max(bounds.values())
    return [
        Point(catalogue.TTFT, labels, count, "_count"),
        *buckets,
        Point(catalogue.TTFT, labels, total, "_sum"),
    ]


POINTS = [
    Point(catalogue.GENERATION_TOKENS, RANK, 1234),
    *histogram("a", {"+Inf": 7, "1": 4, "0.5": 2, "10": 6}),
    Point(catalogue.GPU_UP, {"uuid": "GPU-1"}, 0),
    Point(catalogue.GPU_ENERGY, {"uuid": "GPU-1"}, 123456789.012),
    *histogram("b", {"1": 4, "+Inf": 7}),
    Point(catalogue.GENERATION_TOKENS, RANK | {"replica": "b"}, 5),
]


def render(points: list[Point], accept: str) -> Exposition:
    return Renderer().render(points, accept)


def text(points: list[Point], accept: str = "") -> str:
    return render(points, accept).body.decode()


def test_points_of_several_collectors_share_one_help_and_type_from_the_catalogue() -> None:
    page = text(POINTS)
    assert page.count("# TYPE llm_generation_tokens_total counter\n") == 1
    assert page.count(f"# HELP llm_generation_tokens_total {catalogue.GENERATION_TOKENS.help}\n") == 1
    values = {
        sample.labels["replica"]: sample.value
        for family in parse_text(page)
        if family.name == "llm_generation_tokens"
        for sample in family.samples
    }
    assert values == {"a": 1234, "b": 5}


def test_each_histogram_stands_together_with_rising_float_bounds() -> None:
    lines = [line.split(" ")[0] for line in text(POINTS).splitlines() if line.startswith("llm_time_to_first")]
    shape = [(line.partition("{")[0].removeprefix(catalogue.TTFT.name), line) for line in lines]
    bounds = [line.partition('le="')[2].partition('"')[0] for _, line in shape]
    assert bounds == ["0.5", "1.0", "10.0", "+Inf", "", "", "1.0", "+Inf", "", ""]
    assert [part for part, _ in shape] == [*["_bucket"] * 4, "_sum", "_count", *["_bucket"] * 2, "_sum", "_count"]
    assert all('replica="a"' in line for line in lines[:6])
    assert all('replica="b"' in line for line in lines[6:])


def test_openmetrics_is_served_to_those_who_ask_for_it_and_parses() -> None:
    page = render(POINTS, OPENMETRICS)
    assert page.content_type.startswith("application/openmetrics-text")
    families = {family.name: family for family in parse_openmetrics(page.body.decode())}  # type: ignore[no-untyped-call]
    assert families["llm_time_to_first_token_seconds"].type == "histogram"
    assert families["gpu_energy_joules"].samples[0].value == 123456789.012
    assert render(POINTS, "text/plain").content_type.startswith("text/plain; version=0.0.4")


def test_a_series_given_twice_is_shown_once_and_named() -> None:
    twice = [
        Point(catalogue.GPU_UP, {"uuid": "GPU-1"}, 1),
        Point(catalogue.GPU_UP, {"uuid": "GPU-1"}, 0),
        *histogram("a", {"1": 4, "1.0": 4, "+Inf": 7}),
    ]
    page = render(twice, "")
    assert page.body.decode().count('gpu_up{uuid="GPU-1"}') == 1
    assert 'gpu_up{uuid="GPU-1"} 1.0' in page.body.decode()
    assert len(page.problems) == 2
    assert "GPU-1" in page.problems[0]
    assert "'le': '1.0'" in page.problems[1]


def test_a_label_without_a_value_is_no_label_also_where_series_are_compared() -> None:
    pair = [Point(catalogue.GPU_UP, {"uuid": "x", "index": ""}, 1), Point(catalogue.GPU_UP, {"uuid": "x"}, 1)]
    page = render(pair, "")
    assert 'gpu_up{uuid="x"} 1.0' in page.body.decode()
    assert len(page.problems) == 1


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (Point(catalogue.GPU_POWER, {"uuid": "x"}, math.nan), "NaN"),
        (Point(catalogue.TTFT, RANK | {"le": "high"}, 1, "_bucket"), "bound"),
    ],
)
def test_a_broken_sample_costs_itself_and_is_named(broken: Point, word: str) -> None:
    page = render([broken, *POINTS], "")
    assert [word in problem for problem in page.problems] == [True]
    assert page.body.decode().count("llm_generation_tokens_total{") == 2
    assert "nan" not in page.body.decode().lower()
    assert render(POINTS, "").problems == []


class Families:
    """What prometheus_client's encoders ask for, without the process's own metrics, which change by themselves."""

    def __init__(self, families: list[Family]) -> None:
        self.collect = lambda: families


def as_the_library_writes(points: list[Point], accept: str) -> str:
    """The page by prometheus_client; the points' series must be distinct, and a histogram's in order."""
    families: dict[str, Family] = {}
    for metric, labels, value, suffix in points:
        family = families.setdefault(metric.name, Family(metric.name.removesuffix("_total"), metric.help, metric.kind))
        family.add_sample(metric.name + suffix, {name: text for name, text in labels.items() if text}, value + 0.0)
    encode, _ = choose_encoder(accept)
    return str(encode(Families(list(families.values()))).decode().removesuffix("# EOF\n"))


numbers = st.floats(allow_nan=False) | st.integers(-(2**70), 2**70)
texts = st.text(st.characters(exclude_categories=["Cs"]))
metrics = st.sampled_from([catalogue.GPU_CLOCK_LIMITED, catalogue.GPU_XID_ERRORS, catalogue.KV_CACHE_USAGE])


@st.composite
def pages(draw: st.DrawFn) -> list[Point]:
    rows = draw(
        st.dictionaries(st.tuples(metrics, texts, texts), numbers, max_size=12),
    )
    counts = sorted(draw(st.lists(st.integers(0, 10**9), min_size=3, max_size=3)))
    buckets = [
        Point(catalogue.TTFT, RANK | {"le": le}, count, "_bucket")
        for le, count in zip(("0.25", "4.0", "+Inf"), counts, strict=True)
    ]
    whole = [*buckets, Point(catalogue.TTFT, RANK, 3.5, "_sum"), Point(catalogue.TTFT, RANK, counts[2], "_count")]
    return [*(Point(m, dict(zip(m.labels, two, strict=False)), v) for (m, *two), v in rows.items()), *whole]


@given(
    st.lists(pages(), min_size=1, max_size=3),
    st.sampled_from([OPENMETRICS, "", f"{OPENMETRICS}; escaping=allow-utf-8"]),
)
def test_a_page_is_what_prometheus_client_would_write_also_when_series_come_and_go(
    scrapes: list[list[Point]], accept: str
) -> None:
    renderer = Renderer()
    for points in scrapes:
        body = renderer.render(points, accept).body.decode()
        ours, build, _ = body.partition("# HELP plimsoll_build_info")
        assert build
        assert ours == as_the_library_writes(points, accept)


def test_the_catalogues_help_is_written_as_the_library_writes_it() -> None:
    points = [
        Point(metric, {}, 1)
        for metric in catalogue.ALL
        if metric.kind != "histogram" and metric.name != "plimsoll_build_info"
    ]
    for accept in ("", OPENMETRICS):
        assert as_the_library_writes(points, accept) in render(points, accept).body.decode()


def test_pages_of_two_formats_from_one_renderer_do_not_mix() -> None:
    renderer = Renderer()
    for _ in range(2):
        assert renderer.render(POINTS, OPENMETRICS).body.decode().count("# TYPE llm_generation_tokens counter\n") == 1
        assert renderer.render(POINTS, "").body.decode().count("# TYPE llm_generation_tokens_total counter\n") == 1


def test_an_accept_header_that_is_nonsense_gets_the_plain_page() -> None:
    for accept in ("application/openmetrics-text;version=x", "text/plain;version=1.x.y", ";;;", "é"):
        assert render(POINTS, accept).content_type.startswith("text/plain; version=0.0.4"), accept


def test_series_that_come_and_go_are_not_kept_for_good() -> None:
    renderer = Renderer()
    for number in range(200):
        renderer.render([Point(catalogue.GPU_UP, {"uuid": f"{number}-{place}"}, 1) for place in range(10)], "")
    assert len(renderer._known) < 200


def test_scrapers_that_ask_for_ever_other_versions_cost_no_memory() -> None:
    renderer = Renderer()
    for number in range(50):
        page = renderer.render(POINTS, f"application/openmetrics-text;version=1.0.{number}").body.decode()
        assert "# TYPE llm_generation_tokens counter\n" in page
    renderer.render(POINTS, "")
    assert len(renderer._layouts) == 2


def test_label_values_are_escaped() -> None:
    odd = 'a"b\\c\nd'
    (family,) = [f for f in parse_text(text([Point(catalogue.GPU_UP, {"uuid": odd}, 1)])) if f.name == "gpu_up"]
    assert family.samples[0].labels == {"uuid": odd}


def test_the_exporter_tells_its_version_and_its_own_memory() -> None:
    families = {family.name: family for family in parse_text(text([]))}
    assert families["plimsoll_build_info"].samples[0].labels["version"]
    assert families["process_resident_memory_bytes"].samples[0].value > 2**20


@pytest.mark.prometheus
def test_promtool_finds_nothing_to_complain_about() -> None:
    checked = subprocess.run(
        [require("promtool"), "check", "metrics"], input=text(POINTS), capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr + checked.stdout) == (0, "")
