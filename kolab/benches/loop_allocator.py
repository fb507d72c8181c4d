"""What does it cost that a training step gives its memory back to the system, and asks for it again in the next?

On a CPU torch takes memory from the C library. glibc hands what lies free at the end of its heap, and every large
block, back to the system; the next step's tensors then come page by page again, each page filled with zeros by the
kernel before it can be written to. `kl.fit` tells glibc to keep it (`kolab/heap.py`). Here the same
epochs run in processes that differ in nothing else: with that, and without.
"""

import contextlib
import platform
from statistics import median

import pandas as pd
import torch

from kolab import heap, memory
from kolab.benches.loops import turns, ways
from kolab.errors import ConfigError
from kolab.ledger import Ledger

LOOPS = ("fit", "default")
SETTINGS = {"as glibc comes": False, "memory is kept": True}


def run(
    *, quick: bool = False, reviews: int = 320, repeats: int = 5, loops: str = "fit,default"
) -> tuple[pd.DataFrame, dict]:
    """One row a loop and setting: seconds an epoch, page faults, and the time that the kernel takes for them.

    loops: those of `kl.fit` in `kolab.benches.loops.ways.WAYS`, with commas. reviews, repeats: as in `kolab bench
    loop`. quick: 40 reviews, one round, one loop.
    """
    if platform.libc_ver()[0] != "glibc":
        raise ConfigError("This measures glibc's allocator, and this Python does not run on glibc (Linux).")
    names = [name.strip() for name in loops.split(",")]
    if unknown := sorted(set(names) - set(LOOPS)):
        raise ConfigError(f"{', '.join(unknown)} is no loop of kl.fit's; there are {', '.join(LOOPS)}.")
    if quick:
        names, reviews, repeats = names[-1:], 40, 1
    about = {
        "reviews": reviews,
        "threads": torch.get_num_threads(),
        "loops": names,
        "torch": torch.__version__,
    }
    ledger = Ledger(None if quick else memory.home() / "bench-loop-allocator.jsonl", about)
    with contextlib.ExitStack() as stack:
        calls = {}
        for way in names:
            for setting, kept in SETTINGS.items():
                started = turns.process(_begin, way, reviews, kept)
                calls[f"{way}, {setting}"] = stack.enter_context(started)
        peaks = {name: call(turns.first)["peak_mib"] for name, call in calls.items()}
        found = turns.rounds(calls, repeats, ledger)
    table = []
    for way in names:
        for setting in SETTINGS:
            name, plain = f"{way}, {setting}", f"{way}, as glibc comes"
            ratio = median(turns.net(row[name]) / turns.net(row[plain]) for row in found)
            table.append(
                {
                    "loop": ways.TITLES[way], "memory": setting,
                    "seconds": round(median(turns.net(row[name]) for row in found), 3), "of glibc's": round(ratio, 3),
                    "page faults": round(median(row[name]["faults"] for row in found)),
                    "kernel seconds": round(median(row[name]["system"] for row in found), 2),
                    "CPU seconds": round(median(row[name]["cpu"] for row in found), 2),
                    "peak MiB": round(peaks[name]),
                }
            )  # fmt: skip
    ledger.close()
    meta = {
        "data": f"it_reviews, {reviews} reviews", "encoder": "kolab-mini", "threads": torch.get_num_threads(),
        "rounds": repeats, "glibc": platform.libc_ver()[1],
        "memory is kept": "mallopt: M_TRIM_THRESHOLD 2 GiB, M_MMAP_MAX 0, as kl.fit sets them on glibc and a CPU",
        "seconds": "an epoch, from the first batch to the end: medians over the rounds",
    }  # fmt: skip
    return pd.DataFrame(table), meta


def _begin(way: str, reviews: int, kept: bool) -> None:
    """In a loop's process."""
    if not kept:
        heap.keep_freed = lambda device: False
    turns.begin(way, reviews)
