"""Several encoders trained one after the other, weighted and thresholded on validation, tested once.

Every encoder × seed of the recipe's `study` is one training; the memory of one is freed before the next begins. Then
each way of making one answer of several models is fitted on the validation texts alone, and only when all of that is
settled the sealed test set is opened, once, for all of them together (`kolab.sealed`).

`study.variants` says what is done as in the published study on hate speech: pos_weight (each label's weight, at most
10) and aeda (two copies with punctuation of the training texts that carry one of the rarest labels).
"""

import dataclasses
import functools
import gc
import logging
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kolab import studies
from kolab.blends import compared
from kolab.errors import ConfigError
from kolab.recipe import MULTI_LABEL, Recipe, load_data, make_loss
from kolab.studies.encoders import described, encoder_of, full_name

VARIANTS = ("pos_weight", "aeda")
RARE = 0.05  # labels of fewer texts than this share are copied by aeda
log = logging.getLogger("kolab.ensemble")


def check(recipe: Recipe) -> None:
    """Raises ConfigError for data of one label a text, unknown variants, or an encoder named twice."""
    if recipe.data.name not in MULTI_LABEL:
        raise ConfigError(
            f"data.name is {recipe.data.name!r}; a study of kind ensemble needs several labels a text: "
            f"{', '.join(MULTI_LABEL)}."
        )
    unknown = [name for name in recipe.study.variants if name not in VARIANTS]
    if unknown:
        raise ConfigError(f"study.variants has {unknown[0]!r}; there are {', '.join(VARIANTS)}.")
    names = [full_name(name) for name in recipe.study.encoders]
    if len(set(names)) < len(names):
        raise ConfigError("study.encoders names an encoder twice; for more runs of one, raise study.seeds.")
    if not recipe.train.keep_best:
        raise ConfigError(
            "train.keep_best=false would ensemble last epochs; the study keeps each model's best."
        )


def trimmed(recipe: Recipe) -> Recipe:
    """The same study on bundled reviews and two layers of kolab-mini: does it run from end to end?"""
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(
            recipe.data, name="aspects", path=None, groups=False, rows=192, batch_size=32, max_length=48
        ),
        train=dataclasses.replace(recipe.train, epochs=2, lr=1e-3, precision="auto"),
        study=dataclasses.replace(
            recipe.study, encoders=["kolab-mini[:2]", "kolab-mini[:1]", "modernbert-small"], seeds=1
        ),
    )


def run(
    recipe: Recipe, folder: Path | None = None, resume: bool = False, *, keep_models: bool = True
) -> tuple[pd.DataFrame, dict]:
    """One row a way of deciding and seed (see `kolab.blends.compared`), and what a reader needs to judge them.

    folder: rows.jsonl (a line a training), probabilities/ and, with keep_models, models/NAME-seed/ with checkpoints,
    best weights and history.jsonl; train.log; plan.json, written before the test set is opened; test_opened.json, after
    which it is shut. A Ctrl-C leaves the test set sealed; `resume` goes on.
    """
    folder = None if folder is None else Path(folder)
    splits = load_data(recipe.data)
    names, seeds = recipe.study.encoders, range(recipe.study.seeds)
    with _logged(folder):
        log.info(
            "%s: %s; %d encoders × %d seeds, at most %d epochs each",
            recipe.data.name, ", ".join(f"{k} {len(v):,}" for k, v in splits.items()), len(names), len(seeds),
            recipe.train.epochs,
        )  # fmt: skip
        found: dict[tuple[str, int], dict[str, np.ndarray]] = {}
        book = studies.ledger(recipe, folder, resume)
        for seed in seeds:  # seed by seed, so that a study cut short holds whole ensembles
            for name in names:
                key = {"encoder": name, "seed": seed, "variants": list(recipe.study.variants)}
                work = functools.partial(_one, recipe, splits, name, seed, folder, keep_models, resume, found)
                file = _file(folder, name, seed)
                if book.has(key) and file is not None and file.is_file():
                    with np.load(file) as kept:
                        found[name, seed] = dict(kept)
                elif book.has(key):
                    work()  # the row was kept, its probabilities were not
                studies.get(book, key, work)
        stacks = {
            split: np.stack([[found[name, seed][split] for seed in seeds] for name in names])
            for split in ("validation", "test")
        }
        labels = {split: np.array(splits[split]["labels"][:]).astype(int) for split in stacks}
        table = compared(stacks["validation"], stacks["test"], labels, names, folder)
        log.info("the test set has been opened, for %d decisions", (table["seed"] != "all").sum())
    return table, about(recipe, splits, book.rows)


def about(recipe: Recipe, splits: Any, rows: list[dict]) -> dict[str, Any]:
    """What a reader needs to judge the table."""
    train = recipe.train
    return {
        "data": f"{recipe.data.name}: " + ", ".join(f"{name} {len(part):,}" for name, part in splits.items()),
        "encoders": {name: described(name) for name in recipe.study.encoders},
        "parameters": {row["encoder"]: row["parameters"] for row in rows},
        "seeds": recipe.study.seeds,
        "variants": list(recipe.study.variants),
        "base": f"batch {recipe.data.batch_size}, rate {train.lr:g}, at most {train.epochs} epochs, {train.schedule}, "
        f"patience {train.patience}, min_delta {train.min_delta:g}, {recipe.model.pooling} pooling",
        "best_epochs": {row["encoder"]: row["best_epoch"] for row in rows},
        "seconds": round(sum(row["seconds"] for row in rows)),
    }


