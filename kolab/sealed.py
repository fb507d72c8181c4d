"""A test set that opens once, and how much of a difference on it is the luck of its texts."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kolab.errors import ConfigError, DataError, KolabError
from kolab.metrics import macro_f1

__all__ = ["Opened", "SealError", "SealedTest", "bootstrap_scores", "paired_interval"]


class SealError(KolabError):
    """A sealed test set was asked for a second look."""


class SealedTest:
    """A test set that is opened once, for everything one wants to know of it, and never again.

    inputs: what predictions are made from (a loader, texts, probabilities); they may be looked at freely.
    references: the true labels, (N,) or (N, C). Nothing but `open` uses them.
    receipt: a file that says that this test set has been opened, so that the next process knows it too.

    It guards you against yourself: against 'just one more look'. Python hides nothing from somebody who wants to cheat.

    >>> test = SealedTest(["a", "b"], np.array([1, 0]))
    >>> test.open({"always one": lambda texts: np.ones(len(texts), dtype=int)}).scores()["always one"]
    0.3333333333333333
    >>> test.open({"a better idea": lambda texts: np.array([1, 0])})
    Traceback (most recent call last):
    kolab.sealed.SealError: This test set has been opened ...
    """

    def __init__(self, inputs: Any, references: Any, *, receipt: str | Path | None = None):
        self.inputs = inputs
        self._references = np.array(
            references
        )  # a copy: changing the original afterwards changes nothing here
        self.receipt = None if receipt is None else Path(receipt)
        self._opened: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self._references)

    @property
    def opened(self) -> dict[str, Any] | None:
        """When and for what it was opened, and the digest of the predictions; None while it is sealed."""
        if self._opened is None and self.receipt is not None and self.receipt.is_file():
            self._opened = json.loads(self.receipt.read_text(encoding="utf-8")) | {"by": "an earlier process"}
        return self._opened

    def open(self, candidates: Mapping[str, Callable[[Any], Any] | Any]) -> "Opened":
        """Scores all candidates, once. Each is a function of `inputs`, or its ready predictions.

        All predictions are made and checked before the labels are touched, so a crash on the way leaves the seal whole.
        A second call raises `SealError`. (One exception: a process that died after opening may be followed by one that
        brings exactly the same predictions. It learns nothing new.)
        """
        if not candidates:
            raise ConfigError("open(…) wants at least one candidate: a name and a function of the inputs.")
        before = self.opened
        if before is not None and before.get("by") is None:
            raise SealError(_refusal(before))
        predictions = {name: self._checked(name, found) for name, found in candidates.items()}
        note = {
            "opened": datetime.now().isoformat(timespec="seconds"),
            "for": list(predictions),
            "digest": _digest(predictions),
        }
        if before is not None and before["digest"] != note["digest"]:
            raise SealError(_refusal(before))
        if before is None and self.receipt is not None:
            self.receipt.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self.receipt.open("x", encoding="utf-8") as file:  # fails if another process was faster
                    file.write(json.dumps(note, ensure_ascii=False, indent=1) + "\n")
            except FileExistsError:
                raise SealError(_refusal(json.loads(self.receipt.read_text(encoding="utf-8")))) from None
        self._opened = note
        return Opened(self._references.copy(), predictions)

    def _checked(self, name: str, candidate: Any) -> np.ndarray:
        found = candidate(self.inputs) if callable(candidate) else candidate
        found = np.asarray(found.detach().cpu() if hasattr(found, "detach") else found)
        if found.shape != self._references.shape or (found.dtype.kind == "f" and (found % 1 != 0).any()):
            raise DataError(
                f"{name!r} predicts {found.dtype} of shape {found.shape}; decisions of shape {self._references.shape} "
                "are wanted (class numbers, or 0 and 1 a label). The seal is still whole."
            )
        return found.astype(int)

    def _refuse_a_copy(self, *_: Any):
        raise SealError("A sealed test set cannot be copied or pickled: the copy could be opened once more.")

    __copy__ = __deepcopy__ = __reduce__ = _refuse_a_copy

    def __repr__(self) -> str:
        state = "sealed" if self.opened is None else f"opened {self.opened['opened']}"
        return f"SealedTest({len(self)} examples, {state})"


@dataclasses.dataclass(frozen=True)
class Opened:
    """What an opened test set tells: the references and each candidate's predictions, (N,) or (N, C)."""

    references: np.ndarray
    predictions: dict[str, np.ndarray]

    def scores(self) -> dict[str, float]:
        """Macro-F1 of each candidate."""
        return {name: macro_f1(found, self.references) for name, found in self.predictions.items()}

    def table(self, base: str, *, samples: int = 1000, level: float = 0.95, seed: int = 0) -> pd.DataFrame:
        """A row a candidate: macro-F1 with its interval, and the difference from `base` with its own, paired one."""
        if base not in self.predictions:
            raise ConfigError(f"base is {base!r}; there are {', '.join(self.predictions)}.")
        draws = bootstrap_scores(list(self.predictions.values()), self.references, samples=samples, seed=seed)
        ends = [(1 - level) / 2, (1 + level) / 2]
        scores, at, rows = self.scores(), list(self.predictions).index(base), {}
        for column, name in enumerate(scores):
            low, high = np.quantile(draws[:, column], ends)
            less, more = np.quantile(draws[:, column] - draws[:, at], ends)
            rows[name] = {
                "macro_f1": scores[name], "low": low, "high": high,
                "difference": scores[name] - scores[base], "difference_low": less, "difference_high": more,
            }  # fmt: skip
        return pd.DataFrame(rows).T


