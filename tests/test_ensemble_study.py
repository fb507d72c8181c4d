"""The study of ensembles: what it fits on which texts, that the test set stays shut, that it goes on where it was."""

import dataclasses
import json
import logging

import numpy as np
import pandas as pd
import pytest

from kolab import multilabel
from kolab.blends import BASE, compared, ways
from kolab.decide import apply_thresholds, fit_thresholds
from kolab.ensemble import blend
from kolab.errors import ConfigError
from kolab.metrics import macro_f1
from kolab.recipe import DataConfig, Recipe, StudyConfig
from kolab.recipe_file import parse_recipe
from kolab.sealed import SealError
from kolab.studies import ensemble
from kolab.train import TrainConfig

NAMES = ["big", "half", "other"]


@pytest.fixture(scope="module")
def made():
    """Probabilities (3 encoders, 3 seeds, N, 4 labels) of validation and test texts, and their labels."""
    random = np.random.default_rng(1)
    stacks, labels = {}, {}
    for split, count in (("validation", 90), ("test", 110)):
        labels[split] = (random.random((count, 4)) < 0.3).astype(int)
        noise = random.normal(scale=2.0, size=(3, 3, count, 4))
        logits = 4 * labels[split] - 3 + noise * np.array([0.8, 1.0, 1.3])[:, None, None, None]
        stacks[split] = 1 / (1 + np.exp(-logits))
    return stacks, labels


# ---- ways of deciding


def test_the_ways_are_what_their_names_say(made):
    stacks, labels = made
    validation, truth = stacks["validation"], labels["validation"]
    found = {way.name: way for way in ways(validation, truth, NAMES, 2)}
    assert len(found) == 10
    alone = [macro_f1(apply_thresholds(p, 0.5), truth) for p in validation[:, 2]]
    assert found["best alone"].models == ((int(np.argmax(alone)), 2),)
    assert np.allclose(found["equal weights"].probabilities(validation), blend(validation[:, 2]))
    odds = np.log(validation[:, 2] / (1 - validation[:, 2])).mean(axis=0)
    assert np.allclose(found["equal weights, of logits"].probabilities(validation), 1 / (1 + np.exp(-odds)))
    assert found["weights by F1"].weights == pytest.approx(np.array(alone) / sum(alone))
    assert found["big, three seeds"].models == ((0, 2), (0, 0), (0, 1))
    assert all(sum(way.weights) == pytest.approx(1) for way in found.values())
    assert "big, three seeds" not in {way.name for way in ways(validation[:, :2], truth, NAMES, 0)}
    assert [way.name for way in ways(validation[:1, :2], truth, NAMES[:1], 0)] == ["big alone", "best alone"]


