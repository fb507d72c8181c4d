"""A study: what it plans, in which order, and that it goes on where it was stopped."""

import dataclasses
import math
import os
import signal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kolab import cli, studies
from kolab.benches.accumulation import _Work
from kolab.errors import ConfigError
from kolab.recipe import DataConfig, Recipe, StudyConfig
from kolab.recipe_file import parse_recipe
from kolab.run import Run
from kolab.studies.batches import RULES, _trainings, planned, report, run, trimmed
from kolab.studies.encoders import encoder_of
from kolab.train import TrainConfig

SMALL = Recipe(
    data=DataConfig(name="emotions", rows=32, batch_size=8, max_length=24),
    train=TrainConfig(epochs=1, lr=1e-3),
    study=StudyConfig(
        kind="batches",
        batches=[8, 16],
        encoders=["modernbert-small"],
        rules=["same", "updates"],
        seeds=1,
        held_out=40,
    ),
)


@given(
    base=st.integers(1, 200), k=st.integers(1, 20), epochs=st.integers(1, 9), examples=st.integers(1, 5000)
)
def test_equal_updates_are_reached_and_not_an_epoch_too_late(base, k, epochs, examples):
    lr, longer = planned("updates", base * k, base, 1e-4, epochs, examples)
    steps, per_epoch = math.ceil(examples / base) * epochs, math.ceil(examples / (base * k))
    assert lr == 1e-4 and longer * per_epoch >= steps > (longer - 1) * per_epoch


@given(base=st.integers(1, 200), k=st.integers(1, 20))
def test_the_rate_follows_the_batch(base, k):
    rates = [planned(rule, base * k, base, 1e-4, 5, 1000)[0] / 1e-4 for rule in ("same", "sqrt", "linear")]
    assert rates == pytest.approx([1, math.sqrt(k), k])
    with pytest.raises(ConfigError, match="same, linear, sqrt, updates"):
        planned("cubic", base * k, base, 1e-4, 5, 1000)


def test_the_recipes_trainings_are_all_there_once_and_the_long_ones_come_last():
    recipe, _ = parse_recipe(["--config", "accumulation_study.yaml"])
    found = list(_trainings(recipe))
    per_encoder = 3 + 2 * (len(RULES) - 1)
    assert len(found) == len(set(found)) == recipe.study.seeds * len(recipe.study.encoders) * per_encoder
    first_seed = [rule for _, rule, _, seed in found if seed == 0]
    assert "updates" not in first_seed[: first_seed.index("updates")]
    assert set(first_seed[first_seed.index("updates") :]) == {"updates"}


def test_a_study_keeps_its_rows_and_goes_on_where_it_was(tmp_path, capsys):
    table, meta = run(SMALL, tmp_path)
    assert table[["rule", "batch", "epochs", "updates"]].values.tolist() == [
        ["same", 8, 1, 4],
        ["same", 16, 1, 2],
        ["updates", 16, 2, 4],
    ]
    assert meta["seeds"] == 1 and "random weights" in meta["encoders"]["ModernBERT"]
    with pytest.raises(ConfigError, match="already holds measured rows"):
        run(SMALL, tmp_path)
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "rows.jsonl").write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    capsys.readouterr()
    again, _ = run(SMALL, tmp_path, resume=True)
    assert capsys.readouterr().out.count("ModernBERT") == 1  # one was trained anew, and to the same end
    columns = [c for c in table if c != "seconds"]
    assert again[columns].equals(table[columns])
    assert report(again, meta).count("| ModernBERT |") == 3


def test_a_study_that_a_signal_ends_early_keeps_its_rows_and_says_so_in_its_exit_code(
    tmp_path, monkeypatch, capsys
):
    after_step, trainings = Run.after_step, []

    def one_too_many(run, *args):
        trainings.append(run) if run not in trainings else None
        if len(trainings) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        after_step(run, *args)

    monkeypatch.setattr(Run, "after_step", one_too_many)
    words = ["train", "--config", "accumulation_study.yaml", "--quick", "--folder", str(tmp_path / "study")]
    words += ["--study.encoders", '["modernbert-small"]', "--study.rules", '["same"]']
    assert cli.main(words) == 128 + signal.SIGTERM
    assert "With --resume it goes on from here" in capsys.readouterr().out
    assert len((tmp_path / "study" / "rows.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    monkeypatch.undo()
    assert cli.main([*words, "--resume"]) == 0


def test_an_encoder_can_be_cut_to_its_first_layers():
    encoder, _ = encoder_of("kolab-mini[:2]", 0)
    assert len(encoder.encoder.layer) == encoder.config.num_hidden_layers == 2
    with pytest.raises(ConfigError, match="does not have so many layers"):
        encoder_of("kolab-mini[:9]", 0)


def test_a_batch_that_is_no_multiple_of_the_micro_batch_is_refused():
    with pytest.raises(ConfigError, match="multiple of data.batch_size=8"):
        dataclasses.replace(SMALL, study=dataclasses.replace(SMALL.study, batches=[8, 12]))
    with pytest.raises(ConfigError, match="study.batches is empty"):
        dataclasses.replace(SMALL, study=dataclasses.replace(SMALL.study, batches=[]))


def test_an_unknown_kind_is_refused_with_the_nearest_right_one():
    with pytest.raises(ConfigError, match="Did you mean 'batches'"):
        dataclasses.replace(SMALL, study=dataclasses.replace(SMALL.study, kind="batch"))


@pytest.mark.parametrize("kind", studies.kinds())
def test_every_kind_has_what_the_command_line_calls(kind):
    module = studies.load(kind)
    assert all(callable(getattr(module, name)) for name in ("check", "trimmed", "run", "report"))


def test_a_trimmed_study_is_still_a_study():
    recipe, _ = parse_recipe(["--config", "accumulation_study.yaml"])
    small = trimmed(recipe)
    assert len(small.study.batches) == 3 and small.study.seeds == 1 and small.data.rows == 256


def test_the_bench_of_accumulation_compares_two_ways_to_one_gradient(monkeypatch):
    work = _Work("kolab-mini", 8)
    work.model.eval()
    work.precision, seen = "fp32", []

    def note(**_):
        seen.append(torch.cat([p.grad.flatten() for p in work.model.parameters() if p.grad is not None]))
        for parameter in work.model.parameters():
            parameter.grad = None

    monkeypatch.setattr(work.model, "zero_grad", note)
    for sizes in ([6], [2, 2, 2]):
        work.step(sizes)()
    assert torch.allclose(*seen, rtol=1e-3, atol=1e-6) and float(seen[0].norm()) > 0
