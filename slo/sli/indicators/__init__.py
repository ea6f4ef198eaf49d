"""The indicators, one file each. Each registers itself with `plimsoll.slo.spec.indicator`; importing the package imports them all."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
