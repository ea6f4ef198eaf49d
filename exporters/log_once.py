"""A logger that writes each problem once, however often it recurs: scrapes come every few seconds."""

import logging
import threading

# Limit for messages that differ each time (an offset, an address), until the subject recovers.
MAX_MESSAGES = 20
MAX_CHARACTERS = 1000


class OnceLogger:
    """Logs a subject's failure once per distinct message, on one line, and its recovery."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._logged: dict[str, set[str]] = {}

    def failed(self, subject: str, message: str) -> None:
        """Log `message` on one line, unless it was logged since the subject last recovered."""
        line = " ".join(message[:MAX_CHARACTERS].split())
        with self._lock:
            logged = self._logged.setdefault(subject, set())
            if line in logged or len(logged) >= MAX_MESSAGES:
                return
            logged.add(line)
        self._logger.warning("%s: %s", subject, line)

    def recovered(self, subject: str) -> None:
        """Log the recovery if the subject had failed."""
        with self._lock:
            if self._logged.pop(subject, None) is None:
                return
        self._logger.info("%s: recovered", subject)
