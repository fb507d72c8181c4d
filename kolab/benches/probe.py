"""How good is an encoder? Fine-tuned on few labels, beside the same network from random weights and a bag of n-grams.

Each task is scored by macro-F1 (mean and standard deviation) and accuracy:

- `film reviews`: three classes by rating (1-4, 5-7, 9-10) from films that pre-training never saw: those whose
  crc32(film) % 10 is 0. 3,526 rows to train on, 4,000 to test, balanced, always the same; only the seed of the head,
  the dropout and the order changes. Needs the raw corpus (columns id, movie, rating, date, text): `--raw FILE.parquet`
  or KOLAB_NSMC_RAW. Without it this task is left out, and said to be.
- `film reviews, 2 classes`, with `--two-classes ROWS`: 1-4 against 9-10, so many balanced rows of all other films to
  train on, 10,000 of the held-out films to test. Like NSMC's task (150,000 rows), though on other rows. That many rows
  are costly, so this one is measured once, with seed 0, without random weights and with two epochs at 2e-4.
- `reviews` (all, hard, plain) and `emotions`: the bundled data, split anew by each seed, 80 % to train on, the rest to
  test (nothing is picked by a score, so validation and test serve together).

The bag: TF-IDF over character n-grams and logistic regression, tuned by cross-validation on the training part (on its
first 20,000 rows, where there are more). All models weigh the classes alike, as macro-F1 does.

The networks are tuned as the bag is, in the two settings that matter most on few labels, learning rate and number of
epochs: once a task, on a fifth of the training part of seed 0, for the encoder and for the random weights apart. The
rest is the same.

With five seeds and all tasks this takes about an hour and a half of one core (two with 150,000 rows of two classes);
`--seeds 1 --epochs 4 --lr 2e-4` is a first look in ten minutes.
"""

import functools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, DatasetDict, concatenate_datasets
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline

from kolab import checkpoint, memory
from kolab.batching import make_loaders
from kolab.data import data_path, load_emotions, load_reviews
from kolab.errors import ConfigError
from kolab.film_probe import TEST_ROWS, TRAIN_ROWS, film_probe, two_class_task
from kolab.ledger import Ledger
from kolab.losses import CrossEntropy
from kolab.metrics import macro_f1
from kolab.model import Classifier, load_encoder
from kolab.train import TrainConfig, fit, predict

SETTINGS = ((4, 2e-4), (8, 2e-4), (4, 4e-4), (12, 4e-4))  # epochs and rate, tried for each network
TWO_CLASSES, TWO_SETTINGS = "film reviews, 2 classes", ((2, 2e-4),)
TUNING_ROWS = 20_000
GRID = {"tfidfvectorizer__ngram_range": [(1, 3), (1, 5)], "logisticregression__C": [3.0, 30.0]}
BAG, RANDOM = "TF-IDF + logistic regression", "random weights"


def run(
    *,
    quick: bool = False,
    encoder: str = "kolab-mini",
    raw: str | None = None,
    seeds: int = 5,
    epochs: int = 0,
    lr: float = 0.0,
    two_classes: int = 0,
) -> tuple[pd.DataFrame, dict]:
    """Macro-F1 of an encoder, of its network with random weights, and of the bag: one row a task, part and model.

    quick: a look at whether it runs: 60 rows, one seed, one epoch. encoder: a name or a folder, as for `load_encoder`.
    raw: the raw film reviews as parquet (default: the environment's KOLAB_NSMC_RAW). seeds: how many; after
    a Ctrl-C the tasks count that are whole, and the same command goes on.
    epochs, lr: the same for all tasks and networks; 0 tunes it, among SETTINGS.
    two_classes: training rows of the two-class task; 0 leaves it out.
    """
    raw = raw or os.environ.get("KOLAB_NSMC_RAW")
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}; it has to be at least 1.")
    if two_classes and not raw:
        raise ConfigError("--two-classes needs the raw corpus: --raw FILE.parquet or KOLAB_NSMC_RAW.")
    if quick:
        seeds, epochs, lr = 1, 1, lr or SETTINGS[0][1]
    tasks: dict[str, Callable[[int], DatasetDict]] = {"emotions": _emotions, "reviews": _reviews}
    if raw:
        fixed = {"film reviews": film_probe(raw)}
        if two_classes:
            fixed[TWO_CLASSES] = two_class_task(raw, two_classes)
        tasks = {name: lambda seed, data=data: data for name, data in fixed.items()} | tasks
    else:
        print("film reviews are left out: give the raw corpus by --raw FILE.parquet or KOLAB_NSMC_RAW.")
    settings = tuple(dict.fromkeys((epochs or some, lr or rate) for some, rate in SETTINGS))
    two = TWO_SETTINGS if settings[1:] else settings
    ledger = Ledger(None if quick else memory.home() / "bench-probe.jsonl", {"encoder": _digest(encoder)})
    scores: list[dict] = []
    try:
        for seed in range(seeds):
            for task, load in tasks.items():
                if task == TWO_CLASSES and seed:
                    continue  # costly, and on so many rows the seed matters little
                data = load(seed)
                if quick:
                    data = DatasetDict({name: part.select(range(60)) for name, part in data.items()})
                tried = settings if task != TWO_CLASSES else two
                scores += _one_task(task, data, encoder, seed, tried, ledger)
    except KeyboardInterrupt:
        if not scores:
            raise
        print(
            "Stopped: the tasks that are whole count; the column 'runs' says how many seeds. Run it again to go on."
        )
    meta = {
        "encoder": Path(encoder).name, "seeds": seeds,
        "epochs_and_rate": f"the best of {settings}" if settings[1:] else settings[0],
        "batch_size": 32, "pooling": "mean",
        "loss": "cross-entropy, classes weighted alike",
        "film_reviews": f"{TRAIN_ROWS} rows to train on, {TEST_ROWS} to test" if raw else "not measured: no raw corpus",
        "bundled": "split by seed, 80 % to train on, 20 % to test",
        "bag": f"character n-grams within words, {GRID}, tuned by 3-fold cross-validation on the training part",
    } | ({"two_classes": f"{two_classes} rows to train on, seed 0 alone, {two[0]}"} if two_classes else {})  # fmt: skip
    return summary(scores), meta


