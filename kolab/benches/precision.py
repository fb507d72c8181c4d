"""Time and memory of a training step: fp32, tf32, bf16, fp16 × full fine-tuning or LoRA × gradient checkpointing.

The claims: "FP16 takes 40 to 50 % less memory and is 2 to 3 times faster" (one published study), "1.5 times" (another).
Two encoders: kolab-mini's shape and KoBERT's, both with random weights, since neither time nor memory asks what a
weight says; nothing is downloaded. Batches are random token ids without padding.

What a machine cannot show honestly is left out, and the column `note` or the meta data say so: tf32 exists on NVIDIA
GPUs only, and fp16 on a CPU is computed, but its backward pass has no fast kernels.
"""

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from statistics import median
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F

from kolab import footprint, measure
from kolab.allocations import held, peak_of
from kolab.errors import ConfigError
from kolab.footprint import KOBERT, MIB, MINI, Shape
from kolab.lora import LoRALinear, replace_linear
from kolab.model import Classifier

SHAPES = {"kolab-mini": MINI, "KoBERT's size": KOBERT}
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
RANK = 8


def run(
    *,
    quick: bool = False,
    encoders: str = "kolab-mini,KoBERT's size",
    batch: int = 0,
    length: int = 128,
    steps: int = 5,
) -> tuple[pd.DataFrame, dict]:
    """One row an encoder, precision, way of learning and checkpointing: seconds a step, MiB predicted and measured.

    encoders: their names, with commas. batch: texts in a batch; 0 for 32 on a GPU, 8 on a CPU. steps: timed ones; the
    median counts. quick: kolab-mini alone, 2 texts of 16 tokens, one step, nothing written.
    Every row is recorded as soon as it is there, and a run that was interrupted goes on where it stopped.
    """
    names = [name.strip() for name in encoders.split(",")]
    unknown = sorted(set(names) - set(SHAPES))
    if unknown:
        raise ConfigError(f"There is no shape {', '.join(unknown)}; there are {', '.join(SHAPES)}.")
    cuda = torch.cuda.is_available()
    batch = batch or (32 if cuda else 8)
    if quick:
        names, batch, length, steps = ["kolab-mini"], 2, 16, 1
    meta = {
        "batch": batch, "length": length, "steps": steps, "threads": torch.get_num_threads(),
        "lora": f"rank {RANK} on query and value",
        "optimizer": "AdamW, fused", "attention": "sdpa" if cuda else "eager", "weights": "random, of that shape",
        "seconds": "median of the timed steps: zero_grad, forward, backward, step",
        "memory": "torch's allocator" if cuda else "torch's profiler: allocations counted, not the size of the process",
        "left_out": "nothing" if cuda else "tf32 (NVIDIA GPUs only); fp16 at KoBERT's size (minutes a step)",
    }  # fmt: skip
    table = [] if quick else _begun(meta)
    for row in rows(names, batch=batch, length=length, steps=steps, skip=table):
        table.append(row)
        if not quick:
            measure.record("precision", table, **meta, complete=False)
    busy = (
        round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    )  # more than the threads: not alone
    return pd.DataFrame(table), meta | {"complete": True, "programs_running": busy}


def rows(
    names: list[str], *, batch: int = 32, length: int = 128, steps: int = 3, skip: Iterable[dict] = ()
) -> Iterator[dict[str, Any]]:
    """Measure and print one row after the other, all that this machine can show, but for those in `skip`."""
    done = {_key(row) for row in skip}
    for name, precision, learns, checkpointing in _plan(names, torch.cuda.is_available()):
        row = {"encoder": name, "precision": precision, "learns": learns, "checkpointing": checkpointing}
        if _key(row) not in done:
            row |= one(SHAPES[name], precision, learns == "LoRA", checkpointing, batch, length, steps)
            print("  ".join(f"{v:.4g}" if isinstance(v, float) else f"{v}" for v in row.values()), flush=True)
            yield row


def _plan(names: list[str], cuda: bool) -> Iterator[tuple[str, str, str, bool]]:
    precisions = ("fp32", "tf32", "bf16", "fp16") if cuda else ("fp32", "bf16", "fp16")
    for name, precision, learns, checkpointing in product(names, precisions, ("all", "LoRA"), (False, True)):
        if precision == "fp16" and not cuda and (name != "kolab-mini" or checkpointing or learns != "all"):
            continue
        yield name, precision, learns, checkpointing


def _key(row: dict[str, Any]) -> tuple:
    return row["encoder"], row["precision"], row["learns"], row["checkpointing"]


