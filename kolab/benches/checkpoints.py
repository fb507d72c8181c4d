"""How much pre-training buys how much accuracy: the film probe at several moments of one pre-training.

The folder holds one saved encoder a moment, in a folder whose name ends in the tokens read by then: `model-017M`,
`model-1.5B`, `model-800K`. Each is fine-tuned on the probe of held-out films, as `kolab bench probe` does it.
The same network with random weights stands for no pre-training at all (0 tokens), and a bag of n-grams, which has no
tokens and no seed, for what can be had without.

Every score is written to `checkpoints.jsonl` in that folder as soon as it is known. A run that was stopped goes on
where it was when it is started again with the same settings.
"""

import json
import os
import re
import time
from pathlib import Path

import pandas as pd
from datasets import DatasetDict

from kolab import checkpoint
from kolab.benches import probe
from kolab.errors import ConfigError, DataError
from kolab.metrics import macro_f1
from kolab.model import load_encoder

DONE = "checkpoints.jsonl"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}
_NAME = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)([KMB]?)$", re.IGNORECASE)


def run(
    *,
    quick: bool = False,
    folder: str | None = None,
    raw: str | None = None,
    seeds: int = 3,
    epochs: int = 4,
    lr: float = 4e-4,
) -> tuple[pd.DataFrame, dict]:
    """Macro-F1 on the film probe by tokens of pre-training: one row a model and seed, one for the bag of n-grams.

    folder: holds the saved encoders, named after their tokens (`model-017M`). raw: the raw film reviews as parquet
    (default: the environment's KOLAB_NSMC_RAW; `kolab fetch nsmc --raw` makes one). seeds: fine-tunings of each model.
    quick: a look at whether it runs: 60 rows, one seed, one epoch, nothing kept.

    Columns: model, tokens (missing for the bag), seed (likewise), macro_f1, accuracy, seconds.
    """
    raw = raw or os.environ.get("KOLAB_NSMC_RAW")
    if folder is None or not raw:
        raise ConfigError("Two things are needed: --folder FOLDER_OF_MODELS and --raw FILE.parquet.")
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}; it has to be at least 1.")
    models = saved_models(folder)
    data = probe.film_probe(raw)
    if quick:
        seeds, epochs = 1, 1
        data = DatasetDict({name: part.select(range(60)) for name, part in data.items()})
    rows = _Rows(None if quick else Path(folder) / DONE, {"epochs": epochs, "lr": lr})
    plan = [(None, probe.BAG, None, None)]
    for seed in range(seeds):
        plan.append((models[max(models)], probe.RANDOM, 0, seed))
        plan += [(path, path.name, tokens, seed) for tokens, path in models.items()]
    try:
        for path, name, tokens, seed in plan:
            rows.add(path, name, tokens, seed, data)
    except KeyboardInterrupt:
        if not rows.found:
            raise
        print("Stopped: what is whole counts, and the next run goes on from here.")
    meta = {
        "data": f"film probe: {probe.TRAIN_ROWS} rows to train on, {probe.TEST_ROWS} to test, three classes, balanced, "
        "of films that pre-training never saw",
        "seeds": seeds, "epochs": epochs, "lr": lr, "batch_size": 32, "pooling": "mean",
        "models": "saved in one pre-training; tokens = 0 is the same network with random weights",
        "bag": f"character n-grams within words, {probe.GRID}, tuned by 3-fold cross-validation on the training part",
    }  # fmt: skip
    return pd.DataFrame(rows.found), meta


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


class _Rows:
    """The rows so far, in memory and (with a file) on the disk, line by line."""

    def __init__(self, path: Path | None, settings: dict):
        self.path, self.settings, self.found = path, settings, []
        self.known: dict[str, dict] = {}
        if path is not None and path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    self.known[entry["key"]] = entry["row"]
                except (ValueError, KeyError, TypeError):
                    continue  # a line that was cut when the run was killed: measured again

    def add(self, path: Path | None, name: str, tokens: int | None, seed: int | None, data) -> None:
        """One row: the one that is known already, or a new measurement."""
        weights = path / "model.safetensors" if path is not None else None
        about = {"model": name, "tokens": tokens, "seed": seed}
        # Other weights under the same name are another model.
        key = json.dumps(about | self.settings | {"weights": weights and checkpoint.sha256(weights)})
        row = self.known.get(key)
        if row is None:
            start = time.perf_counter()
            found = self._predictions(path, tokens, seed, data)
            labels = data["test"]["label"][:]
            row = about | {
                "macro_f1": round(macro_f1(found, labels), 4),
                "accuracy": round(float((found == labels).mean()), 4),
                "seconds": round(time.perf_counter() - start, 1),
            }
            self._keep(key, row)
        self.found.append(row)
        seeded = "" if seed is None else f"seed {seed}"
        print(f"{seeded:7} {name:30} {row['macro_f1']:.3f}  {row['seconds']:5.0f} s", flush=True)

    def _predictions(self, path: Path | None, tokens: int | None, seed: int | None, data):
        if path is None:
            return probe.bag_of_ngrams(data["train"]["text"], data["train"]["label"], data["test"]["text"])
        network, tokenizer = load_encoder(path, pretrained=tokens != 0, seed=seed)
        return probe._fine_tuned(network, tokenizer, data, seed, **self.settings)

    def _keep(self, key: str, row: dict) -> None:
        if self.path is None:
            return
        torn = self.path.is_file() and not self.path.read_bytes().endswith(b"\n")
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(
                ("\n" if torn else "") + json.dumps({"key": key, "row": row}, ensure_ascii=False) + "\n"
            )
