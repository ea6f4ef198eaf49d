"""Limits the exporter's memory and garbage collection, so that it doesn't disturb the engine beside it."""

import ctypes
import gc

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
# Allocations between two garbage collections. A scrape makes about 5,000 and leaves no cycles; Python's default of 700
# means a dozen collections per scrape.
_CYCLES = 20_000
_RETAINED_BYTES = 512 * 1024


def limit_memory() -> None:
    """Make glibc return freed memory to the system. Call it before the first thread starts. Does nothing with other C libraries.

    By default glibc keeps a heap per thread, and serves large blocks from a heap after one was freed. Such a heap cannot shrink:
    one 4 MiB response would raise memory usage permanently.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _RETAINED_BYTES)
        mallopt(_TRIM_THRESHOLD, _RETAINED_BYTES)


def freeze_objects() -> None:
    """Exclude all present objects from garbage collection, and return what startup freed to the system. Call it once at its end."""
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    gc.set_threshold(_CYCLES)
