"""kolab/footprint.py and kolab/allocations.py: what is predicted is what torch really holds."""

import pytest
import torch
import torch.nn.functional as F

from kolab import footprint
from kolab.allocations import bytes_of, held, peak_of, saved_for_backward
from kolab.benches.precision import build, make_step
from kolab.errors import ConfigError
from kolab.footprint import KOBERT, MINI, Shape, predict

SMALL = Shape(layers=3, width=64, heads=4, inner=256, vocabulary=500, positions=128)
CPU = {"device": "cpu", "attention": "eager"}
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="the CPU's formula, on a CPU")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("lora", [False, True])
def test_activations_are_predicted_within_three_percent(precision, lora):
    model = build(SMALL, lora=lora)
    ids = torch.randint(5, 500, (8, 96))
    with saved_for_backward(model) as saved, torch.autocast("cpu", enabled=precision == "bf16"):
        logits = model(ids, torch.ones_like(ids)).logits
    guess = predict(SMALL, batch=8, length=96, precision=precision, rank=8 if lora else None, **CPU)
    assert (guess.activations + guess.copies) / saved.bytes == pytest.approx(1, abs=0.03)
    assert logits.requires_grad


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"precision": "bf16"}, {"rank": 8}, {"checkpointing": True}, {"accumulate": 2},
        {"precision": "bf16", "rank": 8},
    ],
    ids=str,
)  # fmt: skip
def test_what_stays_and_the_peak_of_a_step(settings):
    lora, checkpointing = settings.get("rank") is not None, settings.get("checkpointing", False)
    model = build(SMALL, lora=lora, checkpointing=checkpointing)
    precision, accumulate = settings.get("precision", "fp32"), settings.get("accumulate", 1)
    step, optimizer = make_step(model, SMALL, precision, 8, 96, accumulate)
    step()
    guess = predict(SMALL, batch=8, length=96, **settings, **CPU)
    stays = held(model, optimizer)
    for name in ("weights", "gradients", "optimizer"):
        assert getattr(guess, name) == pytest.approx(stays[name], rel=0.01)
    optimizer.zero_grad()
    assert guess.in_step == pytest.approx(peak_of(step), rel=0.15)


def test_fused_attention_keeps_no_table_of_scores():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=500, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=256,
        max_position_embeddings=128, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        attn_implementation="sdpa",
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False).train()
    ids = torch.randint(5, 500, (8, 96))
    with saved_for_backward(model) as saved:
        hidden = model(ids, torch.ones_like(ids)).last_hidden_state
    guess = predict(SMALL, batch=8, length=96, device="cpu", attention="sdpa", dropout=False)
    assert guess.activations / saved.bytes == pytest.approx(1, abs=0.03) and hidden.requires_grad
    assert guess.activations < predict(SMALL, batch=8, length=96, dropout=False, **CPU).activations


def test_parameters_are_counted_as_torch_counts_them():
    for shape in (SMALL, MINI):
        for lora in (False, True):
            model = build(shape, lora=lora)
            count = [
                sum(p.numel() for p in model.parameters() if p.requires_grad or every)
                for every in (True, False)
            ]
            assert count[1] == shape.trained(8 if lora else None)
            assert 4 * count[0] == predict(shape, rank=8 if lora else None).weights
    assert KOBERT.parameters - KOBERT.head + 768 * 769 == 92_186_880  # monologg/kobert, its pooler included


def test_the_bundled_encoders_shape():
    import kolab as kl

    encoder, _ = kl.load_encoder("kolab-mini", pretrained=False)
    assert Shape.of(encoder.config) == MINI


def test_what_each_setting_spares():
    plain = predict(KOBERT)
    mixed, lora, light, twice = (predict(KOBERT, **s) for s in (
        {"precision": "bf16"}, {"rank": 8}, {"checkpointing": True}, {"batch": 16, "accumulate": 2}))  # fmt: skip
    assert mixed.weights == plain.weights and mixed.optimizer == plain.optimizer
    assert 0.5 < mixed.activations / plain.activations < 0.7 and mixed.copies > 0 == plain.copies
    assert lora.gradients + lora.optimizer < 0.02 * (plain.gradients + plain.optimizer)
    assert light.activations < 0.25 * plain.activations and light.weights == plain.weights
    assert (
        twice.activations == plain.activations // 2
        and twice.peak > plain.weights + plain.optimizer + plain.activations / 2
    )


@pytest.mark.parametrize(
    "settings", [{"precision": "fp8"}, {"attention": "flash"}, {"batch": 0}, {"rank": 0}, {"accumulate": 0}]
)
def test_impossible_settings(settings):
    with pytest.raises(ConfigError):
        predict(MINI, **settings)


def test_bytes_count_each_memory_once():
    a = torch.zeros(10)
    assert bytes_of([a, a.view(2, 5), a[:3], None, torch.zeros(4, dtype=torch.bfloat16)]) == 48


def test_counting_leaves_the_gradient_alone():
    layer, x = torch.nn.Linear(6, 4), torch.randn(5, 6)
    F.gelu(layer(x)).sum().backward()
    expected = layer.weight.grad.clone()
    layer.zero_grad()
    with saved_for_backward(layer) as saved:
        loss = F.gelu(layer(x)).sum()
    loss.backward()
    assert torch.equal(layer.weight.grad, expected)
    assert saved.bytes == 4 * (30 + 20) and saved.by_dtype == {torch.float32: saved.bytes}


def test_the_peak_is_seen_also_when_it_is_short(capfd):
    def step():
        torch.ones(3 * 2**20, dtype=torch.uint8).float().sum()  # 3 MiB and 12 MiB at one time

    assert 15 * 2**20 <= peak_of(step) < 16 * 2**20
    assert capfd.readouterr().err == ""


def test_a_step_that_fails_leaves_the_error_stream_open(capfd):
    import os

    with pytest.raises(ZeroDivisionError):
        peak_of(lambda: 1 / 0)
    os.write(2, b"still there")
    assert "still there" in capfd.readouterr().err


def test_nothing_is_held_before_the_first_step():
    model = build(SMALL)
    optimizer = torch.optim.AdamW(model.parameters())
    found = held(model, optimizer)
    assert (
        found["gradients"] == found["optimizer"] == 0 and found["weights"] >= footprint.predict(SMALL).weights
    )
