"""What accumulation costs in time and saves in memory: k micro-batches against the one big batch they add up to.

The claim: "accumulation saves memory and changes nothing else". Both ways compute one gradient from the same made-up
texts, all of one length. Times are taken in turns within one process, memory in a fresh process for each way and k.
"""

import multiprocessing
import os
from collections.abc import Callable

import pandas as pd
import torch

from kolab import engine, measure
from kolab.encoders import load_encoder
from kolab.losses import CrossEntropy
from kolab.model import Classifier

CLASSES = 3


def run(
    *, quick: bool = False, encoder: str = "kolab-mini", micro: int = 16, length: int = 64, repeats: int = 7
) -> tuple[pd.DataFrame, dict]:
    """One row a k: seconds and MiB of the big batch of k · micro texts, and of k micro-batches; the ratio of the times.

    micro: texts in a micro-batch. length: tokens of every text. repeats: rounds that are timed, after one that is not.
    quick: a look at whether it runs.
    """
    ks, repeats = ((1, 2), 1) if quick else ((1, 2, 4, 8), repeats)
    work = _Work(encoder, length)
    table = []
    for k in ks:
        ways = {"at once": work.step([k * micro]), "accumulated": work.step([micro] * k)}
        times = measure.compare(ways, repeats=repeats)
        row = {"k": k}
        row |= {f"seconds {name}": round(float(times.loc[name, "seconds"]), 4) for name in ways}
        row["ratio"] = round(1 / float(times.loc["accumulated", "times as fast"]), 3)
        sizes = {"at once": [k * micro], "accumulated": [micro] * k}
        row |= {f"MiB {name}": round(_alone(encoder, length, parts), 1) for name, parts in sizes.items()}
        table.append(row)
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
    meta = {
        "model": f"{encoder} with a linear head", "micro": micro, "length": length, "repeats": repeats,
        "precision": work.precision, "threads": torch.get_num_threads(), "dropout": "on",
        "seconds": "forward and backward passes of one gradient; ratio: median over rounds of turns",
        "MiB": "peak beyond the weights and their .grad; on a CPU by the size of a fresh process",
    }  # fmt: skip
    return pd.DataFrame(table), meta


class _Work:
    """A model in training mode, and gradients of made-up texts on it."""

    def __init__(self, encoder: str, length: int):
        self.device = engine.default_device()
        loaded, tokenizer = load_encoder(encoder)
        self.model = Classifier.build(loaded, CLASSES, seed=0).to(self.device).train()
        self.precision = engine.resolve_precision("auto", self.device)
        self.loss, self.length, self.vocabulary = CrossEntropy(), length, len(tokenizer)

    def step(self, sizes: list[int]) -> Callable[[], None]:
        """A function that computes the gradient of sum(sizes) texts in micro-batches of these sizes."""
        generator, count = torch.Generator().manual_seed(0), sum(sizes)
        ids = torch.randint(5, self.vocabulary, (count, self.length), generator=generator).to(self.device)
        labels = torch.randint(0, CLASSES, (count,), generator=generator).to(self.device)
        parts = list(
            zip(ids.split(sizes), torch.ones_like(ids).split(sizes), labels.split(sizes), strict=True)
        )

        def gradient() -> None:
            for ids, mask, labels in parts:
                with engine.autocast(self.precision, self.device):
                    logits = self.model(ids, mask).logits
                (self.loss(logits, labels)[0] / count).backward()
            self.model.zero_grad(set_to_none=False)  # .grad stays, as large as the weights, whatever k is

        return gradient


def _alone(encoder: str, length: int, sizes: list[int]) -> float:
    """The peak memory of one gradient in MiB: on a GPU here, by its allocator; else in a process of its own."""
    if torch.cuda.is_available():
        work = _Work(encoder, length)
        work.step([1])()
        step = work.step(sizes)
        with measure.peak_memory() as memory:
            step()
        return memory.mib
    # Every tensor in pages of its own, given back when it is freed: then the size of the process says what is in use.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "65536")
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload([__name__])  # imports once for all of them
    with context.Pool(1) as pool:
        return pool.apply(_peak, (encoder, length, sizes))


def _peak(encoder: str, length: int, sizes: list[int]) -> float:
    work = _Work(encoder, length)
    work.step([1])()  # threads, caches and .grad are there before: they are not what is asked for
    step = work.step(sizes)
    with measure.peak_memory() as memory:
        step()
    return memory.mib
