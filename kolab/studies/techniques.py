"""Sixteen techniques, each switched on alone: what does it do to a training that is otherwise the same?

The recipe is the plain training. Every variant of `kolab/techniques.py` (or those that `study.variants` names) × seed
is one training; a variant and the plain one share the seed, so the same head, the same batches in the same order, and
are compared in pairs. Validation and test serve together as held-out examples, since no variant but the best epoch's
picks anything by a score; that one picks on one half and is scored on the other, both ways round.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kolab import engine, measure, studies
from kolab.batching import make_loaders, tokenize
from kolab.calibration import ece
from kolab.dropout import set_dropout
from kolab.errors import ConfigError
from kolab.losses import CrossEntropy, balanced_weights
from kolab.metrics import classification_metrics, macro_f1
from kolab.model import Classifier
from kolab.recipe import Recipe, load_data
from kolab.recipe_file import nearest
from kolab.studies.encoders import described, encoder_of, label_of
from kolab.techniques import COMPARISONS, VARIANTS, Variant, differences
from kolab.train import fit, predict

SEED_OF_NOTHING = 1000  # what 'another seed' adds


def check(recipe: Recipe) -> None:
    """Raises ConfigError for variants that do not exist, or that leave nothing to compare."""
    known = list(VARIANTS)
    for name in recipe.study.variants:
        if name not in VARIANTS:
            raise ConfigError(
                f"study.variants has {name!r}.{nearest(name, known)} There are: {', '.join(known)}."
            )
    chosen = set(recipe.study.variants or known)
    if not any({*pair} <= chosen for pair in COMPARISONS.values()):
        raise ConfigError(
            f"study.variants has {', '.join(sorted(chosen))}: no two of them are compared. "
            "Most want 'plain' beside them."
        )


def trimmed(recipe: Recipe) -> Recipe:
    """The same variants on a handful of bundled reviews and one layer: does it run?"""
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(
            recipe.data, name="reviews", path=None, rows=48, batch_size=16, max_length=32
        ),
        train=dataclasses.replace(recipe.train, epochs=1),
        study=dataclasses.replace(recipe.study, encoders=["kolab-mini[:1]"], seeds=2, held_out=64),
    )


def run(recipe: Recipe, folder: Path | None = None, resume: bool = False) -> tuple[pd.DataFrame, dict]:
    """One row a training, and what a reader needs to judge them; folder and resume as `kolab.studies` says."""
    splits = load_data(recipe.data)
    held_out = _held_out(splits, recipe.study.held_out)
    labels = list(splits["train"].features["label"].names)
    ledger = studies.ledger(recipe, folder, resume)
    early: dict[str, int] = {}
    try:
        for name in recipe.study.encoders:
            parts = _Parts(recipe, name, splits["train"], held_out, labels)
            for seed in range(recipe.study.seeds):  # a whole seed first: a study cut short still has pairs
                for variant in recipe.study.variants or VARIANTS:
                    key = {"encoder": label_of(name), "variant": variant, "seed": seed}
                    studies.get(ledger, key, functools.partial(one, recipe, parts, VARIANTS[variant], seed))
    except KeyboardInterrupt as stop:
        early = studies.stopped(ledger, stop)
    return pd.DataFrame(ledger.rows), about(recipe, len(splits["train"]), len(held_out), ledger.rows) | early


def one(recipe: Recipe, parts: "_Parts", variant: Variant, seed: int) -> dict[str, Any]:
    """One training, and its scores on the held-out examples."""
    seed += SEED_OF_NOTHING * variant.other_seed
    loaders, train = parts.loaders(seed), recipe.train
    encoder, _ = encoder_of(parts.name, seed)
    model = Classifier.build(
        encoder, parts.labels, pooling=recipe.model.pooling, head=recipe.model.head, dropout=recipe.model.dropout,
        seed=seed,
    )  # fmt: skip
    if variant.dropout is not None:
        set_dropout(model, variant.dropout)
    smoothing = recipe.loss.smoothing if variant.smoothing is None else variant.smoothing
    balanced = variant.balanced or recipe.loss.class_weights == "balanced"
    loss = CrossEntropy(parts.balance if balanced else None, smoothing)
    config = dataclasses.replace(
        train, lr=train.lr * variant.times_lr, seed=seed, keep_best=False, patience=None, progress=False, folder=None,
        resume=False, **variant.train,
    )  # fmt: skip
    used = {"train": loaders["train"]}
    epochs = _Epochs()
    if variant.keep_best:
        used["validation"] = loaders["validation"]
    with measure.stopwatch() as watch:
        history = fit(model, used, config, loss=loss, evaluator=epochs)
    if variant.keep_best:
        logits, references = epochs.best_of_halves(), epochs.references
    else:
        found = predict(model, loaders["validation"])
        logits, references = found.logits, found.references
    return scores(logits, references) | {
        "train_loss": round(history[-1]["train_loss"], 5), "first_loss": round(history[0]["train_loss"], 5),
        "updates": history[-1]["step"], "seconds": round(watch.seconds, 1),
    }  # fmt: skip


def scores(logits: Tensor, references: Tensor) -> dict[str, float]:
    """Accuracy, macro and weighted F1, loss (without smoothing or weights), ECE and mean confidence of some logits."""
    shares, predicted = logits.softmax(dim=-1), logits.argmax(dim=-1)
    total, weight = CrossEntropy()(logits, references)
    macro = classification_metrics(predicted, references, labels=logits.shape[1])
    weighted = classification_metrics(predicted, references, labels=logits.shape[1], average="weighted")
    found = {
        "accuracy": macro["accuracy"], "macro_f1": macro["f1"], "weighted_f1": weighted["f1"],
        "loss": float(total / weight),
        "ece": ece(shares, references), "confidence": float(shares.max(dim=-1).values.mean()),
    }  # fmt: skip
    return {name: round(value, 5) for name, value in found.items()}


class _Parts:
    """What the trainings with one encoder share: the ids of the texts, the labels, the weights of the classes."""

    def __init__(self, recipe: Recipe, name: str, train: Any, held_out: Any, labels: list[str]):
        self.name, self.labels, self._batch_size = name, labels, recipe.data.batch_size
        self._tokenizer = encoder_of(name, seed=0)[1]
        self._ready = {
            split: tokenize(part, self._tokenizer, max_length=recipe.data.max_length)
            for split, part in (("train", train), ("validation", held_out))
        }
        self.balance = balanced_weights(train["label"][:], len(labels))

    def loaders(self, seed: int) -> Any:
        """Batches in the seed's order."""
        return make_loaders(
            self._ready, self._tokenizer, batch_size=self._batch_size, seed=seed, eval_batch_size=64
        )


