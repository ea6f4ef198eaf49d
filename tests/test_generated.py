"""What is committed under generated/ is what the objectives give: stale, edited and orphan files are found."""

import subprocess
from pathlib import Path

import pytest

from compose.commands.build import FOLDERS, rendered
from compose.inputs import DEFAULT_OBJECTIVES, read_objectives
from process import PLIMSOLL


@pytest.mark.parametrize("part", sorted(FOLDERS))
def test_generated_files_on_disk_are_what_build_renders(part: str) -> None:
    folder = FOLDERS[part]
    on_disk = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert on_disk == rendered(read_objectives(None))[part], "run `make generate` and commit"


def test_build_writes_the_same_bytes_and_removes_orphans(tmp_path: Path) -> None:
    orphan = tmp_path / "alerts" / "old.rules.yml"
    orphan.parent.mkdir()
    orphan.write_text("groups: []")
    command = [*PLIMSOLL, "build", "--objectives", str(DEFAULT_OBJECTIVES), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert not orphan.exists()
    for part, files in rendered(read_objectives(None)).items():
        assert {name: (tmp_path / part / name).read_text() for name in files} == files
