"""`plimsoll drain`: a valid patch with the time of the longest request, and a command that waits for a pod's requests."""

import json
import subprocess
import sys
from typing import Any

import kubernetes_validate
import pytest
import yaml

from engine_pages import LOAD, fixed, server
from plimsoll.compose.cli import main
from plimsoll.compose.commands.capacity.drain import STOPPING, UNROUTED
from plimsoll.slo.sources import Series
from plimsoll.slo.usage.longest import longest_request
from process import rejected


def patched(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["drain", *arguments]) == 0
    pod: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)["spec"]["template"]["spec"]
    return pod


def test_the_patch_gives_the_time_of_the_longest_request(capsys: pytest.CaptureFixture[str]) -> None:
    with server(fixed(LOAD)) as url:
        pod = patched(capsys, "--engine", url)
    longest = pod["terminationGracePeriodSeconds"] - UNROUTED - STOPPING
    counts = {}
    for line in LOAD.splitlines():
        if line.startswith("vllm:e2e_request_latency_seconds_bucket"):
            counts[float(line.split('le="')[1].split('"')[0])] = float(line.split()[-1])
    assert longest in counts and counts[longest] == max(counts.values())
    assert all(count < max(counts.values()) for bound, count in counts.items() if bound < longest)


def test_the_patch_makes_a_valid_pod(capsys: pytest.CaptureFixture[str]) -> None:
    pod = patched(capsys, "--seconds", "120", "--container", "engine")
    assert pod["terminationGracePeriodSeconds"] == UNROUTED + 120 + STOPPING
    pod["containers"][0] |= {"image": "vllm/vllm-openai"}
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "engine"}, "spec": pod}
    kubernetes_validate.validate(whole, "1.37", strict=True)


def test_a_pod_stops_once_it_has_no_request_left(capsys: pytest.CaptureFixture[str]) -> None:
    left = iter((3, 1, 0))
    asked = []

    def page(connection: Any, path: str, stop: Any) -> None:
        asked.append(path)
        text = f'vllm:num_requests_running{{engine="0"}} {next(left)}\nvllm:num_requests_waiting{{engine="0"}} 0.0\n'
        text += 'vllm:num_requests_waiting_by_reason{reason="capacity"} 7\n'
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())

    with server(page) as url:
        pod = patched(capsys, "--seconds", "1", "--port", url.rsplit(":", 1)[1])
        command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        script = command[2].replace(f"sleep({UNROUTED})", "sleep(0)").replace("sleep(1)", "sleep(0)")
        subprocess.run((sys.executable, "-c", script), check=True, timeout=30)
    assert asked == ["/metrics"] * 3


def test_replicas_are_not_mixed_and_a_request_beyond_the_last_bound_is_unknown() -> None:
    def bucket(replica: str, bound: str, count: float) -> Series:
        return Series("llm_request_duration_seconds_bucket", {"replica": replica, "le": bound}, [(0.0, count)])

    quick = [bucket("a", "1.0", 5), bucket("a", "60.0", 5), bucket("a", "+Inf", 5)]
    slow = [bucket("b", "1.0", 1), bucket("b", "60.0", 2), bucket("b", "+Inf", 2)]
    assert longest_request(quick) == 1
    assert longest_request(quick + slow) == 60
    assert longest_request([*quick, bucket("b", "60.0", 1), bucket("b", "+Inf", 2)]) == float("inf")
    assert longest_request([bucket("a", "+Inf", 0)]) is None


def test_what_cannot_be_known_is_asked_for() -> None:
    assert "--seconds" in rejected(["drain", "--seconds", "0"])
    assert "--seconds" in rejected(["drain", "--seconds", json.dumps(1e9)])
