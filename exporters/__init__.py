"""Exports the engine and GPU metrics of one node on one normalized metrics endpoint."""
