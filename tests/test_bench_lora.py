"""The bench of LoRA: what it plans, that rows survive an interruption, and that all of it runs."""

import json

import pandas as pd
import pytest
import torch

from kolab import measure
from kolab.benches import lora as bench
from kolab.cli import main
from kolab.lora import METHODS
from tests import tiny


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KOLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_plan_holds_every_part_once_and_the_most_important_first():
    jobs = bench.plan(3, 2)
    keys = [json.dumps(job, sort_keys=True) for job in jobs]
    assert len(set(keys)) == len(keys)
    table = pd.DataFrame(jobs)
    counts = table[table["part"] == "methods"]["method"].value_counts().to_dict()
    assert counts == {m: 3 if m in ("full", "LoRA") else 2 for m in METHODS}
    assert table["method"].tolist()[: len(METHODS)] == list(METHODS)
    rates = table[table["part"] == "rates"]
    both = {m: {*rates[rates["method"] == m]["lr"], bench.RATES[m]} for m in ("full", "LoRA")}
    assert both["full"] & both["LoRA"] == {
        4e-4,
        4e-3,
    }  # the two curves share rates, or nothing can be compared
    ranks = table[table["part"] == "ranks"]
    assert set(ranks[ranks["alpha"] == 2 * ranks["rank"]]["rank"]) == {1, 2, 32, 64}
    fixed = ranks[ranks["alpha"] == 16]
    fixed = fixed[fixed["rank"] == 64]
    assert sorted(fixed["method"]) == ["LoRA", "rsLoRA"] and fixed["lr"].nunique() == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_step_moves_what_trains_and_leaves_no_mark(method, monkeypatch):
    monkeypatch.setattr(bench, "load_encoder", lambda: (tiny.model().encoder, None))
    model = bench._ready(method, tiny.CLASSES)
    device = next(model.parameters()).device
    batch = next(iter(tiny.loaders()["train"]))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    names = set(model.state_dict())
    for _ in range(3):  # LoRA's A has no gradient before B has moved
        bench._steps(model, [batch])
    for name, p in model.named_parameters():
        silent = name.endswith("key.bias")
        assert silent or torch.equal(p, before[name].to(device)) != p.requires_grad, name
    assert set(model.state_dict()) == names


@pytest.mark.slow
def test_the_whole_bench_runs_trimmed_and_the_lesson_can_read_it(at_home, tmp_path, capsys):
    assert main(["bench", "lora", "--quick"]) == 0
    assert "not recorded" in capsys.readouterr().out
    assert not list(at_home.glob("bench-lora*"))
    table, meta = bench.run(quick=True)
    measure.record("lora", table, folder=tmp_path, **meta)
    table = measure.recorded("lora", folder=tmp_path)
    assert table["part"].tolist() == ["methods", "methods", "rates", "cost", "cost"]
    assert table.attrs["meta"]["complete"] is True
    cost = table[table["part"] == "cost"].set_index("method")
    assert cost.loc["LoRA", "bytes"] < cost.loc["full", "bytes"] / 50 and cost.loc["LoRA", "peak_mib"] > 1
    assert table[table["part"] != "cost"]["macro_f1"].between(0, 1).all()