def _begun(meta: dict) -> list[dict]:
    """The rows of a run on this machine, with these settings, that was interrupted."""
    here = measure.machine()["name"]
    if here not in measure.recordings().get("precision", ()):
        return []
    earlier = measure.recorded("precision", machine=here)
    then = earlier.attrs["meta"]
    if then.get("complete", True) or {k: v for k, v in then.items() if k != "complete"} != meta:
        return []
    print(f"{len(earlier)} rows of an interrupted run are kept.")
    return earlier.to_dict("records")


def one(
    shape: Shape, precision: str, lora: bool, checkpointing: bool, batch: int, length: int, steps: int
) -> dict[str, Any]:
    """Seconds a step, the MiB that are held, the peak measured and predicted, and a note where a step did not fit."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    predicted = footprint.predict(
        shape, batch=batch, length=length, precision=precision, rank=RANK if lora else None,
        checkpointing=checkpointing, attention="sdpa" if device.type == "cuda" else "eager", device=device.type,
    )  # fmt: skip
    row: dict[str, Any] = {"seconds": None, "fastest": None, "held_mib": None, "peak_mib": None}
    row |= {"predicted_mib": round(predicted.peak / MIB, 1), "note": ""}
    try:
        model = build(shape, lora=lora, checkpointing=checkpointing).to(device)
        step, optimizer = make_step(model, shape, precision, batch, length)
        with _tf32(precision == "tf32"):
            step()  # the optimizer makes its state, the GPU chooses its kernels
            times = []
            for _ in range(steps):
                with measure.stopwatch() as watch:
                    step()
                times.append(watch.seconds)
            still = held(model, optimizer)
            optimizer.zero_grad()
            peak = peak_of(step) + still["weights"] + still["optimizer"]
        row |= {
            "seconds": round(median(times), 5),
            "fastest": round(min(times), 5),
            "held_mib": round(sum(still.values()) / MIB, 1),
            "peak_mib": round(peak / MIB, 1),
        }
    except torch.cuda.OutOfMemoryError:
        row["note"] = "out of memory"
    model = step = optimizer = None
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return row


def build(shape: Shape, *, lora: bool = False, checkpointing: bool = False, seed: int = 0) -> Classifier:
    """A classifier of a shape, with random weights, in training mode; LoRA as in kolab/lora.py, the head learns."""
    from transformers import BertConfig, BertModel

    from kolab.encoders import choose_attention

    config = BertConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.width, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, intermediate_size=shape.inner, max_position_embeddings=shape.positions,
        type_vocab_size=shape.types, use_cache=False,
    )  # fmt: skip
    choose_attention(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier.build(BertModel(config, add_pooling_layer=False), shape.classes)
    return prepare(model, lora=RANK if lora else None, checkpointing=checkpointing)


def prepare(model: Classifier, *, lora: int | None = None, checkpointing: bool = False) -> Classifier:
    """Puts LoRA of a rank on query and value, switches checkpointing on, and sets training mode. In place."""
    if lora is not None:
        model.encoder.requires_grad_(False)
        replace_linear(model.encoder, ("query", "value"), lambda layer: LoRALinear(layer, lora))
    if checkpointing:
        # transformers 5.23 renamed it; older ones know the older name only
        enable = (
            getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        )
        model.encoder.config.use_cache = False
        enable()
    return model.train()


def make_step(
    model: Classifier, shape: Shape, precision: str, batch: int, length: int, accumulate: int = 1
) -> tuple[Callable[[], None], torch.optim.Optimizer]:
    """One training step on random ids, and its optimizer: `accumulate` micro-batches of `batch` texts. fp16 has its
    loss scaler."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, shape.vocabulary, (batch, length), generator=generator).to(device)
    labels = torch.randint(shape.classes, (batch,), generator=generator).to(device)
    mask = torch.ones_like(ids)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    autocast = torch.autocast(
        device.type, dtype=DTYPES.get(precision, torch.bfloat16), enabled=precision in DTYPES
    )

    def step() -> None:
        optimizer.zero_grad()
        for _ in range(accumulate):
            with autocast:
                logits = model(ids, mask).logits
            scaler.scale(F.cross_entropy(logits.float(), labels) / accumulate).backward()
        scaler.step(optimizer)
        scaler.update()

    return step, optimizer


class _tf32:
    """Products of float32 matrices in tf32 (or in full, if not wanted) for a while."""

    def __init__(self, wanted: bool):
        self.wanted = wanted

    def __enter__(self) -> None:
        self.before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if self.wanted else "highest")

    def __exit__(self, *_: object) -> None:
        torch.set_float32_matmul_precision(self.before)
