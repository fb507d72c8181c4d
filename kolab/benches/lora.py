"""LoRA against full fine-tuning, and its neighbours: scores over seeds, rates, ranks; time, memory and bytes.

The claims: "LoRA matches full fine-tuning, at 1.45 times as many steps a second", "train at 5e-5 in full, at 5e-4 with
LoRA". Four parts, all on the bundled reviews:

- methods: each way of training at one rate that was fixed beforehand, over several seeds;
- rates: full fine-tuning and LoRA at rates three times apart (one seed);
- ranks: LoRA from 1 to 64 with alpha = 2 · rank; then rank 64 with alpha 16, as LoRA and as rsLoRA (one seed);
- cost: seconds of a training step (the methods take turns), peak memory of a few steps (each in a fresh process), and
  the bytes that a task needs on disk beside the base.

No epoch and no setting is picked by a score, so validation and test serve together as held-out data. A seed decides the
head's first weights, the dropout and the order of the batches, never the split. Every row is kept as soon as it is
measured: stopped in the middle, the same command goes on where it was.
"""

import functools
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from pathlib import Path

import pandas as pd
import torch

from kolab import checkpoint, lora, measure, memory
from kolab.batching import Loaders, make_loaders
from kolab.data import data_path, load_reviews
from kolab.ledger import Ledger
from kolab.metrics import macro_f1
from kolab.model import Classifier, load_encoder
from kolab.optim import make_optimizer, parameter_groups
from kolab.train import TrainConfig, fit, predict

# One rate each, fixed beforehand: ten times as high for LoRA as in full, as published; higher still for what has
# fewer numbers to move. rsLoRA's scale is √8 times LoRA's at rank 8, so its rate is so much lower.
RATES = {
    "full": 4e-4,
    "LoRA": 4e-3,
    "DoRA": 4e-3,
    "rsLoRA": 1.4e-3,
    "IA3": 1e-2,
    "prefix": 1e-2,
    "head only": 1e-2,
}
SWEEP = {"full": (5e-5, 1.3e-4, 1.2e-3, 4e-3), "LoRA": (4e-4, 1.3e-3, 1.2e-2)}  # beside the rate above
RANK, RANKS, FIXED_ALPHA = 8, (1, 2, 32, 64), 16.0


def run(
    *, quick: bool = False, seeds: int = 3, others: int = 2, epochs: int = 3, rows: int = 2400
) -> tuple[pd.DataFrame, dict]:
    """One row a training (part, method, lr, rank, alpha, seed, macro_f1), and one a method for the part `cost`.

    quick: a look at whether it runs, on 64 reviews. seeds: of full fine-tuning and LoRA. others: of the other methods.
    epochs: of every training. rows: reviews to learn from, always the same ones. After a Ctrl-C what is whole counts;
    run it again to go on.
    """
    splits = load_reviews()
    train = splits["train"].shuffle(seed=0)
    splits["train"] = train.select(range(min(rows, len(train))))
    if quick:
        seeds, others, epochs = 1, 1, 1
        splits = {name: part.select(range(min(64, len(part)))) for name, part in splits.items()}
    work = plan(seeds, others, quick=quick)
    about = {"epochs": epochs, "encoder": _digest(), "reviews": len(splits["train"])}
    ledger = Ledger(memory.home() / f"bench-lora{'-quick' if quick else ''}.jsonl", about)
    whole = False
    try:
        for number, job in enumerate(work, 1):
            row = ledger.get(job, functools.partial(_train, job, splits, epochs))
            print(f"{number:3} of {len(work)}  {_words(row)}", flush=True)
        for row in ledger.get({"part": "cost"}, functools.partial(cost, splits, quick=quick))["rows"]:
            print(row, flush=True)
        whole = True
    except KeyboardInterrupt:
        if not ledger.rows:
            raise
        print("Stopped: what is whole counts. The same command goes on from here.")
    table = pd.DataFrame(list(chain.from_iterable(row.pop("rows", [row]) for row in ledger.rows)))
    if whole:
        ledger.close()
    held_out = len(splits["validation"]) + len(splits["test"])
    meta = {
        "data": f"it_reviews: {len(splits['train']):,} reviews to learn from, {held_out:,} held out",
        "encoder": "kolab-mini", "seeds": seeds, "seeds_of_others": others, "epochs": epochs, "batch_size": 32,
        "rank": RANK, "alpha": "2 · rank", "schedule": "linear, warm-up 0.1", "complete": whole,
        "cost": "a batch of 32 reviews of the longest; peak memory beyond the libraries, base weights included",
    }  # fmt: skip
    return table, meta


def plan(seeds: int, others: int, *, quick: bool = False) -> list[dict]:
    """All trainings, what matters most first: every method once, full and LoRA again, rates, ranks, the rest again."""

    def job(part: str, method: str, seed: int = 0, lr: float = 0.0, rank: int = RANK, alpha: float = 0.0):
        family = method in ("LoRA", "DoRA", "rsLoRA")
        return {
            "part": part, "method": method, "lr": lr or RATES[method], "rank": rank if family else None,
            "alpha": (alpha or 2.0 * rank) if family else None, "seed": seed,
        }  # fmt: skip

    first = [job("methods", method) for method in lora.METHODS]
    main = [job("methods", method, seed) for seed in range(1, seeds) for method in ("full", "LoRA")]
    rates = [job("rates", method, lr=lr) for method, sweep in SWEEP.items() for lr in sweep]
    ranks = [job("ranks", "LoRA", rank=rank) for rank in RANKS]
    # At a fixed alpha: with the rate of rank 8, so that nothing but the scale differs.
    ranks += [job("ranks", m, rank=64, alpha=FIXED_ALPHA, lr=RATES["LoRA"]) for m in ("LoRA", "rsLoRA")]
    rest = [
        job("methods", method, seed)
        for seed in range(1, others)
        for method in lora.METHODS
        if method not in ("full", "LoRA")
    ]
    return first[:2] + rates[:1] if quick else first + main + rates + ranks + rest


