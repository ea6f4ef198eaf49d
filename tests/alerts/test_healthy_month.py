"""A day of the simulated month, and two of its incidents (`healthy_month.py` plays all of it)."""

import pytest

import healthy_month
import month
from alert_groups import Firing, notifications
from healthy_month import Chunk
from month_pool import DAY, HOUR


@pytest.mark.slow
@pytest.mark.prometheus
@pytest.mark.timeout(900)
def test_a_day_with_a_lost_spot_node_has_no_page_and_incidents_page_once_each() -> None:
    quiet, begin = month.given(), month.at(2, 0)
    day = [
        Chunk("page", begin, begin + DAY, 2, quiet, HOUR),
        Chunk("ticket", begin, begin + DAY, 5, quiet, 8 * HOUR),
    ]
    incidents = [month.INCIDENTS[0], month.INCIDENTS[3]]
    hit = healthy_month.around(month.given(incidents=incidents), incidents)
    *healthy, outage, lost = healthy_month.evaluated([*day, *hit], 2)
    calm = healthy_month.played(month.DAYS, (), [one for fired in healthy for one in fired])
    assert calm.pages == []
    assert len(calm.tickets) <= 1
    found = healthy_month.played(month.DAYS, incidents, [*outage, *lost])
    assert [len(found.pages_of(one)) for one in incidents] == [1, 1]
    assert found.other_pages == []
    assert all(found.pages_of(one)[0].opened <= 60 * (one.begins + 4) for one in incidents)


def test_groups_and_inhibition_are_those_of_the_configuration() -> None:
    config = {
        "route": {
            "receiver": "ticket",
            "group_by": ["alertname"],
            "group_wait": "1m",
            "group_interval": "5m",
            "routes": [
                {"receiver": "page", "matchers": ['severity="page"'], "group_by": ["pool"], "group_wait": "10s"}
            ],
        },
        "inhibit_rules": [
            {"source_matchers": ['severity="page"'], "target_matchers": ['severity=~"tick.+"'], "equal": ["pool"]}
        ],
    }
    ticket, page, other = (
        {"alertname": name, "severity": severity, "pool": pool}
        for name, severity, pool in (("Slow", "ticket", "a"), ("Down", "page", "a"), ("Stalled", "page", "a"))
    )
    firings = [
        Firing(page, 0, 600),
        Firing(other, 300, 900),
        Firing(ticket, 0, 1000),  # muted until the pages are over, its next message is due at 960 s
        Firing({**ticket, "pool": "b"}, 2000, 2030),  # over before the group's wait is
        Firing(page, 5000, 5100),
    ]
    sent = notifications(config, firings)
    assert [(one.receiver, one.opened, sorted(one.alerts)) for one in sent] == [
        ("page", 10, ["Down", "Stalled"]),
        ("ticket", 960, ["Slow"]),
        ("page", 5010, ["Down"]),
    ]
