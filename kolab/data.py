"""The course's data, and any other corpus of the same shape, as `datasets`.

Every loader drops what it cannot trust, says how much in one line, and never trips over a dirty row; `strict=True`
turns the first such row into an error that names it.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, concatenate_datasets

from .aihub import FEATURES, read_files
from .auditing import Audit, Located, inspect
from .errors import DataError
from .splits import split
from .text import clean, near_key

__all__ = [
    "AIHUB_FEATURES", "DATA", "EMOTIONS", "POLARITY", "Audit", "audit", "data_path", "load_aihub", "load_aspects",
    "load_emotions", "load_reviews", "near_key", "split",
]  # fmt: skip

POLARITY = ("부정", "중립", "긍정")  # labels 0, 1, 2
EMOTIONS = ("joy", "anxiety", "anger", "sadness", "neutral")
AIHUB_FEATURES = FEATURES
_LABEL_OF = {"-1": 0, "0": 1, "1": 2}

_ASPECTS = [{"aspect": Value("string"), "polarity": Value("int64"), "text": Value("string")}]
_AIHUB_COLUMNS = {
    "text": Value("string"), "label": ClassLabel(names=list(POLARITY)), "index": Value("string"),
    "file": Value("string"), "category": Value("string"), "product": Value("string"), "aspects": _ASPECTS,
}  # fmt: skip


def _find_data() -> Path:
    """KOLAB_DATA, else the copy inside an installed package, else `data/` beside the package in a clone."""
    if os.environ.get("KOLAB_DATA"):
        return Path(os.environ["KOLAB_DATA"])
    package = Path(__file__).resolve().parent
    return package / "_data" if (package / "_data").is_dir() else package.parent / "data"


DATA = _find_data()


def data_path(*parts: str) -> Path:
    """A file or folder of the bundled data. Raises DataError, with the cure, when it is not there."""
    path = DATA.joinpath(*parts)
    if not path.exists():
        raise DataError(
            f"{path}: the course's data is not there. Work in a clone of the course, reinstall the package, "
            "or set KOLAB_DATA to the clone's data folder."
        )
    return path


def load_aihub(
    path: str | Path, *, strict: bool = False, domain: str | None = None, return_report: bool = False
) -> Dataset | tuple[Dataset, Audit]:
    """Load a corpus in the shape of AI Hub's data set 71603: a folder, one file, or a zip archive.

    Args:
        path: read as :func:`kolab.aihub.read_files` does. Archives are never unpacked to disk.
        strict: raise DataError on the first row that would be dropped, naming file, index, field and value.
        domain: keep records of this ``Domain`` only, for example ``"IT기기"``.
        return_report: also return the :class:`~kolab.auditing.Audit`.

    Returns:
        Columns text (cleaned), label (부정, 중립, 긍정), index, file, category, product, and aspects, a list of
        {aspect, polarity (-1, 0, 1 or None), text}. What was dropped, and why, is printed in one line.

    Raises DataError when nothing can be read (see there) or nothing is left.
    """
    rows, bom_files = _read(path, domain)
    kept, report = inspect(rows, tuple(_LABEL_OF), bom_files=bom_files, strict=strict)
    if not kept:
        raise DataError(
            f"{path}: no usable row ({report.summary()}). Check that this is the labelled part of the corpus; "
            "kl.audit(path) shows what is wrong with it."
        )
    print(f"{Path(path).name}: {report.summary()}")
    dataset = Dataset.from_list([_row(at) for at in kept], features=Features(_AIHUB_COLUMNS))
    return (dataset, report) if return_report else dataset


def load_reviews(*, seed: int = 0, strict: bool = False, raw: bool = False) -> DatasetDict | Dataset:
    """The bundled reviews of IT devices, ready for training: train, validation and test (80/10/10 by `seed`).

    Columns: those of :func:`load_aihub` and style, "hard" (witty, sarcastic, indirect) or "plain". With ``raw=True``
    all rows as they stand in the files, dirt included, in one Dataset of strings: what ``load_dataset("json")`` gives.
    """
    folder = data_path("it_reviews")
    if raw:
        rows, _ = _read(folder, None)
        records = [at.record for at in rows]
        return Dataset.from_list(
            [{name: record.get(name) for name in FEATURES} for record in records], features=FEATURES
        )
    dataset = load_aihub(folder, strict=strict)
    with data_path("it_reviews", "style.csv").open(encoding="utf-8", newline="") as file:
        styles = {line["Index"]: line["style"] for line in csv.DictReader(file)}
    return split(dataset.add_column("style", [styles[index] for index in dataset["index"][:]]), seed=seed)


def load_aspects(path: str | Path | None = None, *, seed: int = 0, least: int = 20) -> DatasetDict:
    """Reviews with the aspects they speak of: many labels a text, or none. Train, validation and test (80/10/10).

    path: a corpus as for :func:`load_aihub`; without it the bundled reviews. least: an aspect that fewer reviews have
    is no label. Columns: text, labels (a row of 0 and 1 in float32, the most frequent aspect first), product, and style
    for the bundled reviews. `kolab.multilabel.label_names` gives the aspects' names. Each split holds its share of
    every aspect, also of the rare ones: rows are dealt out by the rarest aspect they have.

    Raises DataError as `load_aihub`, and when no aspect is left.
    """
    from .multilabel import make_dataset, rarest_of_each  # here: it needs torch, and the other loaders do not

    if path is None:
        splits = load_reviews(seed=seed)
        dataset = concatenate_datasets([splits[name] for name in splits])
    else:
        dataset = load_aihub(path)
    found = [{aspect["aspect"] for aspect in row} for row in dataset["aspects"][:]]
    often = Counter(name for row in found for name in row)
    names = [name for name, count in sorted(often.items(), key=lambda at: (-at[1], at[0])) if count >= least]
    if not names:
        raise DataError(f"{path}: no aspect has {least} reviews; these are all there are: {dict(often)}.")
    labels = np.array([[name in row for name in names] for row in found], dtype=np.float32)
    columns = {name: dataset[name][:] for name in ("product", "style") if name in dataset.column_names}
    made = make_dataset(dataset["text"][:], labels, names, **columns, rarest=rarest_of_each(labels))
    return split(made, seed=seed, stratify="rarest").remove_columns("rarest")


def load_emotions(*, seed: int = 0) -> DatasetDict:
    """The bundled utterances, text and label (joy, anxiety, anger, sadness, neutral; imbalanced), split 80/10/10."""
    path = data_path("emotions", "emotions.csv")
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    unknown = {line["emotion"] for line in lines} - set(EMOTIONS)
    if unknown:
        raise DataError(f"{path}: unknown emotion {min(unknown)!r}; known are {', '.join(EMOTIONS)}.")
    columns = {"text": [clean(line["text"]) for line in lines], "label": [line["emotion"] for line in lines]}
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(EMOTIONS))})
    return split(Dataset.from_dict(columns, features=features), seed=seed)


def audit(source: str | Path | Dataset | DatasetDict | Iterable[dict]) -> Audit:
    """Count everything that is wrong with a corpus: a path as for :func:`load_aihub`, or a table already loaded.

    A table has the corpus's own columns (RawText, GeneralPolarity) or text and label. It no longer knows whether its
    files began with a BOM, nor whether a polarity was null or missing: Arrow stores None for both.

    >>> audit([{"RawText": "좋아요", "GeneralPolarity": "1"}, {"RawText": "좋아요!", "GeneralPolarity": "1"}]).kept
    1
    """
    if isinstance(source, (str, Path)):
        rows, bom_files = _read(source, None)
        return inspect(rows, tuple(_LABEL_OF), bom_files=bom_files)[1]
    if hasattr(source, "to_dict") and hasattr(
        source, "columns"
    ):  # a pandas table; iterating it gives column names
        source = source.to_dict("records")
    if not isinstance(source, Iterable):
        raise DataError(f"an audit needs a path, a Dataset or a list of rows, not a {type(source).__name__}.")
    tables = source if isinstance(source, DatasetDict) else {"": source}
    rows, valid, fields = [], tuple(_LABEL_OF), {}
    for name, table in tables.items():
        features = getattr(table, "features", None) or {}
        rows += [Located(name, number, row) for number, row in enumerate(table)]
        if rows and isinstance(rows[0].record, dict) and "RawText" not in rows[0].record:
            fields = {"text_field": "text", "label_field": "label"}
            if not {"text", "label"} <= set(rows[0].record):
                raise DataError(
                    f"an audit needs RawText and GeneralPolarity, or text and label; found {list(rows[0].record)}."
                )
            label = features.get("label")
            valid = (
                tuple(range(label.num_classes)) if isinstance(label, ClassLabel) else (*range(3), *POLARITY)
            )
    return inspect(rows, valid, **fields)[1]


def _read(path: str | Path, domain: str | None) -> tuple[list[Located], list[str]]:
    """All rows with their places, and the names of the files that begin with a BOM."""
    rows, bom_files, domains = [], [], set()
    for file in read_files(path):
        if file.bom:
            bom_files.append(file.name)
        for number, record in enumerate(file.records):
            if domain is not None:
                found = _string(record, "Domain")
                domains.add(found)
                if found != clean(domain):
                    continue
            rows.append(Located(file.name, number, record))
    if not rows:
        cure = (
            f"The domains there are: {', '.join(sorted(domains))}."
            if domains
            else "Give the folder or file that holds the labelled part of the corpus."
        )
        raise DataError(f"{path}: no record{f' of the domain {domain!r}' if domain else ''}. {cure}")
    return rows, bom_files


def _string(record: object, name: str) -> str:
    """A field as clean text; empty when it is absent or no string. Nothing in a dirty row may crash a loader."""
    value = record.get(name) if isinstance(record, dict) else None
    return clean(value) if isinstance(value, str) else ""


def _row(at: Located) -> dict:
    record = at.record
    aspects = record.get("Aspects")
    return {
        "text": _string(record, "RawText"),
        "label": _LABEL_OF[record["GeneralPolarity"]],
        "index": clean(str(record.get("Index", ""))),
        "file": at.file,
        "category": _string(record, "MainCategory"),
        "product": _string(record, "ProductName"),
        "aspects": [_aspect(aspect) for aspect in aspects if _string(aspect, "Aspect")]
        if isinstance(aspects, list)
        else [],
    }


def _aspect(aspect: dict) -> dict:
    polarity = _string(aspect, "SentimentPolarity")
    return {
        "aspect": _string(aspect, "Aspect"),
        "polarity": int(polarity) if polarity in _LABEL_OF else None,
        "text": _string(aspect, "SentimentText"),
    }
