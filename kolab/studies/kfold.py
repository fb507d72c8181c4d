"""Which techniques help, and whom? Stratified k-fold cross-validation, one training a variant, seed and fold.

The recipe says how the training goes with every technique switched on; a variant names those that are:

- "plain": none of them, what the published guide calls the default: 5 epochs, no weights, no smoothing …;
- "weights", "smoothing", "weights+smoothing" …: these, the rest as in plain;
- "all": the recipe as it is written;
- "resampling" is not one of the guide's: every epoch has as many examples of each class.

In each fold the epoch is chosen, and the temperature fitted, on an eighth of the training part; the fold itself only
reports. What it would have reported, had it chosen too, is kept beside it: `f1_flattered`.
"""

import copy
import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, concatenate_datasets
from scipy.special import softmax
from sklearn.metrics import confusion_matrix

from kolab import calibration, measure, studies
from kolab.batching import Loaders, make_loaders, tokenize
from kolab.errors import ConfigError
from kolab.losses import CrossEntropy, balanced_weights
from kolab.metrics import classification_metrics
from kolab.model import Classifier, load_encoder
from kolab.power import paired
from kolab.recipe import MULTI_LABEL, Recipe, load_data
from kolab.sampling import balanced
from kolab.splits import folds, split
from kolab.studies.encoders import described, encoder_of
from kolab.train import fit, predict

#: technique → (part of the recipe, field, its value where the technique is off).
TECHNIQUES = {
    "epochs": ("train", "epochs", 5),
    "accumulation": ("train", "accumulate", 1),
    "warm-up": ("train", "warmup", 10),  # a number of steps instead of a share of them
    "smoothing": ("loss", "smoothing", 0.0),
    "weights": ("loss", "class_weights", None),
    "stopping": ("train", "patience", 2),
    "workers": ("data", "workers", 0),
}
EXTRA = "resampling"
INNER = 0.125  # of a fold's training part: chooses the epoch, fits the temperature


def techniques(variant: str) -> set[str]:
    """The techniques that a variant switches on. Raises ConfigError for an unknown one.

    >>> sorted(techniques("weights+smoothing")), techniques("plain"), len(techniques("all"))
    (['smoothing', 'weights'], set(), 7)
    """
    if variant in ("plain", "all"):
        return set(TECHNIQUES) if variant == "all" else set()
    words, known = set(variant.split("+")), [*TECHNIQUES, EXTRA]
    for word in sorted(words - set(known)):
        from kolab.recipe_file import nearest

        raise ConfigError(
            f"study.variants has {variant!r}.{nearest(word, known)} A variant is plain, all, or some of these with + "
            f"between: {', '.join(known)}."
        )
    return words


def varied(recipe: Recipe, variant: str) -> Recipe:
    """The recipe with those techniques alone that the variant names."""
    on = techniques(variant)
    recipe = dataclasses.replace(recipe, study=dataclasses.replace(recipe.study, variants=[variant]))
    for name, (part, field, off) in TECHNIQUES.items():
        if name not in on:
            whole = dataclasses.replace(getattr(recipe, part), **{field: off})
            recipe = dataclasses.replace(recipe, **{part: whole})
    return recipe


def check(recipe: Recipe) -> None:
    """Raises ConfigError for variants that are unknown, or that switch on what the recipe does not set."""
    if recipe.data.name in MULTI_LABEL:
        raise ConfigError(
            f"study.kind=kfold compares F1 of single labels; the texts of data.name={recipe.data.name} carry several."
        )
    if not recipe.study.variants:
        raise ConfigError(
            "study.variants is empty: name what is to be compared, such as [plain, weights, all]."
        )
    for variant in recipe.study.variants:
        for name in techniques(variant) - {EXTRA} if variant != "all" else ():
            part, field, off = TECHNIQUES[name]
            if getattr(getattr(recipe, part), field) == off:
                raise ConfigError(
                    f"study.variants has {variant!r}, but {part}.{field} is {off!r} in the recipe, which is what "
                    f"{name} is without it: give {part}.{field} the value it is to have."
                )


def trimmed(recipe: Recipe) -> Recipe:
    """The same study in two folds of 75 texts and an epoch, to see whether it runs."""
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, name="emotions", path=None, rows=150, batch_size=16),
        model=dataclasses.replace(recipe.model, encoder="kolab-mini[:2]", pretrained=True),
        train=dataclasses.replace(recipe.train, epochs=2, patience=1),
        study=dataclasses.replace(recipe.study, folds=2, seeds=1),
    )


