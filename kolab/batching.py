"""From texts to batches: tokenising, padding, batches of like length, loaders.

A batch is a rectangle, a text is not, so the difference is filled with padding that the model computes and
nobody uses. Batches of texts of like length hold hardly any: lesson 02 measures it.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from kolab.bucket import BucketBatchSampler, ShardedBatchSampler, whole_number
from kolab.errors import ConfigError, DataError

__all__ = [
    "BucketBatchSampler",
    "Collator",
    "Loaders",
    "ShardedBatchSampler",
    "TokenDataset",
    "make_loaders",
    "padding_share",
    "tokenize",
]

LABEL_COLUMNS = ("label", "labels")


def tokenize(dataset, tokenizer, *, max_length: int = 128):
    """Turn the column `text` into token ids, many rows at a time.

    Args:
        dataset: a `datasets.Dataset`, or a mapping of split name to Dataset (DatasetDict), with a column
            `text` and, if it is labelled, `label` (class number) or `labels` (multi-hot).
        tokenizer: a Hugging Face tokenizer, as `load_encoder` returns it.
        max_length: longest sequence in tokens, the special ones counted; longer texts lose their end.

    Returns:
        The same kind of thing, same order, with the columns `input_ids` (list of int32), `length` (int32) and
        the label column. No attention mask and no token types: the collator makes the one, and nobody needs
        the other.

    Raises:
        DataError: no column `text`, no rows, or a text that is blank or no string (the row is named).
        ConfigError: `max_length` is no whole number, leaves no room for text, or is more than the tokenizer
            allows.
    """
    from datasets import DatasetDict, Features, List, Value

    least = tokenizer.num_special_tokens_to_add() + 1
    max_length = whole_number("max_length", max_length, least)
    if max_length > tokenizer.model_max_length:
        raise ConfigError(
            f"max_length is {max_length}, but this encoder reads at most {tokenizer.model_max_length} tokens: "
            "set that, or less."
        )
    if isinstance(dataset, Mapping):
        return DatasetDict(
            {name: tokenize(part, tokenizer, max_length=max_length) for name, part in dataset.items()}
        )
    if len(dataset) == 0:
        raise DataError("the dataset has no rows; look at what the filters before this step have dropped.")
    if "text" not in dataset.column_names:
        raise DataError(
            f"there is no column 'text', only {dataset.column_names}; rename the one that holds the text."
        )

    kept = [name for name in LABEL_COLUMNS if name in dataset.column_names]
    types = {"input_ids": List(Value("int32")), "length": Value("int32")}

    def encode(batch: dict, rows: list[int]) -> dict:
        for row, text in zip(rows, batch["text"], strict=True):
            if not isinstance(text, str) or not text.strip():
                raise DataError(
                    f"row {row}: the text is {text!r}; drop such rows first, as kl.load_aihub does, "
                    "or with dataset.filter(lambda row: row['text'] and row['text'].strip())."
                )
        ids = tokenizer(
            batch["text"], truncation=True, max_length=max_length, padding=False,
            return_attention_mask=False, return_token_type_ids=False,
        )["input_ids"]  # fmt: skip
        return {"input_ids": ids, "length": [len(one) for one in ids]}

    return dataset.map(
        encode,
        batched=True,  # a fast tokenizer spreads one call over all cores; one call a row cannot be spread
        with_indices=True,
        remove_columns=[name for name in dataset.column_names if name not in kept],
        features=Features(types | {name: dataset.features[name] for name in kept}),
        keep_in_memory=True,  # 700,000 film reviews are 70 MB of ids, and no cache file can be stale
        desc="tokenise",
    )


class TokenDataset(torch.utils.data.Dataset):
    """Token ids of all texts in one flat array: what a DataLoader asks of a dataset, and nothing more.

    A list of 700,000 lists costs gigabytes and is copied into every worker; one int32 array costs 4 bytes a
    token.

    Args:
        tokens: (total tokens,) ids of all texts, one after the other.
        offsets: (texts + 1,) where each text starts; the last entry is the number of tokens.
        labels: (texts,) class numbers, (texts, classes) multi-hot, or None.

    >>> data = TokenDataset(np.array([2, 7, 3, 2, 3]), np.array([0, 3, 5]), np.array([1, 0]))
    >>> len(data), data[0]["input_ids"].tolist(), int(data[0]["label"])
    (2, [2, 7, 3], 1)
    """

    def __init__(self, tokens: np.ndarray, offsets: np.ndarray, labels: np.ndarray | None = None):
        self.tokens, self.offsets, self.labels = tokens, offsets, labels

    @classmethod
    def of(cls, tokenized) -> "TokenDataset":
        """From a Dataset as `tokenize` returns it; raises DataError on a missing or impossible label."""
        table = tokenized.with_format("arrow")[:]
        ids = table["input_ids"].combine_chunks()
        sizes = ids.value_lengths().to_numpy(zero_copy_only=False)
        column = next((name for name in LABEL_COLUMNS if name in tokenized.column_names), None)
        labels = None
        if column is not None:
            values = table[column].to_pylist()
            for row, value in enumerate(values):
                if value is None or (isinstance(value, int | float) and not value >= 0):
                    raise DataError(f"row {row}: {column} is {value!r}; drop the rows that carry no label.")
                if not isinstance(value, int | float | list) or np.size(value) != np.size(values[0]):
                    raise DataError(
                        f"row {row}: {column} is {value!r}; it has to be a class number, or a row of 0 and 1 with one "
                        "entry for each class, the same for all texts."
                    )
            labels = np.asarray(values)
        flat = ids.flatten().to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
        return cls(flat, np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]), labels)

    @property
    def lengths(self) -> np.ndarray:
        """(texts,) tokens of each text."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"text {index} of {len(self)}")
        index %= len(self)
        item = {"input_ids": self.tokens[self.offsets[index] : self.offsets[index + 1]]}
        if self.labels is not None:
            item["label"] = self.labels[index]
        return item

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """A whole batch in one call; DataLoader uses it where it exists."""
        return [self[index] for index in indices]


