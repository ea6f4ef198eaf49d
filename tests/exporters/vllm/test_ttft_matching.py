"""The time to first token comes back with its own request, to the bit."""

from hypothesis import given
from hypothesis import strategies as st

from plimsoll.exporters.vllm.ttft_matching import MAX_PENDING, TtftMatcher

wall_clock = st.floats(1.7e9, 4e9)
waits = st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 10_000)), min_size=1, max_size=50)


@given(wall_clock, waits)
def test_every_request_gets_its_own_time_to_first_token_in_whatever_order_they_end(
    began: float, lives: list[tuple[float, float]]
) -> None:
    arrivals = TtftMatcher()
    requests = {began + index: life for index, life in enumerate(lives)}
    expected = {}
    for arrival, (wait, _) in requests.items():
        seen = arrival + wait
        expected[arrival] = seen - arrival  # as vLLM computes it
        arrivals.first_token(seen, seen - arrival)
    for arrival, (wait, decode) in sorted(requests.items(), key=lambda item: item[1][1]):
        ended = arrival + wait + decode
        assert arrivals.finished(ended, ended - arrival) == expected[arrival]
        assert arrivals.finished(ended, ended - arrival) is None


def test_the_choices_of_one_request_share_an_arrival_and_are_told_apart_by_an_estimate() -> None:
    arrivals, arrival = TtftMatcher(), 1.8e9
    for wait in (0.25, 0.5, 0.25):
        arrivals.first_token(arrival + wait, wait)
    assert [arrivals.finished(arrival + 1, 1.0, estimate) for estimate in (0.47, 0.24, 0.5, 0.2)] == [
        0.5,
        0.25,
        0.25,
        None,
    ]


def test_first_tokens_of_clients_that_left_are_forgotten_oldest_first() -> None:
    arrivals = TtftMatcher()
    for index in range(MAX_PENDING + 1):
        arrivals.first_token(1.8e9 + index, 0.5)
    assert arrivals.finished(1.8e9, 0.5) is None
    assert arrivals.finished(1.8e9 + 1, 0.5) == 0.5
    assert arrivals.finished(1.8e9 + MAX_PENDING, 0.5) == 0.5
