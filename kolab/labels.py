"""The names of a data set's classes: of class numbers (`label`), and of the columns of multi-hot rows (`labels`).

A ClassLabel column knows its names. A list of floats does not, so they are kept in the data set's own description,
which `select`, `map`, `shuffle` and `train_test_split` hand on.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import ClassLabel, Dataset, Features, List, Value

from .errors import DataError


def multi_hot(rows: Mapping[str, list], names: Sequence[str], **features: Any) -> Dataset:
    """A Dataset whose column `labels` holds rows of 0 and 1, one for each name, float32.

    rows: column → values; `labels` among them, (N, C). features: the types of the columns besides text and labels.

    >>> data = multi_hot({"text": ["좋다"], "labels": [[1, 0]]}, ["화면", "배터리"])
    >>> data[0]["labels"], label_names(data)
    ([1.0, 0.0], ['화면', '배터리'])
    """
    kinds = Features({"text": Value("string"), "labels": List(Value("float32"))} | features)
    dataset = Dataset.from_dict({name: rows[name] for name in kinds}, features=kinds)
    dataset.info.description = json.dumps({"labels": list(names)}, ensure_ascii=False)
    return dataset


def is_multi_label(data: Dataset | Mapping[str, Dataset]) -> bool:
    """Whether a text may carry several labels: the column is called `labels`, not `label`."""
    return "labels" in _first(data).column_names


def label_names(data: Dataset | Mapping[str, Dataset]) -> list[str]:
    """The names of the classes, in the order of their numbers or columns; of a DatasetDict, those of its train split.

    Raises DataError where no names are known.
    """
    dataset = _first(data)
    label = dataset.features.get("label")
    if isinstance(label, ClassLabel):
        return list(label.names)
    try:
        return list(json.loads(dataset.info.description or "{}")["labels"])
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"The data set does not say what its labels are called; its columns are {dataset.column_names}. Make "
            "`label` a ClassLabel, or build rows of 0 and 1 with kolab.labels.multi_hot."
        ) from None


def _first(data: Dataset | Mapping[str, Dataset]) -> Dataset:
    if not isinstance(data, Mapping):
        return data
    return data["train"] if "train" in data else next(iter(data.values()))
