"""The runs of the service's jobs: whether each succeeds, and which one does not come to an end. Every failure is an answer of the service."""

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.ledger.database import DatabaseError, reason
from plimsoll.slo.ledger.leader import LostLeadError
from plimsoll.slo.sources import SourceError

log = logging.getLogger("plimsoll.service")
LONGEST_SECONDS = 120.0  # of a job that runs every few seconds; then the service is not ready
LONGEST_SLOW_SECONDS = 900.0  # of a job that runs every ten minutes or less often
SLOW = ("calibrate", "prune", "review")


class JobRuns:
    """Runs jobs by name. Thread-safe: a job runs once at a time."""

    def __init__(self, clock: Callable[[], float], elapsed: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives Unix seconds; `elapsed` seconds that no change of the system clock moves."""
        self._clock, self._elapsed = clock, elapsed
        self.errors: dict[str, str] = {}
        self.failures: Counter[str] = Counter()
        self.last_success: dict[str, float] = {}
        self.watch: Callable[[str], AbstractContextManager[object]] = nullcontext  # around each; telemetry sets its own
        self._running: dict[str, tuple[float, float]] = {}

    def run(self, job: str, work: Callable[[], object]) -> bool:
        """Run a job; return whether it succeeded. A failure is stored, logged once per message, and cleared by the next success."""
        self._running[job] = (self._elapsed(), self._clock())
        try:
            with self.watch(job):
                work()
        except LostLeadError as error:
            log.info("job %s: nothing was written: %s", job, reason(error))
            return False
        except Exception as error:
            self._fail(job, error)
            return False
        finally:
            self._running.pop(job, None)
        self.last_success[job] = self._clock()
        if self.errors.pop(job, None):
            log.info("job %s recovered", job)
        return True

    def forget(self, job: str) -> None:
        """Forget the failures of a job, and of its parts (`JOB ...`), that another service does now."""
        for name in [name for name in self.errors if name == job or name.startswith(f"{job} ")]:
            self.errors.pop(name, None)

    def not_ready_reasons(self) -> list[str]:
        """Return one sentence for each job that failed or takes too long."""
        found = [f"Job {job} failed: {message.rstrip('.')}." for job, message in list(self.errors.items())]
        now = self._elapsed()
        for job, (since, at) in list(self._running.items()):
            if now - since > (LONGEST_SLOW_SECONDS if job.split()[0] in SLOW else LONGEST_SECONDS):
                found.append(
                    f"Job {job} has been running for {now - since:.0f} s, since {rfc3339(round(at))}. "
                    "Check the source and the database; restart the service if it doesn't end."
                )
        return found

    def _fail(self, job: str, error: Exception) -> None:
        message = _message(error)
        if self.errors.get(job) != message:
            unexpected = not isinstance(error, SourceError | SQLAlchemyError)
            log.error("job %s failed: %s", job, message, exc_info=error if unexpected else None)
        self.errors[job] = message
        self.failures[job] += 1


def _message(error: Exception) -> str:
    """Return the cause and the cure in one line, without values that an unexpected error may hold."""
    if isinstance(error, DatabaseError):
        return reason(error)
    if isinstance(error, SQLAlchemyError):
        return f"{reason(error)}. Check the ledger's database; the job goes on by itself"
    if isinstance(error, SourceError):
        return " ".join(str(error).split())
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__}, {Path(last.filename).name}:{last.lineno}"
    return f"internal error ({place}). See the service log and report it; the job is tried again"
