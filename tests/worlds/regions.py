"""Two pools of one model, told apart by the region of their scrape targets, and two nodes that serve them."""

from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import Spec, load

TEXT = """
version: plimsoll/v1
pools:
  - name: eu
    model: m
    match: {region: [eu-west, eu-north], namespace: chat}
    node: {gpu: H100-80GB, gpus: 1, hourly_usd: 4}
    nodes: {min: 1, max: 4}
    timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}
  - name: us
    model: m
    match: {region: us}
    node: {gpu: H200-141GB, gpus: 1, hourly_usd: 6}
    nodes: {min: 1, max: 4}
    timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}
objectives:
  - {id: eu-fast, pool: eu, indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d}
  - {id: us-fast, pool: us, indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d}
  - {id: eu-up, pool: eu, indicator: availability, target: 99%, window: 28d}
  - {id: us-up, pool: us, indicator: availability, target: 99%, window: 28d}
"""
EU, US = {"region": "eu-west", "namespace": "chat"}, {"region": "us", "namespace": "chat"}


def spec() -> Spec:
    """The objectives of both pools."""
    return load(TEXT)


def in_region(series: list[Series], target: dict[str, str], node: str) -> list[Series]:
    """The series of an exporter as Prometheus stores them: with the labels of its target. Two nodes name their replicas alike."""
    return [
        Series(item.name, {**item.labels, **target, "instance": f"{node}-{item.labels['instance']}"}, item.samples)
        for item in series
    ]