def _train(job: dict, splits, epochs: int) -> dict:
    """Train as the job says; the job with macro_f1 on the held-out reviews, what trained, and the seconds."""
    encoder, tokenizer = load_encoder()
    loaders = make_loaders(splits, tokenizer, seed=job["seed"])
    model = Classifier.build(encoder, list(splits["train"].features["label"].names), seed=job["seed"])
    model = lora.adapt(model, job["method"], rank=job["rank"] or RANK, alpha=job["alpha"])
    trained, used = lora.honest_count(model)
    config = TrainConfig(epochs=epochs, lr=job["lr"], seed=job["seed"], keep_best=False, progress=False)
    with measure.stopwatch() as watch:
        fit(model, {"train": loaders["train"]}, config)
    found = [predict(model, loaders[name]) for name in ("validation", "test")]
    predictions = list(chain.from_iterable(part.labels.tolist() for part in found))
    references = list(chain.from_iterable(part.references.tolist() for part in found))
    score = round(macro_f1(predictions, references), 4)
    return job | {"macro_f1": score, "trained": trained, "used": used, "seconds": round(watch.seconds, 1)}


def _words(row: dict) -> str:
    rank = f"rank {row['rank']}, alpha {row['alpha']:g}" if row["rank"] else ""
    return (
        f"{row['part']:8} {row['method']:10} lr {row['lr']:<8.3g} {rank:18} seed {row['seed']}  macro-F1 "
        f"{row['macro_f1']:.3f}  {row['seconds']:5.0f} s"
    )


def _digest() -> str:
    """Eight signs that tell one version of the encoder's weights from another."""
    return checkpoint.sha256(data_path("kolab-mini", "model.safetensors"))[:8]


# ---- cost


def cost(splits, *, quick: bool = False) -> dict:
    """{"rows": one a method}: seconds a step, times as fast as full, peak MiB, bytes on disk."""
    names = list(splits["train"].features["label"].names)
    batches = _longest(make_loaders({"train": splits["train"]}, load_encoder()[1]), 2)
    models = {m: _ready(m, len(names)) for m in (lora.METHODS[:2] if quick else lora.METHODS)}
    steps = {m: functools.partial(_steps, model, batches) for m, model in models.items()}
    times = measure.compare(steps, repeats=2 if quick else 9)
    rows = []
    for method, model in models.items():
        with tempfile.TemporaryDirectory() as folder:
            size = lora.save_trained(model, Path(folder) / "task.safetensors")
        trained, used = lora.honest_count(model)
        peak = None if quick and method == "full" else round(peak_mib(method, len(names), batches), 1)
        rows.append(
            {
                "part": "cost", "method": method, "trained": trained, "used": used,
                "seconds_a_step": round(times.loc[method, "seconds"] / len(batches), 4),
                "times_as_fast": round(times.loc[method, "times as fast"], 3), "peak_mib": peak, "bytes": size,
            }
        )  # fmt: skip
    return {"rows": rows}


def _longest(loaders: Loaders, count: int) -> list[dict]:
    batches = sorted(loaders["train"], key=lambda batch: batch["input_ids"].numel())
    return batches[-count:]


def _ready(method: str, classes: int) -> torch.nn.Module:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = lora.adapt(Classifier.build(load_encoder()[0], classes, seed=0), method, rank=RANK)
    return model.to(device).train()


def _steps(model: torch.nn.Module, batches: list[dict]) -> None:
    """One training step a batch, as `fit` does it but in float32: forward, backward, clip, AdamW."""
    optimizer = getattr(model, "bench_optimizer", None)
    if optimizer is None:
        optimizer = make_optimizer(parameter_groups(model, 1e-5))
        object.__setattr__(model, "bench_optimizer", optimizer)  # no part of the model: not saved with it
    device = next(model.parameters()).device
    for batch in batches:
        batch = {name: value.to(device) for name, value in batch.items()}
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        torch.nn.functional.cross_entropy(logits, batch["labels"]).backward()
        torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
        optimizer.step()
        optimizer.zero_grad()


def peak_mib(method: str, classes: int, batches: list[dict]) -> float:
    """The most memory that a model and a few of its training steps take, measured in a process of their own, in MiB.

    A process that has worked before holds memory that it does not use, and would show too little.
    """
    context = multiprocessing.get_context("spawn")
    plain = [{name: value.tolist() for name, value in batch.items()} for batch in batches]
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_peak, method, classes, plain).result()


def _peak(method: str, classes: int, plain: list[dict]) -> float:
    _steps(_ready("head only", classes), _tensors(plain)[:1])  # what a first step of any kind loads
    with measure.peak_memory() as peak:
        _steps(_ready(method, classes), _tensors(plain) * 3)
    return peak.mib


def _tensors(plain: list[dict]) -> list[dict]:
    return [{name: torch.tensor(value) for name, value in batch.items()} for batch in plain]
