"""Commands of the SLO service and its ledger."""
