"""Scaling policies, one file each. None of them sees the future but `clairvoyant`."""
