"""Memory: reuse freed blocks, keep few kernels, and retry a batch that does not fit at half its size."""

import ctypes
import logging
import os
import platform
from functools import cache

import pyarrow
import torch

logger = logging.getLogger(__name__)

_SETTINGS = {-1: 2**30, -3: 2**30, -8: 1}  # of glibc: bytes of its trim and mmap thresholds, arenas; see mallopt(3)
# oneDNN reads it before its first kernel; its own 1,024 take a megabyte each, for shapes that seldom come again.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")


@cache
def keep_freed_memory() -> None:
    """Let glibc reuse freed blocks of every size, once per process; does nothing with another C library.

    By default every forward pass maps its activations again: a fifth of the time of scoring on two cores. Threads that
    begin later, such as those of tokenizers, share one place for their blocks, else each has its own, which grows.
    """
    if platform.libc_ver()[0] == "glibc":
        for setting, value in _SETTINGS.items():
            ctypes.CDLL(None).mallopt(setting, value)
        pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # whose own keeps what tables of records leave


def halved(size: int, error: RuntimeError, unit: str, smallest: int = 1) -> int:
    """Half of a batch's `size`, in `unit`s, after running out of memory; raises other errors, and at `smallest`."""
    out_of_memory = isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
    if not out_of_memory or size <= smallest:
        raise error
    torch.cuda.empty_cache()  # does nothing without a GPU in use
    logger.warning("out of memory with %d %s in a forward pass; retrying with %d", size, unit, size // 2)
    return size // 2
