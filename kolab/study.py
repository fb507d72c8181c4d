"""Many trainings, one question: what becomes of a training when its effective batch grows?

A recipe with `study.batches` is such a study: every encoder × rule × batch × seed is one training. The first batch is
the base, whose rate and epochs the recipe gives; a rule says how these follow a larger batch. Micro-batches have the
same size throughout (`data.batch_size`), so every training needs the same memory.

No epoch is picked by a score, so validation and test serve together as held-out data.
"""

import dataclasses
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.utils.data import DataLoader

from kolab import measure
from kolab.batching import BucketBatchSampler, Collator, Loaders, TokenDataset, tokenize
from kolab.errors import ConfigError
from kolab.model import Classifier, load_encoder
from kolab.recipe import Recipe, load_data
from kolab.train import TrainConfig, evaluate, fit

RULES = ("same", "linear", "sqrt", "updates")
_FAMILIES = {"bert": "BERT", "modernbert": "ModernBERT", "roberta": "RoBERTa", "electra": "ELECTRA"}
KEYS = ("encoder", "rule", "batch", "seed")


def planned(rule: str, batch: int, base: int, lr: float, epochs: int, examples: int) -> tuple[float, int]:
    """Learning rate and epochs for another effective batch.

    linear: the rate grows with the batch (Goyal et al., 2017, *Accurate, Large Minibatch SGD*). sqrt: with its square
    root (Malladi et al., 2022, *On the SDEs and Scaling Rules for Adaptive Gradient Algorithms*). updates: the rate
    stays, and there are just enough epochs for as many optimizer steps as before. same: nothing changes.

    >>> planned("linear", 1024, 64, 1e-4, 5, 3519), planned("updates", 1024, 64, 1e-4, 5, 3519)
    ((0.0016, 5), (0.0001, 69))
    """
    if rule == "updates":
        steps = math.ceil(examples / base) * epochs
        return lr, math.ceil(steps / math.ceil(examples / batch))
    try:
        return lr * {"same": 1.0, "linear": batch / base, "sqrt": math.sqrt(batch / base)}[rule], epochs
    except KeyError:
        raise ConfigError(f"study.rules has {rule!r}; there are {', '.join(RULES)}.") from None


def trimmed(recipe: Recipe) -> Recipe:
    """The same study, small enough to see in a minute or two whether it runs."""
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, rows=256, batch_size=16),
        train=dataclasses.replace(recipe.train, epochs=1),
        study=dataclasses.replace(
            recipe.study, batches=[32, 64, 128][: len(recipe.study.batches)], seeds=1, held_out=128
        ),
    )


def study(recipe: Recipe, folder: Path | None = None, resume: bool = False) -> tuple[pd.DataFrame, dict]:
    """Runs all trainings that are not done yet; one row each, and what a reader needs to judge them.

    folder: keeps every row as soon as it is there, in rows.jsonl; with `resume` those are not trained again. A Ctrl-C
    ends the study early, and what is whole counts.
    """
    kept = None if folder is None else Path(folder) / "rows.jsonl"
    rows = _read(kept, resume)
    splits = load_data(recipe.data)
    labels, data = list(splits["train"].features["label"].names), {}
    for name in recipe.study.encoders:  # each encoder has its own tokenizer
        tokenizer = _encoder(name, seed=0)[1]
        data[name] = _tokenized(splits, tokenizer, recipe)
    examples = len(data[recipe.study.encoders[0]][0])
    done = {tuple(row[key] for key in KEYS) for row in rows}
    try:
        for name, rule, batch, seed in _trainings(recipe):
            family = _label(name)
            if (family, rule, batch, seed) in done:
                continue
            train, held_out = data[name]
            row = {"encoder": family, "rule": rule, "batch": batch, "seed": seed}
            row |= one(recipe, name, rule, batch, seed, train, held_out, labels)
            rows.append(row)
            if kept is not None:
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            print(
                "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{v}" for k, v in row.items()),
                flush=True,
            )
    except KeyboardInterrupt:
        if not rows:
            raise
        print("Stopped: what is whole counts.")
    return pd.DataFrame(rows), about(recipe, examples, len(data[recipe.study.encoders[0]][1]), rows)


def one(
    recipe: Recipe,
    name: str,
    rule: str,
    batch: int,
    seed: int,
    train: TokenDataset,
    held_out: TokenDataset,
    labels: list[str],
) -> dict[str, Any]:
    """One training, and its scores on the held-out examples."""
    micro, base = recipe.data.batch_size, recipe.study.batches[0]
    lr, epochs = planned(rule, batch, base, recipe.train.lr, recipe.train.epochs, len(train))
    encoder, tokenizer = _encoder(name, seed)
    collator = Collator(tokenizer.pad_token_id)
    model = Classifier.build(encoder, labels, seed=seed)
    loaders = Loaders({"train": _loader(train, micro, collator, seed, shuffle=True)}, tokenizer, collator)
    config = dataclasses.replace(
        recipe.train, lr=lr, epochs=epochs, accumulate=batch // micro, seed=seed, keep_best=False, progress=False,
        folder=None, resume=False,
    )  # fmt: skip
    with measure.peak_memory() as memory, measure.stopwatch() as watch:
        history = fit(model, loaders, config)
    scores = evaluate(model, _loader(held_out, 64, collator, seed, shuffle=False))
    return {
        "lr": lr, "epochs": epochs, "updates": history[-1]["step"], "train_loss": round(history[-1]["train_loss"], 5),
        "accuracy": round(scores["accuracy"], 5), "macro_f1": round(scores["f1"], 5),
        "seconds": round(watch.seconds, 1),
        # On a CPU only the size of the process can be read, and an earlier training has left it large.
        "peak_mib": round(memory.mib, 1) if memory.device == "cuda" else None,
    }  # fmt: skip


