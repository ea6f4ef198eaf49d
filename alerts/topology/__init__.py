"""Alerts that depend on how a pool is laid out and who waits for it: roles of its engines, and its kind."""