def run(recipe: Recipe, folder: Path | None = None, resume: bool = False) -> tuple[pd.DataFrame, dict]:
    """One row a variant, seed and fold; folder and resume as `kolab.studies` says. The seeds are the outermost loop."""
    whole = _all_rows(recipe)
    names = list(whole.features["label"].names)
    wanted = recipe.study
    print(
        f"{len(wanted.variants) * wanted.folds * wanted.seeds} trainings: {', '.join(wanted.variants)}; {wanted.folds} "
        f"folds × {wanted.seeds} seed(s) of {len(whole):,} texts, {recipe.model.encoder}",
        flush=True,
    )
    ledger = studies.ledger(recipe, folder, resume)
    early: dict[str, int] = {}
    try:
        for seed in range(recipe.study.seeds):
            parts = folds(whole, recipe.study.folds, seed=seed)
            for fold, held_out in enumerate(parts):
                for variant in recipe.study.variants:  # side by side, so that every pair is whole
                    key = {"variant": variant, "seed": seed, "fold": fold}
                    work = functools.partial(one, varied(recipe, variant), variant, seed, whole, held_out)
                    studies.get(ledger, key, work)
    except KeyboardInterrupt as stop:
        early = studies.stopped(ledger, stop)
    return pd.DataFrame(ledger.rows), about(recipe, len(whole), names, ledger.rows) | early


def one(recipe: Recipe, variant: str, seed: int, whole: Dataset, held_out: list[int]) -> dict[str, Any]:
    """One training without the held-out rows, and its scores on them.

    f1, accuracy, ece, nll: at the epoch that the inner part has chosen; ece_scaled, nll_scaled: with the temperature
    fitted on the inner part. f1_flattered: the best epoch of the held-out rows themselves. confusion: (C, C) counts, a
    row a true class.
    """
    names = whole.features["label"].names
    loaders = fold_loaders(recipe, whole, held_out, seed)
    train = loaders["train"].dataset.labels
    if EXTRA in techniques(variant):
        loaders["train"] = balanced(loaders["train"])
    weight = balanced_weights(train, len(names)) if recipe.loss.class_weights else None
    model = _classifier(recipe, names, seed)
    watch = Watch(loaders["held_out"], len(names))
    config = dataclasses.replace(
        recipe.train, seed=seed, keep_best=False, progress=False, folder=None, resume=False
    )
    with measure.stopwatch() as clock:
        history = fit(
            model, loaders, config, loss=CrossEntropy(weight, recipe.loss.smoothing), evaluator=watch
        )
    chosen = history.best["epoch"] - 1
    inner, (logits, truth) = watch.inner[chosen], watch.held_out[chosen]
    temperature = calibration.fit_temperature(*inner)
    scores = [classification_metrics(x.argmax(1), y, labels=len(names)) for x, y in watch.held_out]
    row = {
        "epochs": len(history), "epoch": chosen + 1, "f1": scores[chosen]["f1"],
        "accuracy": scores[chosen]["accuracy"], "f1_flattered": max(score["f1"] for score in scores),
        "ece": calibration.ece(softmax(logits, axis=1), truth), "nll": calibration.nll(logits, truth),
        "temperature": temperature, "ece_scaled": calibration.ece(softmax(logits / temperature, axis=1), truth),
        "nll_scaled": calibration.nll(logits, truth, temperature),
    }  # fmt: skip
    table = confusion_matrix(truth, logits.argmax(1), labels=range(len(names)))
    row = {key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()}
    return row | {"seconds": round(clock.seconds, 1), "confusion": table.tolist()}


def fold_loaders(recipe: Recipe, whole: Dataset, held_out: list[int], seed: int) -> Loaders:
    """The loaders of a fold: train; validation, an eighth of what is not held out; and held_out."""
    rest = np.setdiff1d(np.arange(len(whole)), held_out)
    inside = split(whole.select(rest), sizes=(1 - INNER, INNER, 0.0), seed=seed)
    parts = {name: inside[name] for name in ("train", "validation")} | {"held_out": whole.select(held_out)}
    tokenizer = _encoder(recipe, seed)[1]
    return make_loaders(
        {name: tokenize(part, tokenizer, max_length=recipe.data.max_length) for name, part in parts.items()},
        tokenizer, batch_size=recipe.data.batch_size, eval_batch_size=64, seed=seed, workers=recipe.data.workers,
    )  # fmt: skip


class Watch:
    """Called by `fit` after each epoch: scores the inner part, and keeps the logits of both, in data set order."""

    def __init__(self, held_out: torch.utils.data.DataLoader, classes: int):
        self.loader, self.classes = held_out, classes
        self.inner: list[tuple[np.ndarray, np.ndarray]] = []
        self.held_out: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, model: torch.nn.Module, validation: torch.utils.data.DataLoader) -> dict[str, float]:
        for kept, loader in ((self.inner, validation), (self.held_out, self.loader)):
            found = predict(model, loader)
            kept.append((found.logits.double().numpy(), found.references.numpy()))
        logits, truth = self.inner[-1]
        scores = classification_metrics(logits.argmax(1), truth, labels=self.classes)
        return {"loss": calibration.nll(logits, truth), **scores}


