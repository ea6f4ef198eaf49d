"""Sends each new saved review to its receivers: once, by the leader, with a bounded number of attempts. The ledger has how far each is."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

from sqlalchemy import Engine

from plimsoll.slo.calendar import WEEK
from plimsoll.slo.ledger.documents import (
    Delivery,
    SavedReview,
    deliveries,
    last_saved_week,
    save_delivery,
    saved_review,
)
from plimsoll.slo.reports.review_models import Review
from plimsoll.slo.reports.summary.digest import Digest
from plimsoll.slo.service.delivery.receivers import DeliveryError, Receiver

log = logging.getLogger("plimsoll.service")
ATTEMPTS = 10  # over six hours
FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 60.0, 7200.0  # between two attempts: doubled each time


class ReviewDeliveries:
    """Sends reviews to receivers, each of which fails alone. An attempt is stored before it is made: no restart makes more of them."""

    def __init__(self, receivers: Sequence[Receiver], service_url: str) -> None:
        """`service_url` is where the mail's links lead."""
        self.receivers, self._service_url = receivers, service_url
        self.failures: Counter[str] = Counter()

    def deliver(self, engine: Engine, now: float) -> None:
        """Send the newest saved review to each receiver that doesn't have it and is due. One that was saved over a week ago isn't news."""
        saved = _newest(engine)
        if saved is None or now - saved.generated_at > WEEK:
            return
        digest = Digest.of(Review.model_validate_json(saved.body), self._service_url)
        known = deliveries(engine, saved.week)
        for receiver in self.receivers:
            before = known.get(receiver.name) or Delivery(saved.week, receiver.name, 0, 0.0, None)
            if _due(before, now):
                self._attempt(engine, receiver, digest, before, now)

    def delivered(self, engine: Engine) -> Iterator[tuple[str, bool]]:
        """Yield each receiver's name, and whether it has the newest saved review; nothing without one."""
        week = last_saved_week(engine)
        if week is not None:
            known = deliveries(engine, week)
            for receiver in self.receivers:
                found = known.get(receiver.name)
                yield receiver.name, found is not None and found.delivered_at is not None

    def _attempt(self, engine: Engine, receiver: Receiver, digest: Digest, before: Delivery, now: float) -> None:
        begun = before._replace(attempts=before.attempts + 1, last_attempt_at=now)
        save_delivery(engine, begun)
        try:
            receiver.send(digest, now)
        except DeliveryError as error:
            self.failures[receiver.name] += 1
            following = "the next one follows" if begun.attempts < ATTEMPTS else "no other follows"
            log.error(
                "review %s wasn't delivered to %s: %s. Attempt %d of %d; %s.",
                *(digest.week, receiver.name, error, begun.attempts, ATTEMPTS, following),
            )
            return
        save_delivery(engine, begun._replace(delivered_at=now))
        log.info("review %s delivered to %s", digest.week, receiver.name)


def _newest(engine: Engine) -> SavedReview | None:
    week = last_saved_week(engine)
    return None if week is None else saved_review(engine, week)


def _due(before: Delivery, now: float) -> bool:
    if before.delivered_at is not None or before.attempts >= ATTEMPTS:
        return False
    wait = min(FIRST_WAIT_SECONDS * 2 ** (before.attempts - 1), MOST_WAIT_SECONDS) if before.attempts else 0.0
    return now >= before.last_attempt_at + wait
