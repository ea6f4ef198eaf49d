"""The HTTP API and pages over the ledger."""
