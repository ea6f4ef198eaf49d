"""SLOs, error budgets, ledger, capacity, and the service that serves them. Importing it registers the indicators."""

import plimsoll.slo.sli.indicators  # noqa: F401