class Collator:
    """Pad the texts of one batch to the longest of them.

    Args:
        pad_id: the tokenizer's `pad_token_id`; never guess it, KoBERT's is 1 and not 0.
        pad_to_multiple_of: round the width up (8 suits the tensor cores of a GPU); None for the longest as it
            is.

    Called with a list of {"input_ids": ids, "label" or "labels": class number or multi-hot}, it returns
    `input_ids` and `attention_mask` (batch, width) int64 and, for labelled examples, `labels`: (batch,) int64
    for class numbers, (batch, classes) float32 for multi-hot. An empty list gives an empty batch, (0, 1): a
    process that has no part in a short last batch still takes its turn.

    >>> batch = Collator(0)([{"input_ids": [2, 9, 3], "label": 1}, {"input_ids": [2, 3], "label": 0}])
    >>> batch["input_ids"].tolist(), batch["attention_mask"].tolist(), batch["labels"].tolist()
    ([[2, 9, 3], [2, 3, 0]], [[1, 1, 1], [1, 1, 0]], [1, 0])
    """

    def __init__(self, pad_id: int, *, pad_to_multiple_of: int | None = None):
        if pad_id is None:
            raise ConfigError("the tokenizer has no padding token; set tokenizer.pad_token first.")
        self.pad_id = whole_number("pad_id", pad_id, 0)
        self.multiple = (
            1 if pad_to_multiple_of is None else whole_number("pad_to_multiple_of", pad_to_multiple_of, 1)
        )

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        if not examples:
            nothing = torch.zeros((0, 1), dtype=torch.int64)
            return {"input_ids": nothing, "attention_mask": nothing.clone(), "labels": nothing[:, 0].clone()}
        rows = [example.get("input_ids") for example in examples]
        if any(row is None or isinstance(row, str) for row in rows):
            raise DataError("an example of the batch has no input_ids: tokenise the texts first.")
        lengths = np.array([len(row) for row in rows])
        width = -(-max(int(lengths.max()), 1) // self.multiple) * self.multiple  # rounded up
        mask = np.arange(width) < lengths[:, None]
        ids = np.full(mask.shape, self.pad_id, dtype=np.int64)
        ids[mask] = np.concatenate(rows)  # row by row, left to right: exactly the order of the texts
        batch = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
        }
        key = next((name for name in LABEL_COLUMNS if name in examples[0]), None)
        if key is not None:
            batch["labels"] = _labels([example.get(key) for example in examples])
        return batch


def _labels(values: list[Any]) -> torch.Tensor:
    """Class numbers as (batch,) int64, multi-hot rows as (batch, classes) float32."""
    if any(value is None for value in values):
        raise DataError("some examples of the batch carry a label and some do not; drop those that do not.")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(
            "the multi-hot labels of one batch differ in length; all need one entry a class."
        ) from error
    if array.ndim == 2:
        return torch.from_numpy(array.astype(np.float32))
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise DataError(
            f"a label is {values[0]!r}; it has to be a class number, or a multi-hot row of 0 and 1."
        )
    return torch.from_numpy(array.astype(np.int64))


