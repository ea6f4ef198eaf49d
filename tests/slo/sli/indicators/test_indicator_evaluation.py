"""A request is evaluated by its own numbers, limit by limit."""

from hypothesis import given
from hypothesis import strategies as st

from plimsoll.slo.spec.indicator import COMPLETED, FAILED, LATENCIES, FinishedRequest, Indicator

GOODPUT = Indicator.parse({"goodput": {"ttft": "600ms", "tpot": "40ms", "e2e": "4s"}})
EACH = [Indicator.parse({name: limit}) for name, limit in zip(LATENCIES, ("600ms", "40ms", "4s"), strict=True)]
TTFT, TPOT, E2E = EACH
FINE = FinishedRequest("stop", 10, 0.1, 0.01, 1.0)

seconds = st.one_of(st.sampled_from([0.04, 0.6, 4.0]), st.floats(0, 100))
requests = st.builds(
    FinishedRequest,
    reason=st.sampled_from(["stop", "length", "repetition", "error", "abort"]),
    output_tokens=st.integers(0, 3),
    time_to_first_token=seconds,
    time_per_output_token=seconds,
    request_duration=seconds,
)


def fine_but(name: str, value: float) -> FinishedRequest:
    return FinishedRequest(**{**FINE._asdict(), name: value})


def test_a_limit_is_met_at_its_value_and_missed_just_above() -> None:
    for indicator, name, limit in ((TTFT, LATENCIES[0], 0.6), (TPOT, LATENCIES[1], 0.04), (E2E, LATENCIES[2], 4.0)):
        assert indicator.evaluate(fine_but(name, limit)) == "good"
        assert indicator.evaluate(fine_but(name, limit + 1e-9)) == "bad"
        assert GOODPUT.evaluate(fine_but(name, limit)) == "good"
        assert GOODPUT.evaluate(fine_but(name, limit + 1e-9)) == "bad"


def test_a_single_token_has_no_time_per_output_token() -> None:
    single = FINE._replace(output_tokens=1, time_per_output_token=0.0)
    assert TPOT.evaluate(single) is None
    assert TPOT.evaluate(FINE._replace(output_tokens=2)) == "good"
    assert GOODPUT.evaluate(single) == "good"
    assert GOODPUT.evaluate(single._replace(request_duration=5.0)) == "bad"
    assert Indicator.parse({"goodput": {"tpot": "40ms"}}).evaluate(single) == "good"


def test_errors_are_bad_for_goodput_and_have_no_latency_and_aborts_are_left_out() -> None:
    error, abort = FINE._replace(reason="error"), FINE._replace(reason="abort")
    assert [indicator.evaluate(error) for indicator in (*EACH, GOODPUT)] == [None, None, None, "bad"]
    assert [indicator.evaluate(abort) for indicator in (*EACH, GOODPUT)] == [None] * 4


def test_availability_is_not_judged_here() -> None:
    for reason in ("stop", "error", "abort"):
        assert Indicator.parse("availability").evaluate(FINE._replace(reason=reason)) is None


@given(requests)
def test_goodput_of_a_served_request_is_good_exactly_when_no_single_limit_is_bad(request: FinishedRequest) -> None:
    if request.reason in COMPLETED:
        assert (GOODPUT.evaluate(request) == "good") == (
            "bad" not in [indicator.evaluate(request) for indicator in EACH]
        )


@given(requests)
def test_slower_is_never_better(request: FinishedRequest) -> None:
    slower = request._replace(
        time_to_first_token=request.time_to_first_token * 2,
        time_per_output_token=request.time_per_output_token * 2,
        request_duration=request.request_duration * 2,
    )
    for indicator in (*EACH, GOODPUT):
        before, after = indicator.evaluate(request), indicator.evaluate(slower)
        assert (before, after) != ("bad", "good")
        assert (before is None) == (after is None)


@given(requests)
def test_who_is_counted_depends_on_the_end_and_the_tokens_alone(request: FinishedRequest) -> None:
    assert (TTFT.evaluate(request) is not None) == (request.reason in COMPLETED)
    assert (TPOT.evaluate(request) is not None) == (request.reason in COMPLETED and request.output_tokens > 1)
    assert (GOODPUT.evaluate(request) is not None) == (request.reason in COMPLETED | FAILED)
