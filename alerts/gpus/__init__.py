"""Alerts on GPUs: their health, the NVSwitch fabric, and groups of GPUs that share a replica."""
