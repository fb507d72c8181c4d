"""How much pre-training buys how much accuracy: the film probe at several moments of one pre-training.

The folder holds one saved encoder a moment, in a folder whose name ends in the tokens read by then: `model-017M`,
`model-1.5B`, `model-800K`. Each is fine-tuned on the probe of held-out films, as `kolab bench probe` does it.
The same network with random weights stands for no pre-training at all (0 tokens), and a bag of n-grams, which has no
tokens and no seed, for what can be had without.

Every score is written to `checkpoints.jsonl` in that folder as soon as it is known. A run that was stopped goes on
where it was when it is started again with the same settings.
"""

import functools
import os
import re
import time
from pathlib import Path

import pandas as pd
from datasets import DatasetDict

from kolab import checkpoint
from kolab.benches import probe
from kolab.errors import ConfigError, DataError
from kolab.ledger import Ledger
from kolab.metrics import macro_f1
from kolab.model import load_encoder

DONE = "checkpoints.jsonl"
RATES = (2e-4, 4e-4)  # which is better depends on how far the pre-training has come
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}
_NAME = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)([KMB]?)$", re.IGNORECASE)


def run(
    *,
    quick: bool = False,
    folder: str | None = None,
    raw: str | None = None,
    seeds: int = 3,
    epochs: int = 4,
    lr: float = 0.0,
) -> tuple[pd.DataFrame, dict]:
    """Macro-F1 on the film probe by tokens of pre-training: one row a model, rate and seed, one for the bag of n-grams.

    folder: holds the saved encoders, named after their tokens (`model-017M`). raw: the raw film reviews as parquet
    (default: the environment's KOLAB_NSMC_RAW; `kolab fetch nsmc --raw` makes one). seeds: fine-tunings of each model.
    lr: the fine-tuning's rate; 0 stands for each of RATES.
    quick: a look at whether it runs: 60 rows, one seed, one epoch, one rate, nothing kept.

    Columns: model, tokens, seed and lr (missing for the bag), macro_f1, accuracy, seconds.
    """
    raw = raw or os.environ.get("KOLAB_NSMC_RAW")
    if folder is None or not raw:
        raise ConfigError("Two things are needed: --folder FOLDER_OF_MODELS and --raw FILE.parquet.")
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}; it has to be at least 1.")
    models = saved_models(folder)
    data = probe.film_probe(raw)
    if quick:
        seeds, epochs, lr = 1, 1, lr or RATES[0]
        data = DatasetDict({name: part.select(range(60)) for name, part in data.items()})
    rates = (lr,) if lr else RATES
    ledger = Ledger(None if quick else Path(folder) / DONE, {"epochs": epochs})
    plan = [(None, probe.BAG, None, None, None)]
    for seed in range(seeds):
        for rate in rates:
            plan.append((models[max(models)], probe.RANDOM, 0, seed, rate))
            plan += [(path, path.name, tokens, seed, rate) for tokens, path in models.items()]
    rows = []
    try:
        for path, name, tokens, seed, rate in plan:
            # Other weights under the same name are another model.
            digest = path and checkpoint.sha256(path / "model.safetensors")
            key = {"model": name, "tokens": tokens, "seed": seed, "lr": rate, "weights": digest}
            score = ledger.get(key, functools.partial(_score, path, tokens, seed, data, epochs, rate))
            rows.append({"model": name, "tokens": tokens, "seed": seed, "lr": rate} | score)
            seeded = "" if seed is None else f"seed {seed}  {rate:g}"
            print(f"{seeded:15} {name:30} {score['macro_f1']:.3f}  {score['seconds']:5.0f} s", flush=True)
    except KeyboardInterrupt:
        if not rows:
            raise
        print("Stopped: what is whole counts, and the next run goes on from here.")
    meta = {
        "data": f"film probe: {probe.TRAIN_ROWS} rows to train on, {probe.TEST_ROWS} to test, three classes, balanced, "
        "of films that pre-training never saw",
        "seeds": seeds, "epochs": epochs, "lr": "each of them" if rates[1:] else lr,
        "batch_size": 32, "pooling": "mean",
        "models": "saved in one pre-training; tokens = 0 is the same network with random weights",
        "bag": f"character n-grams within words, {probe.GRID}, tuned by 3-fold cross-validation on the training part",
    }  # fmt: skip
    return pd.DataFrame(rows), meta


def tokens_of(name: str) -> int | None:
    """The tokens that a folder's name ends in, or None.

    >>> tokens_of("model-017M"), tokens_of("mini-1.5B"), tokens_of("step-900"), tokens_of("model")
    (17000000, 1500000000, 900, None)
    """
    found = _NAME.search(name)
    return round(float(found[1]) * _UNITS[found[2].upper()]) if found else None


def saved_models(folder: str | Path) -> dict[int, Path]:
    """tokens → folder of a saved encoder, fewest tokens first.

    Raises DataError where there is none, or where two have equally many tokens.
    """
    found: dict[int, Path] = {}
    for path in sorted(Path(folder).glob("*/config.json")):
        tokens = tokens_of(path.parent.name)
        if tokens in found:
            raise DataError(f"{found[tokens]} and {path.parent} both say {tokens:,} tokens; rename one.")
        if tokens:
            found[tokens] = path.parent
    if not found:
        raise DataError(
            f"{folder} holds no saved encoder in a folder whose name ends in its tokens, such as model-017M."
        )
    return dict(sorted(found.items()))


def _score(
    path: Path | None, tokens: int | None, seed: int | None, data, epochs: int, lr: float | None
) -> dict:
    """One fine-tuning (or the bag), scored."""
    start = time.perf_counter()
    if path is None:
        found = probe.bag_of_ngrams(data["train"]["text"], data["train"]["label"], data["test"]["text"])
    else:
        network, tokenizer = load_encoder(path, pretrained=tokens != 0, seed=seed)
        found = probe._fine_tuned(network, tokenizer, data, seed, epochs, lr)
    labels = data["test"]["label"][:]
    return {
        "macro_f1": round(macro_f1(found, labels), 4), "accuracy": round(float((found == labels).mean()), 4),
        "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip
