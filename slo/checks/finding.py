"""Findings: what `plimsoll check` reports."""

from dataclasses import dataclass
from typing import Literal

from plimsoll.slo.spec.objectives import Objective, Pool, Spec

Level = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. An `error` means that an SLO can't work as written; `path` is a place in the objectives file, or `source`.

    `code` is stable, for scripts; `fix` is empty where nothing needs to be done.
    """

    level: Level
    code: str
    path: str
    message: str
    fix: str = ""


def slo_path(spec: Spec, objective: Objective) -> str:
    """Return where an SLO is in the objectives file, such as `objectives[2]`."""
    return f"objectives[{spec.objectives.index(objective)}]"


def pool_path(spec: Spec, pool: Pool) -> str:
    """Return where a pool is in the objectives file, such as `pools[0]`."""
    return f"pools[{spec.pools.index(pool)}]"
