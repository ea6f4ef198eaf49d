"""Objectives and catalogue to Grafana dashboards."""
