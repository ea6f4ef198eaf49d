"""Recorded traffic replayed under scaling policies."""
