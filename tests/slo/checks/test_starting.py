"""Starting objectives: thresholds on bounds that the engines have, the kind of a model, and a file that loads, new or added to."""

import pytest

from live_world import BOUNDS, NOW, replica
from plimsoll.slo import metrics as c
from plimsoll.slo.checks.starting import kind_of, nearest_bound, proposals
from plimsoll.slo.checks.starting_file import new_file, with_added
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import SpecError, load

VLLM_TTFT = (0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize(
    ("bounds", "wanted", "nearest"),
    [
        (VLLM_TTFT, 0.6, 0.5),  # 600/500 is less than 750/600
        (VLLM_TTFT, 0.62, 0.75),
        ((0.6, 0.5), 0.6, 0.6),
        ((2.0, float("inf")), 0.6, 2.0),
        ((float("inf"),), 0.6, None),
        ((), 0.6, None),
    ],
)
def test_a_threshold_is_the_bound_that_is_nearest_by_ratio(
    bounds: tuple[float, ...], wanted: float, nearest: float | None
) -> None:
    assert nearest_bound(bounds, wanted) == nearest


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("facebook/opt-125m", "chat"),
        ("meta-llama/Llama-3.3-70B-Instruct", "chat"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "reasoning"),
        ("openai/gpt-oss-120b", "reasoning"),
        ("Qwen/Qwen3-Embedding-8B", "embedding"),
        ("BAAI/bge-m3", "embedding"),
    ],
)
def test_the_kind_of_a_model_follows_from_its_name(model: str, kind: str) -> None:
    assert kind_of(model) == kind


def test_an_engine_without_first_tokens_serves_embeddings() -> None:
    requests = Series(c.DURATION.bucket, {"model": "m", "le": "+Inf"}, [(NOW, 1.0)])
    assert kind_of("m", [requests]) == "embedding"
    assert kind_of("m", [requests, requests._replace(name=c.TTFT.bucket)]) == "chat"


def test_each_live_model_gets_a_pool_whose_slos_can_be_counted() -> None:
    (one,) = proposals(replica(model="Acme/Chat_1.5B"))
    assert (one.pool, one.model, one.kind) == ("chat-1-5b", "Acme/Chat_1.5B", "chat")
    written = {slo.id: slo.indicator for slo in one.slos}
    assert written == {
        "chat-1-5b-ttft": "{time_to_first_token: 500ms}",
        "chat-1-5b-tpot": "",  # the page has no such histogram
        "chat-1-5b-e2e": "",
        "chat-1-5b-availability": "availability",
    }
    assert "wanted 600ms" in one.slos[0].note and "95% of 1,000,000 requests took at most 250ms" in one.slos[0].note


def test_a_bound_that_one_replica_lacks_is_no_bound() -> None:
    both = [*replica("a", bounds=BOUNDS), *replica("b", bounds=(0.25, 1.0))]
    (one,) = proposals(both)
    assert one.slos[0].indicator == "{time_to_first_token: 1s}"


def test_models_that_have_a_pool_are_left_out_and_names_stay_unique() -> None:
    pages = [*replica("a", model="x/m"), *replica("b", model="y/m"), *replica("c", model="z")]
    assert [one.pool for one in proposals(pages, models={"z"}, names={"m"})] == ["m-2", "m-3"]


def test_a_new_file_loads_and_names_only_pool_and_model() -> None:
    models = ("Acme/Chat", 'odd "name": #1')
    pages = [item for number, model in enumerate(models) for item in replica(f"r{number}", model=model)]
    spec = load(new_file(proposals(pages)))
    assert spec.proposed
    assert {pool.model for pool in spec.pools} == set(models)
    assert all(pool.unwritten == {"node", "nodes", "timing"} for pool in spec.pools)
    assert [str(one.indicator) for one in spec.objectives if one.pool == "chat"] == [
        "time_to_first_token <= 500ms",
        "availability",
    ]


def test_a_model_is_added_to_a_file_whose_text_stays() -> None:
    before = new_file(proposals(replica(model="first"))) + "exclusions: []  # none yet\n"
    (second,) = proposals(replica(model="second"), {"first"}, {"first"})
    after = with_added(before, [second])
    spec = load(after)
    assert [pool.name for pool in spec.pools] == ["first", "second"]
    assert [one.pool for one in spec.objectives] == ["first", "first", "second", "second"]
    lines = iter(after.splitlines())
    assert all(line in lines for line in before.splitlines())  # in the same order
    # The comments within an item stay with it.
    assert after.index("# timing") < after.index("name: second")


@pytest.mark.parametrize("text", ["version: plimsoll/v1\npools: []\nobjectives: []\n", "version: plimsoll/v1\n"])
def test_a_file_whose_lists_are_on_one_line_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(SpecError, match="by hand"):
        with_added(text, proposals(replica(model="second")))
