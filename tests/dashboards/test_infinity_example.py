"""The example for Grafana's Infinity data source: its columns are fields of the API, and Grafana's types take its dashboard."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from grafana_types import losses
from plimsoll.compose.cli import main
from plimsoll.dashboards.infinity.example import PLUGIN, TABLES, UID, files
from plimsoll.slo.reports.review_models import SloReview
from plimsoll.slo.reports.review_pool import PoolReview
from plimsoll.slo.reports.slo_status import Slo

MODELS: dict[str, type[BaseModel]] = {"SLOs now": Slo, "SLOs of the week": SloReview, "Pools of the week": PoolReview}
DASHBOARD = json.loads(files()["infinity/service.json"])


def kind(model: type[BaseModel], path: str) -> str:
    """The type of a field at a path, as Infinity names it; KeyError where the API has none."""
    name, _, rest = path.partition(".")
    found: Any = model.model_fields[name].annotation
    if rest:
        return kind(found, rest)
    types = {*get_args(found), found}
    return "boolean" if bool in types else "number" if types & {int, float} else "string"


@pytest.mark.parametrize(("title", "columns"), [(title, columns) for title, _, _, columns in TABLES])
def test_every_column_is_a_field_of_the_api_with_its_type(title: str, columns: dict[str, tuple[str, str, str]]) -> None:
    assert {path: kind(MODELS[title], path) for path in columns} == {path: one[1] for path, one in columns.items()}


def test_grafana_knows_every_key_and_takes_every_value() -> None:
    assert list(losses(DASHBOARD)) == []
    DASHBOARD["panels"][0]["span"] = 1
    assert list(losses(DASHBOARD)) == [".panels[0].span"]
    del DASHBOARD["panels"][0]["span"]


def test_the_data_source_is_the_one_that_the_panels_read_and_holds_no_secret() -> None:
    (source,) = yaml.safe_load(files()["infinity/datasource.yml"])["datasources"]
    assert (source["type"], source["uid"]) == (PLUGIN, UID)
    assert source["secureJsonData"] == {"bearerToken": "${PLIMSOLL_READ_TOKEN}"}
    sources = [one["datasource"] for panel in DASHBOARD["panels"] for one in (panel, *panel["targets"])]
    assert all(one == {"type": PLUGIN, "uid": UID} for one in sources)


def test_it_is_written_on_request_alone(tmp_path: Path) -> None:
    assert main(["build", "--out", str(tmp_path / "plain")]) == 0
    assert not (tmp_path / "plain" / "dashboards" / "infinity").exists()
    assert main(["build", "--infinity", "--out", str(tmp_path / "with")]) == 0
    written = tmp_path / "with" / "dashboards" / "infinity"
    assert {file.name for file in written.iterdir()} == {"service.json", "datasource.yml"}
