"""A run on a CPU makes glibc keep what is freed; a GPU's run, and somebody's own settings, leave it as it is."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from kolab import heap

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")

# Page faults of filling and freeing 64 MiB ten times, after as many that settle where it lies: before and after.
FAULTS = """
import resource, torch
from kolab import heap

def faults():
    before = 0
    for turn in range(20):
        if turn == 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.empty(64 * 2**20, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
print(heap.keep_freed(torch.device("cpu")))
print(faults())
"""


def run(**environment: str) -> list[str]:
    """In a process of its own: the setting is the process's."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, env=own | environment
    )
    return done.stdout.split()


def test_freed_memory_is_kept():
    before, kept, after = run()
    assert kept == "True"
    assert int(before) > 1000 and int(after) < int(before) / 4


def test_settings_of_ones_own_win():
    assert run(MALLOC_ARENA_MAX="2")[1] == "False"


def test_a_gpu_is_left_alone():
    assert not heap.keep_freed(torch.device("cuda"))
