"""Lower bounds that never claim too much, and are exact when nothing is in flight."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.exporters.engines.derived import Counts, Derivations, LowerBound

QUIET = Counts(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def see(derivations: Derivations, counts: Counts, started: float = 1.0) -> dict[str, float]:
    return {kind: value for _, kind, value in derivations.see(counts, started)}


class World:
    """An engine whose truth is known: each client is queued, then may get a token, then finishes or leaves."""

    def __init__(self) -> None:
        self.queued = self.running = self.completed = self.first_tokens = self.finished = 0
        self.left = {"queued": 0, "streaming": 0}

    def step(self, what: str) -> None:
        if what == "arrive":
            self.queued += 1
        elif what == "token" and self.queued:
            self.queued, self.running, self.first_tokens = self.queued - 1, self.running + 1, self.first_tokens + 1
        elif what == "finish" and self.running:
            self.running, self.finished, self.completed = self.running - 1, self.finished + 1, self.completed + 1
        elif what == "leave queued" and self.queued:
            self.queued, self.completed = self.queued - 1, self.completed + 1
            self.left["queued"] += 1
        elif what == "leave streaming" and self.running:
            self.running, self.completed = self.running - 1, self.completed + 1
            self.left["streaming"] += 1

    def counts(self) -> Counts:
        return QUIET._replace(
            completed=self.completed,
            first_tokens=self.first_tokens,
            finished=self.finished,
            running=self.running,
            waiting=self.queued,
        )


steps = st.lists(st.sampled_from(["arrive", "arrive", "token", "finish", "leave queued", "leave streaming", "scrape"]))


@given(steps, steps)
def test_those_who_left_are_never_overstated_never_fall_and_are_exact_at_rest(
    before: list[str], after: list[str]
) -> None:
    world, exporter = World(), Derivations()
    shown = {"queued": 0.0, "streaming": 0.0}
    for step in (*before, "restart the exporter", *after):
        world.step(step)
        if step == "restart the exporter":
            exporter = Derivations()
        if step == "scrape":
            for stage, value in see(exporter, world.counts()).items():
                if stage in shown:
                    assert shown[stage] <= value <= world.left[stage]
                    shown[stage] = value
    while world.queued or world.running:
        world.step("token")
        world.step("finish")
    see(exporter, world.counts())
    see(exporter, world.counts())
    assert see(exporter, world.counts()) == world.left | {"5xx": 0}


def test_a_page_read_while_it_changed_is_believed_only_when_the_next_agrees() -> None:
    bound = LowerBound()
    assert [bound.see(value, 0) for value in (0, 7, 2, 2)] == [0, 0, 2, 2]


def test_what_may_have_been_shown_before_a_restart_is_withheld_until_it_is_passed() -> None:
    bound = LowerBound()
    assert [bound.see(value, 5) for value in (90, 94, 95, 96, 96)] == [None, None, None, 95, 96]


@given(steps, steps)
def test_with_its_state_a_restarted_exporter_goes_on_as_if_nothing_had_been(
    before: list[str], after: list[str]
) -> None:
    world, one, other = World(), Derivations(), Derivations()
    for step in (*before, "restart the exporter", *after):
        world.step(step)
        if step == "restart the exporter":
            other = Derivations.restored(json.loads(json.dumps(other.state)))
        if step == "scrape":
            assert see(one, world.counts()) == see(other, world.counts())


@pytest.mark.parametrize("state", [None, [], {}, {"life": [1], "bounds": [["x", "y", [1, 2, 3]]]}, {"life": "x"}])
def test_a_state_that_is_none_begins_anew(state: object) -> None:
    assert Derivations.restored(state).state == Derivations().state


def test_a_state_of_another_life_of_the_engine_is_forgotten() -> None:
    before = Derivations()
    see(before, QUIET._replace(completed=9, first_tokens=5, finished=5))
    after = Derivations.restored(json.loads(json.dumps(before.state)))
    assert see(after, QUIET._replace(completed=9, first_tokens=9, finished=9), started=2.0)["queued"] == 0


def test_a_restart_of_the_engine_begins_anew() -> None:
    derivations = Derivations()
    assert see(derivations, QUIET._replace(completed=9, first_tokens=5, finished=5))["queued"] == 4
    assert see(derivations, QUIET._replace(completed=1, first_tokens=1, finished=1))["queued"] == 0
    assert see(derivations, QUIET._replace(completed=9, first_tokens=5, finished=5), started=2.0)["queued"] == 4


def test_several_choices_of_one_request_do_not_hide_those_who_left() -> None:
    counts = QUIET._replace(completed=4, first_tokens=9, more_choices=6, finished=9)
    assert see(Derivations(), counts) == {"queued": 1, "streaming": 0, "5xx": 0}


def test_preempted_requests_that_wait_again_have_not_left() -> None:
    counts = QUIET._replace(first_tokens=8, finished=3, running=2, waiting=3, preemptions=3)
    assert see(Derivations(), counts._replace(running=0, waiting=0, preemptions=0))["streaming"] == 5
    exporter = Derivations()
    see(exporter, QUIET)
    see(exporter, counts)
    assert see(exporter, counts)["streaming"] == 0


def test_a_refusal_and_an_error_are_not_counted_again_as_5xx() -> None:
    assert see(Derivations(), QUIET._replace(failed=10))["5xx"] == 10
    assert see(Derivations(), QUIET._replace(failed=10, rejected=6, errors=1))["5xx"] == 3


def test_an_engine_without_an_http_counter_says_nothing_about_the_queue() -> None:
    assert see(Derivations(), QUIET._replace(completed=None, failed=None)) == {"streaming": 0}
