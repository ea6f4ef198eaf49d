"""Pod deletion costs: by what each prefix cache held recently, none where that isn't known, and commands that people can check."""

from plimsoll.compose.commands.capacity.drain import annotations
from plimsoll.slo import metrics as c
from plimsoll.slo.sources import Series
from plimsoll.slo.usage.cache_warmth import MOST_COST, Warmth, cache_warmth

NOW = 10_000.0


def hits(replica: str, *values: float, rank: str = "0", until: float = NOW) -> Series:
    """A counter that had these values, evenly over the last quarter of an hour until a moment."""
    step = 900 / (len(values) - 1)
    samples = [(until - 900 + step * index, value) for index, value in enumerate(values)]
    return Series(
        c.PREFIX_HIT.name,
        {"replica": replica, "model": "m", "engine": "vllm", "rank": rank, "instance": "n:1"},
        samples,
    )


def info(replica: str) -> Series:
    return Series(
        c.REPLICA_INFO.name, {"replica": replica, "model": "m", "engine": "vllm", "instance": "n:1"}, [(NOW, 1.0)]
    )


def pod(replica: str, name: str) -> Series:
    labels = {
        "replica": replica,
        "instance": "n:1",
        "namespace": "llm",
        "pod": name,
        "container": "vllm",
        "node": "gpu-1",
        "workload": "chat",
        "workload_kind": "Deployment",
    }
    return Series(c.REPLICA_POD.name, labels, [(NOW, 1.0)])


def in_pod(series: Series) -> Series:
    """What the series of a replica that was found in a pod has beside its own labels."""
    return Series(series.name, series.labels | {"namespace": "llm", "workload": "chat"}, series.samples)


def steady(first: float, growth: float) -> list[float]:
    return [first + growth * index / 30 for index in range(31)]


def test_the_coldest_is_removed_first_and_unknown_ones_come_last() -> None:
    series = [
        hits("warm", *steady(1e6, 9000)),
        in_pod(hits("cold", *steady(5e6, 30))),
        info("silent"),
        pod("cold", "chat-1"),
    ]
    found = cache_warmth(series, NOW)
    assert [(one.replica, one.pod, one.deletion_cost) for one in found] == [
        ("cold", "chat-1", 30),
        ("warm", None, 9000),
        ("silent", None, None),
    ]


def test_ranks_add_up_and_a_restart_loses_what_was_held() -> None:
    both = [hits("a", *steady(0, 100)), hits("a", *steady(0, 50), rank="1")]
    assert [one.cached_tokens for one in cache_warmth(both, NOW)] == [150]
    restarted = [hits("a", *(steady(1000, 600)[:28]), 0.0, 5.0, 10.0)]
    assert [one.cached_tokens for one in cache_warmth(restarted, NOW)] == [10]


def test_too_little_observed_is_unknown_and_a_replica_that_stopped_is_not_listed() -> None:
    short = Series(
        c.PREFIX_HIT.name, hits("a", 0, 1).labels, [(NOW - 300 + 15 * index, float(index)) for index in range(21)]
    )
    assert [one.deletion_cost for one in cache_warmth([short], NOW)] == [None]
    assert cache_warmth([hits("a", *steady(0, 100), until=NOW - 120)], NOW) == []
    assert Warmth("a", None, None, 1e12).deletion_cost == MOST_COST


def test_each_pod_has_a_command_and_unknown_warmth_removes_an_earlier_value() -> None:
    key = "controller.kubernetes.io/pod-deletion-cost"
    replicas: list[dict[str, object]] = [
        {"replica": "a", "namespace": "llm", "pod": "chat-1", "deletion_cost": 30},
        {"replica": "b", "namespace": "llm", "pod": "chat-2", "deletion_cost": None},
        {"replica": "c", "namespace": None, "pod": None, "deletion_cost": 7},
    ]
    lines = list(annotations(replicas))
    commands = [line for line in lines if not line.startswith("#")]
    assert commands == [
        f"kubectl annotate --overwrite -n llm pod chat-1 {key}=30",
        f"kubectl annotate --overwrite -n llm pod chat-2 {key}-",
    ]
    assert [line.split(":")[0] for line in lines if line.startswith("#")] == ["# b", "# c"]
