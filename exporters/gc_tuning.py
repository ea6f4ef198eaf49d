"""Keeps the exporter's memory small: an exporter must not be felt beside the engine that it watches."""

import ctypes
import gc

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
# Containers made since the last search for unreachable cycles. A scrape makes some 5,000 and leaves none behind; Python's own
# 700 means a dozen searches a scrape.
_CYCLES = 20_000
_KEPT_BYTES = 512 * 1024


def limit_memory() -> None:
    """Tell the C library to give back what is freed; call it before the first thread. Other libraries than glibc go unasked.

    By default glibc makes a heap for each thread, and once a large block was freed it takes the next one from a heap, which
    then cannot shrink: one 4 MiB page would be felt for good.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def freeze_objects() -> None:
    """Call it once all is imported and made: what is there now stays, and is never searched for garbage again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_CYCLES)
