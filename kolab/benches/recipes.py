"""Which recipe of pre-training gives the better encoder for as many tokens? Short trials from random weights.

Each recipe differs from the plain one in one thing. All read equally many tokens of the same corpus, with the bundled
tokenizer, and are scored alike: loss and accuracy on the same held-out texts under the same masks (20 % of the tokens,
whatever the recipe masked), and macro-F1 on the film probe after fine-tuning. A short trial says which recipe starts
faster; it need not be the one that ends higher.
"""

import functools
import os
import shutil
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForMaskedLM

from kolab import memory
from kolab.benches import probe
from kolab.data import data_path
from kolab.encoders import choose_attention
from kolab.errors import ConfigError
from kolab.ledger import Ledger
from kolab.masking import MaskedModel, MaskingCollator, TokenBudgetSampler, evaluate_masked
from kolab.metrics import macro_f1
from kolab.model import load_encoder
from kolab.pretrain import _read, pretrain
from kolab.pretrain_config import PretrainConfig
from kolab.weights import no_bars

RECIPES = {
    "plain": {},
    "rate 3e-3": {"lr": 3e-3},
    "40 % masked": {"share": 0.40},
    "whole words": {"whole_words": True},
    "half the batch": {"batch_tokens": 2048},
}
_COMMON_SEED = 7  # of the masks that all recipes are evaluated with


def run(
    *,
    quick: bool = False,
    raw: str | None = None,
    tokens: int = 4_000_000,
    seeds: int = 1,
    probes: int = 2,
    keep: str = "",
) -> tuple[pd.DataFrame, dict]:
    """One row a recipe and seed: held-out loss and accuracy, macro-F1 on the film probe (mean), minutes.

    raw: the raw film reviews as parquet (default: the environment's KOLAB_NSMC_RAW). tokens: read by each recipe.
    seeds: pre-trainings a recipe. probes: fine-tunings of each. keep: a folder for the models that are made. quick: a
    look at whether it runs: 20,000 tokens, two recipes, no probe.

    Every row is kept as soon as it is known; the same command goes on after a Ctrl-C.
    """
    raw = raw or os.environ.get("KOLAB_NSMC_RAW")
    if not raw:
        raise ConfigError("The raw film reviews are needed: --raw FILE.parquet, or KOLAB_NSMC_RAW.")
    names = list(RECIPES)
    if quick:
        tokens, seeds, probes, names = 20_000, 1, 0, names[:2]
    data = probe.film_probe(raw) if probes else None
    ledger = Ledger(
        None if quick else memory.home() / "bench-recipes.jsonl", {"tokens": tokens, "probes": probes}
    )
    try:
        for seed in range(seeds):
            for name in names:
                row = ledger.get(
                    {"recipe": name, "seed": seed},
                    functools.partial(_one, name, seed, raw, tokens, probes, data, keep),
                )
                print("  ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    except KeyboardInterrupt:
        if not ledger.rows:
            raise
        print("Stopped: what is whole counts, and the next run goes on from here.")
    meta = {
        "data": "NSMC raw reviews without the films of crc32 % 10 == 0", "tokens": tokens, "probes": probes,
        "plain": "6 layers of 256, masks on 20 % of the tokens, 4,096 tokens a batch, AdamW at 1e-3, linear to zero",
        "evaluated": "4,000 held-out texts, 20 % masked, the same masks for all",
    }  # fmt: skip
    return pd.DataFrame(ledger.rows), meta


def _one(name: str, seed: int, raw: str, tokens: int, probes: int, data, keep: str) -> dict:
    with tempfile.TemporaryDirectory(prefix="kolab-recipes-") as folder:
        config = PretrainConfig(
            corpus=raw, folder=str(Path(folder) / "run"), hold_out_column="movie",
            tokenizer=str(data_path("kolab-mini")), tokens=tokens, evaluations=1, seed=seed, **RECIPES[name],
        )  # fmt: skip
        start = time.perf_counter()
        model = pretrain(config)
        minutes = (time.perf_counter() - start) / 60
        held_out = _evaluated(model, _read(config, Path(config.folder)))
        if keep:
            shutil.copytree(model, Path(keep) / f"{name.replace(' ', '-')}-seed-{seed}", dirs_exist_ok=True)
        scores = []
        for turn in range(probes):
            found = probe._fine_tuned(*load_encoder(model), data, turn, 4, 4e-4)
            scores.append(macro_f1(found, data["test"]["label"][:]))
    return {
        "recipe": name, "seed": seed, "held_out_loss": round(held_out["loss"], 4),
        "held_out_accuracy": round(held_out["accuracy"], 4),
        "macro_f1": round(sum(scores) / len(scores), 4) if scores else None, "minutes": round(minutes, 2),
    }  # fmt: skip


def _evaluated(folder: Path, ready) -> dict[str, float]:
    """Loss and accuracy on the run's held-out texts, under masks that do not depend on the recipe."""
    with no_bars():
        language_model = AutoModelForMaskedLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True
        )
    choose_attention(language_model.config)
    part = ready.parts["validation"]
    sampler = TokenBudgetSampler(part.lengths, 4096, shuffle=False)
    loader = DataLoader(
        part, batch_sampler=sampler, collate_fn=MaskingCollator(ready.tokenizer, seed=_COMMON_SEED)
    )
    return evaluate_masked(MaskedModel(language_model), loader)
