"""The planner's bands beside what others measured on whole servers; the fitted points set the bands, these were only compared."""

from collections import defaultdict
from functools import cache

import pytest

from published import Point, points, width

pytest.importorskip("aiconfigurator_core")
pytestmark = pytest.mark.slow


@cache
def rows(split: str) -> list[tuple[Point, str, float, tuple[float, float]]]:
    return [
        (point, what, measured, band)
        for point in points()
        if point.split == split
        for what, measured, band in point.numbers(point.estimated())
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("split", ["checked", "fitted"])
def test_nine_of_ten_published_numbers_lie_inside_bands_that_are_not_wide(split: str) -> None:
    found = rows(split)
    inside = [band[0] <= measured <= band[1] for _, _, measured, band in found]
    assert sum(inside) >= 0.9 * len(inside)
    assert width([band for *_, band in found]) <= 1.4


@pytest.mark.timeout(600)
def test_no_published_number_is_far_outside() -> None:
    for point, what, measured, band in (*rows("checked"), *rows("fitted")):
        assert band[0] / 1.25 <= measured <= band[1] * 1.25, (point, what)


def test_both_splits_have_every_engine_and_several_gpus() -> None:
    kinds: dict[str, set[str]] = defaultdict(set)
    for point in points():
        kinds[point.split] |= {point.engine, point.gpu}
    assert kinds["checked"] >= kinds["fitted"] >= {"vllm", "trtllm", "H100-80GB", "H200-141GB", "B200-192GB"}
