"""What is wrong with data that came in, and what it costs: named for the service, its pages and its metrics."""

from collections.abc import Iterable
from typing import NamedTuple


class DataProblem(NamedTuple):
    """One problem. `code` is stable; `where` names the series, replica or slot, `message` what is not counted, `fix` the cure.

    `slot` is the first slot that it concerns (None: no single one). The ledger adds the pool, and the SLO where it is one SLO's.
    """

    code: str
    where: str
    message: str
    fix: str
    slot: int | None = None
    pool: str = ""
    objective: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What makes two reports the same problem, whenever they were made."""
        return self.code, self.pool, self.objective, self.where


def distinct(problems: Iterable[DataProblem]) -> list[DataProblem]:
    """Return each problem once, in order: the first report of it."""
    found: dict[tuple[str, str, str, str], DataProblem] = {}
    for problem in problems:
        found.setdefault(problem.identity, problem)
    return list(found.values())
