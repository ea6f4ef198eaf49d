"""The supported engines. A module of this package that describes one registers its `EngineMapping`; no other list exists."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pkgutil import walk_packages

from plimsoll.exporters.engines.mapping import REGISTERED, EngineMapping


@cache
def engines() -> tuple[EngineMapping, ...]:
    """Return every engine, by title. The first call imports the modules of this package."""
    for module in walk_packages(__path__, f"{__name__}."):
        import_module(module.name)
    return tuple(sorted(REGISTERED, key=lambda engine: engine.title))


def paths() -> tuple[str, ...]:
    """Return the paths where a server may have its metrics endpoint, the most common first."""
    return tuple(path for path, _ in Counter(engine.path for engine in engines()).most_common())


def recognize(names: Iterable[str]) -> EngineMapping | None:
    """Return the engine whose metrics endpoint has these series names, or None. Of several, the one with the most signs."""
    present = tuple(names)
    found = (one for one in engines() if all(any(name.startswith(sign) for name in present) for sign in one.signs))
    return max(found, key=lambda one: (len(one.signs), sum(map(len, one.signs))), default=None)


# What is known and can't be read as an engine's page, by the start of its names, and what to do instead.
_NOT_SUPPORTED = {
    "ollama_": "Ollama's page has no latencies and no queue. Use --probe instead",
    "lmcache:": "LMCache's own page has no requests. Read the engine's page, where LMCache's names are too",
    "aibrix_": "AIBrix's gateway counts latencies without histograms. Read the engines, or use the gateway middleware",
    "gateway_": "AIBrix's gateway counts latencies without histograms. Read the engines, or use the gateway middleware",
}


def not_supported(names: Iterable[str]) -> str:
    """Return one sentence on a page that is known and isn't supported, or an empty string."""
    return next((why for name in names for start, why in _NOT_SUPPORTED.items() if name.startswith(start)), "")
