"""Engine and GPU numbers of one node, as one normalized metrics page."""
