"""Cross-validation as a study: what a variant switches, what a fold may see, and that it goes on where it was."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kolab import checkpoint
from kolab.benches import kfold as bench
from kolab.errors import ConfigError
from kolab.recipe import DataConfig, LossConfig, ModelConfig, Recipe, StudyConfig
from kolab.recipe_file import parse_recipe
from kolab.sampling import BalancedBatchSampler
from kolab.studies import kfold
from kolab.train import TrainConfig

SMALL = Recipe(
    data=DataConfig(name="emotions", rows=60, batch_size=8, max_length=16, workers=0),
    model=ModelConfig(encoder="kolab-mini[:1]"),
    loss=LossConfig(class_weights="balanced", smoothing=0.1),
    train=TrainConfig(epochs=2, lr=1e-3, warmup=0.2, accumulate=2, patience=1),
    study=StudyConfig(kind="kfold", variants=["plain", "weights+resampling"], folds=2, seeds=1),
)


def with_variants(*names: str) -> Recipe:
    return dataclasses.replace(SMALL, study=dataclasses.replace(SMALL.study, variants=list(names)))


def test_a_variant_switches_on_what_it_names_and_nothing_else():
    plain, weights, whole = (kfold.varied(SMALL, name) for name in ("plain", "weights", "all"))
    assert (plain.train.epochs, plain.train.accumulate, plain.train.warmup, plain.train.patience) == (
        5,
        1,
        10,
        2,
    )
    assert plain.loss == LossConfig() and plain.data.workers == 0
    assert weights.loss == LossConfig(class_weights="balanced") and weights.train == plain.train
    assert (whole.data, whole.loss, whole.train) == (SMALL.data, SMALL.loss, SMALL.train)


@pytest.mark.parametrize(
    "variants, words",
    [
        ([], "study.variants is empty"),
        (["plain", "weigths"], "Did you mean 'weights'"),
        (["weights+all"], "A variant is plain, all"),
    ],
)
def test_variants_that_are_none_are_refused(variants, words):
    with pytest.raises(ConfigError, match=words):
        with_variants(*variants)


def test_a_technique_that_the_recipe_does_not_set_is_refused():
    with pytest.raises(ConfigError, match=r"loss.smoothing is 0.0 in the recipe"):
        dataclasses.replace(with_variants("plain"), loss=LossConfig(), study=with_variants("smoothing").study)


def test_the_recipe_is_the_guides_seven_techniques():
    recipe, name = parse_recipe(["--config", "emotions_kfold.yaml"])
    assert name == "emotions_kfold" and recipe.study.variants == ["plain", "all"] and recipe.study.folds == 5
    assert (recipe.train.epochs, recipe.train.accumulate, recipe.train.patience) == (15, 2, 4)
    assert (recipe.loss.class_weights, recipe.loss.smoothing) == ("balanced", 0.1)
    assert recipe.train.warmup == 0.1 and recipe.data.workers == 4
    changed = [
        name
        for name, (part, field, off) in kfold.TECHNIQUES.items()
        if getattr(getattr(recipe, part), field) != off
    ]
    assert len(changed) == 7
    dataclasses.replace(recipe, study=dataclasses.replace(recipe.study, variants=[*bench.VARIANTS, "all"]))  # no error


def test_a_fold_is_neither_trained_on_nor_chosen_by():
    whole = kfold._all_rows(SMALL)
    held_out = kfold.folds(whole, 3, seed=0)[0]
    loaders = kfold.fold_loaders(SMALL, whole, held_out, seed=0)

    def texts(name):
        data = loaders[name].dataset
        return [tuple(data[i]["input_ids"]) for i in range(len(data))]

    parts = {name: texts(name) for name in ("train", "validation", "held_out")}
    assert sum(map(len, parts.values())) == len(whole) and len(parts["held_out"]) == len(held_out)
    assert not set(parts["train"]) & set(parts["held_out"]) and not set(parts["train"]) & set(
        parts["validation"]
    )
    assert not set(parts["validation"]) & set(parts["held_out"])
    assert loaders["train"].batch_sampler.shuffle and not loaders["held_out"].batch_sampler.shuffle


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, *kfold.run(SMALL, folder)


def test_every_text_is_held_out_once_a_variant(done):
    _, table, meta = done
    assert table[["variant", "fold"]].values.tolist() == [
        [v, f] for f in (0, 1) for v in SMALL.study.variants
    ]
    counts = np.stack(table["confusion"].map(np.array))
    for variant in SMALL.study.variants:
        whole = counts[table["variant"] == variant].sum(0)
        assert whole.sum() == 60
        assert np.array_equal(whole.sum(1), counts[table["variant"] == "plain"].sum((0, 2)))
    single = kfold.by_class(table, meta["classes"])
    assert single.mean(axis=1).round(5).tolist() == pytest.approx(table["f1"].tolist(), abs=1e-4)
    assert (table["f1_flattered"] >= table["f1"]).all() and (table["epoch"] <= table["epochs"]).all()


def test_a_study_goes_on_where_it_was(done, capsys):
    folder, table, meta = done
    with pytest.raises(ConfigError, match="already holds measured rows"):
        kfold.run(SMALL, folder)
    lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    checkpoint.write_text(folder / "rows.jsonl", "\n".join(lines[:3]) + "\n")
    again, _ = kfold.run(SMALL, folder, resume=True)
    printed = capsys.readouterr().out
    assert printed.count("f1 ") == 1 and "[[" not in printed
    columns = [c for c in table if c != "seconds"]
    pd.testing.assert_frame_equal(again[columns], table[columns])
    text = kfold.report(again, meta)
    assert text.count("| 0 | ") == 4 and "## Points of F1 more than plain" in text and "anxiety" in text


def test_resampling_and_weights_reach_the_training(monkeypatch):
    seen = {}

    def spy(model, loaders, config, *, loss, evaluator):
        seen[config.seed] = (
            type(loaders["train"].batch_sampler),
            loss.weight,
            loss.smoothing,
            config.accumulate,
        )
        raise KeyboardInterrupt

    monkeypatch.setattr(kfold, "fit", spy)
    whole = kfold._all_rows(SMALL)
    part = kfold.folds(whole, 2)[0]
    for seed, variant in enumerate(("weights+resampling", "smoothing")):
        with pytest.raises(KeyboardInterrupt):
            kfold.one(kfold.varied(SMALL, variant), variant, seed, whole, part)
    assert seen[0][0] is BalancedBatchSampler and seen[0][1].argmax() == 1 and seen[0][2:] == (0.0, 1)
    assert seen[1][0] is not BalancedBatchSampler and seen[1][1] is None and seen[1][2] == 0.1


def test_the_recipe_runs_trimmed_as_a_process(tmp_path):
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "kolab.cli", "train", "--config", "emotions_kfold.yaml", "--quick"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "4 trainings: plain, all; 2 folds" in done.stdout and "trimmed" in done.stdout
    text = (tmp_path / "runs" / "emotions_kfold" / "report.md").read_text(encoding="utf-8")
    assert "## all" in text and "Points of F1 more than plain" in text and "anxiety" in text
