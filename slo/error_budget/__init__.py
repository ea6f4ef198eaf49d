"""Error budgets: burn rate, budget, exhaustion, exclusions, attribution."""
