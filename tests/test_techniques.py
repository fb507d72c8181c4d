"""The sixteen techniques: what is changed, what is compared, and that the study goes on where it was stopped."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kolab.errors import ConfigError, DataError
from kolab.recipe import DataConfig, Recipe, StudyConfig
from kolab.recipe_file import parse_recipe
from kolab.studies.techniques import _Epochs, report, run, scores, trimmed
from kolab.techniques import COMPARISONS, SIXTEEN, VARIANTS, differences
from kolab.train import TrainConfig

SMALL = Recipe(
    data=DataConfig(name="emotions", rows=32, batch_size=8, max_length=16),
    train=TrainConfig(epochs=2, lr=1e-3, weight_decay=0.0, warmup=0.0, device="cpu", precision="fp32"),
    study=StudyConfig(
        kind="techniques",
        encoders=["kolab-mini[:1]"],
        variants=["plain", "another seed", "best epoch"],
        seeds=1,
        held_out=30,
    ),
)


def with_variants(*names: str, seeds: int = 1) -> Recipe:
    return dataclasses.replace(
        SMALL, study=dataclasses.replace(SMALL.study, variants=list(names), seeds=seeds)
    )


def test_the_list_has_sixteen_and_each_says_what_came_of_it():
    assert [t.number for t in SIXTEEN] == list(range(1, 17))
    assert all(bool(t.comparisons) != bool(t.otherwise) for t in SIXTEEN)
    named = {name for t in SIXTEEN for name in t.comparisons}
    assert named | {"nothing, another seed", "all at once"} == set(COMPARISONS)


def test_every_comparison_has_its_variants_and_every_variant_a_comparison():
    used = {variant for pair in COMPARISONS.values() for variant in pair}
    assert used == set(VARIANTS)
    for variant in VARIANTS.values():
        dataclasses.replace(TrainConfig(), **variant.train)  # the fields exist and may be so


def test_the_one_line_of_each_technique_names_things_that_are_there():
    import kolab as kl
    from kolab.dropout import set_dropout
    from kolab.losses import CrossEntropy
    from kolab.metrics import classification_metrics
    from kolab.train import TrainConfig

    found = {"set_dropout": set_dropout, "TrainConfig": TrainConfig, "CrossEntropy": CrossEntropy,
             "classification_metrics": classification_metrics, "kl": kl}  # fmt: skip
    for technique in SIXTEEN:
        compile(technique.line, f"technique {technique.number}", "eval")
        if technique.line.startswith("TrainConfig("):
            eval(technique.line, found)
        if technique.line.startswith("kl."):
            assert callable(eval(technique.line.split("(")[0], found))


@settings(max_examples=25, deadline=None)
@given(
    gaps=st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=8),
    spread=st.floats(0.0, 0.3),
)
def test_pairs_cancel_what_a_seed_does_to_both(gaps, spread):
    rng = np.random.default_rng(len(gaps))
    level = 0.6 + spread * rng.random(len(gaps))
    rows = [{"variant": "plain", "seed": s, "macro_f1": level[s]} for s in range(len(gaps))]
    rows += [{"variant": "cosine", "seed": s, "macro_f1": level[s] + g} for s, g in enumerate(gaps)]
    found = differences(pd.DataFrame(rows)).loc["cosine, not linear"]
    assert found["mean"] == pytest.approx(100 * np.mean(gaps), abs=1e-4)
    assert found["low"] <= found["mean"] <= found["high"]
    assert found["seeds"] == len(gaps)


def test_the_interval_is_students():
    from scipy import stats

    gaps = np.array([0.01, 0.03, -0.01, 0.02])
    rows = [{"variant": "plain", "seed": s, "f": 0.5} for s in range(4)]
    rows += [{"variant": "warm-up", "seed": s, "f": 0.5 + g} for s, g in enumerate(gaps)]
    found = differences(pd.DataFrame(rows), "f", scale=1).loc["warm-up 10 %"]
    low, high = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-5)
    assert found["better"] == 3


def test_a_single_seed_has_no_interval_and_an_unpaired_one_does_not_count():
    rows = [("plain", 0, 0.5), ("cosine", 0, 0.6), ("cosine", 1, 0.9)]
    found = differences(pd.DataFrame(rows, columns=["variant", "seed", "macro_f1"]))
    assert found.index.tolist() == ["cosine, not linear"]
    assert found["mean"].item() == pytest.approx(10) and math.isnan(found["low"].item())
    with pytest.raises(DataError, match="no column macro_f1"):
        differences(pd.DataFrame({"variant": ["plain"], "seed": [0]}))


def test_a_study_keeps_its_rows_and_goes_on_where_it_was(tmp_path, capsys):
    table, meta = run(SMALL, tmp_path)
    assert table["variant"].tolist() == SMALL.study.variants and meta["seeds"] == 1
    assert (table["updates"] == 8).all()
    capsys.readouterr()
    again, _ = run(with_variants("plain", "accumulation"), tmp_path, resume=True)
    assert capsys.readouterr().out.count("BERT") == 1  # the plain one is there already
    assert again["updates"].tolist() == [8, 2]
    assert "accumulation over 8" in report(again, meta)


def test_a_pair_shares_its_seed_and_nothing_has_another():
    table, _ = run(with_variants("plain", "no clipping", "another seed", seeds=1))
    plain, unclipped, other = (table[table["variant"] == name].iloc[0] for name in SMALL_THREE)
    assert plain["first_loss"] != other["first_loss"]
    assert plain["first_loss"] == pytest.approx(unclipped["first_loss"], abs=0.2)


SMALL_THREE = ("plain", "no clipping", "another seed")


def test_a_variant_that_changes_nothing_changes_nothing():
    """The plain rate and 'float32' on a run that is float32 already are the same training, to the last digit."""
    table, _ = run(with_variants("plain", "float32"))
    columns = [c for c in table if c not in ("variant", "seconds")]
    assert table.loc[0, columns].equals(table.loc[1, columns])


@pytest.mark.parametrize(
    "names, words",
    [
        (["plain", "cosinus"], "Did you mean 'cosine'"),
        (["plain"], "no two of them are compared"),
        (["warm-up", "cosine"], "no two of them are compared"),
    ],
)
def test_variants_that_do_not_exist_or_say_nothing_are_refused(names, words):
    with pytest.raises(ConfigError, match=words):
        with_variants(*names)


def test_scores_of_known_logits():
    logits = torch.tensor([[9.0, 0.0], [9.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    found = scores(logits, torch.tensor([0, 0, 1, 1]))
    assert found["accuracy"] == 0.75 and found["confidence"] == pytest.approx(1.0, abs=1e-3)
    assert found["ece"] == pytest.approx(0.25, abs=1e-3) and found["loss"] == pytest.approx(9 / 4, abs=1e-2)
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2, abs=1e-4)


def test_each_half_is_scored_on_the_epoch_that_the_other_half_likes():
    epochs = _Epochs()
    epochs.references = torch.tensor([0, 1, 1, 0, 0, 1, 1, 0])
    right = torch.nn.functional.one_hot(epochs.references, 2).float()
    odd = (torch.arange(8) % 2 == 1)[:, None]
    epochs.logits = [torch.where(odd, right, 1 - right), torch.where(odd, 1 - right, right)]
    chosen = (
        epochs.best_of_halves()
    )  # the odd ones like the first, where the even ones are all wrong; and so on
    assert (chosen.argmax(-1) != epochs.references).all()


def test_the_recipe_is_the_list_in_full_and_small_when_trimmed():
    recipe, _ = parse_recipe(["--config", "techniques.yaml"])
    assert recipe.study.kind == "techniques" and recipe.study.variants == [] and recipe.study.seeds >= 3
    assert recipe.train.weight_decay == 0 and recipe.train.warmup == 0
    small = trimmed(recipe)
    assert small.data.rows < 100 and small.study.variants == []
