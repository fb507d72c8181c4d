"""Which share of what a machine can multiply does a training step reach, and what does `torch.compile` add?

The machine's matrix rate is measured, not read from a data sheet: the product of two large square matrices. The share
is that of a whole training step (forward, backward, AdamW) with no padding: Chowdhery et al., *PaLM* (2022), appendix
B, call it model FLOPs utilisation (MFU). Weights are random, since a multiplication does not ask what a weight says.
"""

import gc
from collections.abc import Callable
from statistics import median
from typing import Any

import pandas as pd
import torch

from kolab import measure
from kolab.benches.precision import DTYPES, SHAPES, build, make_step
from kolab.footprint import Shape
from kolab.processes import default_device

AIM = "0.5 at KoBERT's size on a GPU"


def run(
    *, quick: bool = False, batch: int = 0, length: int = 128, steps: int = 5, compiler: str = ""
) -> tuple[pd.DataFrame, dict]:
    """One row an encoder's size, precision and way of running: milliseconds a step, TFLOP/s, the share of the rate.

    batch: texts in a batch; 0 for 128 on a GPU, 8 on a CPU. steps: timed ones; the median counts. compiler:
    torch.compile's backend; by default "inductor" on a GPU and none on a CPU, where it needs a C++ compiler and
    minutes. quick: kolab-mini, 2 texts of 16 tokens.
    """
    device = default_device()
    cuda = device.type == "cuda"
    batch, compiler = batch or (128 if cuda else 8), compiler or ("inductor" if cuda else "")
    shapes = dict(SHAPES)
    if quick:
        shapes, batch, length, steps = {"kolab-mini": SHAPES["kolab-mini"]}, 2, 16, 2
    table = []
    for precision in ("fp32", "bf16"):
        rate = matrix_rate(precision, device, size=256 if quick else 8192 if cuda else 2048)
        for name, shape in shapes.items():
            for backend in ["", compiler] if compiler else [""]:
                times, work = one(shape, precision, backend, batch, length, steps)
                reached = work / times / 1e12
                table.append(
                    {
                        "encoder": name, "precision": precision, "torch.compile": backend or "no",
                        "ms a step": round(1000 * times, 2), "tokens a second": round(batch * length / times),
                        "TFLOP/s": round(reached, 4), "matrix TFLOP/s": round(rate / 1e12, 4),
                        "MFU": round(reached * 1e12 / rate, 3),
                    }
                )  # fmt: skip
                print(table[-1], flush=True)
    meta = {
        "batch": batch, "length": length, "steps": steps, "device": device.type, "threads": torch.get_num_threads(),
        "aim": AIM, "MFU": "3 × (2 × weights of linear layers + attention's products) × tokens / seconds / matrix rate",
        "matrix TFLOP/s": "a product of two square matrices, the fastest of ten",
        "on a GPU": "measured" if cuda else "not measured: there is none here",
    }  # fmt: skip
    return pd.DataFrame(table), meta


def matrix_rate(precision: str, device: torch.device, *, size: int = 2048, repeats: int = 10) -> float:
    """Floating-point operations a second in the product of two (size, size) matrices: the fastest of `repeats`."""
    dtype = DTYPES.get(precision, torch.float32)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / min(_timed(lambda: left @ right) for _ in range(repeats + 1))


def one(shape: Shape, precision: str, backend: str, batch: int, length: int, steps: int) -> tuple[float, int]:
    """Seconds of a training step (the median), and the floating-point operations that it needs."""
    model = build(shape).to(default_device())
    work = batch * length * measure.flops_per_token(model, length, training=True)
    if backend:
        model.compile(backend=backend)
    step, _ = make_step(model, shape, precision, batch, length)
    for _ in range(3 if backend else 1):  # compiles; makes the optimizer's state
        step()
    seconds = median(_timed(step) for _ in range(steps))
    del model, step
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return seconds, work


def _timed(work: Callable[[], Any]) -> float:
    with measure.stopwatch() as watch:
        work()
    return watch.seconds