def _one_task(task: str, data: DatasetDict, encoder: str, seed: int, settings: tuple, ledger: Ledger):
    """The scores of all models on one task, for one seed."""

    def measure(make: Callable, *setting) -> dict:
        start = time.perf_counter()
        found = make(*setting)
        return {"seconds": time.perf_counter() - start, "parts": list(_by_part(data["test"], found))}

    scores = []
    for model, make in _models(data, task, encoder, seed).items():
        best = () if model == BAG else _tuned(data, task, model, encoder, settings, ledger)
        epochs, lr = best or (None, None)
        about = {"task": task, "model": model, "epochs": epochs, "lr": lr}
        row = ledger.get(
            about | {"seed": seed, "rows": len(data["train"])}, functools.partial(measure, make, *best)
        )
        scores += [about | {"seconds": row["seconds"]} | part for part in row["parts"]]
        print(
            f"seed {seed}  {task:13} {model:30} {scores[-1]['f1']:.3f}  {row['seconds']:5.0f} s", flush=True
        )
    return scores


def _tuned(
    data: DatasetDict, task: str, model: str, encoder: str, settings: tuple, ledger: Ledger
) -> tuple[int, float]:
    """The best of the settings on a fifth of the training part: measured on the first seed's, kept for the others."""
    if len(settings) == 1:
        return settings[0]

    def measure(setting: tuple[int, float]) -> dict:
        inner = data["train"].train_test_split(test_size=0.2, seed=0, stratify_by_column="label")
        found = _models(inner, task, encoder, 0)[model](*setting)
        return {"f1": macro_f1(found, np.array(inner["test"]["label"]))}

    found = {}
    for setting in settings:
        key = {"tuning": task, "model": model, "epochs": setting[0], "lr": setting[1]}
        found[setting] = ledger.get(key, functools.partial(measure, setting))["f1"]
        print(
            f"tuning  {task:13} {model:30} {found[setting]:.3f}  {setting[0]} epochs at {setting[1]:g}",
            flush=True,
        )
    return max(found, key=found.get)


def _digest(encoder: str) -> str | None:
    """Eight signs of the weights of a bundled encoder or a folder: other weights are another encoder."""
    folder = data_path(encoder) if encoder == "kolab-mini" else Path(encoder)
    weights = folder / "model.safetensors"
    return checkpoint.sha256(weights)[:8] if weights.is_file() else None


def summary(scores: list[dict]) -> pd.DataFrame:
    """One row a task, part and model: mean and sample deviation of macro-F1, accuracy, runs, median seconds a run."""
    groups = pd.DataFrame(scores).groupby(["task", "part", "model"], sort=False)
    table = groups.agg(
        macro_f1=("f1", "mean"),
        sd=("f1", "std"),
        accuracy=("accuracy", "mean"),
        runs=("f1", "size"),
        epochs=("epochs", "first"),
        lr=("lr", "first"),
        seconds=("seconds", "median"),
    )
    return table.round({"macro_f1": 4, "sd": 4, "accuracy": 4, "seconds": 1}).reset_index()


# ---- the data


def _reviews(seed: int) -> DatasetDict:
    return _two_parts(load_reviews(seed=seed), ["text", "label", "style"])


def _emotions(seed: int) -> DatasetDict:
    return _two_parts(load_emotions(seed=seed), ["text", "label"])


def _two_parts(splits: DatasetDict, columns: list[str]) -> DatasetDict:
    rest = concatenate_datasets([splits["validation"], splits["test"]])
    return DatasetDict(train=splits["train"].select_columns(columns), test=rest.select_columns(columns))


# ---- the models


def _models(data: DatasetDict, task: str, encoder: str, seed: int) -> dict[str, Callable]:
    """Epochs and rate → predictions for the test rows, by model. The bag has neither, nor a seed: on rows that stay,
    once will do."""

    def tuned(epochs: int, lr: float, **options) -> np.ndarray:
        return _fine_tuned(*load_encoder(encoder, **options), data, seed, epochs, lr)

    def bag() -> np.ndarray:
        return bag_of_ngrams(data["train"]["text"], data["train"]["label"], data["test"]["text"])

    models: dict[str, Callable] = {Path(encoder).name: tuned}
    if task != TWO_CLASSES:
        models[RANDOM] = functools.partial(tuned, pretrained=False, seed=seed)
    return models if seed > 0 and task.startswith("film") else models | {BAG: bag}


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
    search.fit(list(texts)[:TUNING_ROWS], list(labels)[:TUNING_ROWS])
    best = (
        search.best_estimator_
        if len(texts) <= TUNING_ROWS
        else search.best_estimator_.fit(list(texts), list(labels))
    )
    return best.predict(list(new))


def _by_part(test: Dataset, found: np.ndarray) -> Iterator[dict]:
    """part, f1 (macro) and accuracy: of hard and plain reviews apart, and of all."""
    labels = np.array(test["label"])
    parts = {"all": np.full(len(labels), True)}
    if "style" in test.column_names:
        styles = np.array(test["style"])
        parts = {style: styles == style for style in sorted(set(styles.tolist()))} | parts
    for part, rows in parts.items():
        right = float((found[rows] == labels[rows]).mean())
        yield {"part": part, "f1": macro_f1(found[rows], labels[rows]), "accuracy": right}