class Loaders(dict):
    """The loaders of one task by split name: `loaders["train"]`, or `loaders.train`.

    Attributes: `tokenizer` and `collator`, with which more texts can be made into batches of the same kind.
    """

    def __init__(self, loaders: Mapping[str, DataLoader], tokenizer, collator: Collator):
        super().__init__(loaders)
        self.tokenizer, self.collator = tokenizer, collator

    def __getattr__(self, name: str) -> DataLoader:
        if name in self:
            return self[name]
        raise AttributeError(f"there is no split {name!r}; these loaders have {sorted(self)}")


def make_loaders(
    dataset_dict: Mapping[str, Any],
    tokenizer,
    *,
    batch_size: int = 32,
    max_length: int = 128,
    seed: int = 0,
    bucket: bool = True,
    workers: int = 0,
    eval_batch_size: int | None = None,
) -> Loaders:
    """Tokenise each split and wrap it in a DataLoader that gives padded batches.

    Args:
        dataset_dict: split name → Dataset with `text` and `label` or `labels`; a split that already has
            `input_ids` is used as it is. Only "train" is shuffled; the others come sorted by length
            (`loader.batch_sampler` iterates over the lists of indices, so results can be put back in order).
        batch_size: examples a batch; `eval_batch_size` for the other splits (None: the same).
        max_length: longest sequence in tokens.
        seed: order of the training batches, together with `loaders["train"].batch_sampler.set_epoch(e)`.
        bucket: batches of like length; False for random order, and the dataset's own order in the other
            splits.
        workers: processes that make batches ahead of time. 0 is right here: ready-made ids take next to no
            work.

    Returns:
        Loaders. Iterating them draws nothing from torch's or numpy's global random state, so a run that stops
        and resumes stays bit for bit what it would have been.

    Raises:
        ConfigError, DataError: as `tokenize`, and for settings that cannot be.
    """
    if not isinstance(dataset_dict, Mapping) or not dataset_dict:
        raise ConfigError(
            'make_loaders wants a DatasetDict or {"train": dataset, …}; wrap a single Dataset that way.'
        )
    batch_size = whole_number("batch_size", batch_size, 1)
    eval_batch_size = (
        batch_size if eval_batch_size is None else whole_number("eval_batch_size", eval_batch_size, 1)
    )
    workers = whole_number("workers", workers, 0)
    if workers and "TOKENIZERS_PARALLELISM" not in os.environ:
        os.environ["TOKENIZERS_PARALLELISM"] = (
            "true"  # silences a warning at the fork: our workers never tokenise
        )
    if not hasattr(tokenizer, "pad_token_id"):
        raise ConfigError(
            f"tokenizer is a {type(tokenizer).__name__}; give the second of the two that load_encoder returns: "
            "encoder, tokenizer = kl.load_encoder(…)."
        )
    odd = next((name for name, part in dataset_dict.items() if not hasattr(part, "column_names")), None)
    if odd is not None:
        raise ConfigError(
            f"{odd!r} is a {type(dataset_dict[odd]).__name__}, not a datasets.Dataset. Make it one: "
            "Dataset.from_list(rows), Dataset.from_pandas(table)."
        )
    collator = Collator(tokenizer.pad_token_id)
    loaders = {}
    for name, part in dataset_dict.items():
        ready = "input_ids" in part.column_names and len(part) > 0
        data = TokenDataset.of(part if ready else tokenize(part, tokenizer, max_length=max_length))
        train = name == "train"
        size = batch_size if train else eval_batch_size
        sampler = BucketBatchSampler(data.lengths, size, shuffle=train, seed=seed, pool=64 if bucket else 1)
        loaders[name] = DataLoader(
            data,
            batch_sampler=sampler,
            collate_fn=collator,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(seed),  # else each iteration draws from the global state
        )
    return Loaders(loaders, tokenizer, collator)


def padding_share(batches: Iterable[Mapping[str, torch.Tensor]]) -> float:
    """Which part of all positions in these batches (or in this loader's next epoch) is padding, from 0 to 1.

    >>> padding_share([{"attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])}])
    0.25
    """
    real = positions = 0
    for batch in batches:
        real += int(batch["attention_mask"].sum())
        positions += batch["attention_mask"].numel()
    if not positions:
        raise DataError("there are no batches to count padding in.")
    return 1 - real / positions
