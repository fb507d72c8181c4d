"""What stands around the training steps: tokenising, and saving.

The rates and sizes here are of the bundled reviews and of kolab-mini; a checkpoint's size goes with the parameters.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch

from kolab import checkpoint, engine, measure
from kolab.batching import TokenDataset, tokenize
from kolab.benches.loops import task, turns
from kolab.model import load_encoder
from kolab.optim import make_optimizer, parameter_groups


def run(*, quick: bool = False, repeats: int = 5) -> tuple[pd.DataFrame, dict]:
    """One row a cost: the value and its unit. repeats: the median of so many counts. quick: 64 reviews."""
    with task.silent():
        rows, (_, tokenizer) = task.sample(64 if quick else 0), load_encoder()
    repeats = 1 if quick else repeats
    table = [*_tokenising(rows, tokenizer, repeats), *_saving(64 if quick else 320, len(rows), repeats)]
    meta = {
        "data": f"it_reviews, {len(rows):,} reviews", "encoder": "kolab-mini", "repeats": repeats,
        "threads": torch.get_num_threads(),
        "saving": "into the system's temporary folder, flushed to the disk, with SHA-256",
    }  # fmt: skip
    return pd.DataFrame(table), meta


def _tokenising(rows: Any, tokenizer: Any, repeats: int) -> list[dict[str, Any]]:
    texts, options = list(rows["text"]), {"truncation": True, "max_length": 128}

    def all_at_once() -> None:
        with task.silent():
            tokenize(rows, tokenizer)

    at_once = _seconds(all_at_once, repeats)
    one_by_one = _seconds(lambda: [tokenizer(text, **options) for text in texts], repeats)
    with task.silent():
        tokens = int(TokenDataset.of(tokenize(rows, tokenizer)).lengths.sum())
    return [
        _row("tokenising, as kl.make_loaders does", len(texts) / at_once, "texts a second"),
        _row("the same", tokens / at_once, "tokens a second"),
        _row("tokenising text by text", len(texts) / one_by_one, "texts a second"),
    ]


def _saving(sample: int, reviews: int, repeats: int) -> list[dict[str, Any]]:
    with task.silent():
        work = task.Task("default", sample)
    work.epoch()
    seconds = [turns.net(work.epoch()) for _ in range(repeats)]
    epoch = median(seconds) * reviews / sample
    optimizer = make_optimizer(parameter_groups(work.model, 1e-4))
    for parameter in work.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()  # which makes its state
    slots, groups = checkpoint.flatten_optimizer(optimizer)
    tensors = {"model": engine.own_tensors(work.model), "optimizer": slots}
    with tempfile.TemporaryDirectory() as folder:
        numbers = iter(range(1, repeats + 2))
        save = _seconds(
            lambda: checkpoint.save(Path(folder), next(numbers), tensors, {"optimizer": groups}), repeats
        )
        size = sum(file.stat().st_size for file in checkpoint.listed(Path(folder))[-1].iterdir())
    return [
        _row("a checkpoint (weights and optimizer)", save, "seconds"),
        _row("the same", size / 2**20, "MiB"),
        _row("the same", size / sum(p.numel() for p in work.model.parameters()), "bytes a parameter"),
        _row(f"share of a run, saved after each epoch of {reviews:,} reviews", save / (save + epoch), "of the time"),
    ]  # fmt: skip


def _row(what: str, value: float, unit: str) -> dict[str, Any]:
    return {"what": what, "value": float(f"{value:.4g}"), "unit": unit}


def _seconds(work: Callable[[], Any], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        with measure.stopwatch() as watch:
            work()
        times.append(watch.seconds)
    return median(times)
