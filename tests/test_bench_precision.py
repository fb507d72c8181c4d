"""kolab/benches/precision.py and kolab/autocast_table.py."""

import json

import pytest
import torch

from kolab import measure
from kolab.autocast_table import OPERATIONS, computed_in
from kolab.benches import precision as bench
from kolab.errors import ConfigError
from kolab.footprint import Shape

TINY = Shape(layers=2, width=32, heads=2, inner=64, vocabulary=100, positions=64)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The bench on a tiny shape, recorded in a folder of its own."""
    monkeypatch.setattr(bench, "SHAPES", {"kolab-mini": TINY, "KoBERT's size": TINY})
    monkeypatch.setattr(measure, "_results", lambda folder: tmp_path)
    return tmp_path


def test_a_quick_run_measures_and_writes_nothing(tiny):
    table, meta = bench.run(quick=True)
    assert {"fp32", "bf16", "fp16"} <= set(table["precision"]) and set(table["learns"]) == {"all", "LoRA"}
    assert (table["seconds"] > 0).all() and (table["peak_mib"] >= table["held_mib"] / 2).all()
    assert not list(tiny.iterdir()) and meta["complete"]


def test_an_interrupted_run_goes_on(tiny, monkeypatch):
    plan = list(bench._plan(["kolab-mini"], False))[:4]
    monkeypatch.setattr(bench, "_plan", lambda names, cuda: iter(plan))
    real, calls = bench.one, []

    def three(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(bench, "one", three)
    with pytest.raises(KeyboardInterrupt):
        bench.run(encoders="kolab-mini", batch=2, length=16, steps=1)
    (path,) = tiny.iterdir()
    assert len(json.loads(path.read_text())["rows"]) == 2
    table, _ = bench.run(encoders="kolab-mini", batch=2, length=16, steps=1)
    assert len(calls) == 3 + 2  # the two that were whole are not measured again
    assert (
        list(table[["encoder", "precision", "learns", "checkpointing"]].itertuples(index=False, name=None))
        == plan
    )
    monkeypatch.setattr(bench, "rows", lambda names, **kwargs: iter(kwargs["skip"]))
    assert bench.run(encoders="kolab-mini", batch=2, length=16, steps=2)[
        0
    ].empty  # other settings: from the start


def test_what_a_machine_cannot_show_is_not_in_the_plan():
    cpu, cuda = (list(bench._plan(["kolab-mini", "KoBERT's size"], c)) for c in (False, True))
    assert not [p for p in cpu if p[1] == "tf32"] and len([p for p in cpu if p[1] == "fp16"]) == 1
    assert len(cuda) == 2 * 4 * 2 * 2


def test_an_unknown_shape():
    with pytest.raises(ConfigError, match="kolab-mini"):
        bench.run(encoders="gpt", quick=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_step_learns(precision):
    model = bench.build(TINY)
    step, optimizer = bench.make_step(model, TINY, precision, batch=4, length=16, accumulate=2)
    before = [p.detach().clone() for p in model.parameters()]
    step()
    assert any(not torch.equal(p, b) for p, b in zip(model.parameters(), before))
    assert all(p.dtype == torch.float32 for p in model.parameters()) and optimizer.state


def test_under_lora_and_checkpointing_only_adapters_and_head_learn():
    model = bench.build(TINY, lora=True, checkpointing=True)
    step, _ = bench.make_step(model, TINY, "bf16", batch=4, length=16)
    step()
    learned = [name for name, p in model.named_parameters() if p.grad is not None]
    assert learned and all(name.endswith((".A", ".B")) or name.startswith("head") for name in learned)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == TINY.trained(8)


def test_checkpointing_gives_the_same_gradient():
    gradients = []
    for checkpointing in (False, True):
        model = bench.build(TINY, checkpointing=checkpointing)
        ids = torch.randint(5, 100, (4, 16), generator=torch.Generator().manual_seed(1))
        torch.manual_seed(2)  # dropout's
        model(ids, torch.ones_like(ids)).logits.sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert torch.allclose(*gradients, atol=1e-6)


def test_autocast_on_the_cpu_is_what_the_cpu_does():
    for dtype in (torch.bfloat16, torch.float16):
        asked = computed_in("cpu", dtype)
        full, labels = torch.randn(8, 8), torch.zeros(8, dtype=torch.long)
        with torch.autocast("cpu", dtype=dtype):
            done = {name: op(full.to(dtype), full, labels).dtype for name, op in OPERATIONS.items()}
        assert asked == done


def test_cuda_is_asked_without_a_gpu_and_nothing_is_left_switched_on():
    cuda, cpu = computed_in("cuda", torch.float16), computed_in("cpu", torch.float16)
    assert cuda["linear"] == torch.float16 and cuda["softmax"] == cuda["layer_norm"] == torch.float32
    assert cpu["softmax"] == cpu["layer_norm"] == torch.float16
    assert cuda["cross_entropy"] == cpu["cross_entropy"] == torch.float32
    assert not torch.is_autocast_enabled("cuda") and not torch.is_autocast_enabled("cpu")
