"""kolab/benches/multilabel.py: what its scores say of models whose worth is known, and one trimmed training."""

import numpy as np
import pytest

from kolab import memory
from kolab.benches import multilabel as bench


def made_up(rows=600, classes=8, seed=0, knows=True):
    """Calibrated probabilities of a model that knows something (or nothing), and labels drawn from the same chances."""
    random = np.random.default_rng(seed)
    share = np.linspace(0.3, 0.05, classes)
    chances = 1 / (1 + np.exp(-(np.log(share / (1 - share)) + 2 * random.normal(size=(rows, classes)))))
    labels = (random.random((rows, classes)) < chances).astype(int)
    return (chances if knows else random.random((rows, classes))), labels


def test_scores_of_a_calibrated_model():
    row = bench.scores(*made_up(), rarest=[6, 7], draws=5)
    assert row["tuned"] >= row["crossed"] >= row["f1"]  # a threshold below 0.5 is right for rare labels
    assert row["rare tuned"] >= row["rare f1"] and 0 <= row["rare recall"] <= row["rare precision"] <= 1
    assert row["hamming"] > 0.8 and 0 < row["lrap"] < 1


@pytest.mark.parametrize("knows", [True, False])
def test_gains_shrink_on_other_rows_and_less_so_with_many(knows):
    row = bench.gains(*made_up(knows=knows), draws=20)
    assert set(row) == {f"{kind} {size}" for kind in ("gain", "true") for size in (50, 100, 200, 400)}
    lost = [row[f"gain {size}"] - row[f"true {size}"] for size in (50, 100, 200, 400)]
    assert min(lost) > 0 and lost[0] > lost[-1]


def test_one_trimmed_training_keeps_the_number_of_updates():
    row = bench.one("AEDA", 0, 1, 4e-4, quick=True)
    assert row["rows"] > 300 and row["updates"] == 10
    assert 0 <= row["rare crossed"] <= row["rare tuned"] <= 1


@pytest.mark.slow
def test_the_bench_trimmed(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "home", lambda: tmp_path)
    table, meta = bench.run(quick=True)
    assert list(table["way"]) == list(bench.WAYS) and meta["complete"] and not list(tmp_path.iterdir())
