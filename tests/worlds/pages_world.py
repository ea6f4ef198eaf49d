"""Two days of a pool, with what its pages show: a queue, a lost replica, three hours without data, and a recommendation."""

from pathlib import Path

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.capacity.recommendation.models import Alternative, Cost, ExpectedAttainment, Recommendation
from plimsoll.slo.capacity.recommendation.recommend import Decision
from plimsoll.slo.capacity.recommendation.settings.models import SettingChange, SettingsAdvice
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.spec.objectives import load
from recorded import Recorded, pool_slot
from world import SPEC_TEXT

NOW = 1_700_000_400.0
HOUR = 3600
LATE = "of requests are expected to miss the target (allowed 5%), by queue replay of the last 15 min."


SETTINGS = SettingsAdvice(
    NOW - 120,
    {"max_num_seqs": 4, "max_num_batched_tokens": 2048},
    *(0.7, 0.94, 4, 900.0),
    (
        SettingChange(
            "Set --max-num-seqs to 16 (now 4): attainment 70.0% to 99.0% on 2 nodes, 2 nodes fewer for the target.",
            *("max_num_seqs", "--max-num-seqs", "4", "16", 0.99, 0.29, 2, 2),
            *("Each gets its tokens more slowly.", "extrapolated"),
        ),
        SettingChange(
            "Set --kv-cache-dtype to fp8 (now auto): attainment 70.0% to 75.0% on 2 nodes.",
            *("kv_cache_bits", "--kv-cache-dtype", "auto", "fp8", 0.75, 0.05, None, None),
            *("Answers can lose quality.", "extrapolated"),
        ),
    ),
)


def two_days(folder: Path) -> Service:
    """The service over them, which recommends two more nodes. Its ledger is a file in a folder."""
    ledger = Ledger(open_database(f"sqlite:///{folder}/ledger.db"))
    counts, rows = [], []
    for at in range(int(NOW) - 48 * HOUR, int(NOW), SLOT):
        back = (NOW - at) / HOUR
        if 10 < back <= 13:
            continue
        row = pool_slot(at, back)
        bad = 40 if row.waiting_max == 80 else 12 if row.replica_disruptions else 1
        counts.append(SlotCount(at, 200 - bad, 200, 300.0, "request"))
        rows.append(row)
    ledger.record({("fast", "hash"): counts}, int(NOW) - 1200, {"pool": rows})
    known = SPEC_TEXT.replace("model: m", "model: meta-llama/Llama-3.3-70B-Instruct").replace("gpus: 1", "gpus: 4")
    service = Service(load(known), Recorded([]), ledger, clock=lambda: NOW)
    advice, state = _advice(), MeasuredState(NOW, 4, ReplicaThroughput(520.0), settings=SETTINGS)
    stored = advice.model_copy(update={"at": NOW - 60}).model_dump()
    ledger.save_recommendation("pool", NOW - 60, stored, state.to_json())
    service._decisions["pool"] = Decision(advice, state)
    service.ingested_at = NOW
    service.evaluate()
    return service


def _advice() -> Recommendation:
    return Recommendation(
        pool="pool",
        action="scale_out",
        nodes=2,
        current_nodes=2,
        recommended_nodes=4,
        reasons=["84 requests are waiting", "<b>bold</b>"],
        reason_codes=["queue_depth", "demand_and_backlog"],
        evidence={"waiting_requests": {"a:8000": 84}, "saturation_tokens_per_second_new_replica": 520.0},
        confidence=0.9,
        at=NOW,
        rule="demand",
        expected_attainment=ExpectedAttainment(
            target=0.95, current_nodes=0.7, recommended_nodes=0.991, method="queue_replay", lookback_seconds=900.0
        ),
        alternatives=[
            Alternative(
                nodes=3, required_by=["slo"], attainment=0.94, usd_per_hour=12.0, reason=f"With 3 nodes, 6.0% {LATE}"
            ),
            Alternative(
                nodes=2, required_by=[], attainment=0.7, usd_per_hour=None, reason=f"With 2 nodes, 30.0% {LATE}"
            ),
        ],
        cost=Cost(usd_per_hour_recommended=16.0),
        settings=SETTINGS,
    )
