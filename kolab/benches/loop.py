"""How long does an epoch take: a loop by hand, two libraries' trainers, `kl.fit`, and a loop as it was published?

The claims: a training loop that checks, saves and explains itself need not be slower than one without; and what a
published loop leaves lying (batches that are two thirds padding, float32 where the hardware has bf16) is worth more
than any loop's own cost. `kolab/benches/loops/ways.py` holds the six loops.

(a) to (d) are one training, written down four times: their weights after an epoch are compared, number by number. Every
loop runs in a process of its own, and they take turns.
"""

import contextlib
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch

from kolab import engine, measure, memory
from kolab.benches.loops import turns, ways
from kolab.ledger import Ledger
from kolab.processes import default_device

# The ratios that are to be shown: what is aimed at, and how low a loop that adds nothing of its own would come.
RATIOS = (
    ("fit", "plain", "aim: at most 1.03"),
    ("fit", "trainer", "aim: at most 0.93"),
    ("fit", "lightning", "aim: at most 0.95"),
    ("published", "default", "aim: at least 4.5"),
    ("bare", "plain", "a bound for any loop"),
    ("bare", "trainer", "a bound for any loop"),
    ("bare", "lightning", "a bound for any loop"),
    ("bare", "fit", "a bound for any loop"),
)


def run(*, quick: bool = False, reviews: int = 880, repeats: int = 7) -> tuple[pd.DataFrame, dict]:
    """One row a loop: seconds an epoch, times as long as (a), padding, peak memory.

    reviews: how many of the training split, drawn at random; 0 for all 3,519. repeats: rounds, one epoch of each loop
    in every round. quick: 40 reviews, one round. A run that was stopped goes on with the same command.
    """
    if quick:
        reviews, repeats = 40, 1
    left_out = {way: why for way in ways.WAYS if (why := ways.missing(way))}
    here = [way for way in ways.WAYS if way not in left_out]
    for why in left_out.values():
        print(f"{why}. The other loops are measured.")
    about = {
        "reviews": reviews, "threads": torch.get_num_threads(), "loops": here,
        "machine": measure.machine()["name"], "torch": torch.__version__,
    }  # fmt: skip
    ledger = Ledger(None if quick else memory.home() / "bench-loop.jsonl", about)
    with contextlib.ExitStack() as stack:
        loops = {way: stack.enter_context(turns.process(turns.begin, way, reviews)) for way in here}
        started = {way: call(turns.first) for way, call in loops.items()}
        found = turns.rounds(loops, repeats, ledger, lambda text: print(text, flush=True))
    table = pd.DataFrame([_row(way, started, found, left_out) for way in ways.WAYS])
    ledger.close()
    return table, _meta(reviews, repeats, found, started)


def _row(way: str, started: dict, found: list[dict], left_out: dict[str, str]) -> dict[str, Any]:
    names = ("seconds", "of (a)", "set-up", "CPU seconds", "padding", "peak MiB")
    if way in left_out:
        return {"loop": ways.TITLES[way], **dict.fromkeys(names), "weights": left_out[way]}
    one = started[way]
    return {
        "loop": ways.TITLES[way],
        "seconds": round(median(turns.net(row[way]) for row in found), 3),
        "of (a)": round(ratio(found, way, "plain")[0], 3),
        "set-up": round(median(row[way]["setup"] for row in found), 3),
        "CPU seconds": round(median(row[way]["cpu"] for row in found), 2),
        "padding": round(1 - one["tokens"] / one["positions"], 4),
        "peak MiB": round(one["peak_mib"]),
        "weights": _agreement(way, started),
    }


def ratio(found: list[dict], one: str, other: str) -> tuple[float, float, float]:
    """Median, lowest and highest of the ratio of two loops' seconds, taken within each round.

    >>> row = {"a": {"seconds": 3.0, "setup": 1.0}, "b": {"seconds": 1.5, "setup": 0.5}}
    >>> ratio([row, row], "a", "b")
    (2.0, 2.0, 2.0)
    """
    ratios = [turns.net(row[one]) / turns.net(row[other]) for row in found]
    return median(ratios), min(ratios), max(ratios)


def _agreement(way: str, started: dict) -> str:
    if way not in ways.EQUAL:
        return "another training"
    far = float(np.abs(started[way]["weights"].astype("f8") - started["plain"]["weights"]).max())
    return "identical" if far == 0 else f"differ by at most {far:.1e}"


def _meta(reviews: int, repeats: int, found: list[dict], started: dict) -> dict[str, Any]:
    device = default_device()
    ratios = {
        f"{one}/{other}": "{:.3f} ({:.3f}–{:.3f})".format(*ratio(found, one, other)) + f", {what}"
        for one, other, what in RATIOS
        if one in started and other in started
    }
    return {
        "data": f"it_reviews, {started['plain']['tokens']:,} tokens in {reviews or 'all'} reviews drawn at random",
        "encoder": "kolab-mini", "device": device.type, "threads": torch.get_num_threads(), "rounds": repeats,
        **ratios,
        "(a) to (d)": "float32, the same batches of 32 in the same order, fused AdamW, a schedule, clipping at 1; "
        "nothing evaluated, saved or logged",
        "(e)": "batches of 16 in random order, cut at 256 tokens, float32, plain AdamW, two loader workers, its loss "
        "read after each step; transformers' own attention",
        "(f)": f"batches of 32 of like length, cut at 128 tokens, {engine.resolve_precision('auto', device)}",
        "bare": "forward, backward and optimizer alone, on batches made before: no clipping, schedule or bookkeeping",
        "seconds": "an epoch of the sample, from the first batch to the end: the median over the rounds; set-up: what "
        "a loop does before its first batch; of (a), and ratios: medians of the rounds' own ratios (lowest–highest)",
        "peak MiB": "of the process, beyond the loaded model, in its first epoch (on a GPU, torch's allocator)",
        "weights": "after an epoch, number by number against (a)'s",
        "on a GPU": "measured" if device.type == "cuda" else "not measured: there is none here",
    }  # fmt: skip
