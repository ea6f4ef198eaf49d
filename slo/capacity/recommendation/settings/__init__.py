"""Changes of an engine's settings with which the same nodes would serve more, tried in the simulator."""
