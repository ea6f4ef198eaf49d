"""How many nodes a pool needs now, and why."""
