"""Objectives to Prometheus rules, Alertmanager routing and runbooks."""
