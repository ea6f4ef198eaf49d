"""Pools that are told apart by labels beside their model: what is read, which replicas are a pool's, and what each mistake is answered with."""

import pytest

from plimsoll.slo.spec.objectives import SpecError, load
from regions import TEXT, spec

EU = "match: {region: [eu-west, eu-north], namespace: chat}"


@pytest.mark.parametrize(
    ("labels", "owners"),
    [
        ({"model": "m", "region": "eu-west", "namespace": "chat"}, ["eu"]),
        ({"model": "m", "region": "eu-north", "namespace": "chat", "node": "a"}, ["eu"]),
        ({"model": "m", "region": "eu-north", "namespace": "batch"}, []),
        ({"model": "m", "region": "us"}, ["us"]),
        ({"model": "m"}, []),
        ({"model": "other", "region": "us"}, []),
    ],
)
def test_a_replica_is_the_pools_whose_model_and_labels_it_has(labels: dict[str, str], owners: list[str]) -> None:
    assert [pool.name for pool in spec().pools if pool.owns(labels)] == owners


@pytest.mark.parametrize(
    ("match", "shared"),
    [
        (EU, False),
        ("match: {region: [eu-west, us], namespace: chat}", True),
        ("match: {namespace: chat}", True),
        ("match: {}", True),
        ("", True),
        ("match: {region: [us-east]}", False),
    ],
)
def test_pools_of_one_model_are_fine_as_long_as_no_replica_can_be_of_both(match: str, shared: bool) -> None:
    text = TEXT.replace(EU, match)
    if shared:
        with pytest.raises(
            SpecError, match=r"^pools\[0\] and pools\[1\]: 'eu' and 'us' both match .* 'm'. Give each a match"
        ):
            load(text)
    else:
        assert [pool.name for pool in load(text).pools] == ["eu", "us"]


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ("match: region", "pools[0].match: 'region' isn't a mapping of labels to values"),
        ("match: {region: 1}", "pools[0].match: region: 1 isn't a text, or a list of texts"),
        ("match: {region: []}", "pools[0].match: region: [] isn't a text, or a list of texts"),
        ("match: {region: ''}", "pools[0].match: region: '' isn't a text, or a list of texts"),
        ("match: {'a-b': x}", "pools[0].match: 'a-b' isn't the name of a label"),
        ("match: {__address__: x}", "pools[0].match: '__address__' isn't the name of a label"),
        ("match: {rank: '0'}", "pools[0].match: rank is a label of the metrics themselves"),
        ("match: {model: m}", "pools[0].match: model is a label of the metrics themselves"),
        ("match: {tenant: acme}", "pools[0].match: tenant is a label of the metrics themselves"),
    ],
)
def test_a_mistake_is_answered_with_the_path_and_the_fix(match: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        load(TEXT.replace(EU, match))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