def _refusal(note: Mapping[str, Any]) -> str:
    shown = ", ".join(note["for"][:4]) + (" …" if len(note["for"]) > 4 else "")
    return (
        f"This test set has been opened ({note['opened']}, for: {shown}) and stays shut. Whoever looks twice and keeps "
        "the better answer reports luck. Decide on validation data, or open a test set that nothing has seen yet."
    )


def _digest(predictions: Mapping[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name, values in sorted(predictions.items()):
        found.update(name.encode() + values.astype(np.int64).tobytes())
    return found.hexdigest()


# ---- how much of a difference is the luck of the test texts


def bootstrap_scores(
    predictions: Sequence[Any], references: Any, *, samples: int = 1000, seed: int = 0
) -> np.ndarray:
    """(samples, K): macro-F1 of K sets of predictions, on `samples` test sets drawn with replacement.

    In a row all K are scored on the same draw, so differences between columns are paired. predictions: K times (N, C)
    multi-hot (or (N,) class numbers), references likewise. A draw is a number of copies for each text; macro-F1 needs
    only sums over texts, so a thousand draws are three matrix products.
    """
    references, *columns = _one_hot([references, *predictions])
    random, count = np.random.default_rng(seed), len(references)
    copies = random.multinomial(count, np.full(count, 1 / count), size=samples).astype(float)  # (samples, N)
    there, scores = copies @ references, np.empty((samples, len(columns)))
    for column, found in enumerate(columns):
        both = there + copies @ found
        right = copies @ (found * references)
        f1 = np.divide(2 * right, both, out=np.zeros_like(both), where=both > 0)
        scores[:, column] = f1.mean(axis=1)
    return scores


def paired_interval(
    first: Any, second: Any, references: Any, *, samples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """Macro-F1 of `first` minus that of `second`, and the ends of its bootstrap interval, both on the same draws.

    Most texts are easy for both or hard for both; that luck they share, and in a difference on the same draws it
    cancels. Two separate intervals may overlap where this one is far from zero.
    """
    if not 0 < level < 1:
        raise ConfigError(f"level is {level}; it has to lie between 0 and 1.")
    scores = bootstrap_scores([first, second], references, samples=samples, seed=seed)
    low, high = np.quantile(scores[:, 0] - scores[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return macro_f1(first, references) - macro_f1(second, references), float(low), float(high)


def _one_hot(parts: Sequence[Any]) -> list[np.ndarray]:
    """Class numbers as rows of 0 and 1 over the classes that occur anywhere; multi-hot rows as they are."""
    arrays = [np.asarray(part) for part in parts]
    if len({a.shape for a in arrays}) > 1 or arrays[0].ndim not in (1, 2) or not arrays[0].size:
        raise DataError(
            f"references and predictions have to agree in shape; they have {[a.shape for a in arrays]}."
        )
    if arrays[0].ndim == 2:
        return [(a > 0).astype(float) for a in arrays]
    classes = np.unique(np.concatenate(arrays))
    return [(a[:, None] == classes).astype(float) for a in arrays]
