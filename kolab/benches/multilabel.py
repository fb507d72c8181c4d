"""Rare labels and thresholds: does AEDA help, does pos_weight, and what is a fitted threshold worth on new rows?

The claims: "AEDA on the minority classes helps"; "pos_weight answers the imbalance"; "a threshold for each class brings
3.8 points of macro-F1". Measured on the aspects of the bundled reviews. Every training has the same number of updates
and begins at the labels' own frequencies (`start_at_prior`: begun at 0.5 it may learn nothing but to say no):

- plain: binary cross-entropy, all answers alike;
- pos_weight: negatives / positives, at most 10;
- copies: the rows with one of the rare labels three times, as they are;
- AEDA: the same rows three times, twice with punctuation between the words. What it does beyond *copies* is the method.

Each seed draws the split, the head, the dropout, the order and the marks anew. Nothing is picked by a score, so
validation and test serve together as held-out rows; thresholds are fitted on them, and judged three ways: on the same
rows (`tuned`, in-sample), cross-fitted (`crossed`, mean of 5 dealings), and not at all (0.5). `gain N` is what
thresholds from N held-out rows gain on those rows, `true N` what they gain on all the others (means of 50 draws).
"""

import functools
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kolab import checkpoint, memory, multilabel
from kolab.batching import make_loaders
from kolab.data import data_path
from kolab.decide import apply_thresholds, cross_fit, fit_thresholds
from kolab.ledger import Ledger
from kolab.losses import BinaryCrossEntropy
from kolab.metrics import macro_f1
from kolab.model import Classifier, load_encoder
from kolab.text import aeda
from kolab.train import TrainConfig, fit, predict

WAYS = ("plain", "pos_weight", "copies", "AEDA")
RARE, SIZES = 5, (50, 100, 200, 400)


def run(
    *, quick: bool = False, seeds: int = 3, epochs: int = 4, lr: float = 4e-4
) -> tuple[pd.DataFrame, dict]:
    """One row a training: its scores on all labels and, as `rare …`, on the five rarest.

    quick: a look at whether it runs: one seed, one epoch, 300 rows. seeds: how many. epochs: passes over the plain
    training rows; the other ways take as many updates. After a Ctrl-C what is whole counts; the same command goes on.
    """
    seeds, epochs = (1, 1) if quick else (seeds, epochs)
    weights = checkpoint.sha256(data_path("kolab-mini", "model.safetensors"))
    about = {"epochs": epochs, "lr": lr, "encoder": weights, "quick": quick}
    book = Ledger(memory.home() / f"bench-multilabel{'-quick' if quick else ''}.jsonl", about)
    whole = False
    try:
        for seed in range(seeds):
            for way in WAYS:
                work = functools.partial(one, way, seed, epochs, lr, quick=quick)
                row = book.get({"way": way, "seed": seed}, work)
                shown = ("f1", "rare f1", "tuned", "crossed", "rare crossed", "seconds")
                print(f"seed {seed}  {way:11}" + "".join(f"  {k} {row[k]:.3f}" for k in shown), flush=True)
        whole = True
    except KeyboardInterrupt:
        if not book.rows:
            raise
        print("Stopped: what is whole counts. The same command goes on from here.")
    table = pd.DataFrame(book.rows)
    if whole:
        book.close()
    meta = {
        "data": "aspects of the bundled reviews, split anew by each seed: 3,519 to learn from, 879 held out",
        "encoder": "kolab-mini", "seeds": seeds, "epochs": epochs, "lr": lr, "batch_size": 32,
        "rare": f"the {RARE} rarest of 15 labels, 3 to 5 % of the rows each", "copies": 2, "most": 10.0, "folds": 5,
        "complete": whole,
    }  # fmt: skip
    return table, meta


