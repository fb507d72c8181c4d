"""What to say when training cannot begin or go on: the place, the likely causes, the cure."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from kolab import checkpoint, sharding
from kolab.errors import ConfigError, TrainingError
from kolab.settings_check import check_words


def not_a_number(
    step: int, window: list[dict], value: float, tokenizer: Any, model: nn.Module, config: Any
) -> str:
    """The message for a loss that is not a number: the step, the texts, the likely causes."""
    broken = [name for name, p in model.named_parameters() if not torch.isfinite(sharding.local(p)).all()]
    causes = []
    if broken:
        causes.append(f"the weights were broken before this step ({broken[0]}, {len(broken)} tensors in all)")
    causes += [
        f"the learning rate (lr={config.lr:g}) is too high: try {config.lr / 10:g}, or a longer warm-up"
    ]
    if config.precision == "fp16":
        causes.append("fp16 overflowed in the forward pass: try precision='bf16' or 'fp32'")
    causes.append("a label or a class weight is not a finite number")
    texts = []
    for batch in window:
        for ids in batch["input_ids"][:8]:
            texts.append(
                tokenizer.decode(ids, skip_special_tokens=True)
                if tokenizer is not None
                else str(ids.tolist())
            )
    lines = "\n".join(f"  · {text[:80]}" for text in texts[:8])
    return (
        f"The loss is {value} at optimizer step {step}. Likely causes: (1) "
        + "; ".join(f"({i}) {c}" for i, c in enumerate(causes, 1)).removeprefix("(1) ")
        + f".\nThe batch's texts begin with:\n{lines}"
    )


def out_of_memory(batch_size: int | None, accumulate: int) -> TrainingError:
    """The error for a full GPU: what to set so that the effective batch, and so the gradient, stays the same."""
    if not batch_size or batch_size < 2:
        advice = "Shorten max_length, turn on model.encoder.gradient_checkpointing_enable(), or take a smaller encoder."
    else:
        half = batch_size // 2
        advice = (
            f"batch_size={half} with accumulate={math.ceil(batch_size * accumulate / half)} gives the same effective "
            f"batch of {batch_size * accumulate}, and the same gradient."
        )
    return TrainingError(
        f"The GPU's memory is full with batch_size={batch_size}, accumulate={accumulate}. {advice}"
    )


def lost_process(rank: int, world: int, folder: Path | None, error: BaseException) -> TrainingError:
    """The error for a run of which another process has ended: what is saved, and how to go on."""
    saved = [] if folder is None else checkpoint.listed(folder / "checkpoints")
    if saved:
        step = int(saved[-1].name.removeprefix("step-"))
        cure = (
            f"{folder} holds everything up to step {step}: start again with resume=True (--resume), with as many "
            "processes as you like."
        )
    else:
        cure = "Nothing had been saved yet" + (" (folder is None)." if folder is None else f" in {folder}.")
    return TrainingError(
        f"Another process of this run has ended, so process {rank} of {world} cannot go on. Its own message says why, "
        f"if it left one; a process that was killed leaves none. {cure} ({str(error).strip().splitlines()[0][:120]})"
    )


def check_labels(loader: DataLoader, model: nn.Module) -> None:
    """Finds a label outside the model's classes before the first step, instead of deep inside the loss."""
    tokens = getattr(loader.dataset, "tokens", None)
    if tokens is not None and len(tokens):
        check_words(model, int(np.max(tokens)), "The training data")
    labels, classes = (
        getattr(loader.dataset, "labels", None),
        getattr(getattr(model, "config", None), "num_labels", None),
    )
    if labels is None or not isinstance(classes, int) or not len(labels):
        return
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] != classes:
        raise ConfigError(
            f"The labels have {labels.shape[1]} columns, the model {classes} classes; build it with as many."
        )
    if labels.ndim == 1 and (labels.max() >= classes or labels.min() < 0) and labels.dtype.kind in "iu":
        row = int(np.argmax((labels >= classes) | (labels < 0)))
        raise ConfigError(
            f"Row {row} has the label {labels[row]}, but the model has classes 0 to {classes - 1}."
        )
