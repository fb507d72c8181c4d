"""Splitting a data set so that no text, nor a near duplicate of it, stands on both sides."""

import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from datasets import Dataset, DatasetDict

from .errors import DataError
from .text import near_key

SPLITS = ("train", "validation", "test")


def split(
    dataset: Dataset,
    *,
    sizes: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    stratify: str | None = "label",
    group: Callable[[str], Hashable] = near_key,
) -> DatasetDict:
    """Split into train, validation and test.

    Rows whose texts have the same `group` key go to the same side, and each class is shared out in the same proportions
    (a group with several labels counts as its first row's). The same seed gives the same split; rows come shuffled.

    Args:
        dataset: has a column ``text`` and, unless `stratify` is None, the column it names.
        sizes: the shares of the three splits; they have to add up to 1.
        stratify: the column whose shares are to be equal everywhere; None for none.
        group: text → key.

    Raises DataError when a column is missing, the sizes make no sense, or a split would be empty.
    """
    _check_table(dataset)
    numbers = isinstance(sizes, Sequence) and all(isinstance(size, int | float) for size in sizes)
    if not numbers or len(sizes) != 3 or not min(sizes) >= 0 or not abs(sum(sizes) - 1) <= 1e-6:
        raise DataError(
            f"sizes={sizes}: give three shares of 0 or more that add up to 1, such as (0.8, 0.1, 0.1)."
        )
    for column in ("text", stratify):
        if column is not None and column not in dataset.column_names:
            raise DataError(
                f"there is no column {column!r} to split by; the columns are {dataset.column_names}."
            )
    labels = dataset[stratify][:] if stratify else [None] * len(dataset)
    parts = _assign(list(dataset["text"][:]), labels, sizes, random.Random(seed), group)
    for name, size, part in zip(SPLITS, sizes, parts, strict=True):
        if size and not part:
            raise DataError(
                f"{len(dataset)} rows are too few: the {name} split would be empty. Add rows or change sizes."
            )
    return DatasetDict({name: dataset.select(part) for name, part in zip(SPLITS, parts, strict=True)})


def folds(
    dataset: Dataset,
    count: int = 5,
    *,
    seed: int = 0,
    stratify: str | None = "label",
    group: Callable[[str], Hashable] = near_key,
) -> list[list[int]]:
    """Row numbers of `count` parts for cross-validation: each row in exactly one, near duplicates together.

    Stratified, grouped and seeded as `split` is. Fold k holds out `folds[k]` and trains on all the others.

    Raises DataError when a column is missing, or there are fewer groups than folds.

    >>> rows = Dataset.from_dict({"text": ["좋다", "좋다!", "나쁘다", "싫다"], "label": [1, 1, 0, 0]})
    >>> any({0, 1} <= set(part) for part in folds(rows, 2))
    True
    """
    _check_table(dataset)
    if isinstance(count, bool) or not isinstance(count, int) or count < 2:
        raise DataError(f"count={count!r}: cross-validation needs a whole number of at least 2 folds.")
    for column in ("text", stratify):
        if column is not None and column not in dataset.column_names:
            raise DataError(
                f"there is no column {column!r} to fold by; the columns are {dataset.column_names}."
            )
    labels = dataset[stratify][:] if stratify else [None] * len(dataset)
    parts = _assign(list(dataset["text"][:]), labels, (1 / count,) * count, random.Random(seed), group)
    if not all(parts):
        raise DataError(f"{len(dataset)} rows are too few for {count} folds: one would be empty.")
    return parts


def _check_table(dataset: object) -> None:
    if not isinstance(dataset, Dataset):
        raise DataError(
            f"a datasets.Dataset can be split, not a {type(dataset).__name__}. Of rows or a table make one with "
            "Dataset.from_list(rows) or Dataset.from_pandas(table); of a DatasetDict take one of its parts."
        )


def _assign(
    texts: list[str], labels: list, sizes: tuple, rng: random.Random, group: Callable
) -> list[list[int]]:
    """Row numbers of each split. Each group goes where most rows of its class are still missing."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        groups[group(text)].append(row)
    classes: dict[str, list[list[int]]] = defaultdict(list)
    for rows in groups.values():
        classes[repr(labels[rows[0]])].append(rows)
    parts: list[list[int]] = [[] for _ in sizes]
    for name in sorted(classes):
        members = classes[name]
        rng.shuffle(members)
        members.sort(
            key=len, reverse=True
        )  # large groups first, while there is room; sort keeps the shuffle otherwise
        total = sum(map(len, members))
        here = [0] * len(sizes)
        for rows in members:
            # Ties, and the rounding of each class, go to the split that is behind over all classes so far.
            missing = [
                (size * total - taken, size * len(texts) - len(part))
                for size, taken, part in zip(sizes, here, parts, strict=True)
            ]
            best = max(range(len(sizes)), key=lambda number: (sizes[number] > 0, missing[number]))
            parts[best] += rows
            here[best] += len(rows)
    for part in parts:
        rng.shuffle(part)
    return parts
