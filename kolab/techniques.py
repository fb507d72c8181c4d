"""Sixteen techniques from a much-read list, the changes to a plain training that stand for them, and their differences.

The list is a blog post's: each technique with a few lines of code and a sentence on its effect, none of them measured.
Here each is one change to a plain training, everything else equal, the seed too; `kolab/studies/techniques.py` runs
them. What cannot be a change of the score (a progress bar) says so.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from kolab.errors import DataError
from kolab.power import paired


@dataclasses.dataclass(frozen=True)
class Variant:
    """A plain training with one thing changed.

    train: fields of `TrainConfig`. dropout: the rate everywhere, None for the encoder's own. smoothing: ε of label
    smoothing, None for the recipe's. balanced: class weights. times_lr: factor on the rate. keep_best: take the epoch
    with the best macro-F1. other_seed: nothing but another seed.
    """

    train: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dropout: float | None = None
    smoothing: float | None = None
    balanced: bool = False
    times_lr: float = 1.0
    keep_best: bool = False
    other_seed: bool = False


VARIANTS: dict[str, Variant] = {
    "plain": Variant(),
    "another seed": Variant(other_seed=True),
    "dropout 0.3": Variant(dropout=0.3),
    "weight decay 0.1": Variant({"weight_decay": 0.1}),
    "layer-wise 0.95": Variant({"layer_decay": 0.95}),
    "layer-wise 0.8": Variant({"layer_decay": 0.8}),
    "best epoch": Variant(keep_best=True),
    "class weights": Variant(balanced=True),
    "float32": Variant({"precision": "fp32"}),
    "cosine": Variant({"schedule": "cosine"}),
    "clipping 0.5": Variant({"max_grad_norm": 0.5}),
    "no clipping": Variant({"max_grad_norm": None}),
    "smoothing 0.05": Variant(smoothing=0.05),
    "smoothing 0.1": Variant(smoothing=0.1),
    "warm-up": Variant({"warmup": 0.1}),
    "warm-up, then constant": Variant({"warmup": 0.1, "schedule": "constant"}),
    "4 × rate": Variant(times_lr=4.0),
    "4 × rate, warm-up": Variant({"warmup": 0.1}, times_lr=4.0),
    "accumulation": Variant({"accumulate": 8}),
    "all at once": Variant(
        {"weight_decay": 0.1, "layer_decay": 0.95, "schedule": "cosine", "max_grad_norm": 0.5, "warmup": 0.1},
        dropout=0.3, smoothing=0.05, balanced=True, keep_best=True,
    ),
}  # fmt: skip

# What is asked: name → (the variant with it, the variant without it).
COMPARISONS: dict[str, tuple[str, str]] = {
    "nothing, another seed": ("another seed", "plain"),
    "dropout 0.3, not 0.1": ("dropout 0.3", "plain"),
    "weight decay 0.1": ("weight decay 0.1", "plain"),
    "layer-wise decay 0.95": ("layer-wise 0.95", "plain"),
    "layer-wise decay 0.8": ("layer-wise 0.8", "plain"),
    "best epoch, not the last": ("best epoch", "plain"),
    "class weights": ("class weights", "plain"),
    "mixed precision": ("plain", "float32"),
    "cosine, not linear": ("cosine", "plain"),
    "clipping at 0.5, not 1": ("clipping 0.5", "plain"),
    "clipping at 1, not at all": ("plain", "no clipping"),
    "smoothing 0.05": ("smoothing 0.05", "plain"),
    "smoothing 0.1": ("smoothing 0.1", "plain"),
    "warm-up 10 %": ("warm-up", "plain"),
    "warm-up 10 % at 4 × the rate": ("4 × rate, warm-up", "4 × rate"),
    "constant after it, not linear": ("warm-up, then constant", "warm-up"),
    "accumulation over 8": ("accumulation", "plain"),
    "all at once": ("all at once", "plain"),
}


@dataclasses.dataclass(frozen=True)
class Technique:
    """One of the sixteen. line: the code that does it here. comparisons: where it was measured, if it was.

    otherwise: what is to be said of it where no score can answer.
    """

    number: int
    name: str
    korean: str
    line: str
    comparisons: tuple[str, ...] = ()
    otherwise: str = ""


SIXTEEN: tuple[Technique, ...] = (
    Technique(1, "dropout", "드롭아웃", "set_dropout(model, 0.3)", ("dropout 0.3, not 0.1",)),
    Technique(
        2, "optimizer: decay by layer, weight decay", "옵티마이저", "TrainConfig(layer_decay=0.95, weight_decay=0.1)",
        ("layer-wise decay 0.95", "layer-wise decay 0.8", "weight decay 0.1"),
    ),
    Technique(
        3, "checkpoint", "체크포인트", 'TrainConfig(folder="runs/a", keep_best=True, metric="f1")',
        ("best epoch, not the last",),
    ),
    Technique(
        4, "label encoding", "라벨 인코딩", 'data.cast_column("label", ClassLabel(names=names))',
        otherwise="needed: a loss wants class numbers (lesson 1)",
    ),
    Technique(5, "GPU", "장치 설정", "model.to(device)", otherwise="time, not score (lesson 7)"),
    Technique(6, "class weights", "클래스 가중치", "CrossEntropy(weight=n / (C * counts))", ("class weights",)),
    Technique(
        7, "missing values", "결측값 처리", "kl.audit(table)",
        otherwise="needed: a missing label crashes or misleads (lesson 1)",
    ),
    Technique(8, "mixed precision", "혼합 정밀도", 'TrainConfig(precision="auto")', ("mixed precision",)),
    Technique(9, "cosine schedule", "코사인 스케줄", 'TrainConfig(schedule="cosine")', ("cosine, not linear",)),
    Technique(
        10, "gradient clipping", "그래디언트 클리핑", "TrainConfig(max_grad_norm=0.5)",
        ("clipping at 0.5, not 1", "clipping at 1, not at all"),
    ),
    Technique(
        11, "label smoothing", "라벨 스무딩", "CrossEntropy(smoothing=0.05)", ("smoothing 0.05", "smoothing 0.1"),
    ),
    Technique(12, "progress bar", "진행 표시줄", "tqdm(loader)", otherwise="comfort; the score cannot change"),
    Technique(
        13, "tokenise, own dataset", "토큰화", "kl.make_loaders(data, tokenizer)",
        otherwise="needed; padding everything to 128 only costs time (lesson 2)",
    ),
    Technique(
        14, "metric: weighted F1", "평가 지표", 'classification_metrics(p, y, average="macro")',
        otherwise="changes what is reported, not the model",
    ),
    Technique(
        15, "warm-up", "워밍업", "TrainConfig(warmup=0.1)",
        ("warm-up 10 %", "warm-up 10 % at 4 × the rate", "constant after it, not linear"),
    ),
    Technique(
        16, "gradient accumulation", "그래디언트 누적", "TrainConfig(accumulate=8)", ("accumulation over 8",),
    ),
)  # fmt: skip


def differences(
    table: pd.DataFrame, score: str = "macro_f1", *, scale: float = 100.0, level: float = 0.95
) -> pd.DataFrame:
    """Each comparison's difference in a score, seed by seed, and how far to trust its mean.

    table: rows of the study, with `variant`, `seed` and the score. Pairs share the seed: the same head at the start,
    the same batches in the same order. scale: 100 gives points. Comparisons with no complete pair are left out.

    Returns one row a comparison: `mean`, `low` and `high` (Student's t interval of the mean at `level`; NaN for a
    single seed), `smallest`, `largest`, `better` (seeds in favour), `seeds`. A level of 0.95 leaves one
    comparison in twenty that shows something where nothing is.

    >>> rows = [("plain", 0, 0.70), ("plain", 1, 0.72), ("cosine", 0, 0.71), ("cosine", 1, 0.75)]
    >>> found = differences(pd.DataFrame(rows, columns=["variant", "seed", "macro_f1"]))
    >>> found.loc["cosine, not linear", ["mean", "better", "seeds"]].round(6).tolist()
    [2.0, 2.0, 2.0]
    """
    missing = {"variant", "seed", score} - set(table.columns)
    if missing:
        raise DataError(
            f"The table has no column {', '.join(sorted(missing))}; it has {', '.join(table.columns)}."
        )
    scores = table.pivot_table(index="seed", columns="variant", values=score)
    rows = {}
    for name, (with_it, without) in COMPARISONS.items():
        if with_it not in scores or without not in scores:
            continue
        gaps = (scale * (scores[with_it] - scores[without])).dropna()
        if len(gaps):
            rows[name] = _summary(gaps.to_numpy(), level)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("comparison")


def _summary(gaps: np.ndarray, level: float) -> dict[str, float]:
    low = high = np.nan
    if len(gaps) > 1:
        found = paired(gaps, level=level)
        low, high = found.low, found.high
    return {
        "mean": float(gaps.mean()), "low": low, "high": high, "smallest": float(gaps.min()),
        "largest": float(gaps.max()), "better": int((gaps > 0).sum()), "seeds": len(gaps),
    }  # fmt: skip
