"""The test set that opens once, and the paired bootstrap."""

import copy
import json
import pickle

import numpy as np
import pytest

from kolab.errors import ConfigError, DataError
from kolab.metrics import bootstrap_interval, macro_f1
from kolab.sealed import SealedTest, SealError, bootstrap_scores, paired_interval

TRUTH = (np.random.default_rng(0).random((60, 4)) < 0.3).astype(int)


def guesses(seed: int, share: float = 0.2) -> np.ndarray:
    """The truth with some answers turned round."""
    return np.where(np.random.default_rng(seed).random(TRUTH.shape) < share, 1 - TRUTH, TRUTH)


# ---- the guard


def test_it_opens_once_for_all_candidates_and_then_refuses():
    test = SealedTest(list("texts"), TRUTH)
    assert "sealed" in repr(test) and test.opened is None and len(test) == 60
    seen = []
    opened = test.open({"a": lambda inputs: seen.append(inputs) or guesses(1), "b": guesses(2)})
    assert seen == [list("texts")]
    assert opened.scores() == {
        "a": macro_f1(guesses(1), TRUTH),
        "b": macro_f1(guesses(2), TRUTH),
    }
    for again in ({"c": guesses(3)}, {"a": guesses(1), "b": guesses(2)}):
        with pytest.raises(SealError, match=r"has been opened \(.*for: a, b\)"):
            test.open(again)
    assert "opened" in repr(test)


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        (lambda inputs: 1 / 0, ZeroDivisionError, "division"),
        (guesses(1)[:-1], DataError, "shape"),
        (guesses(1) * 0.7, DataError, "decisions of shape"),
    ],
)
def test_a_candidate_that_fails_leaves_the_seal_whole(bad, error, says, tmp_path):
    test = SealedTest(None, TRUTH, receipt=tmp_path / "opened.json")
    with pytest.raises(error, match=says):
        test.open({"good": guesses(1), "bad": bad})
    assert test.opened is None and not (tmp_path / "opened.json").exists()
    with pytest.raises(ConfigError, match="at least one"):
        test.open({})
    assert test.open({"good": guesses(1)}).scores()


def test_it_cannot_be_copied_and_does_not_change_with_the_array_it_was_made_of():
    truth = TRUTH.copy()
    test = SealedTest(None, truth)
    for take in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(SealError, match="copied or pickled"):
            take(test)
    truth[:] = 0
    opened = test.open({"a": TRUTH})
    opened.references[:] = 0
    assert macro_f1(TRUTH, test._references) == 1.0


def test_a_receipt_closes_it_for_the_next_process_too(tmp_path):
    receipt = tmp_path / "run" / "opened.json"
    SealedTest(None, TRUTH, receipt=receipt).open({"a": guesses(1)})
    assert json.loads(receipt.read_text(encoding="utf-8"))["for"] == ["a"]
    later = SealedTest(None, TRUTH, receipt=receipt)
    with pytest.raises(SealError, match="stays shut"):
        later.open({"a": guesses(2)})
    # Exactly the same predictions, as a killed run that goes on brings them, teach nothing new.
    assert later.open({"a": guesses(1)}).scores() == {"a": macro_f1(guesses(1), TRUTH)}
    with pytest.raises(SealError):
        later.open({"a": guesses(1)})


def test_of_two_processes_one_opens(tmp_path):
    """The other one is faster: it opens while this one is still predicting, after it has looked for a receipt."""
    receipt = tmp_path / "opened.json"
    fast, slow = SealedTest(None, TRUTH, receipt=receipt), SealedTest(None, TRUTH, receipt=receipt)

    def predict(inputs):
        fast.open({"fast": guesses(1)})
        return guesses(2)

    with pytest.raises(SealError, match="for: fast"):
        slow.open({"slow": predict})
    assert json.loads(receipt.read_text(encoding="utf-8"))["for"] == ["fast"]


def test_a_table_of_scores_and_paired_differences():
    test = SealedTest(None, TRUTH)
    table = test.open({"base": guesses(1, 0.3), "same": guesses(1, 0.3), "better": guesses(2, 0.02)}).table(
        "base"
    )
    assert (table.loc["same", ["difference", "difference_low", "difference_high"]] == 0).all()
    assert table.loc["better", "difference_low"] > 0
    assert (table["low"] <= table["macro_f1"]).all() and (table["macro_f1"] <= table["high"]).all()
    with pytest.raises(ConfigError, match="there are a"):
        SealedTest(None, TRUTH).open({"a": TRUTH}).table("b")


# ---- the bootstrap


def test_the_draws_are_those_of_the_plain_bootstrap():
    draws = bootstrap_scores([guesses(1)], TRUTH, samples=4000)[:, 0]
    low, high = bootstrap_interval(guesses(1), TRUTH, samples=2000, seed=9)
    assert np.quantile(draws, [0.025, 0.975]) == pytest.approx([low, high], abs=0.012)
    assert draws.mean() == pytest.approx(macro_f1(guesses(1), TRUTH), abs=0.02)


def test_class_numbers_give_what_their_rows_of_zeros_and_ones_give():
    random = np.random.default_rng(4)
    truth, found = random.integers(3, size=80), random.integers(3, size=80)
    hot = np.eye(3, dtype=int)
    assert np.allclose(
        bootstrap_scores([found], truth, seed=1), bootstrap_scores([hot[found]], hot[truth], seed=1)
    )
    difference, low, high = paired_interval(truth, found, truth)
    assert difference == pytest.approx(1 - macro_f1(found, truth)) and low <= difference <= high


def test_pairing_takes_out_what_two_models_share():
    first = guesses(1, 0.3)
    second = np.where(np.random.default_rng(5).random(TRUTH.shape) < 0.05, TRUTH, first)  # a little better
    difference, low, high = paired_interval(second, first, TRUTH)
    apart = bootstrap_scores([second], TRUTH, seed=1)[:, 0] - bootstrap_scores([first], TRUTH, seed=2)[:, 0]
    assert low <= difference <= high
    assert high - low < 0.6 * (np.quantile(apart, 0.975) - np.quantile(apart, 0.025))
    mirrored = paired_interval(first, second, TRUTH)
    assert mirrored == pytest.approx((-difference, -high, -low))


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="agree in shape"):
        bootstrap_scores([TRUTH[:-1]], TRUTH)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        paired_interval(TRUTH, TRUTH, TRUTH, level=95)
