"""What-ifs that are asked for at once run one after the other, and every other request is answered meanwhile."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from browser import served
from plimsoll.slo.capacity.whatif.evaluate import whatif
from plimsoll.slo.capacity.whatif.scenario import Scenario
from plimsoll.slo.service.state import Service
from stack import wait_for

AT_ONCE = 24
PATH = "/api/v1/pools/pool/whatif?request_rate=1&input_tokens=300&output_tokens=20"


def test_many_what_ifs_at_once_leave_the_api_to_others(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    release, running, most = threading.Event(), list[int](), list[int]()
    once: list[Any] = []

    def slow(scenario: Scenario) -> Any:
        running.append(1)
        most.append(len(running))
        assert release.wait(60)
        once[:] = once or [whatif(scenario)]
        running.pop()
        return once[0]

    monkeypatch.setattr("plimsoll.slo.service.api.whatif.whatif", slow)
    with (
        served(service) as url,
        ThreadPoolExecutor(AT_ONCE) as pool,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        asked = [pool.submit(httpx.get, url + PATH, trust_env=False, timeout=120) for _ in range(AT_ONCE)]
        try:
            wait_for(lambda: bool(running), "the first what-if to be simulated", 60)
            for path in ("/api/v1/slos", "/api/v1/pools/pool/recommendation", "/pools/pool", "/-/ready"):
                assert client.get(path, timeout=60).status_code in (200, 503), path
            assert not any(one.done() for one in asked), "others were answered before any what-if"
        finally:
            release.set()
        assert [one.result().status_code for one in asked] == [200] * AT_ONCE
    assert max(most) == 1
