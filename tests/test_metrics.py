"""kolab/metrics.py against scikit-learn, inside evaluate, and on input that should be refused."""

import evaluate
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from kolab import metrics
from kolab.errors import ConfigError, DataError

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


def reference(predictions, references, average="macro", labels=None):
    keywords = {"average": average, "zero_division": 0, "labels": labels}
    p, r, f, _ = sk.precision_recall_fscore_support(references, predictions, **keywords)
    return {"accuracy": sk.accuracy_score(references, predictions), "precision": p, "recall": r, "f1": f}


@given(pairs, st.sampled_from(metrics.AVERAGES), st.booleans())
def test_scores_equal_scikit_learn(rows, average, explicit):
    predictions, references = (np.array(column) for column in zip(*rows, strict=True))
    if average == "micro":
        explicit = False
    ours = metrics.classification_metrics(
        predictions, references, average=average, labels=4 if explicit else None
    )
    assert ours == pytest.approx(
        reference(predictions, references, average, list(range(4)) if explicit else None)
    )


@given(st.integers(1, 30), st.integers(0, 5))
def test_multi_hot_scores_equal_scikit_learn(rows, seed):
    random = np.random.default_rng(seed)
    predictions, references = random.integers(0, 2, (2, rows, 5))
    assert metrics.classification_metrics(predictions, references) == pytest.approx(
        reference(predictions, references)
    )


def test_a_class_the_test_set_lacks_counts_when_named():
    assert metrics.macro_f1([0, 1], [0, 1]) == 1.0
    assert metrics.macro_f1([0, 1], [0, 1], labels=3) == pytest.approx(2 / 3)
    assert metrics.macro_f1([0, 1], [0, 1], labels=[0, 1]) == 1.0
    assert metrics.classification_metrics([0, 1], [0, 1], labels=3, zero_division=1.0)["f1"] == 1.0


def test_evaluate_metrics_work_offline_alone_and_combined(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(tmp_path))
    predictions, references = [0, 0, 2, 1, 1], [0, 1, 2, 1, 0]
    expected = reference(predictions, references)
    assert metrics.F1().compute(predictions=predictions, references=references) == pytest.approx(
        {"f1": expected["f1"]}
    )
    together = metrics.combine([metrics.Accuracy, metrics.Precision(), metrics.Recall(), metrics.F1()])
    assert together.compute(predictions=predictions, references=references) == pytest.approx(expected)
    for start in (0, 2, 4):  # fed batch by batch, as a loop does
        together.add_batch(
            predictions=predictions[start : start + 2], references=references[start : start + 2]
        )
    assert together.compute() == pytest.approx(expected)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_evaluate_metrics_take_tensors_labels_and_multi_hot():
    one = metrics.F1(labels=3).compute(predictions=torch.tensor([0, 1]), references=torch.tensor([0, 1]))
    assert one["f1"] == pytest.approx(2 / 3)
    rows = metrics.F1(multi_label=True).compute(predictions=[[1, 0], [1, 1]], references=[[1, 0], [0, 1]])
    assert rows["f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_bad_input_is_named():
    logits = torch.tensor([[0.1, 0.9], [0.8, 0.2]])
    with pytest.raises(DataError, match=r"take \[1\]"):
        metrics.macro_f1(torch.max(logits, dim=1), [1, 0])
    with pytest.raises(DataError, match="argmax"):
        metrics.macro_f1(logits, [1, 0])
    with pytest.raises(DataError, match="empty"):
        metrics.macro_f1([], [])
    with pytest.raises(DataError, match="match"):
        metrics.macro_f1([0, 1, 1], [0, 1])
    with pytest.raises(ConfigError, match="average"):
        metrics.classification_metrics([0], [0], average="mean")
    for settings_ in ({"level": 1.0}, {"samples": 0}):
        with pytest.raises(ConfigError, match="level"):
            metrics.bootstrap_interval([0, 1], [0, 1], **settings_)


def test_bootstrap_by_counts_agrees_with_bootstrap_by_examples():
    random = np.random.default_rng(0)
    references = random.choice(3, 440, p=[0.45, 0.15, 0.4])
    predictions = np.where(random.random(440) < 0.75, references, random.integers(0, 3, 440))
    fast = metrics.bootstrap_interval(predictions, references, samples=4000)
    slow = metrics.bootstrap_interval(
        predictions, references, lambda p, r: metrics.macro_f1(p, r), samples=2000
    )
    assert fast == pytest.approx(slow, abs=0.008)
    assert fast[0] < metrics.macro_f1(predictions, references) < fast[1]
    assert fast == metrics.bootstrap_interval(predictions, references, samples=4000)
    assert fast != metrics.bootstrap_interval(predictions, references, samples=4000, seed=1)


@settings(max_examples=20)
@given(pairs)
def test_a_perfect_prediction_has_no_spread(rows):
    references = [row[0] for row in rows]
    low, high = metrics.bootstrap_interval(references, references, samples=50, metric=metrics.macro_f1)
    assert high == 1.0 and low <= high


def test_bootstrap_takes_multi_hot():
    random = np.random.default_rng(0)
    references = random.integers(0, 2, (50, 4))
    low, high = metrics.bootstrap_interval(1 - references[::-1], references, samples=50)
    assert 0 <= low < high <= 1
