"""Several processes: who is there, which part of a batch is whose, and how one notices that another is gone.

Accelerate does the rest, under `torchrun` or `accelerate launch`. Every process builds the same loaders and takes its
slice of every batch, so that a step sees the same examples however many processes share them.
"""

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from kolab.environment import number
from kolab.errors import ConfigError


def launched() -> tuple[int, int]:
    """This process's rank and how many were started: what the launcher says, before anything is set up."""
    return number("RANK", 0), number("WORLD_SIZE", 1)


def joined() -> tuple[int, int]:
    """This process's rank among those that have found each other; (0, 1) where there is only one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def gathered(value: Any) -> list[Any]:
    """What every process has brought, in the order of their ranks; all of them have to call it.

    Not Accelerate's gather_object: that returns a process's own part where somebody else has joined the processes.
    """
    parts = [None] * joined()[1]
    torch.distributed.all_gather_object(parts, value)
    return parts


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside DistributedDataParallel, or the model itself.

    A wrapped forward pass waits for all processes, also for those that have no example left; the model inside does not.
    """
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def default_device() -> torch.device:
    """The kind of device that a run takes when it is not told: the accelerator torch sees, or the CPU."""
    return (
        torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    )


def lost_process(error: BaseException | None) -> bool:
    """Whether an error says that another process of the run is gone: gloo's and NCCL's many ways to put it."""
    if isinstance(error, torch.distributed.DistError):
        return True
    words = ("gloo", "nccl", "closed by peer", "reset by peer", "broken pipe", "timed out waiting")
    return type(error) is RuntimeError and any(word in str(error).lower() for word in words)


def shard(loader: DataLoader, rank: int, world: int, *, pad_empty: bool = False) -> DataLoader:
    """The same loader for one of several processes: of every batch, each process gets its slice.

    With `pad_empty` a process left without examples gets one example whose labels are ignored by weight (see `fit`).
    """
    if world == 1:
        return loader
    if not hasattr(loader.batch_sampler, "shard"):
        raise ConfigError(
            "Several processes need loaders from kl.make_loaders: their batches can be divided exactly."
        )
    return DataLoader(
        loader.dataset,
        batch_sampler=loader.batch_sampler.shard(rank, world),
        collate_fn=_EmptySafe(loader.collate_fn, loader.dataset) if pad_empty else loader.collate_fn,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        generator=torch.Generator().manual_seed(0),
    )


class _EmptySafe:
    """Collates an empty slice as one example that is marked to count for nothing: DDP wants every process's turn."""

    def __init__(self, collate, dataset):
        self.collate, self.dataset = collate, dataset

    def __call__(self, items: list) -> dict[str, Any]:
        if items:
            return self.collate(items)
        return {**self.collate([self.dataset[0]]), "empty": torch.tensor(True)}
