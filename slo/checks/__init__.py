"""Findings about an objectives file: by itself, and against live metrics."""