def about(recipe: Recipe, examples: int, held_out: int, rows: list[dict]) -> dict[str, Any]:
    """What a reader needs to judge the table."""
    train: TrainConfig = recipe.train
    return {
        "data": f"{recipe.data.name}: {examples:,} texts to learn from, {held_out:,} held out",
        "encoders": {_label(name): _described(name) for name in recipe.study.encoders},
        "seeds": len({row["seed"] for row in rows}),
        "base": f"batch {recipe.study.batches[0]}, rate {train.lr:g}, {train.epochs} epochs, {train.schedule}, "
        f"warm-up {train.warmup:g}, clipping {train.max_grad_norm}",
        "micro_batch": recipe.data.batch_size,
    }


def report(table: pd.DataFrame, meta: dict[str, Any]) -> str:
    """The study as Markdown: a row for each encoder, rule and batch, means over the seeds and their range."""
    lines = [f"{key}: {value}" for key, value in meta.items()]
    lines += [
        "",
        "| encoder | rule | batch | updates | accuracy | macro-F1 | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for (encoder, rule, batch), part in table.groupby(["encoder", "rule", "batch"], sort=False):
        spread = f"{part['accuracy'].mean():.3f} ({part['accuracy'].min():.3f}–{part['accuracy'].max():.3f})"
        lines.append(
            f"| {encoder} | {rule} | {batch} | {part['updates'].mean():.0f} | {spread} | {part['macro_f1'].mean():.3f} "
            f"| {part['seconds'].mean():.0f} |"
        )
    return "\n".join([*lines, ""])


def _trainings(recipe: Recipe) -> Iterator[tuple[str, str, int, int]]:
    """All of them, the long ones of each seed last, so that a study cut short has left out as little as it can."""
    base, *larger = recipe.study.batches
    for seed in range(recipe.study.seeds):
        for late in (False, True):
            for name in recipe.study.encoders:
                for rule in recipe.study.rules:
                    if (rule == "updates") == late:
                        batches = [base, *larger] if rule == recipe.study.rules[0] else larger
                        for batch in batches:  # the base is the same under every rule
                            yield name, rule, batch, seed


def _tokenized(splits: Any, tokenizer: Any, recipe: Recipe) -> tuple[TokenDataset, TokenDataset]:
    from datasets import concatenate_datasets

    held_out = concatenate_datasets([splits["validation"], splits["test"]])
    if recipe.study.held_out is not None:
        held_out = held_out.shuffle(seed=0).select(range(min(recipe.study.held_out, len(held_out))))
    parts = (splits["train"], held_out)
    return tuple(TokenDataset.of(tokenize(p, tokenizer, max_length=recipe.data.max_length)) for p in parts)


def _loader(data: TokenDataset, size: int, collator: Collator, seed: int, *, shuffle: bool) -> DataLoader:
    sampler = BucketBatchSampler(data.lengths, size, shuffle=shuffle, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(data, batch_sampler=sampler, collate_fn=collator, generator=generator)


# ---- encoders


def _encoder(name: str, seed: int):
    """An encoder by name: `load_encoder`'s, "NAME[:3]" for its first three layers, or "modernbert-small".

    The last is a ModernBERT of 4 layers of 128 with random weights and kolab-mini's tokenizer: it needs no network.
    """
    if name == "modernbert-small":
        return _modernbert_small(seed)
    cut = re.fullmatch(r"(.+)\[:(\d+)\]", name)
    encoder, tokenizer = load_encoder(cut[1] if cut else name)
    if cut:
        inner = getattr(encoder, "encoder", encoder)
        kind = "layer" if hasattr(inner, "layer") else "layers"
        if not 1 <= int(cut[2]) <= len(getattr(inner, kind, ())):
            raise ConfigError(f"study.encoders has {name!r}; {cut[1]} does not have so many layers.")
        setattr(inner, kind, getattr(inner, kind)[: int(cut[2])])
        encoder.config.num_hidden_layers = int(cut[2])
    return encoder, tokenizer


def _modernbert_small(seed: int):
    from transformers import ModernBertConfig, ModernBertModel

    from kolab.encoders import choose_attention

    tokenizer = load_encoder("kolab-mini", pretrained=False)[1]
    config = ModernBertConfig(
        vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=192,
        max_position_embeddings=256, pad_token_id=tokenizer.pad_token_id, cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id, bos_token_id=tokenizer.cls_token_id, eos_token_id=tokenizer.sep_token_id,
        embedding_dropout=0.1, mlp_dropout=0.1, attention_dropout=0.1,
    )  # fmt: skip
    choose_attention(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ModernBertModel._from_config(config).float().eval(), tokenizer


def _label(name: str) -> str:
    if name == "modernbert-small":
        return "ModernBERT"
    if name.startswith("kolab-mini"):
        return "BERT"
    lowered = name.lower()
    found = [label for kind, label in _FAMILIES.items() if kind in lowered]
    return max(found, key=len) if found else name


def _described(name: str) -> str:
    if name == "modernbert-small":
        return "4 layers of 128, random weights"
    cut = re.fullmatch(r"(.+)\[:(\d+)\]", name)
    return f"{cut[1]}, pre-trained, its first {cut[2]} layers" if cut else f"{name}, pre-trained"


def _read(path: Path | None, resume: bool) -> list[dict[str, Any]]:
    if path is None:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        return []
    if not resume:
        raise ConfigError(
            f"{path.parent} already holds a study. Go on with it by --resume, or give another --folder."
        )
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
