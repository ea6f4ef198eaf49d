"""The supported engines. A module of this package that describes one registers its `EngineMapping`; no other list exists."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from plimsoll.exporters.engines.mapping import REGISTERED, EngineMapping


@cache
def engines() -> tuple[EngineMapping, ...]:
    """Return every engine, by title. The first call imports the modules of this package."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return tuple(sorted(REGISTERED, key=lambda engine: engine.title))


def paths() -> tuple[str, ...]:
    """Return the paths where a server may have its metrics endpoint, the most common first."""
    return tuple(path for path, _ in Counter(engine.path for engine in engines()).most_common())


def recognize(names: Iterable[str]) -> EngineMapping | None:
    """Return the engine whose metrics endpoint has these series names, or None."""
    present = tuple(names)
    return next((one for one in engines() if any(name.startswith(one.prefixes) for name in present)), None)