def test_the_plan_is_written_before_the_test_set_is_opened_and_depends_on_validation_alone(made, tmp_path):
    stacks, labels = made
    table = compared(stacks["validation"], stacks["test"], labels, NAMES, tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    single = table[table["seed"].isin([0, 1, 2]) & table["validation_f1"].notna()]
    assert len(plan) == len(single) == 3 * 10 * 2
    turned = dict(labels, test=1 - labels["test"])  # other test labels: another score, the same plan
    other = tmp_path / "other"
    other.mkdir()
    again = compared(stacks["validation"], stacks["test"], turned, NAMES, other)
    assert json.loads((other / "plan.json").read_text(encoding="utf-8")) == plan
    assert not np.allclose(again["test_f1"], table["test_f1"])
    row = next(
        r for r in plan if r["way"] == "equal weights" and r["thresholds"] == "fitted" and r["seed"] == 1
    )
    mixed = blend(stacks["validation"][:, 1])
    assert row["values"] == pytest.approx(fit_thresholds(mixed, labels["validation"]), abs=1e-6)
    assert row["models"] == [[name, 1] for name in NAMES]


def test_scores_gains_and_what_peeping_would_have_shown(made):
    stacks, labels = made
    table = compared(stacks["validation"], stacks["test"], labels, NAMES)
    rows = table.set_index(["seed", "way", "thresholds"])
    mixed = apply_thresholds(blend(stacks["test"][:, 0]), 0.5)
    assert rows.loc[(0, "equal weights", "0.5"), "test_f1"] == macro_f1(mixed, labels["test"])
    base = rows.xs(BASE, level=("way", "thresholds"))
    assert (base["gain"] == 0).all() and (base[["gain_low", "gain_high"]] == 0).all(axis=None)
    everything = table[table["seed"] == "all"].set_index(["way", "thresholds"])
    honest = everything.loc[("equal weights", "fitted"), "test_f1"]
    assert everything.loc[("equal weights", "fitted on test"), "test_f1"] >= honest
    gains = [rows.loc[(s, "equal weights", "0.5"), "gain"] for s in range(3)]
    mean = everything.loc[("equal weights", "0.5")]
    assert mean["gain"] == pytest.approx(np.mean(gains)) and mean["seeds_better"] == sum(g > 0 for g in gains)
    assert mean["both_high"] - mean["both_low"] >= mean["gain_high"] - mean["gain_low"]
    assert (everything["low"].dropna() <= everything["test_f1"][everything["low"].notna()]).all()
    text = ensemble.report(table, {"seeds": 3})
    assert "| equal weights | fitted |" in text and "do not believe it" in text and "nan" not in text


def test_another_plan_on_an_opened_test_set_is_refused(made, tmp_path):
    stacks, labels = made
    compared(stacks["validation"], stacks["test"], labels, NAMES, tmp_path)
    compared(stacks["validation"], stacks["test"], labels, NAMES, tmp_path)  # the same once more: nothing new
    with pytest.raises(SealError, match="stays shut"):
        compared(stacks["validation"] ** 2, stacks["test"], labels, NAMES, tmp_path)


# ---- the recipe


def test_the_published_command_line_is_understood():
    words = "--config unsmile_ensemble.yaml --model kcelectra --epochs 100 --lr 3e-5"
    recipe, _ = parse_recipe(words.split())
    assert recipe.study.encoders == ["kcelectra"] and recipe.train.epochs == 100 and recipe.train.lr == 3e-5
    assert recipe.train.patience == 10 and recipe.train.min_delta == 0.001 and recipe.train.metric == "f1"
    recipe, _ = parse_recipe(["--config", "unsmile_ensemble.yaml", "--model=kolab-mini[:2]"])
    assert recipe.study.encoders == ["kolab-mini[:2]"]
    recipe, _ = parse_recipe(["--config", "reviews_full.yaml", "--model", "klue/bert-base"])
    assert recipe.model.encoder == "klue/bert-base"
    with pytest.raises(ConfigError, match="Did you mean 'epochs'"):
        parse_recipe(["--config", "unsmile_ensemble.yaml", "--epoch", "3"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--data.name", "reviews"], "needs several labels a text: aspects, unsmile, kote"),
        (["--study.variants", "[pos_weights]"], "there are pos_weight, aeda"),
        (["--study.encoders", "[kcelectra, beomi/KcELECTRA-base-v2022]"], "names an encoder twice"),
        (["--train.keep_best", "false"], "keeps each model's best"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(words, says):
    with pytest.raises(ConfigError, match=says):
        parse_recipe(["--config", "unsmile_ensemble.yaml", *words])


SMALL = Recipe(
    data=DataConfig(name="aspects", rows=32, batch_size=16, max_length=16),
    train=TrainConfig(epochs=1, lr=1e-3, precision="fp32"),
    study=StudyConfig(
        kind="ensemble",
        encoders=["kolab-mini[:1]", "modernbert-small"],
        seeds=1,
        variants=["aeda", "pos_weight"],
    ),
)


def test_a_study_runs_frees_its_models_and_goes_on_where_it_was(tmp_path):
    table, meta = ensemble.run(SMALL, tmp_path)
    rows = [json.loads(line)["row"] for line in (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()]
    assert [row["encoder"] for row in rows] == SMALL.study.encoders and all(row["freed"] for row in rows)
    for name in ("kolab-mini--1-0", "modernbert-small-0"):
        assert (tmp_path / "models" / name / "best" / "model.safetensors").is_file()
        assert len((tmp_path / "models" / name / "history.jsonl").read_text("utf-8").splitlines()) == 1
    log = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert "epoch 1/1  train_loss" in log and "best so far" in log and "test set has been opened" in log
    assert not logging.getLogger("kolab.train").handlers
    assert meta["encoders"]["modernbert-small"].endswith("random weights")

    # One training's probabilities are there, the other's are lost.
    (tmp_path / "probabilities" / "modernbert-small-0.npz").unlink()
    with pytest.warns(
        UserWarning, match="finished"
    ):  # its weights are there: only the predictions are made again
        again, _ = ensemble.run(SMALL, tmp_path, resume=True)
    pd.testing.assert_frame_equal(again, table)
    with pytest.raises(ConfigError, match="already holds"):
        ensemble.run(SMALL, tmp_path)


def test_copies_are_made_of_training_texts_with_rare_labels_only():
    train = multilabel.make_dataset(
        ["가 나 다", "라 마 바", "사 아 자"] * 20,
        [[1, 0], [1, 0], [1, 0]] * 19 + [[1, 1]] * 3,
        ["흔한", "드문"],
    )
    recipe = dataclasses.replace(SMALL, study=dataclasses.replace(SMALL.study, variants=["aeda"]))
    assert len(ensemble._copied(recipe, train, 0)) == 60  # 3 of 60 is not below a twentieth
    rarer = multilabel.make_dataset(["가 나 다"] * 60, [[1, 0]] * 58 + [[1, 1]] * 2, ["흔한", "드문"])
    assert len(ensemble._copied(recipe, rarer, 0)) == 64
    plain = dataclasses.replace(SMALL, study=dataclasses.replace(SMALL.study, variants=[]))
    assert ensemble._copied(plain, rarer, 0) is rarer
