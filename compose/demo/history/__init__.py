"""The simulated past of the demo: measured by the engine model once (`make demo-history`), laid out over five weeks at the start."""
