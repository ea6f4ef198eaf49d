"""The objectives file: what is read, and what each mistake is answered with."""

import pytest

from paths import OBJECTIVES
from plimsoll.slo.spec.objectives import SpecError, load
from plimsoll.slo.strict_yaml import InvalidYamlError
from spec_texts import OWNED

TEXT = OBJECTIVES.read_text()


def test_the_packaged_file_reads_as_the_design_describes_it() -> None:
    spec = load(TEXT)
    assert [objective.id for objective in spec.objectives] == [
        "chat-ttft",
        "chat-tpot",
        "chat-e2e",
        "chat-availability",
        "chat-goodput",
    ]
    goodput = spec.objective("chat-goodput")
    assert goodput.indicator.thresholds == {
        "time_to_first_token": 0.6,
        "time_per_output_token": 0.04,
        "request_duration": 4.0,
    }
    assert [float(goodput.target), goodput.budget_ratio, float(goodput.window.seconds)] == [0.95, 0.05, 28 * 86400]
    assert spec.objective("chat-availability").budget_ratio == 0.001
    assert spec.objective("chat-availability").window.calendar == "month"
    assert float(spec.pool("chat-70b").timing.cold_start) == 150


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("target: 95%", "target: 95", r"objectives\[0\]\.target: 95 isn't a percentage above 0% and below 100%"),
        ("target: 95%", "target: 100%", r"objectives\[0\]\.target: '100%' isn't a percentage"),
        ("target: 95%", "target: 0%", r"objectives\[0\]\.target: '0%' isn't a percentage"),
        (
            "600ms",
            "600",
            r"objectives\[0\]\.indicator: 600 isn't a duration above zero and up to 100 years. Write a number and a unit",
        ),
        ("600ms", "0s", r"objectives\[0\]\.indicator: '0s' isn't a duration above zero"),
        (
            "time_to_first_token",
            "ttft",
            r"objectives\[0\]\.indicator: .* isn't an indicator\. Write availability or .* or \{time_to_first_token: 600ms\} or",
        ),
        ("window: 28d", "window: 1M", r"objectives\[0\]\.window: '1M' isn't a duration"),
        ("calendar: month", "calendar: year", r"objectives\[3\]\.window: .* isn't a window"),
        ("timezone: UTC", "timezone: Mars/Base", r"objectives\[3\]\.window: 'Mars/Base' isn't an IANA time zone"),
        ("timezone: UTC", "timezone: ../../etc/passwd", r"objectives\[3\]\.window: '../../etc/passwd' isn't an IANA"),
        ("gpus: 2", "gpus: 0", r"pools\[0\]\.node\.gpus: Expected `int` >= 1"),
        (
            "hourly_usd: 4.00",
            "owned: {capex_usd: 1}",
            r"pools\[0\]\.node\.owned: Object missing required field `amortization_years`",
        ),
        (
            "hourly_usd: 4.00",
            OWNED.replace("pue: 1.4", "pue: 0.9"),
            r"pools\[0\]\.node\.owned\.pue: Expected `float` >= 1",
        ),
        (
            "hourly_usd: 4.00",
            f"hourly_usd: 4.00, {OWNED}",
            r"pools\[0\]\.node: hourly_usd 4 is not the 13.06.* leave one",
        ),
        (
            "hourly_usd: 4.00",
            "hourly_usd: 4.00, reserved: {nodes: 2, hourly_usd: 4.01}",
            r"pools\[0\]\.node: reserved: hourly_usd 4.01 is above 4 on demand; write both prices",
        ),
        (
            "hourly_usd: 4.00",
            "hourly_usd: 4.00, reserved: {nodes: 0}",
            r"pools\[0\]\.node\.reserved\.nodes: Expected `int` >= 1",
        ),
        ("min: 2", "min: 9", r"pools\[0\]\.nodes: max 8 is below min 9. Raise max or lower min."),
        ("target: 99.9%", "targt: 99.9%", r"objectives\[3\]: Object contains unknown field `targt`"),
        (
            "pool: chat-70b, indicator: av",
            "pool: chat, indicator: av",
            r"objectives\[3\]\.pool: unknown pool 'chat'. Use one of: chat-70b.",
        ),
        ("id: chat-tpot", "id: chat-ttft", r"objectives: id 'chat-ttft' is used 2 times"),
        ("id: chat-ttft", "id: 'chat\"} or x'", r"objectives\[0\]\.id: Expected `str` matching regex"),
        (
            "version: plimsoll/v1",
            "version: sloth/v1",
            r"version: Invalid enum value 'sloth/v1'. Use one of: plimsoll/v1.",
        ),
        (
            "target: 95%",
            "target: 95%, bucket_mismatch: guess",
            r"objectives\[0\]\.bucket_mismatch: Invalid enum value 'guess'. Use one of: unknown, lower_bound, bounds.",
        ),
        (TEXT, "", "top level: Expected `object`, got `null`"),
        (TEXT, "pools: [", "1:9: not YAML: "),
    ],
)
def test_a_mistake_is_answered_with_the_path_and_the_fix(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises((SpecError, InvalidYamlError), match=f"^{message}") as error:
        load(TEXT.replace(old, new, 1))
    assert "\n" not in str(error.value)


def test_a_bought_nodes_price_is_worked_out_from_its_components() -> None:
    """114,443 USD a year over 8,760 hours; a file that an export wrote, with both, is read again."""
    node = load(TEXT.replace("hourly_usd: 4.00", OWNED)).pools[0].node
    assert node.hourly_usd == pytest.approx((50_000 + 2 * 1.4 * 8760 * 0.12 + 11_500 + 50_000) / 8760)
    again = load(TEXT.replace("hourly_usd: 4.00", f"hourly_usd: {node.hourly_usd!r}, {OWNED}")).pools[0].node
    assert again == node


def test_the_hash_changes_with_what_is_counted_and_with_nothing_else() -> None:
    before = load(TEXT).objective("chat-ttft").spec_hash
    assert (
        load(TEXT.replace("max_waiting_per_node: 20", "max_waiting_per_node: 30")).objective("chat-ttft").spec_hash
        == before
    )
    assert (
        load(TEXT.replace("{time_to_first_token: 600ms}", "{time_to_first_token: 700ms}"))
        .objective("chat-ttft")
        .spec_hash
        != before
    )
    assert (
        load(
            TEXT.replace(
                "id: chat-ttft, pool: chat-70b, indicator: {time_to_first_token: 600ms}, target: 95%",
                "id: chat-ttft, pool: chat-70b, indicator: {time_to_first_token: 600ms}, target: 96%",
            )
        )
        .objective("chat-ttft")
        .spec_hash
        != before
    )


# Hashes that version 0.1 computed of the same SLOs: its ledgers hold them, so a change would show each SLO as redefined.
HASHES_0_1 = {
    "{id: ttft, indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d}": "71c89dc7df48",
    "{id: ttft-conservative, indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d, bucket_mismatch: lower_bound}": "a340f82300b6",
    "{id: tpot-bracket, indicator: {time_per_output_token: 40ms}, target: 99.5%, window: 7d, bucket_mismatch: bounds}": "6772bd484147",
    "{id: e2e-tenant, indicator: {request_duration: 4s}, target: 95%, window: {calendar: week, timezone: Europe/Berlin}, "
    "group_by: tenant}": "25aa0f75ead3",
    "{id: availability, indicator: availability, target: 99.9%, window: {calendar: month}}": "2e8dd1df4801",
    "{id: goodput, indicator: {goodput: {ttft: 600ms, tpot: 40ms, e2e: 4s}}, target: 95%, window: 28d}": "288b37f7f405",
    "{id: goodput-two, indicator: {goodput: {e2e: 2.5s, ttft: 1s}}, target: 90%, window: 1d}": "f193348ab336",
}


@pytest.mark.parametrize(("objective", "hashed"), HASHES_0_1.items())
def test_an_unchanged_slo_has_the_hash_that_ledgers_of_0_1_hold(objective: str, hashed: str) -> None:
    pools = TEXT[: TEXT.index("\nobjectives:")].replace("chat-70b", "chat")
    (found,) = load(
        f"{pools}\nobjectives:\n  - {objective.replace('indicator', 'pool: chat, indicator', 1)}\n"
    ).objectives
    assert found.spec_hash == hashed
