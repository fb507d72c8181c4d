"""Ways of making one decision of several models, all settled on validation texts, then compared on a sealed test set.

Probabilities stand in arrays (E, S, N, C): encoders, seeds, texts, labels. One replicate is one seed: the models of all
encoders trained with it (and, for the ensemble of one encoder, of that encoder with this seed and the two after it).
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kolab.decide import apply_thresholds, cross_fit, fit_thresholds
from kolab.ensemble import blend, fit_weights, search_weights
from kolab.metrics import macro_f1
from kolab.sealed import SealedTest, bootstrap_scores

__all__ = ["BASE", "Way", "compared", "ways"]
BASE = ("best alone", "0.5")  # what gains are counted from: the one model that validation liked best
SAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Way:
    """One blend: which models, each an (encoder, seed), with which weights; of probabilities or of logits."""

    name: str
    models: tuple[tuple[int, int], ...]
    weights: tuple[float, ...]
    logits: bool = False

    def probabilities(self, stacks: np.ndarray) -> np.ndarray:
        """(E, S, N, C) → (N, C)."""
        chosen = np.stack([stacks[model] for model in self.models])
        if not self.logits:
            return blend(chosen, self.weights)
        chosen = chosen.clip(1e-7, 1 - 1e-7)
        return 1 / (1 + np.exp(-blend(np.log(chosen / (1 - chosen)), self.weights)))


def ways(validation: np.ndarray, labels: np.ndarray, names: Sequence[str], seed: int) -> Iterator[Way]:
    """All ways of one replicate, fitted on validation texts: probabilities (E, S, N, C), labels (N, C)."""
    encoders, seeds = validation.shape[:2]
    own, stack = _of_seed(encoders, seed), validation[:, seed]
    alone = [macro_f1(apply_thresholds(p, 0.5), labels) for p in stack]
    for number, name in enumerate(names):
        yield Way(f"{name} alone", own[number : number + 1], (1.0,))
    best = int(np.argmax(alone))
    yield Way(BASE[0], own[best : best + 1], (1.0,))
    if encoders > 1:
        equal = (1 / encoders,) * encoders
        yield Way("equal weights", own, equal)
        yield Way("equal weights, of logits", own, equal, logits=True)
        yield Way("weights by F1", own, tuple(np.array(alone) / sum(alone)) if sum(alone) else equal)
        yield Way("weights fitted by log loss", own, tuple(fit_weights(stack, labels)))
        yield Way("weights searched for F1", own, _searched(stack, labels))
    if seeds >= 3:
        three = tuple((0, (seed + more) % seeds) for more in range(3))
        yield Way(f"{names[0]}, three seeds", three, (1 / 3,) * 3)


def _of_seed(encoders: int, seed: int) -> tuple[tuple[int, int], ...]:
    """All models of one seed."""
    return tuple((encoder, seed) for encoder in range(encoders))


def _searched(stack: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    return tuple(search_weights(stack, lambda p: macro_f1(apply_thresholds(p, 0.5), labels))[0])


def compared(
    validation: np.ndarray,
    test: np.ndarray,
    labels: Mapping[str, np.ndarray],
    names: Sequence[str],
    folder: Path | None = None,
) -> pd.DataFrame:
    """Fits everything on validation, writes it down, opens the test set once, and tells what each way is worth.

    validation, test: (E, S, N, C). labels: "validation" and "test", (N, C). names: the E encoders. folder: gets
    plan.json before the test set is opened, and test_opened.json, which keeps it shut afterwards.

    A row a way, threshold and seed: weights, macro-F1 on validation (in-sample; with fitted thresholds also
    cross-fitted) and on test with its bootstrap interval, and `gain` over BASE of the same seed with its paired one.
    Then rows with seed "all": means over the seeds, intervals over the draws of test texts (low, high, gain_low,
    gain_high) and over texts and seeds together (both_low, both_high). Rows whose thresholds or weights say "on test"
    show what peeping would have reported.
    """
    settled, rows, plan = {}, [], []
    for seed in range(validation.shape[1]):
        for way in ways(validation, labels["validation"], names, seed):
            on_validation, on_test = way.probabilities(validation), way.probabilities(test)
            fitted = fit_thresholds(on_validation, labels["validation"])
            for kind, thresholds in (("0.5", np.full(len(fitted), 0.5)), ("fitted", fitted)):
                key = (seed, way.name, kind)
                settled[key] = apply_thresholds(on_test, thresholds)
                in_sample = apply_thresholds(on_validation, thresholds)
                row = {"seed": seed, "way": way.name, "thresholds": kind, "weights": _written(way.weights)}
                row["validation_f1"] = macro_f1(in_sample, labels["validation"])
                if kind == "fitted":
                    crossed = cross_fit(on_validation, labels["validation"], seed=seed)
                    row["cross_fitted_f1"] = macro_f1(crossed, labels["validation"])
                rows.append(row)
                models = [[names[e], s] for e, s in way.models]
                plan.append(row | {"models": models, "values": [round(float(t), 6) for t in thresholds]})
    receipt = None
    if folder is not None:
        text = json.dumps(plan, ensure_ascii=False, indent=1)
        (folder / "plan.json").write_text(text + "\n", encoding="utf-8")
        receipt = folder / "test_opened.json"
    sealed = SealedTest(test, labels["test"], receipt=receipt)
    opened = sealed.open({" · ".join(map(str, key)): found for key, found in settled.items()})
    truth, keys = opened.references, list(settled)
    draws = bootstrap_scores([settled[key] for key in keys], truth, samples=SAMPLES)
    scores = np.array([macro_f1(settled[key], truth) for key in keys])
    _add_tests(rows, keys, scores, draws)
    rows += _over_seeds(keys, scores, draws)
    rows += _peeping(test, truth, names)
    return pd.DataFrame(rows)


def _add_tests(rows: list[dict], keys: list, scores: np.ndarray, draws: np.ndarray) -> None:
    """Fills in what the test set said: the scores, and the gain over the base of the same seed."""
    for column, (row, key) in enumerate(zip(rows, keys, strict=True)):
        base = keys.index((key[0], *BASE))
        row["test_f1"], (row["low"], row["high"]) = scores[column], _ends(draws[:, column])
        row["gain"] = scores[column] - scores[base]
        row["gain_low"], row["gain_high"] = _ends(draws[:, column] - draws[:, base])


def _over_seeds(keys: list, scores: np.ndarray, draws: np.ndarray) -> list[dict[str, Any]]:
    """A row a way and threshold: means over the seeds, with intervals over test texts, and over texts and seeds."""
    seeds = sorted({key[0] for key in keys})
    base = [keys.index((seed, *BASE)) for seed in seeds]
    picked = np.random.default_rng(0).integers(len(seeds), size=(len(draws), len(seeds)))
    rows = []
    for way, kind in dict.fromkeys(key[1:] for key in keys):
        at = [keys.index((seed, way, kind)) for seed in seeds]
        gains = draws[:, at] - draws[:, base]
        low, high = _ends(draws[:, at].mean(axis=1))
        less, more = _ends(gains.mean(axis=1))
        both = _ends(np.take_along_axis(gains, picked, axis=1).mean(axis=1))
        gain = scores[at] - scores[base]
        rows.append(
            {
                "seed": "all", "way": way, "thresholds": kind, "test_f1": scores[at].mean(), "low": low, "high": high,
                "gain": gain.mean(), "gain_low": less, "gain_high": more, "both_low": both[0], "both_high": both[1],
                "seeds_better": int((gain > 0).sum()),
            }
        )  # fmt: skip
    return rows


def _peeping(test: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """What would have been reported if weights and thresholds had been chosen on the test texts."""
    rows, encoders = [], len(names)
    if encoders < 2:
        return rows
    for seed in range(test.shape[1]):
        equal = Way("equal weights", _of_seed(encoders, seed), (1 / encoders,) * encoders)
        weights = _searched(test[:, seed], truth)
        for name, way in (
            ("equal weights", equal),
            ("weights searched for F1", dataclasses.replace(equal, weights=weights)),
        ):
            on_test = way.probabilities(test)
            for kind, found in (
                ("0.5", apply_thresholds(on_test, 0.5)),
                ("fitted on test", apply_thresholds(on_test, fit_thresholds(on_test, truth))),
            ):
                if name == "equal weights" and kind == "0.5":
                    continue  # nothing was chosen: that is the honest row
                label = name if name == "equal weights" else f"{name} on test"
                rows.append(
                    {"seed": seed, "way": label, "thresholds": kind, "weights": _written(way.weights),
                     "test_f1": macro_f1(found, truth)}
                )  # fmt: skip
    means = pd.DataFrame(rows).groupby(["way", "thresholds"], sort=False)["test_f1"].mean()
    return rows + [
        {"seed": "all", "way": way, "thresholds": kind, "test_f1": value}
        for (way, kind), value in means.items()
    ]


def _ends(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _written(weights: Sequence[float]) -> str:
    return " / ".join(f"{w:.2f}" for w in weights)
