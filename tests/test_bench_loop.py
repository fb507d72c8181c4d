"""`kolab bench loop` and its neighbours: equal trainings end with equal weights, and a stopped run goes on.

The slow tests run every bench trimmed, in real processes: about a minute in all on two cores.
"""

import importlib.util
import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kolab import measure
from kolab.benches import loop, loop_mfu, loop_profile
from kolab.benches.loops import task, turns, ways
from kolab.cli import _benches, main
from kolab.ledger import Ledger
from kolab.processes import default_device
from tests import tiny

needs_lightning = pytest.mark.skipif(
    ways.missing("lightning") is not None, reason="Lightning is not installed"
)


def trained(way: str) -> torch.Tensor:
    """A tiny model's weights after an epoch of 5 batches of 8 and one of 4, dropout on."""
    model = tiny.model()
    times = ways.run(way, model, tiny.loaders(44, 8, validation=0))
    assert 0 < times["setup"] < times["seconds"] and times["cpu"] > 0
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.fixture(scope="module")
def by_hand() -> torch.Tensor:
    return trained("plain")


@pytest.mark.parametrize("way", ["trainer", "fit", pytest.param("lightning", marks=needs_lightning)])
def test_the_four_loops_train_the_same_to_the_last_bit(way, by_hand):
    start = torch.cat([p.detach().flatten() for p in tiny.model().parameters()])
    assert (by_hand - start).abs().max() > 1e-4, "nothing was learned"
    assert torch.equal(trained(way), by_hand)


def test_no_loop_does_without_what_the_others_do(by_hand, monkeypatch):
    """Clipping, the schedule and the rate all show in the weights: a loop that left one out would be found."""
    import dataclasses

    for change in ({"max_grad_norm": 1e-3}, {"schedule": "constant"}, {"lr": 5e-4}):
        monkeypatch.setattr(ways, "CONFIG", dataclasses.replace(ways.CONFIG, **change))
        changed = trained("plain")
        assert not torch.equal(changed, by_hand), change
        assert torch.equal(changed, trained("fit")), change
        monkeypatch.undo()


def test_the_published_loop_and_the_others_read_the_same_reviews():
    """Random batches of 16 against batches of 32 of like length: other rectangles, the same texts."""
    texts = {}
    for way in ("plain", "published"):
        loader = task.loaders(way, 40)["train"]
        batches = list(loader)
        texts[way] = sorted(
            (row[mask.bool()].tolist(), int(label))
            for batch in batches
            for row, mask, label in zip(batch["input_ids"], batch["attention_mask"], batch["labels"])
        )
        assert [len(batch["labels"]) for batch in batches] == ([16, 16, 8] if way == "published" else [32, 8])
        for batch in batches:  # padded to the longest of the batch, not to a fixed length
            assert batch["input_ids"].shape[1] == int(batch["attention_mask"].sum(dim=1).max())
    assert texts["plain"] == texts["published"]
    assert {"token_type_ids", "input_ids", "attention_mask", "labels"} == set(batches[0])


def test_the_published_loop_learns(monkeypatch):
    model, batches = task.published_model(), task.loaders("published", 40)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    before = model.classifier.weight.detach().clone()
    ways.run("published", model, batches)
    assert not torch.equal(model.classifier.weight, before)


# ---- taking turns


def calls(log: list, stop_at: int | None = None) -> dict:
    """Three loops that only say when they are called."""

    def one(name: str):
        def call(function):
            assert function is turns.epoch
            log.append(name)
            if len(log) == stop_at:
                raise KeyboardInterrupt
            return {"seconds": 2.0 + len(log), "setup": 1.0, "cpu": 1.0}

        return call

    return {name: one(name) for name in "abc"}


def test_every_round_begins_with_another_loop_and_a_stopped_run_goes_on(tmp_path):
    log, path = [], tmp_path / "rounds.jsonl"
    with pytest.raises(KeyboardInterrupt):
        turns.rounds(calls(log, stop_at=8), 3, Ledger(path, {"reviews": 1}), lambda text: None)
    assert log == [*"abc", *"bca", *"ca"] and len(path.read_text().splitlines()) == 2
    again: list = []
    found = turns.rounds(calls(again), 3, Ledger(path, {"reviews": 1}), lambda text: None)
    assert again == [*"cab"] and len(found) == 3 and found[0]["a"]["seconds"] == 3.0
    others: list = []
    turns.rounds(calls(others), 1, Ledger(path, {"reviews": 2}), lambda text: None)
    assert others == [*"abc"], "rows of another sample do not count"


