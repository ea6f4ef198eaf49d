"""The step-time model of a pool, fitted to its own metrics."""
