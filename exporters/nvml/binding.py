"""Imports NVIDIA's binding without `ctypes.util`, which it imports and doesn't call on Linux: with its modules that is 1.2 MiB.

Import this module before `pynvml` in a process that reads GPUs.
"""

import sys
from types import ModuleType

_SEARCH = "ctypes.util"


def _find_library(name: str) -> str | None:
    from ctypes.util import find_library  # noqa: PLC0415 - the memory is spent only where the binding calls it

    return find_library(name)


def _import() -> None:
    if _SEARCH in sys.modules:
        return
    substitute = ModuleType(_SEARCH)
    substitute.find_library = _find_library  # type: ignore[attr-defined]
    sys.modules[_SEARCH] = substitute
    try:
        import pynvml  # noqa: F401, PLC0415
    finally:
        del sys.modules[_SEARCH]


_import()