def one(way: str, seed: int, epochs: int, lr: float, *, quick: bool = False) -> dict:
    """The row of one training."""
    start = time.perf_counter()
    splits = multilabel.load("aspects", seed=seed)
    if quick:
        splits = {name: part.select(range(min(300, len(part)))) for name, part in splits.items()}
    names = multilabel.label_names(splits)
    labels = splits["train"]["labels"][:]
    rarest = np.argsort(multilabel.counts(labels), kind="stable")[:RARE]
    train = splits["train"]
    if way in ("copies", "AEDA"):
        change = aeda if way == "AEDA" else None
        train = multilabel.add_copies(train, [names[c] for c in rarest], copies=2, seed=seed, change=change)
    encoder, tokenizer = load_encoder()
    loaders = make_loaders(
        {"train": train, **{k: splits[k] for k in ("validation", "test")}}, tokenizer, seed=seed
    )
    model = Classifier.build(encoder, names, multi_label=True, seed=seed)
    updates = epochs * -(-len(splits["train"]) // 32)
    config = TrainConfig(
        epochs=epochs, max_steps=updates, lr=lr, seed=seed, keep_best=False, progress=False
    )  # more rows, same updates: fewer passes
    loss = BinaryCrossEntropy(multilabel.pos_weight(labels) if way == "pos_weight" else None)
    multilabel.start_at_prior(model, train["labels"][:], loss.pos_weight)
    fit(model, {"train": loaders["train"]}, config, loss=loss)
    found = [predict(model, loaders[name]) for name in ("validation", "test")]
    probabilities = np.concatenate([part.probabilities.numpy() for part in found])
    references = np.concatenate([part.references.numpy() for part in found]).astype(np.int64)
    row = {"way": way, "seed": seed, "rows": len(train), "updates": updates}
    row |= scores(probabilities, references, rarest, draws=5 if quick else 50)
    return row | {"seconds": round(time.perf_counter() - start, 1)}


def scores(
    probabilities: np.ndarray, references: np.ndarray, rarest: Sequence[int], *, draws: int = 50
) -> dict[str, float]:
    """What one model's probabilities (N, C) are worth at 0.5, with thresholds in-sample, and cross-fitted."""
    plain = apply_thresholds(probabilities, 0.5)
    tuned = apply_thresholds(probabilities, fit_thresholds(probabilities, references))
    crossed = [cross_fit(probabilities, references, seed=seed) for seed in range(5)]
    found = multilabel.multilabel_metrics(plain, references, probabilities)

    def rare(decided: np.ndarray) -> float:
        return macro_f1(decided[:, rarest], references[:, rarest])

    right = (plain[:, rarest] * references[:, rarest]).sum(0)
    row = {name: found[name] for name in ("f1", "micro_f1", "hamming", "lrap")} | {
        "tuned": macro_f1(tuned, references),
        "crossed": float(np.mean([macro_f1(decided, references) for decided in crossed])),
        "rare f1": rare(plain),
        "rare precision": float(np.mean(right / np.maximum(plain[:, rarest].sum(0), 1))),
        "rare recall": float(np.mean(right / np.maximum(references[:, rarest].sum(0), 1))),
        "rare tuned": rare(tuned),
        "rare crossed": float(np.mean([rare(decided) for decided in crossed])),
    }
    return {name: round(value, 5) for name, value in (row | gains(probabilities, references, draws)).items()}


def gains(probabilities: np.ndarray, references: np.ndarray, draws: int) -> Mapping[str, float]:
    """What thresholds from N rows gain over 0.5, in macro-F1: on those N (`gain N`) and on all others (`true N`)."""
    random, count, row = np.random.default_rng(0), len(references), {}
    for size in (size for size in SIZES if size < count):
        claimed, true = [], []
        for _ in range(draws):
            order = random.permutation(count)
            thresholds = fit_thresholds(probabilities[order[:size]], references[order[:size]])
            for rows, kept in ((order[:size], claimed), (order[size:], true)):
                p, y = probabilities[rows], references[rows]
                kept.append(
                    macro_f1(apply_thresholds(p, thresholds), y) - macro_f1(apply_thresholds(p, 0.5), y)
                )
        row |= {f"gain {size}": float(np.mean(claimed)), f"true {size}": float(np.mean(true))}
    return row