def report(table: pd.DataFrame, meta: dict[str, Any]) -> str:
    """The study as Markdown: a row a way of deciding, means over the seeds, gains with their intervals."""
    lines = [f"{key}: {value}" for key, value in meta.items()]
    lines += [
        "",
        "| decision | thresholds | macro-F1 on test | gain over the best model alone (95 %, texts and seeds) |",
        "|---|---|---|---|",
    ]
    for row in table[table["seed"] == "all"].to_dict("records"):
        if pd.isna(row["gain"]):
            gain = "chosen on the test texts: do not believe it"
        else:
            gain = f"{row['gain']:+.3f} ({row['both_low']:+.3f} to {row['both_high']:+.3f})"
        lines.append(f"| {row['way']} | {row['thresholds']} | {row['test_f1']:.3f} | {gain} |")
    return "\n".join([*lines, ""])


def _one(
    recipe: Recipe,
    splits: Any,
    name: str,
    seed: int,
    folder: Path | None,
    keep: bool,
    resume: bool,
    found: dict,
) -> dict[str, Any]:
    """Trains one model, keeps its probabilities on validation and test texts, and frees its memory."""
    from accelerate.utils.memory import clear_device_cache

    from kolab.measure import stopwatch

    with stopwatch() as watch:
        row, probabilities, gone = _train(recipe, splits, name, seed, folder if keep else None, resume)
    gc.collect()  # for libraries that tie a model into a reference cycle, which only the collector finds
    clear_device_cache()
    if gone() is not None:
        log.warning("%s: something still holds the model; the next one is loaded beside it", name)
    found[name, seed] = probabilities
    file = _file(folder, name, seed)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}")
        np.savez_compressed(partial, **probabilities)
        partial.replace(file)
    return row | {"freed": gone() is None, "seconds": round(watch.seconds, 1)}


def _train(recipe: Recipe, splits: Any, name: str, seed: int, folder: Path | None, resume: bool):
    """One training; everything it built is local to this function, so that returning lets go of it."""
    from kolab.batching import make_loaders
    from kolab.model import Classifier
    from kolab.multilabel import label_names, multilabel_metrics
    from kolab.train import fit, predict

    encoder, tokenizer = encoder_of(name, seed)
    labels, train = label_names(splits), _copied(recipe, splits["train"], seed)
    model = Classifier.build(
        encoder, labels, pooling=recipe.model.pooling, head=recipe.model.head, dropout=recipe.model.dropout,
        multi_label=True, seed=seed,
    )  # fmt: skip
    parts = {"train": train, "validation": splits["validation"], "test": splits["test"]}
    loaders = make_loaders(
        parts, tokenizer, batch_size=recipe.data.batch_size, max_length=recipe.data.max_length, seed=seed
    )
    sealed = loaders.pop("test")  # fit has no business with it
    where = None if folder is None else folder / "models" / _slug(name, seed)
    config = dataclasses.replace(
        recipe.train, seed=seed, folder=where and str(where), progress=False, keep=1, metric="f1",
        resume=resume and where is not None,
    )  # fmt: skip
    log.info("training %s, seed %d: %s texts, %d labels", name, seed, f"{len(train):,}", len(labels))
    weighted = dataclasses.replace(recipe.loss, class_weights="balanced")
    wanted = dataclasses.replace(
        recipe, loss=weighted if "pos_weight" in recipe.study.variants else recipe.loss
    )
    history = fit(model, loaders, config, loss=make_loss(wanted, train), metrics=multilabel_metrics)
    log.info("%s, seed %d: best epoch %d, F1 %.4f", name, seed, history.best["epoch"], history.best["f1"])
    probabilities = {
        "validation": predict(model, loaders["validation"]).probabilities.numpy(),
        "test": predict(model, sealed).probabilities.numpy(),
    }
    row = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "epochs": len(history), "best_epoch": history.best["epoch"],
        "f1": round(history.best["f1"], 5), "validation_loss": round(history.best["validation_loss"], 5),
    }  # fmt: skip
    return row, probabilities, weakref.ref(model)


def _copied(recipe: Recipe, train: Any, seed: int) -> Any:
    """The training texts, and copies of the rare ones where the recipe wants them."""
    from kolab import multilabel

    if "aeda" not in recipe.study.variants:
        return train
    counts = multilabel.counts(train["labels"][:])
    names = multilabel.label_names(train)
    rare = [name for name, count in zip(names, counts) if count < RARE * len(train)]
    return multilabel.add_copies(train, rare, seed=seed) if rare else train


def _slug(name: str, seed: int) -> str:
    plain = "".join(c if c.isalnum() or c in "-." else "-" for c in name).strip("-")
    return f"{plain}-{seed}"


def _file(folder: Path | None, name: str, seed: int) -> Path | None:
    return None if folder is None else folder / "probabilities" / f"{_slug(name, seed)}.npz"


@contextmanager
def _logged(folder: Path | None) -> Iterator[None]:
    """Log lines on the screen and, with a folder, in its train.log, for as long as the study runs."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(folder / "train.log", encoding="utf-8"))
    loggers = [logging.getLogger(name) for name in ("kolab.train", "kolab.ensemble")]
    before = [logger.level for logger in loggers]
    try:
        for handler in handlers:
            handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"))
            for logger in loggers:
                logger.addHandler(handler)
                logger.setLevel(logging.INFO)
        yield
    finally:
        for logger, level in zip(loggers, before):
            logger.setLevel(level)
            for handler in handlers:
                logger.removeHandler(handler)
        for handler in handlers:
            handler.close()
