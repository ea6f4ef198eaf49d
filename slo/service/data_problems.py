"""What the last ingest found wrong with the data, and what of the objectives file doesn't fit it: for the API, the pages, the metrics, and readiness."""

import logging
from collections import Counter
from collections.abc import Sequence

from plimsoll.slo.ledger.ingest import NOT_COUNTED
from plimsoll.slo.ledger.invariants import CODES
from plimsoll.slo.sli.data_problem import DataProblem

log = logging.getLogger("plimsoll.service")


class DataProblems:
    """The current problems, and how many slots the ledger rejected since the service started. A follower, which doesn't ingest, has none."""

    def __init__(self) -> None:
        self.current: Sequence[DataProblem] = ()
        self.configuration: Sequence[DataProblem] = ()  # what of the objectives file doesn't fit what is live
        self.rejected = Counter(dict.fromkeys(CODES, 0))

    def renew(self, found: Sequence[DataProblem]) -> None:
        """Take over what an ingest found. A problem is logged and counted once for as long as it is found again."""
        known = {problem.identity for problem in self.current}
        for problem in found:
            if problem.identity not in known:
                subject = problem.objective or problem.pool
                log.warning("%s: %s: %s %s [%s]", subject, problem.where, problem.message, problem.fix, problem.code)
                if problem.code in CODES:
                    self.rejected[problem.code] += 1
        self.current = found

    def of(self, pool: str, objective: str = "") -> list[DataProblem]:
        """Return the problems of a pool's data, and those of one of its SLOs alone."""
        found = (*self.configuration, *self.current)
        return [one for one in found if one.pool == pool and one.objective in ("", objective)]

    def not_ready_reasons(self) -> list[str]:
        """Return one sentence for each pool or SLO that isn't counted at all."""
        return [f"{one.where}: {one.message} {one.fix}" for one in self.current if one.code in NOT_COUNTED]
