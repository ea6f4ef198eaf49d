"""Provisioning files: the keys that Grafana and Kubernetes read, and every dashboard in them."""

import json
from typing import Any

import yaml

from boards import RENDERED, SPEC
from paths import ROOT
from plimsoll.dashboards.build import render_kubernetes
from plimsoll.dashboards.provisioning import PATH, files

FILES = files()
KUBERNETES = render_kubernetes(SPEC)
STACK: dict[str, Any] = yaml.safe_load((ROOT / "compose" / "compose.yaml").read_text())


def test_grafana_looks_for_the_dashboards_where_the_stack_mounts_them() -> None:
    (provider,) = yaml.safe_load(FILES["provisioning/dashboards/plimsoll.yml"])["providers"]
    assert provider["options"] == {"path": PATH}
    assert provider["allowUiUpdates"] is False
    grafana = STACK["services"]["grafana"]
    mounted = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    assert mounted["stack"] == PATH  # `plimsoll stack` writes its folder `dashboards` there
    assert grafana["environment"]["GF_PATHS_PROVISIONING"] == f"{PATH}/dashboards/provisioning"


def test_the_data_sources_are_those_that_the_dashboards_choose_among() -> None:
    sources = yaml.safe_load(FILES["provisioning/datasources/plimsoll.yml"])["datasources"]
    chosen = {
        variable["query"]
        for text in RENDERED.values()
        for variable in json.loads(text)["templating"]["list"]
        if variable["type"] == "datasource"
    }
    assert {source["type"] for source in sources} == chosen
    given = STACK["services"]["grafana"]["environment"]
    assert {source["url"] for source in sources} == {f"${{{name}}}" for name in given if name.endswith("_URL")}
    (exemplars,) = sources[0]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplars["datasourceUid"] in {source["uid"] for source in sources}


def test_kubernetes_gets_every_dashboard_unchanged_in_a_map_that_the_sidecar_loads() -> None:
    maps = [yaml.safe_load(text) for text in KUBERNETES.values()]
    assert all((one["apiVersion"], one["kind"]) == ("v1", "ConfigMap") for one in maps)
    assert len({one["metadata"]["name"] for one in maps}) == len(maps)
    assert all(one["metadata"]["labels"]["grafana_dashboard"] == "1" for one in maps)
    assert {name: text for one in maps for name, text in one["data"].items()} == RENDERED


def test_kubernetes_gets_no_data_source() -> None:
    """Beside kube-prometheus-stack's own it would be a second default, with which Grafana doesn't start."""
    assert not any("grafana_datasource" in text or "isDefault" in text for text in KUBERNETES.values())


def test_a_map_fits_into_what_kubectl_apply_keeps_of_it() -> None:
    """`kubectl apply` writes the whole object into an annotation, and all annotations may have 256 KiB."""
    for name, text in KUBERNETES.items():
        assert len(json.dumps(yaml.safe_load(text))) < 256 * 1024, name
