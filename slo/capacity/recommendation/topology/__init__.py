"""Recommendations that depend on how a pool is laid out: the roles of its engines."""
