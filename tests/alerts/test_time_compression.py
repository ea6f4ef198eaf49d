"""Rules for accelerated time: only time is rewritten."""

import pytest

import time_compression as compression

BEGUN = 1_700_000_000.0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("sum_over_time(a[55m]) > 14.4", "sum_over_time(a[55000ms]) > 14.4"),
        ("b[3d:5m] offset 10m", "b[4320000ms:5000ms] offset 10000ms"),
        ('rate(x{le="0.5"}[5m]) * 60', '(rate(x{le="0.5"}[5000ms]) / 60) * 60'),
        ("time() - s < 600", "(1700000000.000 + 60 * (time() - 1700000000.000)) - s < 600"),
        ('timestamp(s{a="b"})', '(1700000000.000 + 60 * (timestamp(s{a="b"}) - 1700000000.000))'),
        ('ALERTS_FOR_STATE{a="b"}', '(1700000000.000 + 60 * (ALERTS_FOR_STATE{a="b"} - 1700000000.000))'),
        ("objective:requests_good:rate5m", "objective:requests_good:rate5m"),
        ("In the last 1h: 10 bad", "In the last 1h: 10 bad"),
        ("increase(c[1h30m]) >= 10", "increase(c[90000ms]) >= 10"),
    ],
)
def test_ranges_steps_offsets_rates_and_the_clock_are_rewritten_and_nothing_else(given: str, expected: str) -> None:
    assert compression.query(given, 60, BEGUN) == expected


def test_a_rule_keeps_its_name_labels_and_thresholds() -> None:
    rule = {
        "alert": "A",
        "expr": "x > 600",
        "for": "2m",
        "labels": {"window": "1h"},
        "annotations": {"summary": "x[1h]"},
    }
    [group] = compression.rules({"groups": [{"name": "g", "interval": "15s", "rules": [rule]}]}, 60, BEGUN)["groups"]
    assert group["interval"] == "250ms"
    assert group["rules"] == [rule | {"for": "2000ms", "annotations": {"summary": "x[60000ms]"}}]


def test_every_wait_of_the_routes_is_divided() -> None:
    waits = {"group_wait": "10s", "group_interval": "1m", "repeat_interval": "4h"}
    given = {"global": {"resolve_timeout": "5m"}, "route": {**waits, "receiver": "r", "routes": [dict(waits)]}}
    short = {"group_wait": "167ms", "group_interval": "1000ms", "repeat_interval": "240000ms"}
    expected = {"global": {"resolve_timeout": "5000ms"}, "route": {**short, "receiver": "r", "routes": [short]}}
    assert compression.routes(given, 60) == expected


def test_a_wait_below_a_millisecond_is_rejected() -> None:
    with pytest.raises(ValueError, match="less than a millisecond"):
        compression.shorter("10ms", 60)