def by_class(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """F1 of each class, one row a variant, seed and fold of a study's table (whose index it keeps)."""
    counts = np.stack(table["confusion"].map(np.array)).astype(float)  # (rows, C, C)
    right = np.diagonal(counts, axis1=1, axis2=2)
    return pd.DataFrame(2 * right / np.maximum(counts.sum(1) + counts.sum(2), 1), table.index, names)


def about(recipe: Recipe, count: int, names: list[str], rows: list[dict]) -> dict[str, Any]:
    """What a reader needs to judge the table."""
    train = recipe.train
    return {
        "data": f"{recipe.data.name}: {count:,} texts, {recipe.study.folds} stratified folds",
        "classes": names,
        "encoder": described(recipe.model.encoder),
        "folds": recipe.study.folds,
        "seeds": len({row["seed"] for row in rows}),
        "all": f"{train.epochs} epochs, patience {train.patience}, batch {recipe.data.batch_size} × "
        f"{train.accumulate}, warm-up {train.warmup:g}, smoothing {recipe.loss.smoothing:g}, "
        f"weights {recipe.loss.class_weights}, workers {recipe.data.workers}; rate {train.lr:g}, {train.schedule}",
        "plain": "5 epochs, patience 2, no accumulation, warm-up of 10 steps, no smoothing, no weights, no workers",
    }


def report(table: pd.DataFrame, meta: dict[str, Any]) -> str:
    """The study as Markdown: each fold; each variant with its F1 by class; and what it differs by from the first."""
    names = list(meta["classes"])
    table = pd.concat([table, by_class(table, names)], axis=1)
    lines = [
        f"{key}: {', '.join(value) if isinstance(value, list) else value}" for key, value in meta.items()
    ]
    for variant, part in table.groupby("variant", sort=False):
        columns = ["epoch", "epochs", "f1", "accuracy", *names, "ece", "ece_scaled"]
        lines += ["", f"## {variant}", "", "| seed | fold | " + " | ".join(columns) + " |"]
        lines += ["|" + "---|" * (len(columns) + 2)]
        for _, row in part.iterrows():
            cells = [f"{row[c]:.3f}" if isinstance(row[c], float) else str(row[c]) for c in columns]
            lines.append(f"| {row['seed']} | {row['fold']} | " + " | ".join(cells) + " |")
        means = [f"{part[c].mean():.3f} ± {part[c].std(ddof=0):.3f}" for c in columns[2:]]
        lines.append("| mean | ± sd | | | " + " | ".join(means) + " |")
    return "\n".join([*lines, "", *_differences(table, names), ""])


def _differences(table: pd.DataFrame, names: list[str]) -> list[str]:
    """Points of F1 against the first variant, paired by seed and fold, with the interval that folds allow."""
    first, *others = table["variant"].unique()
    pairs = {v: part.set_index(["seed", "fold"]) for v, part in table.groupby("variant", sort=False)}
    count = table["fold"].nunique()
    lines = [
        f"## Points of F1 more than {first} (95 % interval)",
        "",
        "| | " + " | ".join(["macro", *names]) + " |",
    ]
    lines += ["|" + "---|" * (len(names) + 2)]
    for variant in others:
        cells = []
        for column in ("f1", *names):
            gaps = 100 * (pairs[variant][column] - pairs[first][column]).dropna()
            if len(gaps) < 2 or count < 2:
                cells.append("–" if gaps.empty else f"{gaps.mean():+.1f}")
            else:
                found = paired(gaps, folds=count)
                cells.append(f"{found.mean:+.1f} ({found.low:+.1f} to {found.high:+.1f})")
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return lines if others else []


def _all_rows(recipe: Recipe) -> Dataset:
    splits = load_data(dataclasses.replace(recipe.data, rows=None))
    whole = concatenate_datasets([splits[name] for name in ("train", "validation", "test")])
    rows = recipe.data.rows
    return (
        whole
        if rows is None or rows >= len(whole)
        else whole.shuffle(seed=recipe.data.seed).select(range(rows))
    )


@functools.lru_cache(maxsize=1)
def _loaded(name: str, pretrained: bool, seed: int) -> tuple[Any, Any]:
    return encoder_of(name, seed) if pretrained else load_encoder(name, pretrained=False, seed=seed)


def _encoder(recipe: Recipe, seed: int) -> tuple[Any, Any]:
    return _loaded(recipe.model.encoder, recipe.model.pretrained, 0 if recipe.model.pretrained else seed)


def _classifier(recipe: Recipe, names: list[str], seed: int) -> Classifier:
    wanted = recipe.model
    encoder = copy.deepcopy(_encoder(recipe, seed)[0])  # read once, trained many times
    return Classifier.build(
        encoder, names, pooling=wanted.pooling, head=wanted.head, dropout=wanted.dropout, seed=seed
    )
