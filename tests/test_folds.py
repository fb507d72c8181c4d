"""Folds for cross-validation, and balanced class weights."""

from collections import Counter

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

import kolab as kl
from kolab.errors import ConfigError, DataError
from kolab.losses import balanced_weights
from kolab.splits import folds
from kolab.text import near_key


def table(labels, copies=0):
    texts = [f"문장 {i}번" for i in range(len(labels))] + [f"문장{i}번!" for i in range(copies)]
    return Dataset.from_dict({"text": texts, "label": [*labels, *labels[:copies]]})


@settings(max_examples=30, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=20, max_size=80),
    copies=st.integers(0, 15),
    count=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_each_row_once_near_duplicates_together_classes_shared_out(labels, copies, count, seed):
    data = table(labels, copies)
    parts = folds(data, count, seed=seed)
    assert sorted(row for part in parts for row in part) == list(range(len(data))) and len(parts) == count
    side = {near_key(data[row]["text"]): number for number, part in enumerate(parts) for row in part}
    assert all(side[near_key(data[row]["text"])] == n for n, part in enumerate(parts) for row in part)
    counts = np.array([np.bincount([data[row]["label"] for row in part], minlength=4) for part in parts])
    assert np.ptp(counts, axis=0).max() <= 2  # a group of two cannot be parted
    assert folds(data, count, seed=seed) == parts


def test_the_emotions_fold_evenly():
    emotions = kl.load_emotions()
    from datasets import concatenate_datasets

    whole = concatenate_datasets([emotions[name] for name in ("train", "validation", "test")])
    counts = [Counter(whole.select(part)["label"]) for part in folds(whole, 5)]
    assert all(count == {0: 42, 1: 27, 2: 57, 3: 66, 4: 108} for count in counts)
    assert folds(whole, 5, seed=1) != folds(whole, 5)


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda: folds(table([0, 1] * 5), 1), "at least 2 folds"),
        (lambda: folds(table([0, 1]), 5), "too few for 5 folds"),
        (lambda: folds(table([0, 1] * 5), 2, stratify="emotion"), "no column 'emotion'"),
    ],
)
def test_folds_refuse_nonsense(wrong, words):
    with pytest.raises(DataError, match=words):
        wrong()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200))
def test_balanced_weights_are_scikit_learns(labels):
    weights = balanced_weights(labels, 5)
    there = np.unique(labels)
    expected = compute_class_weight("balanced", classes=there, y=labels) * len(there) / 5
    assert weights[there].numpy() == pytest.approx(expected, rel=1e-6)
    assert torch.isfinite(weights).all()


def test_balanced_weights_count_every_class_alike():
    labels = torch.tensor([0] * 540 + [1] * 330 + [2] * 30)
    weights = balanced_weights(labels, 3)
    sums = [float(weights[labels[labels == c]].sum()) for c in range(3)]
    assert sums == pytest.approx([300] * 3) and float(weights[labels].mean()) == pytest.approx(1)


def test_the_published_weights_fit_no_number_of_classes():
    total, counts = 176_091, {"neutral": 58_436, "joy": 26_306}
    right = {name: total / (5 * count) for name, count in counts.items()}
    assert {k: round(v, 2) for k, v in right.items()} == {"neutral": 0.60, "joy": 1.34}


@pytest.mark.parametrize("labels", [[], [0, 7]])
def test_balanced_weights_refuse_nonsense(labels):
    with pytest.raises(ConfigError, match="class numbers below 3"):
        balanced_weights(labels, 3)
