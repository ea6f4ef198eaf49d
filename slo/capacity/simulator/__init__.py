"""Discrete-event simulation of engines and fleets, and the traffic that it replays."""
