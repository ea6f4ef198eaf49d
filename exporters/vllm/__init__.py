"""The vLLM plugin: requests evaluated inside the engine."""
