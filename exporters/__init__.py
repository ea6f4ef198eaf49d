"""Engine and GPU numbers of one node, as one normalised metrics page."""
