"""The arithmetic of KV cache and weights (R29), on the source documents' inputs, with their contradictions noted."""

import pytest

from plimsoll.slo.capacity.model.memory import GB, GIB, Deployment, fit, load, load_gpu

LLAMA = load("llama-3.3-70b")


def test_a_token_takes_160_kib_in_fp8_and_a_request_of_4096_tokens_640_mib() -> None:
    """Document D, "K/V cache per token"; it says KB and MB for what are KiB and MiB."""
    assert LLAMA.kv_bytes_per_token(1) == 163_840 == 160 * 1024
    assert LLAMA.kv_bytes_per_token(1) * 4096 == 640 * 2**20
    assert LLAMA.kv_bytes_per_token(2) == 2 * 163_840


def test_200_requests_of_4096_tokens_take_125_gib() -> None:
    """Document D says 128 GB: 200 x 640 MB counted in thousands. In bytes it is 134.2e9, or 125 GiB."""
    size = 200 * 4096 * LLAMA.kv_bytes_per_token(1)
    assert size == 134_217_728_000
    assert size / GIB == 125.0


@pytest.mark.parametrize(("bits", "gigabytes"), [(16, 140), (8, 70), (4, 35)])
def test_weights_of_70_billion_parameters(bits: float, gigabytes: float) -> None:
    """Documents P, G, D and C agree on these."""
    assert LLAMA.weight_bytes(bits) == gigabytes * GB


def test_two_h100_hold_fewer_than_150_requests_and_not_the_200_that_are_wanted() -> None:
    """Document D: 160 GB less 70 GB of weights leaves 90 GB, "fewer than 150 concurrent at full context"."""
    found = fit(LLAMA, Deployment(2, 80 * GB, 8, 1), 4096)
    assert found.kv_bytes == 90 * GB
    assert found.requests == 134
    assert found.steps[-1] == "concurrent requests: 134 (549,316 tokens)"
    assert fit(LLAMA, Deployment(4, 80 * GB, 8, 1), 4096).requests >= 200


def test_one_h100_in_fp8_fits_hardly_anything() -> None:
    """Document D: about 5 GB of overhead leave about 5 GB. Document P: "fits but tight"; at 4,096 tokens that is 7 requests."""
    found = fit(LLAMA, Deployment(1, 80 * GB, 8, 1, 5 * GB), 4096)
    assert (found.kv_bytes, found.requests) == (5 * GB, 7)


def test_weights_that_do_not_fit_leave_room_for_no_request_and_say_so() -> None:
    """Documents P and E: 70B in FP16 is 140 GB and does not fit one H100."""
    found = fit(LLAMA, Deployment(1, 80 * GB, 16, 2), 4096)
    assert (found.tokens, found.requests) == (0, 0)
    assert "are missing for weights" in found.steps[3]


def test_a_context_of_nothing_and_an_unknown_model_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        fit(LLAMA, Deployment(2, 80 * GB, 8, 1), 0)
    with pytest.raises(ValueError, match="known are llama"):
        load("gpt-2")
    with pytest.raises(ValueError, match="known are H100-80GB"):
        load_gpu("H100")
