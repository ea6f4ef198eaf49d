"""Saved weekly reviews, sent to mail and webhooks."""
