"""Two pools of one model as OpenSLO, and back; and SLOs that gateways count."""

from pathlib import Path

import pytest

from plimsoll.compose.cli import main
from plimsoll.slo.exchange.to_openslo import write_openslo
from plimsoll.slo.spec.objectives import load
from regions import TEXT, spec


def test_they_come_back_as_they_were_and_another_label_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, _ = write_openslo(spec())
    file = tmp_path / "openslo.yaml"
    file.write_text(text)
    assert main(["import", "openslo", str(file)]) == 0
    out = capsys.readouterr()
    again = load(out.out)
    assert again.pools == spec().pools
    assert [(item.id, item.pool) for item in again.objectives] == [(item.id, item.pool) for item in spec().objectives]
    assert "narrows" not in out.err
    file.write_text(text.replace('region="us"', 'region="us-2"'))
    assert main(["import", "openslo", str(file)]) == 0
    assert "region='us-2' narrows what is counted" in capsys.readouterr().err


def test_where_an_slo_is_counted_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = load(TEXT.replace("window: 28d}", "window: 28d, count_at: gateway}"))
    file = tmp_path / "openslo.yaml"
    file.write_text(write_openslo(given)[0])
    assert main(["import", "openslo", str(file)]) == 0
    again = load(capsys.readouterr().out)
    assert [item.spec_hash for item in again.objectives] == [item.spec_hash for item in given.objectives]
