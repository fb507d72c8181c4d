"""What a training can be told, and what it is called with: refused here, in words, before anything is computed."""

import math
import os
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from kolab import engine
from kolab.errors import ConfigError
from kolab.recipe_file import nearest

TRACKERS = ("tensorboard", "wandb")
_SEEDS = 2**63


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, least: int = 1) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= least


def _betas(value: Any) -> bool:
    return (
        isinstance(value, tuple | list) and len(value) == 2 and all(_number(b) and 0 <= b < 1 for b in value)
    )


def check(config: Any) -> None:
    """Raises ConfigError, naming the field, for a `TrainConfig` that cannot be."""

    def need(names: str, right: Any, rule: str) -> None:
        for name in names.split():
            value = getattr(config, name)
            if not right(value):
                raise ConfigError(f"{name} is {value!r}; it has to be {rule}.")

    need("epochs accumulate keep", _whole, "a whole number from 1")
    need("log_every", lambda v: _whole(v, 0), "a whole number from 0")
    need("seed", lambda v: _whole(v, 0) and v < _SEEDS, "a whole number from 0, below 2**63")
    need("lr eps", lambda v: _number(v) and v > 0, "a finite number above 0")
    need("betas", _betas, "two numbers from 0 and below 1")
    need("weight_decay warmup min_delta", lambda v: _number(v) and v >= 0, "a finite number of at least 0")
    need(
        "max_grad_norm layer_decay head_lr", lambda v: v is None or (_number(v) and v > 0), "above 0, or None"
    )
    need("patience max_steps", lambda v: v is None or _whole(v), "a whole number above 0, or None")
    need("save_every", lambda v: v == "epoch" or _whole(v), '"epoch" or a number of steps')
    need("precision", lambda v: v in engine.PRECISIONS, ", ".join(engine.PRECISIONS))
    need("schedule", lambda v: v in ("linear", "cosine", "constant"), "linear, cosine or constant")
    need("metric", lambda v: isinstance(v, str), "the name of a column of the history, such as f1 or loss")
    if config.tracker not in (None, *TRACKERS):
        raise ConfigError(
            f"tracker is {config.tracker!r}; it has to be {' or '.join(TRACKERS)}, or None."
            f"{nearest(str(config.tracker), list(TRACKERS))}"
        )
    need("folder", lambda v: v is None or (isinstance(v, str | os.PathLike) and str(v)), "a path, or None")
    need(
        "device",
        lambda v: v in (None, "cpu"),
        "'cpu', to leave a GPU alone, or None (CUDA_VISIBLE_DEVICES says which GPU)",
    )
    need("keep_best resume progress", lambda v: isinstance(v, bool), "True or False")
    if config.resume and config.folder is None:
        raise ConfigError("resume=True needs folder=…: the folder that the run was saved in.")


def check_call(model: Any, loaders: Any, config: Any, loss: Any) -> None:
    """Raises ConfigError for what `fit` cannot train with, or on."""
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"model is a {type(model).__name__}; give a Classifier: kl.Classifier.build(encoder, labels)."
        )
    if not isinstance(loaders, Mapping) or not isinstance(loaders.get("train"), DataLoader):
        what = f"{list(loaders)}" if isinstance(loaders, Mapping) else f"a {type(loaders).__name__}"
        raise ConfigError(
            f"There is nothing to train on: loaders is {what}. Give what kl.make_loaders returns, or "
            '{"train": a DataLoader}.'
        )
    if config is not None and not hasattr(config, "accumulate"):
        raise ConfigError(
            f"config is a {type(config).__name__}; give kl.TrainConfig(…), of a dict kl.TrainConfig(**that)."
        )
    if loss is not None and not hasattr(loss, "weight_of"):
        raise ConfigError(
            f"loss is {type(loss).__name__}, which gives a mean; fit needs the sum and the weight: "
            "kl.losses.CrossEntropy(…) or kl.losses.BinaryCrossEntropy(…)."
        )


def check_words(model: nn.Module, most: int, whose: str) -> None:
    """Raises ConfigError where a token id lies outside the model's embeddings; `most` is the largest that can come."""
    table = getattr(model, "get_input_embeddings", lambda: None)()
    rows = getattr(table, "num_embeddings", None)
    if rows is not None and most >= rows:
        raise ConfigError(
            f"{whose} has token ids up to {most:,}, the model knows {rows:,}: they do not belong together. Take the "
            "tokenizer that load_encoder returned with the encoder."
        )
