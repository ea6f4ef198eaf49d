"""Alertmanager: routing, receivers, and the texts that people read."""
