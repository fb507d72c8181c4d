"""Where does the time of a training step go? torch's profiler over `kl.fit`, in words instead of kernel names.

Two columns: (d) in float32 and (f) at the defaults, as in `kolab bench loop`. Operations count with their own time,
without that of the operations they call; what is left of the clock's time is Python, and waiting.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

from kolab.benches.loops import task, turns
from kolab.processes import default_device

# The first pattern that is found in an operation's name decides. Backward passes are named after their forward pass.
WHERE = {
    "optimizer: AdamW": r"adam|Optimizer\.",
    "clipping the gradient": r"foreach|vector_norm|aten::stack",
    "loss": r"nll_loss|log_softmax|cross_entropy",
    "matrix products": r"::(add|b|badd|_|)?mm|addmm|bmm|mkldnn|aten::linear|matmul|onednn|gemm|cutlass|nvjet",
    "softmax": r"softmax|scaled_dot_product|flash|attention",
    "LayerNorm": r"layer_norm|LayerNorm",
    "GELU": r"gelu",
    "dropout's random numbers": r"dropout|bernoulli",
    "embeddings": r"embedding|index",
    "copies and changes of type": r"copy|::to$|clone|contiguous|ToCopy|convert|Memcpy",
    "making batches": r"DataLoader|pin_memory",
    "sums and products, number by number": r"::(add|r?sub|mul|div|sum|masked_fill|neg|mean|where)|elementwise|reduce",
    "asking for memory, filling it": r"empty|fill|zero|resize|Memset",
    "autograd's books": r"autograd::|AccumulateGrad|Backward|detach|aten::(t|view|reshape|transpose|permute|expand)",
}
OTHER, PYTHON = "everything else in torch", "Python between the operations"
COLUMNS = {"fit": "(d)", "default": "(f)"}


def run(*, quick: bool = False, reviews: int = 384) -> tuple[pd.DataFrame, dict]:
    """One row a kind of work: its milliseconds a step and its share of the time, for (d) and for (f).

    reviews: how many one epoch has, of which the second is profiled. quick: 32.
    """
    reviews = 32 if quick else reviews
    columns: dict[str, dict[str, float]] = {}
    for way, column in COLUMNS.items():
        with task.silent():
            work = task.Task(way, reviews)
        steps = len(work.loaders["train"])
        found = {where: 1000 * spent / steps for where, spent in one(work).items()}
        whole = sum(found.values())
        columns[f"{column} ms a step"] = {where: round(ms, 2) for where, ms in found.items()}
        columns[f"{column} share"] = {where: round(ms / whole, 4) for where, ms in found.items()}
    table = pd.DataFrame(columns).fillna(0.0).sort_values("(d) ms a step", ascending=False)
    meta = {
        "data": f"it_reviews, {reviews} reviews, batches of 32 of like length", "encoder": "kolab-mini",
        "device": default_device().type, "threads": torch.get_num_threads(),
        "(d), (f)": "kl.fit in float32, and at its defaults",
        "time": "an operation's own, the profiler's cost included: about a microsecond or two for each",
    }  # fmt: skip
    return table.rename_axis("where").reset_index(), meta


def one(work: task.Task) -> dict[str, float]:
    """Seconds by kind of work, of an epoch that has been warmed up by another one."""
    work.epoch()
    cuda = torch.cuda.is_available()
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    with profile(activities=kinds) as watch:
        times = work.epoch()
    name = "self_device_time_total" if cuda else "self_cpu_time_total"
    spent = [(event.key, getattr(event, name) / 1e6) for event in watch.key_averages()]
    return grouped(spent, turns.net(times))


def grouped(spent: Iterable[tuple[str, float]], whole: float) -> dict[str, float]:
    """Seconds by kind of work, out of (operation, its own seconds); Python has what is left of `whole`.

    >>> grouped([("aten::addmm", 2.0), ("aten::gelu_backward", 0.5), ("aten::never_heard_of", 0.25)], 3.0)
    {'matrix products': 2.0, 'GELU': 0.5, 'everything else in torch': 0.25, 'Python between the operations': 0.25}
    """
    found: dict[str, float] = {}
    for operation, seconds in spent:
        if seconds > 0:
            where = kind(operation)
            found[where] = found.get(where, 0.0) + seconds
    return found | {PYTHON: max(0.0, whole - sum(found.values()))}


def kind(operation: str, known: Mapping[str, str] = WHERE) -> str:
    """The kind of work that an operation belongs to.

    >>> kind("aten::mkldnn_linear"), kind("aten::mul_"), kind("aten::_fused_adamw_")
    ('matrix products', 'sums and products, number by number', 'optimizer: AdamW')
    """
    return next((where for where, pattern in known.items() if re.search(pattern, operation)), OTHER)


def heaviest(work: task.Task, count: int = 20) -> list[dict[str, Any]]:
    """The operations that take longest, by their own names: to see whether `WHERE` misses any."""
    with profile(activities=[ProfilerActivity.CPU]) as watch:
        work.epoch()
    events = sorted(watch.key_averages(), key=lambda event: -event.self_cpu_time_total)[:count]
    return [
        {"operation": e.key, "kind": kind(e.key), "ms": e.self_cpu_time_total / 1e3, "calls": e.count}
        for e in events
    ]
