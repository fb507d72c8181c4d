"""What tensors hold, counted to the byte, on a GPU and on a CPU alike.

The size of a process says little about a step of training on a CPU: an allocator keeps what is freed, and Python and
its libraries dwarf a small model. So here tensors themselves are counted: those that a model and its optimizer hold,
those that autograd keeps for the backward pass, and the most that a step has had at one time.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

_MEMORY_EVENT = "[memory]"


def bytes_of(tensors: Iterable[Tensor | None]) -> int:
    """The bytes of tensors, each storage once: tied weights and views of one memory count once.

    >>> weight = torch.zeros(3, 4)
    >>> bytes_of([weight, weight.T, weight[0], None]), bytes_of([weight.bfloat16()])
    (48, 24)
    """
    storages = {}
    for tensor in tensors:
        if tensor is not None:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr(), storage.device] = storage.nbytes()
    return sum(storages.values())


def held(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> dict[str, int]:
    """What stays between two steps, in bytes: `weights` (buffers included), `gradients` and `optimizer`.

    Gradients are there after a backward pass, the optimizer's state after its first step: before that they are 0.
    """
    states = optimizer.state.values() if optimizer is not None else ()
    return {
        "weights": bytes_of([*model.parameters(), *model.buffers()]),
        "gradients": bytes_of(p.grad for p in model.parameters()),
        "optimizer": bytes_of(v for state in states for v in state.values() if isinstance(v, Tensor)),
    }


@dataclass
class Saved:
    """What `saved_for_backward` hands out: the bytes that autograd keeps, in all and by type."""

    bytes: int = 0
    by_dtype: dict[torch.dtype, int] = field(default_factory=dict)

    @property
    def mib(self) -> float:
        return self.bytes / 2**20


@contextlib.contextmanager
def saved_for_backward(model: nn.Module | None = None) -> Iterator[Saved]:
    """Count what autograd keeps of a forward pass until the backward pass: the activations.

    model: its parameters are not counted, since they are there anyway; their 16-bit copies under autocast are.
    Gradient checkpointing keeps its own books, so what it saves is not seen here; `peak_of` sees it.

    >>> layer, x = nn.Linear(4, 3), torch.randn(10, 4)
    >>> with saved_for_backward(layer) as saved:
    ...     loss = layer(x).relu().sum()
    >>> saved.bytes == 4 * (x.numel() + 10 * 3)          # the layer's input, and what came out of relu
    True
    """
    own = {p.untyped_storage().data_ptr() for p in model.parameters()} if model is not None else set()
    saved, seen = Saved(), set()

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if place not in own and place not in seen:
            seen.add(place)
            saved.bytes += storage.nbytes()
            saved.by_dtype[tensor.dtype] = saved.by_dtype.get(tensor.dtype, 0) + storage.nbytes()
        return tensor.detach()  # the same memory; without it an output would keep its own graph alive

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved


def peak_of(step: Callable[[], Any], device: torch.device | None = None) -> int:
    """The most bytes that `step()` has allocated at one time, beyond what was there at its start.

    On a GPU torch's allocator counts; on a CPU torch's profiler notes every allocation and every release, so short
    peaks are seen too. The profiler slows the step down: do not time it. device: where the step computes; None for the
    GPU if there is one.
    """
    gc.collect()
    if torch.cuda.is_available() and (device is None or device.type == "cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    from torch.profiler import ProfilerActivity, profile

    with _quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watch:
        step()
    events = [e for e in watch.profiler.kineto_results.events() if e.name() == _MEMORY_EVENT]
    now = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on the process's standard error: the profiler's C++ side complains there of every block that is older
    than itself, which is what we expect, and no Python filter reaches it."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
