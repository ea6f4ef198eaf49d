"""A log that says each trouble once: a scrape every few seconds must not write the same line every few seconds."""

import logging
import threading

# Trouble that never reads the same twice (an offset, an address) is cut off here until it is over.
MAX_MESSAGES = 20
MAX_CHARACTERS = 1000


class OnceLogger:
    """Logs a subject's failure once per distinct message, in one line, and its recovery."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._logged: dict[str, set[str]] = {}

    def failed(self, subject: str, message: str) -> None:
        """Log `message`, folded to one line, unless the subject's present trouble has said it before."""
        line = " ".join(message[:MAX_CHARACTERS].split())
        with self._lock:
            logged = self._logged.setdefault(subject, set())
            if line in logged or len(logged) >= MAX_MESSAGES:
                return
            logged.add(line)
        self._logger.warning("%s: %s", subject, line)

    def recovered(self, subject: str) -> None:
        """Log the recovery if the subject was in trouble."""
        with self._lock:
            if self._logged.pop(subject, None) is None:
                return
        self._logger.info("%s: well again", subject)
