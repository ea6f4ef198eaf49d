"""The oracle of the chaos run beside numbers worked out by hand: what judges the ledger is judged itself."""

import pytest

from truth_fleet import KINDS, Counts, Engine
from truth_slots import Seen, expected

BASE = 1_800_000_000  # a slot's begin


def counts(total: int, bad: int = 0) -> Counts:
    return dict.fromkeys(KINDS, (total - bad, total))


def replica(name: str, *pages: tuple[float, int, int]) -> Engine:
    """A replica of pool `p` that served pages of (start, finished, bad)."""
    engine = Engine(name, "p", 1)
    engine.starts = sorted({start for start, _, _ in pages})
    engine.pages = {(start, finished): counts(finished, bad) for start, finished, bad in pages}
    return engine


def test_growth_between_observations_belongs_to_the_slot_of_the_later_one() -> None:
    one = replica("r1", (BASE - 900.0, 100, 1), (BASE - 900.0, 130, 4), (BASE - 900.0, 150, 4))
    seen = [Seen("r1", "j", BASE + at, BASE - 900.0, finished) for at, finished in ((280, 100), (310, 130), (340, 150))]
    found = expected({"r1": one}, seen)
    first, second = found["p", "ttft", BASE], found["p", "ttft", BASE + 300]
    assert (first.good, first.total, first.covered) == (0, 0, 20)
    assert (second.good, second.total, second.covered) == (47, 50, 40)


def test_after_a_restart_only_the_new_process_was_observed() -> None:
    one = replica("r1", (BASE - 900.0, 100, 0), (BASE + 20.0, 8, 2))
    seen = [Seen("r1", "j", BASE + 10, BASE - 900.0, 100), Seen("r1", "j", BASE + 30, BASE + 20.0, 8)]
    found = expected({"r1": one}, seen)["p", "e2e", BASE]
    assert (found.good, found.total, found.covered) == (6, 8, 10)


def test_a_longer_gap_is_unknown_and_a_young_replica_is_known_since_its_start() -> None:
    one = replica("r1", (BASE + 5.0, 10, 0), (BASE + 5.0, 90, 0), (BASE + 5.0, 95, 0))
    seen = [Seen("r1", "j", BASE + at, BASE + 5.0, finished) for at, finished in ((15, 10), (315.5, 90), (325.5, 95))]
    found = expected({"r1": one}, seen)
    assert (found["p", "ttft", BASE].total, found["p", "ttft", BASE].covered) == (10, 10)
    assert (found["p", "ttft", BASE + 300].total, found["p", "ttft", BASE + 300].covered) == (5, 10)


def test_coverage_is_the_share_of_the_replicas_known() -> None:
    old = BASE - 900.0
    pair = {name: replica(name, (old, 1, 0), (old, 2, 0), (BASE + 20.0, 1, 0)) for name in ("r1", "r2")}
    seen = [Seen("r1", "j", BASE + at, old, 1 + (at > 10)) for at in (10, 40)]
    seen += [Seen("r2", "j", BASE + 10, old, 1), Seen("r2", "j", BASE + 40, BASE + 20.0, 1)]
    found = expected(pair, seen)["p", "ttft", BASE]
    assert (found.total, found.covered) == (2, 5 + 20)  # half of 10 s, in which r2 restarted, and 20 s


def test_a_page_that_was_never_served_is_named() -> None:
    one = replica("r1", (BASE + 5.0, 10, 0))
    with pytest.raises(ValueError, match="r1 never served"):
        expected({"r1": one}, [Seen("r1", "j", BASE + 15, BASE + 5.0, 11)])


def test_the_engine_remembers_what_its_page_said() -> None:
    engine = Engine("r1", "p", 1)
    engine.start()
    try:
        engine.serve(50)
        page = engine.page()
        (((start, finished), truth),) = engine.pages.items()
        assert finished == 50
        assert f"process_start_time_seconds {start!r}" in page
        assert f'request_time_per_output_token_seconds_count{{engine="0",model_name="p-model"}} {finished}' in page
        assert truth["tpot"][1] == 50 - engine._now.single
        assert engine.ever == truth
    finally:
        engine.kill()
