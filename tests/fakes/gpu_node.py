"""A node's GPU collector over the fake NVML, asked for values by metric and UUID; used by the tests of plimsoll.exporters.nvml.collector*."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fakenvml import FakeNvml
from plimsoll.exporters.collector import Point
from plimsoll.exporters.nvml.collector import NVIDIA, GpuCollector, Vendor
from plimsoll.exporters.nvml.inventory import Inventory
from plimsoll.exporters.nvml.state import GpuState
from plimsoll.exporters.runner import Runner
from plimsoll.slo import metrics
from stack import wait_for

NOWHERE = Path("/nonexistent")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNvml]:
    """Eight GPUs for the processes that this test starts; what hangs is let go at its end."""
    node = FakeNvml(tmp_path)
    for name, value in node.variables.items():
        monkeypatch.setenv(name, value)
    yield node
    node.state.init_hangs = 0
    for index in range(8):
        node.restore(index)


class Node:
    """An NVML collector behind a runner."""

    def __init__(
        self,
        state: Path | None = None,
        inventory: Path = NOWHERE,
        stuck_seconds: float = 60,
        bus: Path = NOWHERE,
        vendor: Vendor = NVIDIA,
    ) -> None:
        self.state = GpuState(state)
        self.collector = GpuCollector(self.state, Inventory(inventory, bus), stuck_seconds, vendor=vendor)
        self.runner = Runner([self.collector])
        self.points: list[Point] = []

    def close(self) -> None:
        self.collector.close()

    def scrape(self, time_limit: float = 10.0) -> None:
        self.points = self.runner.collect(time.monotonic() + time_limit)

    def of(self, uuid: str) -> dict[str, float]:
        """Values of one GPU, by metric name and further labels' values; XIDs, age and info left out."""
        apart = {
            metrics.GPU_HEALTH_VERDICT,
            metrics.GPU_HEALTH_REASON,
            metrics.GPU_INFO,
            metrics.GPU_XID_ERRORS,
            metrics.GPU_XID_LAST,
            metrics.GPU_RESPONSE_AGE,
        }
        return {
            " ".join(
                [point.metric.name, *(value for name, value in point.labels.items() if name != "uuid")]
            ): point.value
            for point in self.points
            if point.labels.get("uuid") == uuid and point.metric not in apart
        }

    def family(self, metric: metrics.Metric, uuid: str | None = None) -> dict[str, float]:
        """Values of one metric (of one GPU), by the labels' values other than that UUID."""
        return {
            " ".join(value for name, value in point.labels.items() if name != "uuid" or uuid is None): point.value
            for point in self.points
            if point.metric is metric and uuid in (None, point.labels.get("uuid"))
        }

    def scrape_past_a_hang(self) -> None:
        """Scrape with little patience, as often as a busy machine needs to bring an answer in time."""

        def answered() -> bool:
            self.scrape(time_limit=2)
            return self.success() == 1

        wait_for(answered, "the GPUs that do not hang")

    def up(self) -> list[float]:
        return [point.value for point in self.points if point.metric is metrics.GPU_UP]

    def reasons(self) -> dict[str, str]:
        """Why GPUs can't be asked, by UUID."""
        return {p.labels["uuid"]: p.labels["reason"] for p in self.points if p.metric is metrics.GPU_NOT_READABLE}

    def success(self) -> float:
        return next(point.value for point in self.points if point.metric is metrics.COLLECTOR_SUCCESS)

    def all_up(self) -> bool:
        self.scrape()
        return bool(self.up()) and self.up() == [1] * len(self.up())

    def wait_until_all_up(self) -> None:
        wait_for(self.all_up, "all GPUs to be up")


@pytest.fixture
def node(fake: FakeNvml) -> Iterator[Node]:
    """A collector that has seen all eight GPUs."""
    with closing(Node()) as healthy:
        healthy.scrape(time_limit=60)
        assert healthy.up() == [1] * 8
        yield healthy
