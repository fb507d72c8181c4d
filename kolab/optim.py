"""Parameter groups, the optimizer, and learning-rate schedules."""

import math
import re
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from kolab.errors import ConfigError

SCHEDULES = ("linear", "cosine", "constant")
_LAYER = re.compile(r"\.layers?\.(\d+)\.")  # encoder.encoder.layer.3. (BERT), encoder.layers.3. (ModernBERT)


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float = 0.01,
    *,
    layer_decay: float | None = None,
    head_lr: float | None = None,
) -> list[dict]:
    """The trainable parameters, sorted into groups with one learning rate and one weight decay each.

    Biases and the gains of LayerNorm (everything with fewer than two dimensions) are not decayed. With `layer_decay` a
    layer's rate is lr * layer_decay ** (layers above it): the embeddings get the smallest, what lies outside the
    encoder the full rate (Howard and Ruder, 2018; Clark et al., 2020). The layer is read from the parameter's *name*.
    `head_lr` is the rate of everything outside `model.encoder`. Every parameter lands in exactly one group.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise ConfigError("The model has no trainable parameter: every requires_grad is False.")
    layers = 1 + max((int(m[1]) for name, _ in named if (m := _LAYER.search(name))), default=-1)
    groups: dict[tuple[float, float], dict] = {}
    for name, parameter in named:
        inside = name.startswith("encoder.") or ".encoder." in name
        rate = lr if inside or head_lr is None else head_lr
        if layer_decay is not None and inside:
            rate = lr * layer_decay ** (layers - _depth(name, layers))
        decay = weight_decay if parameter.ndim >= 2 else 0.0
        group = groups.setdefault((rate, decay), {"params": [], "lr": rate, "weight_decay": decay})
        group["params"].append(parameter)
    return list(groups.values())


def _depth(name: str, layers: int) -> int:
    """0 for the embeddings, 1 … layers for the layers, layers for what stands above them inside the encoder."""
    if match := _LAYER.search(name):
        return 1 + int(match[1])
    return 0 if "embed" in name else layers


def make_optimizer(
    groups: Iterable[dict], *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019), fused into one kernel where every parameter's device has one."""
    groups = list(groups)
    devices = {p.device.type for group in groups for p in group["params"]}
    return torch.optim.AdamW(groups, betas=tuple(betas), eps=eps, fused=devices <= {"cpu", "cuda"})


def warmup_steps(warmup: float, total: int) -> int:
    """A number below 1 is a share of all steps, any other a number of steps.

    >>> warmup_steps(0.1, 200), warmup_steps(30, 200)
    (20, 30)
    """
    return min(total, round(warmup * total) if warmup < 1 else int(warmup))


def rate_at(step: int, name: str, warmup: int, total: int) -> float:
    """The factor on the learning rate at an optimizer step (the first is 0).

    >>> [round(rate_at(s, "linear", 2, 6), 2) for s in range(7)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if step < warmup:
        return (step + 1) / warmup  # the first step already learns: a rate of 0 would waste it
    if name == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return 1.0 - done if name == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))


def make_schedule(optimizer: torch.optim.Optimizer, name: str, warmup: float, total: int) -> LambdaLR:
    """A learning-rate schedule by name: a linear warm-up, then linear or cosine decay to zero, or constant.

    warmup: share (below 1) or number of steps. total: optimizer steps of the whole training.
    """
    if name not in SCHEDULES:
        raise ConfigError(f"schedule is {name!r}; there are {', '.join(SCHEDULES)}.")
    warm = warmup_steps(warmup, total)
    return LambdaLR(optimizer, lambda step: rate_at(step, name, warm, total))