class _Epochs:
    """Called by `fit` after each epoch of a variant that keeps the best one: notes the logits."""

    def __init__(self):
        self.logits: list[Tensor] = []
        self.references: Tensor | None = None

    def __call__(self, model: torch.nn.Module, loader: Any) -> dict[str, float]:
        found = predict(model, loader)
        self.logits.append(found.logits)
        self.references = found.references
        return {"f1": macro_f1(found.labels, found.references.numpy(), found.logits.shape[1])}

    def best_of_halves(self) -> Tensor:
        """For each half of the examples, the logits of the epoch that the other half likes best: (N, C)."""
        truth, odd = self.references, torch.arange(len(self.references)) % 2 == 1
        chosen = torch.empty_like(self.logits[0])
        for half in (odd, ~odd):
            likes = [macro_f1(part[~half].argmax(-1), truth[~half], part.shape[1]) for part in self.logits]
            chosen[half] = self.logits[likes.index(max(likes))][half]
        return chosen


def _held_out(splits: Any, at_most: int | None) -> Any:
    from datasets import concatenate_datasets

    whole = concatenate_datasets([splits["validation"], splits["test"]]).shuffle(seed=0)
    return whole if at_most is None else whole.select(range(min(at_most, len(whole))))


def about(recipe: Recipe, examples: int, held_out: int, rows: list[dict]) -> dict[str, Any]:
    """What a reader needs to judge the table."""
    train = recipe.train
    device = torch.device("cpu") if train.device == "cpu" else engine.default_device()
    return {
        "data": f"{recipe.data.name}: {examples:,} texts to learn from, {held_out:,} held out",
        "encoder": "; ".join(described(name) for name in recipe.study.encoders),
        "seeds": len({row["seed"] for row in rows}),
        "plain": f"AdamW at {train.lr:g}, {train.epochs} epochs of batches of {recipe.data.batch_size}, "
        f"{train.schedule} schedule, warm-up {train.warmup:g}, weight decay {train.weight_decay:g}, "
        f"clipping {train.max_grad_norm}, the encoder's own dropout, smoothing {recipe.loss.smoothing:g}, "
        "the last epoch",
        "precision": engine.resolve_precision(train.precision, device),
        "ece": "10 bins of confidence",
    }


def report(table: pd.DataFrame, meta: dict[str, Any]) -> str:
    """The study as Markdown: each comparison's mean difference over the seeds, with its 95 % interval."""
    lines = [f"{key}: {value}" for key, value in meta.items()]
    for encoder, part in table.groupby("encoder", sort=False):
        lines += ["", f"## {encoder}: what each technique changes", ""]
        columns: dict[str, tuple[str, Callable]] = {
            "macro-F1, points": ("macro_f1", _points), "calibration error, points": ("ece", _points),
            "loss": ("loss", _plain),
        }  # fmt: skip
        found = {
            title: differences(part, score, scale=100 if write is _points else 1)
            for title, (score, write) in columns.items()
        }
        lines += [
            f"| with it | {' | '.join(columns)} | F1 better in |",
            "|---|" + "---|" * (len(columns) + 1),
        ]
        first = next(iter(found.values()))
        for name in first.index:
            cells = [write(found[title].loc[name]) for title, (_, write) in columns.items()]
            better = f"{first.loc[name, 'better']:.0f} of {first.loc[name, 'seeds']:.0f}"
            lines.append(f"| {name} | {' | '.join(cells)} | {better} |")
    return "\n".join([*lines, ""])


def _points(row: pd.Series) -> str:
    return f"{row['mean']:+.1f}" + (
        "" if pd.isna(row["low"]) else f" ({row['low']:+.1f} to {row['high']:+.1f})"
    )


def _plain(row: pd.Series) -> str:
    return f"{row['mean']:+.3f}"
