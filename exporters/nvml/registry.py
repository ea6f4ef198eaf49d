"""Registry of GPU readers. Each module in `readers/` registers its readers here; no other list of them exists.

To add a reader: add one module to `readers/` and mark its functions with `reader`, or its classes with `reader_per_gpu`.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from plimsoll.exporters.nvml.abi import Driver, Handle
from plimsoll.slo.metrics import Metric

# A metric, its labels without `uuid`, and the value in base units.
Value = tuple[Metric, dict[str, str], float]
Values = Iterable[Value]
# Reads one group of values; raises NVMLError. Use one reader per driver call that can fail by itself.
Reader = Callable[[Handle], Values]
Factory = Callable[[Driver], Reader]
R = TypeVar("R", bound=Reader)
F = TypeVar("F", bound=Factory)

_live: list[Factory] = []
_cached: list[Factory] = []


class Readers(NamedTuple):
    """The readers of one GPU. A `cached` one may return values without a driver call: they don't prove that the GPU responds."""

    live: tuple[Reader, ...]
    cached: tuple[Reader, ...]


def reader(read: R) -> R:
    """Register a function that keeps no state between reads."""
    _live.append(lambda _: read)
    return read


def reader_per_gpu(factory: F) -> F:
    """Register a factory of readers that keep state: it is called once per GPU, with the driver's version."""
    _live.append(factory)
    return factory


def cached_reader_per_gpu(factory: F) -> F:
    """Register a factory as `reader_per_gpu` does, for readers that may return values without a driver call."""
    _cached.append(factory)
    return factory


def readers_for(driver: Driver) -> Readers:
    """Return new readers for one GPU under that driver."""
    return Readers(tuple(make(driver) for make in _live), tuple(make(driver) for make in _cached))
