"""Commands of a node: its engines and GPUs."""
