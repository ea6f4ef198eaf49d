"""GPU readers. Each module registers its own with `plimsoll.exporters.nvml.registry`; importing the package imports them all."""

import os
from importlib import import_module

# Not by pkgutil or pathlib: they import 1 MiB, in a process that needs little else.
for _file in sorted(os.listdir(__path__[0])):  # noqa: PTH208
    if _file.endswith(".py") and _file != "__init__.py":
        import_module(f"{__name__}.{_file.removesuffix('.py')}")
