"""How much work a study is, counted before it begins: what the plan of `kolab train` multiplies by measured times."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from kolab.recipe import Recipe
from kolab.studies import batches, ensemble, kfold, techniques


@dataclasses.dataclass(frozen=True)
class Work:
    """What one encoder has to do in a study: so many trainings, micro-batches, optimizer steps, evaluated examples.

    rows: one training's. accumulate: the most micro-batches of a step. Where a training may stop early, all is counted.
    """

    encoder: str
    rows: int
    trainings: int
    micro_batches: int
    updates: int
    evaluated: int
    accumulate: int = 1


def works(recipe: Recipe, splits: Any) -> list[Work]:
    """The work of a study, one entry an encoder. splits: the corpus, all rows of it."""
    return COUNTED[recipe.study.kind](recipe, splits)


def effective_batches(recipe: Recipe) -> list[int]:
    """The effective batches of a study's trainings, each once, the smallest first."""
    size, wanted = recipe.data.batch_size, recipe.study
    found = {size * recipe.train.accumulate}
    if wanted.kind == "batches":
        found = set(wanted.batches)
    elif wanted.kind == "kfold":
        found = {size * kfold.varied(recipe, variant).train.accumulate for variant in wanted.variants}
    elif wanted.kind == "techniques":
        chosen = [techniques.VARIANTS[name] for name in wanted.variants or techniques.VARIANTS]
        found = {size * variant.train.get("accumulate", recipe.train.accumulate) for variant in chosen}
    return sorted(found)


def _rows(recipe: Recipe, splits: Any) -> int:
    return min(len(splits["train"]), recipe.data.rows or len(splits["train"]))


def _held_out(recipe: Recipe, splits: Any) -> int:
    count = len(splits["validation"]) + len(splits["test"])
    return min(count, recipe.study.held_out or count)


def _batches(recipe: Recipe, splits: Any) -> list[Work]:
    rows, held_out, base = _rows(recipe, splits), _held_out(recipe, splits), recipe.study.batches[0]
    found = []
    for encoder in recipe.study.encoders:
        micro_batches = updates = trainings = 0
        for name, rule, batch, _ in batches._trainings(recipe):
            if name == encoder:
                _, epochs = batches.planned(rule, batch, base, 1.0, recipe.train.epochs, rows)
                micro_batches += epochs * math.ceil(rows / recipe.data.batch_size)
                updates += epochs * math.ceil(rows / batch)
                trainings += 1
        most = max(recipe.study.batches) // recipe.data.batch_size
        found.append(Work(encoder, rows, trainings, micro_batches, updates, trainings * held_out, most))
    return found


def _kfold(recipe: Recipe, splits: Any) -> list[Work]:
    count = sum(len(part) for part in splits.values())
    count = min(count, recipe.data.rows or count)
    folds, times = recipe.study.folds, recipe.study.folds * recipe.study.seeds
    rows = round(count * (1 - 1 / folds) * (1 - kfold.INNER))
    micro_batches = updates = evaluated = 0
    for variant in recipe.study.variants:
        train = kfold.varied(recipe, variant).train
        per_epoch = math.ceil(rows / recipe.data.batch_size)
        micro_batches += times * train.epochs * per_epoch
        updates += times * train.epochs * math.ceil(per_epoch / train.accumulate)
        evaluated += times * train.epochs * (count - rows)
    trainings = times * len(recipe.study.variants)
    most = recipe.train.accumulate if "all" in recipe.study.variants else 1
    return [Work(recipe.model.encoder, rows, trainings, micro_batches, updates, evaluated, most)]


def _ensemble(recipe: Recipe, splits: Any) -> list[Work]:
    rows = len(ensemble._copied(recipe, splits["train"].select(range(_rows(recipe, splits))), 0))
    per_epoch, times = math.ceil(rows / recipe.data.batch_size), recipe.study.seeds * recipe.train.epochs
    updates = times * math.ceil(per_epoch / recipe.train.accumulate)
    evaluated = times * len(splits["validation"])
    return [
        Work(name, rows, recipe.study.seeds, times * per_epoch, updates, evaluated, recipe.train.accumulate)
        for name in recipe.study.encoders
    ]


def _techniques(recipe: Recipe, splits: Any) -> list[Work]:
    rows, held_out, seeds = _rows(recipe, splits), _held_out(recipe, splits), recipe.study.seeds
    micro_batches = updates = evaluated = 0
    chosen = [techniques.VARIANTS[name] for name in recipe.study.variants or techniques.VARIANTS]
    for variant in chosen:
        train = dataclasses.replace(recipe.train, **variant.train)
        per_epoch = math.ceil(rows / recipe.data.batch_size)
        micro_batches += seeds * train.epochs * per_epoch
        updates += seeds * train.epochs * math.ceil(per_epoch / train.accumulate)
        evaluated += seeds * held_out * (train.epochs if variant.keep_best else 1)
    trainings = seeds * len(chosen)
    return [Work(name, rows, trainings, micro_batches, updates, evaluated) for name in recipe.study.encoders]


COUNTED: dict[str, Callable[[Recipe, Any], list[Work]]] = {
    "batches": _batches, "ensemble": _ensemble, "kfold": _kfold, "techniques": _techniques,
}  # fmt: skip
