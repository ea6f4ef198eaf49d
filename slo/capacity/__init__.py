"""How much a pool can carry, and how many nodes to add or release."""
