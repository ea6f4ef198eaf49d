"""Keeps the exporter's memory small: an exporter must not be felt beside the engine that it watches."""

import ctypes

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 512 * 1024


def keep_small() -> None:
    """Tell the C library to give back what is freed; call it before the first thread. Other libraries than glibc go unasked.

    By default glibc makes a heap for each thread, and once a large block was freed it takes the next one from a heap, which
    then cannot shrink: one 4 MiB page would be felt for good.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
