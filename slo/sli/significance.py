"""Whether two shares of bad requests differ by more than chance: Fisher's exact test, and an interval of the difference.

Both take requests as independent. Bad requests come in bursts, so a small p-value from one burst means less than it seems to.
"""

from dataclasses import dataclass

LEVEL = 0.05  # p-value below which a difference is called significant; the interval is of 1 - LEVEL


@dataclass(frozen=True, slots=True)
class Difference:
    """Bad ratio of the second less that of the first, with its interval, and the two-sided p-value of Fisher's exact test."""

    difference: float
    low: float
    high: float
    p_value: float

    @property
    def significant(self) -> bool:
        """Whether chance alone would show so much only once in 1 / LEVEL times."""
        return self.p_value < LEVEL


def difference(bad_a: int, total_a: int, bad_b: int, total_b: int) -> Difference | None:
    """Compare two shares; None where one has no request. The interval is Newcombe's hybrid score interval (Newcombe 1998,
    method 10). Raises ModuleNotFoundError where the extra `forecast` is not installed.
    """
    if not total_a or not total_b:
        return None
    from scipy.stats import fisher_exact  # noqa: PLC0415 - 200 MiB that not every service has
    from statsmodels.stats.proportion import confint_proportions_2indep  # noqa: PLC0415

    table = [[bad_b, total_b - bad_b], [bad_a, total_a - bad_a]]
    low, high = confint_proportions_2indep(bad_b, total_b, bad_a, total_a, method="newcomb", alpha=LEVEL)
    return Difference(bad_b / total_b - bad_a / total_a, float(low), float(high), float(fisher_exact(table).pvalue))
