"""Objectives, error budgets, ledger, capacity and the service that answers for them."""
