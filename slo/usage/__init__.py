"""What a pool did in a slot: requests, tokens, queue, KV cache, energy, demand."""
