"""Memory that one training step frees is kept for the next one.

glibc hands blocks of more than some hundred kilobytes straight back to the system, which fills the same pages with
zeros at the next step: a quarter of the time of a small network's step.
"""

import ctypes
import functools
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_MEGABYTE = 2**20


@functools.cache
def keep_freed(block: int = 8, most: int = 32) -> None:
    """Keep up to `most` megabytes of freed memory, in blocks of up to `block` megabytes; once a process."""
    if platform.libc_ver()[0] == "glibc":
        heap = ctypes.CDLL(None)
        heap.mallopt(_MMAP_THRESHOLD, block * _MEGABYTE)
        heap.mallopt(_TRIM_THRESHOLD, most * _MEGABYTE)
