"""Objectives from and for other SLO tools: Sloth, Pyrra and OpenSLO, each with a list of what could not be converted."""
