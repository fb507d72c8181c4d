"""What becomes of a training when its effective batch grows?

Every encoder × rule × batch × seed of the recipe's `study` is one training. The first batch is
the base, whose rate and epochs the recipe gives; a rule says how these follow a larger batch. Micro-batches have the
same size throughout (`data.batch_size`), so every training needs the same memory.

No epoch is picked by a score, so validation and test serve together as held-out data.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.utils.data import DataLoader

from kolab import measure, studies
from kolab.batching import BucketBatchSampler, Collator, Loaders, TokenDataset, tokenize
from kolab.errors import ConfigError
from kolab.model import Classifier
from kolab.recipe import Recipe, load_data
from kolab.studies.encoders import described, encoder_of, label_of
from kolab.train import TrainConfig, evaluate, fit

RULES = ("same", "linear", "sqrt", "updates")


def planned(rule: str, batch: int, base: int, lr: float, epochs: int, examples: int) -> tuple[float, int]:
    """Learning rate and epochs for another effective batch.

    linear: the rate grows with the batch (Goyal et al., 2017, *Accurate, Large Minibatch SGD*). sqrt: with its square
    root (Malladi et al., 2022, *On the SDEs and Scaling Rules for Adaptive Gradient Algorithms*). updates: the rate
    stays, and there are just enough epochs for as many optimizer steps as before. same: nothing changes.

    >>> planned("linear", 1024, 64, 1e-4, 5, 3519), planned("updates", 1024, 64, 1e-4, 5, 3519)
    ((0.0016, 5), (0.0001, 69))
    """
    if rule == "updates":
        steps = math.ceil(examples / base) * epochs
        return lr, math.ceil(steps / math.ceil(examples / batch))
    try:
        return lr * {"same": 1.0, "linear": batch / base, "sqrt": math.sqrt(batch / base)}[rule], epochs
    except KeyError:
        raise ConfigError(f"study.rules has {rule!r}; there are {', '.join(RULES)}.") from None


def trimmed(recipe: Recipe) -> Recipe:
    """The same study, small enough to see in a minute or two whether it runs."""
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, rows=256, batch_size=16),
        train=dataclasses.replace(recipe.train, epochs=1),
        study=dataclasses.replace(
            recipe.study, batches=[32, 64, 128][: len(recipe.study.batches)], seeds=1, held_out=128
        ),
    )


def check(recipe: Recipe) -> None:
    """Raises ConfigError for batches that are no whole number of micro-batches, or where there are none."""
    if not recipe.study.batches:
        raise ConfigError(
            "study.batches is empty: name the effective batches, the base first, such as [64, 256]."
        )
    for batch in recipe.study.batches:
        if batch < 1 or batch % recipe.data.batch_size:
            raise ConfigError(
                f"study.batches has {batch}, which is no multiple of data.batch_size={recipe.data.batch_size}: an "
                "effective batch is a whole number of micro-batches."
            )
    for rule in recipe.study.rules:
        planned(rule, 1, 1, 1.0, 1, 1)


def run(recipe: Recipe, folder: Path | None = None, resume: bool = False) -> tuple[pd.DataFrame, dict]:
    """One row a training, and what a reader needs to judge them; folder and resume as `kolab.studies` says."""
    splits = load_data(recipe.data)
    labels, data = list(splits["train"].features["label"].names), {}
    for name in recipe.study.encoders:  # each encoder has its own tokenizer
        data[name] = _tokenized(splits, encoder_of(name, seed=0)[1], recipe)
    first = data[recipe.study.encoders[0]]
    ledger = studies.ledger(recipe, folder, resume)
    early: dict[str, int] = {}
    try:
        for name, rule, batch, seed in _trainings(recipe):
            key = {"encoder": label_of(name), "rule": rule, "batch": batch, "seed": seed}
            work = functools.partial(one, recipe, name, rule, batch, seed, *data[name], labels)
            studies.get(ledger, key, work)
    except KeyboardInterrupt as stop:
        early = studies.stopped(ledger, stop)
    return pd.DataFrame(ledger.rows), about(recipe, len(first[0]), len(first[1]), ledger.rows) | early


def one(
    recipe: Recipe,
    name: str,
    rule: str,
    batch: int,
    seed: int,
    train: TokenDataset,
    held_out: TokenDataset,
    labels: list[str],
) -> dict[str, Any]:
    """One training, and its scores on the held-out examples."""
    micro, base = recipe.data.batch_size, recipe.study.batches[0]
    lr, epochs = planned(rule, batch, base, recipe.train.lr, recipe.train.epochs, len(train))
    encoder, tokenizer = encoder_of(name, seed)
    collator = Collator(tokenizer.pad_token_id)
    model = Classifier.build(encoder, labels, seed=seed)
    loaders = Loaders({"train": _loader(train, micro, collator, seed, shuffle=True)}, tokenizer, collator)
    config = dataclasses.replace(
        recipe.train, lr=lr, epochs=epochs, accumulate=batch // micro, seed=seed, keep_best=False, progress=False,
        folder=None, resume=False,
    )  # fmt: skip
    with measure.peak_memory() as memory, measure.stopwatch() as watch:
        history = fit(model, loaders, config)
    scores = evaluate(model, _loader(held_out, 64, collator, seed, shuffle=False))
    return {
        "lr": lr, "epochs": epochs, "updates": history[-1]["step"], "train_loss": round(history[-1]["train_loss"], 5),
        "accuracy": round(scores["accuracy"], 5), "macro_f1": round(scores["f1"], 5),
        "seconds": round(watch.seconds, 1),
        # On a CPU only the size of the process can be read, and an earlier training has left it large.
        "peak_mib": round(memory.mib, 1) if memory.device == "cuda" else None,
    }  # fmt: skip


def about(recipe: Recipe, examples: int, held_out: int, rows: list[dict]) -> dict[str, Any]:
    """What a reader needs to judge the table."""
    train: TrainConfig = recipe.train
    return {
        "data": f"{recipe.data.name}: {examples:,} texts to learn from, {held_out:,} held out",
        "encoders": {label_of(name): described(name) for name in recipe.study.encoders},
        "seeds": len({row["seed"] for row in rows}),
        "base": f"batch {recipe.study.batches[0]}, rate {train.lr:g}, {train.epochs} epochs, {train.schedule}, "
        f"warm-up {train.warmup:g}, clipping {train.max_grad_norm}",
        "micro_batch": recipe.data.batch_size,
    }


def report(table: pd.DataFrame, meta: dict[str, Any]) -> str:
    """The study as Markdown: a row for each encoder, rule and batch, means over the seeds and their range."""
    lines = [f"{key}: {value}" for key, value in meta.items()]
    lines += [
        "",
        "| encoder | rule | batch | updates | accuracy | macro-F1 | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for (encoder, rule, batch), part in table.groupby(["encoder", "rule", "batch"], sort=False):
        spread = f"{part['accuracy'].mean():.3f} ({part['accuracy'].min():.3f}–{part['accuracy'].max():.3f})"
        lines.append(
            f"| {encoder} | {rule} | {batch} | {part['updates'].mean():.0f} | {spread} | {part['macro_f1'].mean():.3f} "
            f"| {part['seconds'].mean():.0f} |"
        )
    return "\n".join([*lines, ""])


def _trainings(recipe: Recipe) -> Iterator[tuple[str, str, int, int]]:
    """All of them, the long ones of each seed last, so that a study cut short has left out as little as it can."""
    base, *larger = recipe.study.batches
    for seed in range(recipe.study.seeds):
        for late in (False, True):
            for name in recipe.study.encoders:
                for rule in recipe.study.rules:
                    if (rule == "updates") == late:
                        batches = [base, *larger] if rule == recipe.study.rules[0] else larger
                        for batch in batches:  # the base is the same under every rule
                            yield name, rule, batch, seed


def _tokenized(splits: Any, tokenizer: Any, recipe: Recipe) -> tuple[TokenDataset, TokenDataset]:
    from datasets import concatenate_datasets

    held_out = concatenate_datasets([splits["validation"], splits["test"]])
    if recipe.study.held_out is not None:
        held_out = held_out.shuffle(seed=0).select(range(min(recipe.study.held_out, len(held_out))))
    parts = (splits["train"], held_out)
    return tuple(TokenDataset.of(tokenize(p, tokenizer, max_length=recipe.data.max_length)) for p in parts)


def _loader(data: TokenDataset, size: int, collator: Collator, seed: int, *, shuffle: bool) -> DataLoader:
    sampler = BucketBatchSampler(data.lengths, size, shuffle=shuffle, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(data, batch_sampler=sampler, collate_fn=collator, generator=generator)
