"""What does it cost that a training step gives its memory back to the system, and asks for it again in the next?

On a CPU torch takes memory from the C library. glibc hands what lies free at the end of its heap, and every large
block, back to the system; the next step's tensors then come page by page again, each page filled with zeros by the
kernel before it can be written to. `man mallopt` tells what decides: M_TRIM_THRESHOLD and M_MMAP_MAX. Here the same
epochs run in processes that differ in nothing else; each is started with glibc's environment variables or without.
"""

import contextlib
import platform
from statistics import median

import pandas as pd
import torch

from kolab import memory
from kolab.benches.loops import turns, ways
from kolab.errors import ConfigError
from kolab.ledger import Ledger

# Trim only what is beyond 2 GiB; and blocks of any size from the heap, so that none is unmapped when it is freed.
KEEP = {"MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_MMAP_MAX_": "0"}
SETTINGS = {"as glibc comes": {}, "memory is kept": KEEP}


def run(
    *, quick: bool = False, reviews: int = 320, repeats: int = 5, loops: str = "fit,default"
) -> tuple[pd.DataFrame, dict]:
    """One row a loop and setting: seconds an epoch, page faults, and the time that the kernel takes for them.

    loops: names in `kolab.benches.loops.ways.WAYS`, with commas. reviews, repeats: as in `kolab bench loop`. quick: 40
    reviews, one round, one loop.
    """
    if platform.libc_ver()[0] != "glibc":
        raise ConfigError("This measures glibc's allocator, and this Python does not run on glibc (Linux).")
    names = [name.strip() for name in loops.split(",")]
    if unknown := sorted(set(names) - set(ways.WAYS)):
        raise ConfigError(f"There is no loop {', '.join(unknown)}; there are {', '.join(ways.WAYS)}.")
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
            for setting, variables in SETTINGS.items():
                started = turns.process(turns.begin, way, reviews, environment=variables)
                calls[f"{way}, {setting}"] = stack.enter_context(started)
        peaks = {name: call(turns.first)["peak_mib"] for name, call in calls.items()}
        found = turns.rounds(calls, repeats, ledger)
    table = []
    for way in names:
        for setting in SETTINGS:
            name, plain = f"{way}, {setting}", f"{way}, as glibc comes"
            ratio = median(_net(row[name]) / _net(row[plain]) for row in found)
            table.append(
                {
                    "loop": ways.TITLES[way], "memory": setting,
                    "seconds": round(median(_net(row[name]) for row in found), 3), "of glibc's": round(ratio, 3),
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
        "memory is kept": " ".join(f"{k}={v}" for k, v in KEEP.items()),
        "seconds": "an epoch, from the first batch to the end: medians over the rounds",
    }  # fmt: skip
    return pd.DataFrame(table), meta


def _net(times: dict[str, float]) -> float:
    return times["seconds"] - times["setup"]
