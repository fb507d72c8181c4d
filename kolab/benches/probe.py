"""How good is an encoder? Fine-tuned on few labels, beside the same network from random weights and a bag of n-grams.

Three tasks, each scored by macro-F1 as mean and standard deviation:

- `film reviews`: three classes by rating (1-4, 5-7, 9-10) from films that pre-training never saw: those whose
  crc32(film) % 10 is 0. 3,526 rows to train on, 4,000 to test, balanced, always the same; only the seed of the head,
  the dropout and the order changes. Needs the raw corpus (columns id, movie, rating, date, text): `--raw FILE.parquet`
  or KOLAB_NSMC_RAW. Without it this task is left out, and said to be.
- `reviews` (all, hard, plain) and `emotions`: the bundled data, split anew by each seed, 80 % to train on, the rest to
  test (nothing is picked by a score, so validation and test serve together).

The bag: TF-IDF over character n-grams and logistic regression, tuned by cross-validation on the training part. All
models weigh the classes alike, as macro-F1 does. The same settings train the encoder and the random weights.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, concatenate_datasets
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline

from kolab.batching import make_loaders
from kolab.corpus import held_out
from kolab.data import load_emotions, load_reviews
from kolab.errors import ConfigError, DataError
from kolab.losses import CrossEntropy
from kolab.metrics import macro_f1
from kolab.model import Classifier, load_encoder
from kolab.text import clean, near_key
from kolab.train import TrainConfig, fit, predict

RATINGS = {"bad (1-4)": range(1, 5), "middling (5-7)": range(5, 8), "good (9-10)": range(9, 11)}
TRAIN_ROWS, TEST_ROWS = 3526, 4000
GRID = {"tfidfvectorizer__ngram_range": [(1, 3), (1, 5)], "logisticregression__C": [3.0, 30.0]}
BAG, RANDOM = "TF-IDF + logistic regression", "random weights"


def run(
    *,
    quick: bool = False,
    encoder: str = "kolab-mini",
    raw: str | None = None,
    seeds: int = 5,
    epochs: int = 4,
    lr: float = 4e-4,
) -> tuple[pd.DataFrame, dict]:
    """Macro-F1 of an encoder, of its network with random weights, and of the bag: one row a task, part and model.

    quick: a look at whether it runs: 60 rows, one seed, one epoch. encoder: a name or a folder, as for `load_encoder`.
    raw: the raw film reviews as parquet (default: the environment's KOLAB_NSMC_RAW). seeds: how many.
    """
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}; it has to be at least 1.")
    if quick:
        seeds, epochs = 1, 1
    tasks: dict[str, Callable[[int], DatasetDict]] = {"reviews": _reviews, "emotions": _emotions}
    raw = raw or os.environ.get("KOLAB_NSMC_RAW")
    if raw:
        films = film_probe(raw)
        tasks = {"film reviews": lambda seed: films} | tasks
    else:
        print("film reviews are left out: give the raw corpus by --raw FILE.parquet or KOLAB_NSMC_RAW.")
    scores = []
    for seed in range(seeds):
        for task, load in tasks.items():
            data = load(seed)
            if quick:
                data = DatasetDict({name: part.select(range(60)) for name, part in data.items()})
            for model, found, seconds in _models(data, task, encoder, seed, epochs, lr):
                for part, score in _by_part(data["test"], found):
                    scores.append(
                        {"task": task, "part": part, "model": model, "f1": score, "seconds": seconds}
                    )
                print(
                    f"seed {seed}  {task:13} {model:30} {scores[-1]['f1']:.3f}  {seconds:5.0f} s", flush=True
                )
    meta = {
        "encoder": Path(encoder).name, "seeds": seeds, "epochs": epochs, "lr": lr, "batch_size": 32, "pooling": "mean",
        "loss": "cross-entropy, classes weighted alike",
        "film_reviews": f"{TRAIN_ROWS} rows to train on, {TEST_ROWS} to test" if raw else "not measured: no raw corpus",
        "bundled": "split by seed, 80 % to train on, 20 % to test",
        "bag": f"character n-grams within words, {GRID}, tuned by 3-fold cross-validation on the training part",
    }  # fmt: skip
    return summary(scores), meta


def summary(scores: list[dict]) -> pd.DataFrame:
    """One row a task, part and model: mean and sample standard deviation of macro-F1, runs, median seconds a run."""
    groups = pd.DataFrame(scores).groupby(["task", "part", "model"], sort=False)
    table = groups.agg(
        macro_f1=("f1", "mean"), sd=("f1", "std"), runs=("f1", "size"), seconds=("seconds", "median")
    )
    return table.round({"macro_f1": 4, "sd": 4, "seconds": 1}).reset_index()


# ---- the data


def film_probe(path: str | Path, *, train: int = TRAIN_ROWS, test: int = TEST_ROWS) -> DatasetDict:
    """Balanced rows of three classes from the held-out films, text and label, always the same for the same file.

    No text, nor a near duplicate, comes twice. Raises DataError for a file that cannot be read or is too small.
    """
    columns = ["movie", "rating", "text"]
    try:
        table = pd.read_parquet(path, columns=columns)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} cannot be read as the raw film reviews, a parquet table with {columns}: {error}"
        ) from error
    films = table["movie"].drop_duplicates()
    apart = set(films[[held_out(film, 0) for film in films]])
    table = table[table["movie"].isin(apart)]
    order = np.random.default_rng(0).permutation(len(table))
    table = table.iloc[order]
    table["text"] = table["text"].fillna("").map(clean)
    table = table[table["text"] != ""]
    table = table[~table["text"].map(near_key).duplicated()]
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(RATINGS))})
    parts: dict[str, list[pd.DataFrame]] = {"train": [], "test": []}
    for label, ratings in enumerate(RATINGS.values()):
        rows = table[table["rating"].isin(ratings)].assign(label=label)[["text", "label"]]
        first, second = (size // 3 + (label < size % 3) for size in (train, test))
        if len(rows) < first + second:
            raise DataError(
                f"{path}: {len(rows):,} held-out reviews rated {list(ratings)}, but {first + second:,} are needed."
            )
        parts["train"].append(rows.iloc[:first])
        parts["test"].append(rows.iloc[first : first + second])
    return DatasetDict(
        {
            name: Dataset.from_pandas(pd.concat(rows), features=features, preserve_index=False).shuffle(
                seed=0
            )
            for name, rows in parts.items()
        }
    )


def _reviews(seed: int) -> DatasetDict:
    return _two_parts(load_reviews(seed=seed), ["text", "label", "style"])


def _emotions(seed: int) -> DatasetDict:
    return _two_parts(load_emotions(seed=seed), ["text", "label"])


def _two_parts(splits: DatasetDict, columns: list[str]) -> DatasetDict:
    rest = concatenate_datasets([splits["validation"], splits["test"]])
    return DatasetDict(train=splits["train"].select_columns(columns), test=rest.select_columns(columns))


# ---- the models


def _models(
    data: DatasetDict, task: str, encoder: str, seed: int, epochs: int, lr: float
) -> Iterator[tuple[str, np.ndarray, float]]:
    """(model, its predictions for the test rows, seconds). The bag has no seed: on rows that stay, once will do."""
    name = Path(encoder).name
    makers = {
        name: lambda: load_encoder(encoder),
        RANDOM: lambda: load_encoder(encoder, pretrained=False, seed=seed),
    }
    for model, make in makers.items():
        start = time.perf_counter()
        found = _fine_tuned(*make(), data, seed, epochs, lr)
        yield model, found, time.perf_counter() - start
    if seed == 0 or task != "film reviews":
        start = time.perf_counter()
        found = bag_of_ngrams(data["train"]["text"], data["train"]["label"], data["test"]["text"])
        yield BAG, found, time.perf_counter() - start


def _fine_tuned(network, tokenizer, data: DatasetDict, seed: int, epochs: int, lr: float) -> np.ndarray:
    labels = data["train"].features["label"].names
    model = Classifier.build(network, labels, seed=seed)
    loaders = make_loaders(data, tokenizer, seed=seed)
    config = TrainConfig(epochs=epochs, lr=lr, seed=seed, keep_best=False, progress=False)
    counts = torch.bincount(torch.tensor(data["train"]["label"]), minlength=len(labels)).clamp_min(1)
    loss = CrossEntropy(
        counts.sum() / (len(labels) * counts)
    )  # macro-F1 counts all classes alike, so both models do
    fit(model, {"train": loaders["train"]}, config, loss=loss)
    return predict(model, loaders["test"]).labels


def bag_of_ngrams(texts: list[str], labels: list[int], new: list[str]) -> np.ndarray:
    """Predictions (new texts,) of logistic regression over TF-IDF of character n-grams, tuned on the training texts."""
    pipeline = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", sublinear_tf=True, min_df=2, dtype=np.float32),
        LogisticRegression(max_iter=300, class_weight="balanced"),
    )
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(pipeline, GRID, scoring="f1_macro", cv=folds)
    return search.fit(list(texts), list(labels)).predict(list(new))


def _by_part(test: Dataset, found: np.ndarray) -> Iterator[tuple[str, float]]:
    """(part, macro-F1): hard and plain reviews apart, and all."""
    labels = np.array(test["label"])
    styles = np.array(test["style"]) if "style" in test.column_names else np.array([])
    for style in sorted(set(styles.tolist())):
        yield style, macro_f1(found[styles == style], labels[styles == style])
    yield "all", macro_f1(found, labels)
