"""How long property tests look for a counterexample. PLIMSOLL_FUZZ=N tries N times the examples of `make test`, at random."""

import os

from hypothesis import HealthCheck, Phase, settings

FACTOR = int(os.environ.get("PLIMSOLL_FUZZ", "0"))


def fuzz(examples: int) -> settings:
    """Return settings for a test with this number of examples, the same ones in each run of `make test`."""
    return settings(
        max_examples=examples * max(1, FACTOR),
        derandomize=not FACTOR,
        phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if FACTOR else [])],  # shrinking may take minutes
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )
