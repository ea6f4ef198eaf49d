"""Prometheus rules, Alertmanager configuration, and runbooks, generated from the objectives file."""
