"""The plan of `kolab train`: what it counts is what is trained afterwards, in a training and in every kind of study."""

import dataclasses
import re

import pytest

from kolab import plan, studies, train
from kolab.recipe import DataConfig, LossConfig, ModelConfig, Recipe, StudyConfig, load_data, prepare
from kolab.studies.plans import COUNTED, works
from kolab.train import TrainConfig, fit

ENCODER = "kolab-mini[:1]"
DATA = DataConfig(name="emotions", rows=48, batch_size=8, max_length=12)
TRAIN = TrainConfig(epochs=2, lr=1e-3, precision="fp32", progress=False, device="cpu")
STUDIES = {
    "batches": Recipe(
        data=DATA, train=TRAIN,
        study=StudyConfig(
            kind="batches", batches=[8, 16], encoders=[ENCODER], rules=["same", "updates"], seeds=1, held_out=20
        ),
    ),
    "ensemble": Recipe(
        data=dataclasses.replace(DATA, name="aspects"), train=TRAIN,
        study=StudyConfig(kind="ensemble", encoders=[ENCODER], seeds=1, variants=["aeda"]),
    ),
    "kfold": Recipe(
        data=DATA, model=ModelConfig(encoder=ENCODER),
        loss=LossConfig(class_weights="balanced", smoothing=0.1),
        train=dataclasses.replace(TRAIN, accumulate=2, warmup=0.2, patience=9),
        study=StudyConfig(kind="kfold", variants=["weights", "all"], folds=2, seeds=1),
    ),
    "techniques": Recipe(
        data=DATA, train=TRAIN,
        study=StudyConfig(
            kind="techniques", encoders=[ENCODER], variants=["plain", "accumulation", "best epoch"], seeds=1,
            held_out=20,
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", studies.kinds())
def test_a_study_does_the_work_that_its_plan_has_counted(kind, monkeypatch):
    """Real trainings, watched: as many of them, as many micro-batches, steps and evaluated examples."""
    recipe = STUDIES[kind]
    module, counts = studies.load(kind), {"trainings": 0, "micro_batches": 0, "updates": 0}

    def watched(model, loaders, config, **more):
        history = fit(model, loaders, config, **more)
        per_epoch = -(-len(loaders["train"]) // config.accumulate)
        assert history[-1]["step"] <= config.epochs * per_epoch, "fewer where a study stops early"
        counts["trainings"] += 1
        counts["micro_batches"] += config.epochs * len(loaders["train"])
        counts["updates"] += config.epochs * per_epoch
        return history

    monkeypatch.setattr(module if hasattr(module, "fit") else train, "fit", watched)
    (work,) = works(recipe, load_data(dataclasses.replace(recipe.data, rows=None)))
    module.run(recipe)
    slack = 0.2 if kind == "kfold" else 0  # folds differ by a text or two
    assert {name: getattr(work, name) for name in counts} == pytest.approx(counts, rel=slack, abs=0)


def test_every_kind_of_study_can_be_planned():
    assert sorted(COUNTED) == studies.kinds()


def test_the_plan_of_a_training_says_what_will_be():
    recipe = Recipe(
        data=DATA, model=ModelConfig(adapter="LoRA", rank=2),
        train=dataclasses.replace(TRAIN, accumulate=4, max_steps=3, folder="runs/x"),
    )  # fmt: skip
    prepared = prepare(recipe)
    text = plan.of_training(prepared, "mine")
    assert "recipe     mine" in text and "emotions: train 48" in text and "classes joy" in text
    trained, used = prepared.trained
    assert f"LoRA; {trained:,} of {used:,} parameters trained" in text and trained < used / 50
    assert "steps      3 in 2 epochs; effective batch 32" in text and "precision  fp32 on cpu" in text
    assert re.search(r"takes      about .* by 4 batches timed just now; \d+ MiB", text)
    history = fit(prepared.model, prepared.loaders, dataclasses.replace(recipe.train, folder=None))
    assert history[-1]["step"] == 3


def test_the_plan_of_a_study_names_its_encoders_and_all_its_trainings():
    recipe = STUDIES["kfold"]
    text = plan.of_study(
        dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, folder="r")), "k"
    )
    assert "trainings  4, a study of kind kfold; seeds: 1" in text and f"model      {ENCODER}, mean" in text
    assert (
        "steps      at most" in text
        and "takes      at most about" in text
        and "at most 48 of them" in text
        and "effective batch 8, 16\n" in text
    )
