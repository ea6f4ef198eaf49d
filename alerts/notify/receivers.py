"""Where alerts go: several receivers per severity, as Alertmanager has them.

Secrets are referenced as files and never written. An owner's file has the owner's name as a suffix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plimsoll.alerts.notify import services
from plimsoll.alerts.rules import Sites

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
SECRETS_DIR = "/etc/alertmanager"
PAGERDUTY = "pagerduty"
WATCHDOG = "watchdog"
WEBHOOK = ("http://", "https://")
EMAIL = "email:"


class ReceiverError(ValueError):
    """A receiver that isn't known or lacks a setting; the message states the fix."""


@dataclass(frozen=True, slots=True)
class Receivers:
    """Receivers of pages and tickets: names of `services.BY_NAME`, `email:ADDRESS`, or the URL of a webhook. Without any, alerts show
    in Alertmanager only. `secrets_dir` holds a file for each service (`services.py`) and, if `webhook_token` is set, `webhook-token`,
    which is sent as a bearer token. Mail goes through `smtp_relay` (HOST:PORT), from `email_from`. Raises ReceiverError.
    """

    pages: Sequence[str] = (PAGERDUTY,)
    tickets: Sequence[str] = ()
    watchdog_url: str = ""
    secrets_dir: str = SECRETS_DIR
    webhook_token: bool = False
    pagerduty_url: str = PAGERDUTY_URL
    smtp_relay: str = ""
    email_from: str = ""

    def __post_init__(self) -> None:
        for one in (*self.pages, *self.tickets):
            if one.startswith(EMAIL) and not (self.smtp_relay and self.email_from):
                raise ReceiverError(f"{one!r} has no mail server. Set --smtp-relay HOST:PORT and --email-from ADDRESS")
            if one not in services.BY_NAME and not one.startswith((*WEBHOOK, EMAIL)):
                raise ReceiverError(
                    f"unknown receiver {one!r}. Use {', '.join(services.BY_NAME)}, email:ADDRESS, or a webhook URL"
                )
        if self.watchdog_url and not self.watchdog_url.startswith(WEBHOOK):
            raise ReceiverError(
                f"the watchdog's receiver {self.watchdog_url!r} isn't a webhook URL. Use http://... or https://..."
            )

    def receiver(self, name: str, ways: Sequence[str], sites: Sites, owner: str = "") -> dict[str, Any]:
        """Return a receiver's configuration, with one entry for each way; `owner` selects the owner's secrets."""
        found: dict[str, Any] = {"name": name}
        for way in ways:
            key, settings = self._one(way, sites, f"-{owner}" if owner else "")
            found.setdefault(key, []).append(settings)
        return found

    def _one(self, way: str, sites: Sites, suffix: str) -> tuple[str, dict[str, Any]]:
        if way.startswith(WEBHOOK):
            return "webhook_configs", self._webhook(way)
        if way.startswith(EMAIL):
            return "email_configs", services.email(way.removeprefix(EMAIL), self.smtp_relay, self.email_from)
        key, file, settings = services.BY_NAME[way]
        found = settings(f"{self.secrets_dir}/{file}{suffix}", sites)
        return key, found | ({"url": self.pagerduty_url} if way == PAGERDUTY else {})

    def watchdog(self) -> dict[str, Any]:
        """Return the receiver of the dead man's switch. It sends no resolve: silence is the signal."""
        hook = {"webhook_configs": [self._webhook(self.watchdog_url) | {"send_resolved": False}]}
        return {"name": WATCHDOG} | (hook if self.watchdog_url else {})

    def lost(self) -> list[str]:
        """Return what has no receiver, each with the option that sets one."""
        missing = {
            "pages": (self.pages, "--page-receiver"),
            "tickets": (self.tickets, "--ticket-receiver"),
            "the watchdog": (self.watchdog_url, "--watchdog-url"),
        }
        return [
            f"no receiver for {what}: alerts show in Alertmanager only. Set {option}."
            for what, (way, option) in missing.items()
            if not way
        ]

    def _webhook(self, url: str) -> dict[str, Any]:
        """Return a webhook, which receives Alertmanager's own JSON: every label and annotation."""
        token = {"authorization": {"credentials_file": f"{self.secrets_dir}/webhook-token"}}
        return {"url": url, "send_resolved": True} | ({"http_config": token} if self.webhook_token else {})
