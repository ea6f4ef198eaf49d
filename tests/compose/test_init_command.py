"""`plimsoll init`: starting objectives for what an engine or an exporter serves, printed, written, or added to a file."""

from pathlib import Path

import pytest

from engine_pages import LOAD, MODEL, fixed, server
from plimsoll.compose.cli import main
from plimsoll.slo.spec.objectives import Spec, load
from process import rejected
from stack import free_port

OWN = LOAD.replace(MODEL, "facebook/opt-125m")


def read(path: Path) -> Spec:
    return load(path.read_text())


def test_an_engine_gets_objectives_on_its_own_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    with server(fixed(OWN)) as url:
        assert main(["init", "--engine", url]) == 0
    spec = load(capsys.readouterr().out)
    assert [(pool.name, pool.model) for pool in spec.pools] == [("opt-125m", "facebook/opt-125m")]
    assert {one.id for one in spec.objectives} == {
        f"opt-125m-{kind}" for kind in ("ttft", "tpot", "e2e", "availability")
    }


def test_a_second_model_is_added_and_the_rest_of_the_file_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "objectives.yaml"
    with server(fixed(OWN)) as url:
        assert main(["init", "--engine", url, "--out", str(file)]) == 0
        first = file.read_text()
        assert main(["init", "--engine", url, "--out", str(file)]) == 0
    assert file.read_text() == first and "nothing added" in capsys.readouterr().out
    with server(fixed(LOAD.replace(MODEL, "BAAI/bge-m3"))) as url:
        assert main(["init", "--engine", url, "--out", str(file)]) == 0
    assert [pool.name for pool in read(file).pools] == ["opt-125m", "bge-m3"]
    assert main(["check", "--objectives", str(file)]) == 0


def test_an_engine_that_does_not_respond_is_one_line() -> None:
    assert "no starting objectives" in rejected(["init", "--engine", f"http://127.0.0.1:{free_port()}"])
