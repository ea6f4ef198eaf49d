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


def copy_context(folder: Path, to: Path) -> None:
    """Copy the files of a folder that its .dockerignore lets into a build's context."""
    patterns = [
        line for line in (folder / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not _ignored(name, patterns):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to / name)


def _ignored(name: str, patterns: Sequence[str]) -> bool:
    """The last pattern that matches a path or a folder above it decides; with `!` it lets in (docs.docker.com, build context)."""
    parts = name.split("/")
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    ignored = False
    for pattern in patterns:
        shape = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(shape, one) for one in above):
            ignored = not pattern.startswith("!")
    return ignored
