"""What a container build takes and does, without a container engine: .dockerignore, and a Dockerfile's stages."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """One instruction of a Dockerfile: `COPY`, `RUN`, ... and what stands after it."""

    instruction: str
    text: str


def stages(dockerfile: str) -> list[list[Step]]:
    """Stages in order, each beginning with its FROM."""
    found: list[list[Step]] = []
    for line in re.sub(r"^#.*\n", "", dockerfile, flags=re.M).replace("\\\n", " ").splitlines():
        if line.strip():
            step = Step(*line.split(maxsplit=1))
            if step.instruction == "FROM":
                found.append([])
            found[-1].append(step)
    return found


def context(folder: Path) -> set[str]:
    """Names of the files that a folder's .dockerignore lets into a build; asserts that all builders read it alike.

    A pattern decides on what it matches and all below, the last one first; with `!` it lets in (Docker's documentation of the
    build context). BuildKit looks for such files everywhere; others skip an ignored folder that begins no such pattern.
    """
    lines = (folder / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    found, skipped = set(), set()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and _ignored(name, patterns) and not any(one.startswith(f"!{name}/") for one in patterns):
            skipped.add(name)
        elif path.is_file() and not _ignored(name, patterns):
            found.add(name)
    assert not [name for name in found if any(name.startswith(f"{one}/") for one in skipped)]
    return found


def copy_context(folder: Path, to: Path) -> None:
    """Copy what a build is sent."""
    for name in context(folder):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, to / name)


def _ignored(name: str, patterns: Sequence[str]) -> bool:
    parts = name.split("/")
    whole = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    ignored = False
    for pattern in patterns:
        shape = re.escape(pattern.removeprefix("!"))
        for written, meant in ((r"/\*\*/", "/(?:.*/)?"), (r"\*\*", ".*"), (r"\*", "[^/]*")):
            shape = shape.replace(written, meant)
        if any(re.fullmatch(shape, one) for one in whole):
            ignored = not pattern.startswith("!")
    return ignored
