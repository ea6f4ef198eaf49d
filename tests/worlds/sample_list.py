"""The samples of a series that a test builds: a list, to which it adds."""

from plimsoll.slo.sources import Series


def sample_list(item: Series) -> list[tuple[float, float]]:
    """Return a series' samples, to change them."""
    assert isinstance(item.samples, list)
    return item.samples
