"""glibc's heap, told to keep what a training step frees: the next step needs the same memory again.

By itself glibc hands freed memory back to the system, where it lies at the heap's end or in large blocks. The next step
then gets it page by page, each filled with zeros by the kernel: on a CPU that is part of a step's time (`kolab bench
loop_allocator`). What it costs: a process that has trained keeps that memory to its end, for its own next tensors.
"""

import contextlib
import ctypes
import os
import platform

import torch

# malloc.h: M_TRIM_THRESHOLD and M_MMAP_MAX. Nothing below 2 GiB is trimmed, and blocks of any size lie in the heap.
KEEP = {-1: 2**31 - 1, -4: 0}


def keep_freed(device: torch.device) -> bool:
    """From now on freed memory stays with this process; whether it does. Only on a CPU and with glibc.

    Left alone where somebody has set glibc's own variables (MALLOC_TRIM_THRESHOLD_ and its like, GLIBC_TUNABLES).
    """
    own = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if device.type != "cpu" or own or platform.libc_ver()[0] != "glibc":
        return False
    with contextlib.suppress(OSError):
        libc = ctypes.CDLL(None)
        done = [libc.mallopt(parameter, value) for parameter, value in KEEP.items()]
        return all(done)
    return False


def give_back() -> None:
    """Hand the heap's free pages back to the system now, where glibc can: what is used next counts as new again."""
    if platform.libc_ver()[0] == "glibc":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).malloc_trim(0)
