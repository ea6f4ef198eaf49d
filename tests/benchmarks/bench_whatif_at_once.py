"""How long other requests wait while 24 what-ifs are asked for at once: `python tests/benchmarks/bench_whatif_at_once.py`. Prints figures; evaluates nothing."""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import httpx

from browser import served
from pages_world import two_days

AT_ONCE = 24
PATH = "/api/v1/pools/pool/whatif?input_tokens=300&output_tokens=20"


def asked(url: str) -> float:
    """Return the seconds that an answer took."""
    began = time.perf_counter()
    httpx.get(url, trust_env=False, timeout=300).raise_for_status()
    return time.perf_counter() - began


def main() -> None:
    """Ask alone, then all at once."""
    with tempfile.TemporaryDirectory() as folder, served(two_days(Path(folder))) as url:
        print(f"the first what-if, with the start of its process: {asked(url + PATH):.2f} s")
        print(f"the second: {asked(url + PATH):.2f} s")
        alone = [asked(f"{url}/api/v1/slos") for _ in range(20)]
        print(f"/api/v1/slos alone: {median(alone):.3f} s, at most {max(alone):.3f} s")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            running = [pool.submit(asked, f"{url}{PATH}&request_rate={place + 1}") for place in range(AT_ONCE)]
            others = []
            while not all(one.done() for one in running):
                others.append(asked(f"{url}/api/v1/slos"))
                time.sleep(0.05)
        last = max(one.result() for one in running)
        print(
            f"beside {AT_ONCE} what-ifs, answered within {last:.1f} s: {median(others):.3f} s, at most {max(others):.3f} s ({len(others)})"
        )


if __name__ == "__main__":
    main()
