"""Weekly review, cost, forecast, budget history: functions of the ledger, the objectives and a clock."""
