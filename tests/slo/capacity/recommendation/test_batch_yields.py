"""Batch traffic that yields: stated before nodes are added, with what it frees, and nothing where it is not known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.capacity.recommendation.recommend import Decision
from plimsoll.slo.capacity.recommendation.topology.batch import BatchLoad, BatchPool, batch_pools, yielding
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.request_profile import batch_load
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import SpecError, load
from plimsoll.slo.usage.slots import PoolSlot
from plimsoll.slo.usage.tokens import BASE, TokenSlot
from pool_signals import NOW, POOL, recommended, replica, served
from world import SPEC_TEXT

LOAD = BatchLoad(("nightly",), 1200.0, 0.4, 900.0)
T0 = 1_700_000_100 // 300 * 300
NAMED = SPEC_TEXT.replace("    model: m\n", "    model: m\n    batch_tenants: [nightly, eval]\n")


def adding(count: int = 2) -> Recommendation:
    """A recommendation to add nodes: each has 20 waiting requests at most."""
    return recommended(POOL, (replica("a", waiting=20 * (1 + count)),), NOW)


def test_a_pause_comes_before_every_step_that_adds_a_node_and_states_what_it_frees() -> None:
    found = yielding(adding(), LOAD)
    at = found.reason_codes.index("pause_batch")
    assert found.reason_codes[at + 1] == "activate_warm_spares"
    assert found.reason_codes[0] == adding().reason_codes[0], "the deciding rule stays first"
    assert "nightly used 1,200 tokens/s, 40% of the load of the last 15 min" in found.reasons[at]
    assert "0.4 of 1 node" in found.reasons[at]
    assert (found.action, found.nodes, len(found.reasons)) == ("scale_out", 2, len(adding().reasons) + 1)


def test_nothing_is_stated_where_it_would_not_help_or_is_not_known() -> None:
    calm = recommended(POOL, (replica("a"),), NOW)
    assert calm.action == "hold" and yielding(calm, LOAD, [BatchPool("nightly", 3, 0)]) == calm
    assert yielding(adding(), None) == adding()
    assert yielding(adding(), LOAD._replace(ratio=0.04)) == adding()


@pytest.mark.parametrize(("nodes", "least", "taken"), [(3, 1, 2), (5, 0, 2), (2, 1, 1), (1, 1, 0)])
def test_a_batch_pool_gives_what_is_needed_and_keeps_its_minimum(nodes: int, least: int, taken: int) -> None:
    found = yielding(adding(2), None, [BatchPool("nightly", nodes, least)])
    given = [text for text, code in zip(found.reasons, found.reason_codes, strict=True) if code == "batch_pool_yields"]
    assert given == (
        []
        if not taken
        else [
            f"Batch pool nightly has {nodes} nodes with this model and GPU: let {taken} of them serve this pool first."
        ]
    )


def test_only_a_batch_pool_with_the_same_model_and_gpu_is_asked() -> None:
    pool = SPEC_TEXT[SPEC_TEXT.index("  - name: pool") : SPEC_TEXT.index("objectives:")]

    def named(name: str, more: str = "", gpu: str = "H100-80GB") -> str:
        return pool.replace("name: pool", f"name: {name}\n    match: {{region: {name}}}{more}").replace(
            "H100-80GB", gpu
        )

    batch = "\n    kind: batch"
    text = named("pool") + named("nightly", batch) + named("other", batch, "H200-141GB") + named("day")
    spec = load(SPEC_TEXT.replace(pool, text))
    decided = {
        name: Decision(adding().model_copy(update={"current_nodes": 3}), None) for name in ("nightly", "other", "day")
    }
    assert batch_pools(spec, spec.pool("pool"), decided) == [BatchPool("nightly", 3, 1)]
    assert batch_pools(spec, spec.pool("nightly"), decided) == []
    assert batch_pools(spec, spec.pool("pool"), {}) == []


def test_the_load_is_that_of_the_named_tenants_in_the_last_whole_slots(
    tmp_path: Path, open_ledger: Callable[[str], Ledger]
) -> None:
    ledger, pool = open_ledger(f"sqlite:///{tmp_path}/batch.db"), load(NAMED).pool("pool")
    slots = [
        PoolSlot(T0 + 300 * index, 300.0, nodes=2.0, input_tokens=80_000, output_tokens=20_000, scrapes=20)
        for index in range(4)
    ]
    tokens = [
        TokenSlot(T0, "nightly", BASE, 99_000, 0, 20),  # too long ago
        TokenSlot(T0 + 300, "nightly", BASE, 40_000, 5_000, 20),
        TokenSlot(T0 + 600, "nightly", "adapter", 15_000, 0, 20),
        TokenSlot(T0 + 900, "chat", BASE, 90_000, 0, 20),
    ]
    ledger.record({}, T0 + 1200, {"pool": slots}, {"pool": tokens})
    assert batch_load(ledger, pool, T0 + 1210.0) == BatchLoad(("nightly",), 60_000 / 900, 0.2, 900.0)
    assert batch_load(ledger, load(SPEC_TEXT).pool("pool"), T0 + 1210.0) is None
    assert batch_load(ledger, pool, T0 + 1210.0 + 86_400) is None, "nothing was counted lately"
    other = load(NAMED.replace("nightly, eval", "eval")).pool("pool")
    assert batch_load(ledger, other, T0 + 1210.0) is None


def test_a_tenant_without_a_name_is_refused() -> None:
    with pytest.raises(SpecError, match=r"batch_tenants\[0\]"):
        load(NAMED.replace("nightly", '""'))


class Busy:
    """A source of one replica with a long queue."""

    name = "busy"

    def series(self, *_: Any) -> list[Series]:
        return served("a", [18] * 80 + [400])


def test_the_service_states_it_ahead_of_the_nodes_to_add(tmp_path: Path, open_ledger: Callable[[str], Ledger]) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/service.db")
    slot = int(NOW // 300 * 300) - 300
    used = PoolSlot(slot, 300.0, nodes=1.0, input_tokens=80_000, output_tokens=20_000, scrapes=20)
    ledger.record({}, int(NOW), {"pool": [used]}, {"pool": [TokenSlot(slot, "eval", BASE, 30_000, 0, 20)]})
    service = Service(load(NAMED), Busy(), ledger, lambda: NOW)  # type: ignore[arg-type]
    service.recommend()
    found = service.recommendation("pool")
    assert found.action == "scale_out"
    assert found.reason_codes.index("pause_batch") + 1 == found.reason_codes.index("activate_warm_spares")
