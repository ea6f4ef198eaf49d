"""Grafana dashboards, built from the objectives file and the metrics catalog."""
