"""Commands that read a running SLO service for people, and act on it."""
