"""SLOs, error budgets, ledger, capacity, and the service that serves them."""
