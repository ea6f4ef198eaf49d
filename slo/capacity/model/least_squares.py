"""Least squares of relative errors, in which no term may make a time shorter."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


def non_negative(terms: Floats, times: Floats, used: Sequence[int]) -> Floats:
    """Return the factor of each column of `terms` that gives `times`, 0 for those not in `used`.

    A term that would take time away is dropped, and the rest fitted again: of several the one that takes most.
    """
    used = list(used)
    while True:
        found, *_ = np.linalg.lstsq(terms[:, used] / times[:, None], np.ones_like(times), rcond=None)
        if found.min() >= 0 or len(used) == 1:
            break
        del used[int((found * terms[:, used].mean(axis=0)).argmin())]
    whole = np.zeros(terms.shape[1])
    whole[used] = np.maximum(found, 0.0)
    return whole
