"""What-ifs that are asked for at once run one after the other in a process of their own, and every other request is answered meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from browser import served
from plimsoll.slo.service.state import Service

AT_ONCE = 24
PATH = "/api/v1/pools/pool/whatif"
ASKED = "request_rate=1&input_tokens=300&output_tokens=20"


@pytest.mark.timeout(400)  # simulations give way to all else on a busy machine
def test_many_what_ifs_at_once_leave_the_api_to_others(service: Service) -> None:
    def ask(place: int) -> httpx.Response:
        path = "/pools/pool/whatif" if place % 4 == 0 else PATH
        return httpx.get(f"{url}{path}?{ASKED}", trust_env=False, timeout=300)

    earlier, workers, between = _simulating(), set[str](), 0
    with (
        served(service) as url,
        ThreadPoolExecutor(AT_ONCE) as pool,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        asked = [pool.submit(ask, place) for place in range(AT_ONCE)]
        while not all(one.done() for one in asked):
            for path in ("/api/v1/slos", "/api/v1/pools/pool/recommendation", "/pools/pool", "/-/ready"):
                assert client.get(path, timeout=60).status_code in (200, 503), path
            between += not any(one.done() for one in asked)
            workers |= _simulating() - earlier  # of services before this one in the same process
        assert [one.result().status_code for one in asked] == [200] * AT_ONCE
    assert between, "others were answered before any what-if"
    assert len(workers) == 1


def test_a_what_if_that_cannot_be_simulated_names_what_is_wrong(service: Service) -> None:
    with served(service) as url:
        found = httpx.get(f"{url}{PATH}?gpu=H9", trust_env=False, timeout=60)
        unknown = httpx.get(f"{url}/api/v1/pools/other/whatif", trust_env=False, timeout=60)
    assert (found.status_code, found.json()["code"]) == (422, "invalid_request")
    assert "H9" in found.json()["detail"]
    assert unknown.status_code == 404


def _simulating() -> set[str]:
    """Return the processes of this one that simulate."""
    children = set[str]()
    for task in Path("/proc/self/task").iterdir():
        children.update(_read(task / "children").split())
    return {one for one in children if "anyio.to_process" in _read(Path(f"/proc/{one}/cmdline"))}


def _read(path: Path) -> str:
    """Return its text; nothing for a thread or process that has just ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
