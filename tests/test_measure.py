"""kolab/measure.py: what it times, counts and writes. No assertion depends on how fast the machine is."""

import json
import platform
import threading
import time

import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertModel

from kolab import heap, measure
from kolab.errors import ConfigError, DataError


def test_stopwatch_stops_with_the_block_even_when_it_fails():
    with pytest.raises(ValueError), measure.stopwatch() as watch:
        time.sleep(0.02)
        raise ValueError
    seconds = watch.seconds
    time.sleep(0.01)
    assert watch.seconds == seconds >= 0.02


def test_compare_takes_turns_and_compares_with_the_first():
    calls = []
    table = measure.compare(
        {"slow": lambda: (calls.append("s"), time.sleep(0.03)), "fast": lambda: calls.append("f")}, repeats=3
    )
    assert calls == ["s", "f", "f", "s", "s", "f", "f", "s"]
    assert list(table.index) == ["slow", "fast"]
    assert table.loc["slow", "times as fast"] == 1.0 and table.loc["fast", "times as fast"] > 1
    assert (table["fastest"] <= table["seconds"]).all() and (table["seconds"] <= table["slowest"]).all()
    for bad in ({}, {"f": print}):
        with pytest.raises(ConfigError):
            measure.compare(bad, repeats=0)


def test_peak_memory_sees_what_is_freed_again():
    before = threading.active_count()
    for _ in range(
        20
    ):  # a system short of memory may take pages back while they are counted: one look can miss them
        with measure.peak_memory() as memory:
            block = torch.ones(60 * 2**20, dtype=torch.uint8)
            time.sleep(0.05)
            del block
        assert threading.active_count() == before and memory.mib < 200
        if memory.mib > 40:
            return
    pytest.fail(f"60 MiB were in use twenty times, and {memory.mib:.1f} were seen the last time")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other systems keep their heap by themselves")
def test_peak_memory_is_not_blind_after_a_training_that_kept_its_memory():
    heap.keep_freed(torch.device("cpu"))  # as kl.fit does
    block = torch.ones(400 * 2**20, dtype=torch.uint8)
    del block  # stays with the process, and was taken for nothing: the next measurement saw 0 MiB
    seen = []
    for _ in range(5):
        with measure.peak_memory() as memory:
            block = torch.ones(60 * 2**20, dtype=torch.uint8)
            time.sleep(0.05)
            del block
        seen.append(memory.mib)
    assert 40 < max(seen) < 200 and sum(mib > 40 for mib in seen) >= 3, seen


def test_machine_names_hardware_and_nothing_private():
    here = measure.machine()
    assert set(here) == {"name", "cpu", "cores", "ram_gib", "gpu", "system", "python", "versions"}
    assert here["name"].replace("-", "").isalnum() and here["name"].islower() and here["cores"] >= 1
    assert platform.node() not in json.dumps(here)
    assert {"torch", "transformers"} <= set(here["versions"])


def test_record_and_read_back(tmp_path):
    table = pd.DataFrame({"order": ["random", "정렬"], "share": [0.51, None]})
    path = measure.record("padding", table, folder=tmp_path, seed=0, data="it_reviews")
    assert path.name == f"padding.{measure.machine()['name']}.json"
    assert "정렬" in path.read_text(encoding="utf-8") and list(tmp_path.iterdir()) == [path]
    back = measure.recorded("padding", folder=tmp_path)
    assert back["order"].tolist() == ["random", "정렬"] and back["share"].isna().tolist() == [False, True]
    assert back.attrs["machine"]["cpu"] == measure.machine()["cpu"] and back.attrs["meta"]["seed"] == 0
    assert measure.recordings(tmp_path) == {"padding": [measure.machine()["name"]]}

    timed = measure.compare({"a": lambda: None, "b": lambda: None}, repeats=1)
    measure.record("timed", timed.rename_axis("how"), folder=tmp_path)
    assert measure.recorded("timed", folder=tmp_path)["how"].tolist() == ["a", "b"]


def test_the_newest_of_several_machines_is_taken(tmp_path):
    first = measure.record("x", [{"v": 1}], folder=tmp_path)
    content = json.loads(first.read_text(encoding="utf-8"))
    content |= {"date": "2099-01-01", "rows": [{"v": 2}]}
    (tmp_path / "x.gpu.json").write_text(json.dumps(content), encoding="utf-8")
    assert measure.recorded("x", folder=tmp_path)["v"].tolist() == [2]
    here = measure.machine()["name"]
    assert measure.recorded("x", machine=here, folder=tmp_path)["v"].tolist() == [1]


def test_published_figures_are_read_like_measured_ones():
    table = measure.recorded("published_004")
    assert len(table) == 25 and table.attrs["machine"]["name"] == "published"
    assert table["validation_loss"].min() == 0.573 and table["f1"].max() == 0.738


def test_what_is_not_there_or_damaged_is_named(tmp_path):
    with pytest.raises(DataError, match="nothing yet"):
        measure.recorded("padding", folder=tmp_path)
    path = measure.record("padding", [{"v": 1}], folder=tmp_path)
    with pytest.raises(DataError, match="There is: padding"):
        measure.recorded("lora", folder=tmp_path)
    with pytest.raises(DataError, match="on 'moon'"):
        measure.recorded("padding", machine="moon", folder=tmp_path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="damaged"):
        measure.recorded("padding", folder=tmp_path)
    for bad in ("", "a.b", "Padding", "../x"):
        with pytest.raises(ConfigError, match="name"):
            measure.record(bad, [], folder=tmp_path)


def test_flops_per_token_counts_matrices_and_attention():
    config = BertConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, vocab_size=9
    )
    model = BertModel(config, add_pooling_layer=False)
    weights = 2 * (4 * 8 * 8 + 2 * 8 * 16)
    assert measure.flops_per_token(model, 10) == 2 * weights + 4 * 2 * 10 * 8
    assert measure.flops_per_token(model, 10, training=True) == 3 * measure.flops_per_token(model, 10)


@pytest.mark.slow
def test_the_loading_bench_runs():
    from kolab.benches import loading

    table, meta = loading.run(quick=True)
    assert {"ids ready", "tokenised each time"} <= set(table["way"]) and (table["ms a batch"] > 0).all()
    assert table["share of step"].between(0, 1).all() and meta["batch_size"] == 32
