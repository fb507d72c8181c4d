"""The film probe's rows: reviews of films that no pre-training saw, balanced, always the same for the same corpus.

Held out are the films whose crc32(film) % 10 is 0 (`kolab.corpus.held_out`). The corpus is the raw one, a parquet table
with the columns movie, rating and text: `kolab fetch nsmc --raw` makes it.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from kolab.corpus import held_out
from kolab.errors import DataError
from kolab.text import clean, near_key

RATINGS = {"bad (1-4)": range(1, 5), "middling (5-7)": range(5, 8), "good (9-10)": range(9, 11)}
TWO_RATINGS = {"bad (1-4)": range(1, 5), "good (9-10)": range(9, 11)}
TRAIN_ROWS, TEST_ROWS, TWO_TEST_ROWS = 3526, 4000, 10_000


def film_probe(path: str | Path, *, train: int = TRAIN_ROWS, test: int = TEST_ROWS) -> DatasetDict:
    """Balanced rows of three classes from the held-out films, text and label, always the same for the same file.

    No text, nor a near duplicate, comes twice. Raises DataError for a file that cannot be read or is too small.
    """
    rows = _film_rows(path, RATINGS, apart=True)
    first = _balanced(rows, train, RATINGS, path)
    return _as_splits(first, _balanced(rows.drop(first.index), test, RATINGS, path), RATINGS)


def two_class_task(path: str | Path, train: int, *, test: int = TWO_TEST_ROWS) -> DatasetDict:
    """Balanced rows rated 1-4 and 9-10: to train on from the films that pre-training saw, to test from the others."""
    seen, unseen = (_film_rows(path, TWO_RATINGS, apart=apart) for apart in (False, True))
    first = _balanced(seen, train, TWO_RATINGS, path)
    unseen = unseen[~unseen["key"].isin(set(first["key"]))]
    return _as_splits(first, _balanced(unseen, test, TWO_RATINGS, path), TWO_RATINGS)


def _film_rows(path: str | Path, ratings: dict[str, range], *, apart: bool) -> pd.DataFrame:
    """text, label and key of all usable rows of the held-out films (or of the others), in a random, fixed order."""
    columns = ["movie", "rating", "text"]
    try:
        table = pd.read_parquet(path, columns=columns)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} cannot be read as the raw film reviews, a parquet table with {columns}: {error}"
        ) from error
    label_of = {rating: label for label, span in enumerate(ratings.values()) for rating in span}
    films = table["movie"].drop_duplicates()
    held = set(films[[held_out(film, 0) for film in films]])
    table = table[(table["movie"].isin(held) == apart) & table["rating"].isin(label_of)]
    table = table.iloc[np.random.default_rng(0).permutation(len(table))].reset_index(drop=True)
    text = table["text"].fillna("").map(clean)
    table = pd.DataFrame({"text": text, "label": table["rating"].map(label_of), "key": text.map(near_key)})
    return table[(table["text"] != "") & ~table["key"].duplicated()]


def _balanced(rows: pd.DataFrame, count: int, ratings: dict[str, range], path: str | Path) -> pd.DataFrame:
    """The first rows of each class, equally many of each; the first classes have one more where it does not divide."""
    parts = []
    for label, name in enumerate(ratings):
        wanted = count // len(ratings) + (label < count % len(ratings))
        parts.append(rows[rows["label"] == label].head(wanted))
        if len(parts[-1]) < wanted:
            raise DataError(
                f"{path}: {len(parts[-1]):,} usable reviews of the class {name}, but {wanted:,} are needed."
            )
    return pd.concat(parts)


def _as_splits(train: pd.DataFrame, test: pd.DataFrame, ratings: dict[str, range]) -> DatasetDict:
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(ratings))})
    parts = {"train": train[["text", "label"]], "test": test[["text", "label"]]}
    return DatasetDict(
        {
            name: Dataset.from_pandas(rows, features=features, preserve_index=False).shuffle(seed=0)
            for name, rows in parts.items()
        }
    )
