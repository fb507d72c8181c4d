"""NSMC, KOTE and UnSmile as `datasets`: what `kolab fetch` has put there, or the same files in a folder of your own.

Each loader returns train, validation and test with `text` (cleaned) and `label` (class numbers) or `labels` (rows of 0
and 1, whose names `kolab.multilabel.label_names` knows), and says in one line what it dropped. The published test
set stays what it is; a text of it that also stands in the training data, or nearly so, is taken out there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from .corpus_files import (
    KOTE_EMOTIONS,
    KOTE_GROUPS,
    NSMC_CLASSES,
    UNSMILE_LABELS,
    UNSMILE_PERSON,
    read_kote,
    read_nsmc,
    read_unsmile,
)
from .errors import ConfigError, DataError
from .multilabel import make_dataset, rarest_of_each
from .splits import split
from .text import clean, near_key

_VALIDATION = (0.9, 0.1, 0.0)  # of the published training rows, where no validation set is published
_RAW = (0.9, 0.05, 0.05)


def load_nsmc(folder: str | Path | None = None, *, classes: int = 2, seed: int = 0) -> DatasetDict:
    """Naver's film reviews.

    folder: holds ratings_train.txt and ratings_test.txt; with classes=3 nsmc_raw.parquet (`kolab fetch nsmc --raw`), or
        a clone of NSMC's repository, or its zip archive. None: where `kolab fetch` puts them.
    classes: 2, as published: 부정 (rated 1 to 4) and 긍정 (9 and 10), balanced, 50,000 of them to test. 3: all raw
        reviews by their rating, 부정 (1 to 4), 중립 (5 to 8), 긍정 (9 and 10), not balanced, split 90/5/5, with the
        columns rating and movie. This takes half a minute.
    seed: of the split; of the published training rows a tenth serves for validation.

    Raises DataError when the files are not there or not what they should be, ConfigError for another number of classes.
    """
    if classes not in NSMC_CLASSES:
        raise ConfigError(f"classes is {classes!r}; NSMC has 2, or 3 by rating.")
    if classes == 3:
        return _by_rating(_find("nsmc --raw", folder, "nsmc_raw.parquet"), seed)
    paths = [_find("nsmc", folder, f"ratings_{part}.txt") for part in ("train", "test")]
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(NSMC_CLASSES[2]))})
    parts = [[(clean(text), label) for text, label in read_nsmc(path)] for path in paths]
    kept, note = _drop(parts)
    train, test = (Dataset.from_dict(dict(zip(features, zip(*rows))), features=features) for rows in kept)
    return _report("NSMC", _held_out(train, test, "label", seed), note)


def load_kote(folder: str | Path | None = None, *, groups: bool = False, seed: int = 0) -> DatasetDict:
    """Online comments with as many of 44 emotions as people saw in them, eight on average.

    folder: holds train.tsv, val.tsv and test.tsv. None: where `kolab fetch kote` puts them.
    groups: seven groups of emotions (`KOTE_GROUPS`) instead of the 44. seed: not needed, the splits are published.

    Jeon, Lee and Kim (2022), *User Guide for KOTE: Korean Online Comments Emotions Dataset*. Raises DataError.
    """
    paths = [_find("kote", folder, f"{part}.tsv") for part in ("train", "val", "test")]
    places = {name: place for place, name in enumerate(KOTE_EMOTIONS)}
    columns = [{places[name] for name in names} for names in KOTE_GROUPS.values()]
    names = list(KOTE_GROUPS) if groups else list(KOTE_EMOTIONS)
    columns = columns if groups else [{place} for place in places.values()]
    parts = [
        [
            (clean(text), [float(bool(column & set(ids))) for column in columns])
            for text, ids in read_kote(path)
        ]
        for path in paths
    ]
    kept, note = _drop(parts)
    made = [make_dataset(*zip(*rows), names) for rows in kept]
    return _report("KOTE", DatasetDict(dict(zip(("train", "validation", "test"), made))), note)


def load_unsmile(folder: str | Path | None = None, *, seed: int = 0) -> DatasetDict:
    """Comments with ten labels: eight kinds of hate, 악플/욕설, clean. The column 개인지칭 says that a person is named.

    folder: holds unsmile_train_v1.0.tsv and unsmile_valid_v1.0.tsv. None: where `kolab fetch unsmile` puts them.
    The published validation rows are the test set, as in its authors' own baseline; a tenth of the training rows, by
    `seed`, serves for validation. The two training rows that carry no label at all are dropped.

    Licence: CC BY-NC-ND 4.0. Kang et al. (2022), *Korean Online Hate Speech Dataset for Multilabel Classification*.
    Raises DataError.
    """
    paths = [_find("unsmile", folder, f"unsmile_{part}_v1.0.tsv") for part in ("train", "valid")]
    parts = [
        [
            (clean(text), [float(cell) for cell in labels], person)
            for text, labels, person in read_unsmile(path)
        ]
        for path in paths
    ]
    kept, note = _drop(parts, empty_labels=True)
    made = []
    for rows in kept:
        texts, labels, persons = zip(*rows)
        columns = {UNSMILE_PERSON: persons, "rarest": rarest_of_each(labels)}
        made.append(make_dataset(texts, labels, UNSMILE_LABELS, **columns))
    return _report("UnSmile", _held_out(*made, "rarest", seed).remove_columns("rarest"), note)


def _find(key: str, folder: str | Path | None, name: str) -> Path:
    """The file of that name. Raises DataError with the command that brings it."""
    from .fetch import SOURCES, folder_of

    source = SOURCES[key]
    where = folder_of(source.folder) if folder is None else Path(folder)
    if not where.exists():
        if folder is not None:
            raise DataError(f"{where}: there is no such folder. It has to hold {name}.")
    elif key == "nsmc --raw" and (where.is_file() or (where / "raw").is_dir()):
        return where
    elif (where / name).is_file():
        return where / name
    raise DataError(
        f"{name} is not in {where}. `kolab fetch {key}` brings it ({source.title}; licence {source.licence}); in a "
        f"notebook, `!kolab fetch {key}{' --yes' if source.terms else ''}`. Or give the loader a folder that holds it."
    )


def _drop(parts: Sequence[list[tuple]], *, empty_labels: bool = False) -> tuple[list[list[tuple]], str]:
    """The rows to keep of each part (the last is the test set), and what was dropped, in words.

    Dropped: no text; no label, if asked; and, before the last part, a text that a later part has too.
    """
    counts = {"without text": 0, "without label": 0, "also in a later split": 0}
    seen: set[str] = set()
    kept: list[list[tuple]] = []
    for rows in reversed(parts):
        counts["without text"] += sum(not row[0] for row in rows)
        rows = [row for row in rows if row[0]]
        if empty_labels:
            counts["without label"] += sum(not any(row[1]) for row in rows)
            rows = [row for row in rows if any(row[1])]
        keys = [near_key(row[0]) for row in rows]
        counts["also in a later split"] += sum(key in seen for key in keys)
        kept.insert(0, [row for row, key in zip(rows, keys) if key not in seen])
        seen.update(keys)
    if not all(kept):
        raise DataError(
            "A split has no usable row: " + ", ".join(f"{n} {what}" for what, n in counts.items())
        )
    return kept, ", ".join(f"{n:,} {what}" for what, n in counts.items() if n)


def _held_out(train: Dataset, test: Dataset, stratify: str, seed: int) -> DatasetDict:
    """A tenth of the training rows for validation, no text of it, or nearly the same, left in train."""
    parts = split(train, sizes=_VALIDATION, seed=seed, stratify=stratify)
    return DatasetDict({"train": parts["train"], "validation": parts["validation"], "test": test})


def _report(name: str, parts: DatasetDict, note: str) -> DatasetDict:
    sizes = ", ".join(f"{part} {len(rows):,}" for part, rows in parts.items())
    print(f"{name}: {sizes}" + (f"; dropped: {note}" if note else ""))
    return parts


def _by_rating(path: Path, seed: int) -> DatasetDict:
    rows, unrated = [], 0
    for row in _raw_rows(path):
        text, rating = clean(row["text"] or ""), row["rating"]
        if not text or not isinstance(rating, int) or not 1 <= rating <= 10:
            unrated += 1
            continue
        rows.append((text, 0 if rating <= 4 else 1 if rating <= 8 else 2, rating, str(row["movie"])))
    if not rows:
        raise DataError(f"{path} holds no review with a text and a rating from 1 to 10.")
    features = Features(
        {
            "text": Value("string"),
            "label": ClassLabel(names=list(NSMC_CLASSES[3])),
            "rating": Value("int64"),
            "movie": Value("string"),
        }
    )
    dataset = Dataset.from_dict(dict(zip(features, zip(*rows))), features=features)
    note = f"{unrated:,} without text or rating" if unrated else ""
    return _report("NSMC by rating", split(dataset, sizes=_RAW, seed=seed), note)


def _raw_rows(path: Path) -> list[dict[str, Any]]:
    """The raw reviews of a parquet table, a zip archive, or a clone's folder."""
    if path.is_dir() or path.suffix.lower() == ".zip":
        from .nsmc_archive import COLUMNS, folder_reviews, raw_reviews

        found = folder_reviews(path / "raw") if path.is_dir() else raw_reviews(path)
        return [dict(zip(COLUMNS, row)) for row in found]
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=["movie", "rating", "text"]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} cannot be read as a table with the columns movie, rating and text "
            f"({str(error).splitlines()[0]}). `kolab fetch nsmc --raw` makes it."
        ) from error