def test_without_lightning_there_is_a_note_and_all_other_rows(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lightning" else real(name))
    why = ways.missing("lightning")
    assert "pip install" in why and ways.missing("plain") is None and ways.missing("trainer") is None
    here = [way for way in ways.WAYS if way != "lightning"]
    times = {way: {"seconds": 3.0 + n, "setup": 1.0, "cpu": 1.0} for n, way in enumerate(here)}
    weights = torch.zeros(3).numpy()
    started = {way: {"weights": weights, "tokens": 3, "positions": 4, "peak_mib": 1.0} for way in here}
    rows = [loop._row(way, started, [times], {"lightning": why}) for way in ways.WAYS]
    assert [row["loop"] for row in rows] == list(ways.TITLES.values())
    assert rows[2]["seconds"] is None and rows[2]["weights"] == why
    assert rows[3]["of (a)"] == 2.0 and rows[3]["weights"] == "identical" and rows[3]["padding"] == 0.25
    meta = loop._meta(8, 1, [times], started)
    assert meta["fit/plain"].startswith("2.000") and "fit/lightning" not in meta
    started["fit"]["weights"] = weights + 1e-3
    assert "differ" in loop._row("fit", started, [times], {})["weights"]


def test_parts_of_benches_are_no_benches():
    assert "loop" in _benches() and "loops" not in _benches()


# ---- arithmetic


def test_the_formula_counts_what_torch_counts():
    """flops_per_token against torch's own counter: a forward pass, and a training step of three times that."""
    model, batch, length = tiny.model(dropout=0.0), 4, 12
    model.encoder.config._attn_implementation = "eager"  # its products are counted as such
    ids = torch.randint(5, 50, (batch, length))
    tokens, head = batch * length, sum(p.numel() for p in model.head.parameters() if p.ndim == 2)
    once = 2 * head * (tokens - batch)  # the formula has the head for every token; it runs once a text
    with FlopCounterMode(display=False) as forward:
        logits = model(ids, torch.ones_like(ids)).logits
    assert forward.get_total_flops() == tokens * measure.flops_per_token(model, length) - once
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()
    step = forward.get_total_flops() + backward.get_total_flops()
    assert step == tokens * measure.flops_per_token(model, length, training=True) - 3 * once


def test_the_matrix_rate_counts_two_operations_a_multiplication(monkeypatch):
    monkeypatch.setattr(loop_mfu, "_timed", lambda work: (work(), 0.5)[1])
    for precision in ("fp32", "bf16"):
        assert loop_mfu.matrix_rate(precision, torch.device("cpu"), size=8, repeats=1) == 2 * 8**3 / 0.5


@pytest.mark.parametrize(
    ("operation", "kind"),
    {
        "aten::addmm": "matrix products", "aten::mm": "matrix products", "aten::baddbmm": "matrix products",
        "aten::bmm": "matrix products", "aten::_softmax_backward_data": "softmax",
        "aten::bernoulli_": "dropout's random numbers",
        "aten::native_layer_norm_backward": "LayerNorm", "aten::_fused_adamw_": "optimizer: AdamW",
        "aten::_foreach_norm": "clipping the gradient", "aten::_log_softmax": "loss",
        "aten::copy_": "copies and changes of type",
        "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__": "making batches",
        "aten::embedding_dense_backward": "embeddings", "aten::add": "sums and products, number by number",
        "autograd::engine::evaluate_function: AddmmBackward0": "autograd's books", "aten::somm": loop_profile.OTHER,
    }.items(),
)  # fmt: skip
def test_operations_are_put_into_words(operation, kind):
    assert loop_profile.kind(operation) == kind


# ---- trimmed, for real


@pytest.mark.slow
def test_the_bench_of_loops_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "_results", lambda folder: tmp_path)
    assert main(["bench", "loop", "--quick"]) == 0
    shown = capsys.readouterr().out
    equal = 3 if ways.missing("lightning") else 4
    assert all(title in shown for title in ways.TITLES.values()) and shown.count("identical") == equal
    assert "not recorded" in shown and not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loop_profile", "loop_costs", "loop_mfu"])
def test_the_neighbouring_benches(name, tmp_path):
    options = {"compiler": "eager"} if name == "loop_mfu" else {}
    bench = importlib.import_module(f"kolab.benches.{name}")
    table, meta = bench.run(quick=True, **options)
    path = measure.record(name.replace("_", "-"), table, folder=tmp_path, **meta)
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert rows and all(value is not None for row in rows for value in row.values())
    if name == "loop_profile":
        shares = table.set_index("where")[["(d) share", "(f) share"]]
        assert shares.sum().tolist() == pytest.approx([1, 1], abs=0.01)
        assert shares.loc["matrix products"].min() > 0 and shares.loc["optimizer: AdamW"].min() > 0
        assert shares.loc[loop_profile.OTHER].max() < 0.1 if loop_profile.OTHER in shares.index else True
    if name == "loop_mfu":
        assert (table["MFU"] > 0).all() and set(table["torch.compile"]) == {"no", "eager"}
        assert ("not measured" in meta["on a GPU"]) == (default_device().type != "cuda")


@pytest.mark.slow
def test_the_bench_of_the_allocator():
    import platform

    from kolab.benches import loop_allocator

    if platform.libc_ver()[0] != "glibc":
        pytest.skip("this Python does not run on glibc")
    table, _ = loop_allocator.run(quick=True)
    assert table["memory"].tolist() == list(loop_allocator.SETTINGS)
    assert table["page faults"][1] < table["page faults"][0]
