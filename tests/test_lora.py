"""LoRA by hand and by peft: the same function, the same count, trained, saved and merged."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from torch import nn
from transformers import BertConfig, BertModel

from kolab.errors import CheckpointError, ConfigError
from kolab.lora import (
    METHODS,
    LoRALinear,
    adapt,
    adapter_parameters,
    add_lora,
    honest_count,
    load_trained,
    merge_all,
    merged,
    replace_linear,
    save_trained,
)
from kolab.model import Classifier
from kolab.train import TrainConfig, fit, predict
from tests import tiny

CONFIG = TrainConfig(epochs=2, lr=1e-2, precision="fp32", progress=False, metric="loss")


def test_it_starts_as_the_layer_it_wraps_and_only_the_difference_learns():
    base = nn.Linear(6, 4)
    before = base.weight.clone()
    layer = LoRALinear(base, rank=2)
    x = torch.randn(3, 6)
    assert torch.equal(layer(x), base(x))
    optimizer = torch.optim.SGD([p for p in layer.parameters() if p.requires_grad], lr=0.1)
    layer(x).pow(2).sum().backward()
    optimizer.step()
    assert torch.equal(base.weight, before) and not torch.equal(layer(x), base(x))


@pytest.mark.parametrize("bias", [True, False])
def test_merged_it_computes_the_same(bias):
    layer = LoRALinear(nn.Linear(6, 4, bias=bias), rank=2, alpha=8)
    nn.init.normal_(layer.B)
    x = torch.randn(3, 6)
    assert torch.allclose(layer.merged()(x), layer(x), atol=1e-6)


def test_a_whole_model_is_merged_once():
    model = tiny.model(0.0).eval()
    assert replace_linear(model.encoder, ["query", "value"], lambda linear: LoRALinear(linear, 2)) == 4
    for layer in model.modules():
        if isinstance(layer, LoRALinear):
            nn.init.normal_(layer.B)
    ids = torch.randint(5, 50, (4, 7))
    before = model(ids).logits
    assert merge_all(model) == 4 and merge_all(model) == 0
    assert torch.allclose(model(ids).logits, before, atol=1e-5)


@pytest.mark.parametrize("rank", [0, 5])
def test_an_impossible_rank_is_refused(rank):
    with pytest.raises(ConfigError, match="rank is"):
        LoRALinear(nn.Linear(6, 4), rank=rank)


def test_by_hand_and_by_peft_are_the_same_function():
    model = tiny.model(0.0).eval()
    by_hand, by_peft = copy.deepcopy(model), add_lora(copy.deepcopy(model), rank=2, alpha=6).eval()
    assert replace_linear(by_hand.encoder, ["query", "value"], lambda linear: LoRALinear(linear, 2, 6)) == 4
    theirs = {name: layer for name, layer in by_peft.named_modules() if hasattr(layer, "lora_A")}
    ours = {name: layer for name, layer in by_hand.named_modules() if isinstance(layer, LoRALinear)}
    for name, layer in ours.items():
        other = theirs[f"base_model.model.{name}"]
        nn.init.normal_(layer.B)
        with torch.no_grad():
            other.lora_A["default"].weight.copy_(layer.A)
            other.lora_B["default"].weight.copy_(layer.B)
    ids = torch.randint(5, 50, (4, 7))
    assert torch.allclose(by_hand(ids).logits, by_peft(input_ids=ids).logits, atol=1e-6)
    assert adapter_parameters(by_hand) == adapter_parameters(by_peft) == 4 * 2 * (16 + 16)


def test_the_published_count_is_wrong_and_ours_is_right():
    """A 12-layer, 768-wide BERT with r=8 on query and value: 294,912, not 14,469,120."""
    with torch.device("meta"):
        encoder = BertModel(BertConfig(vocab_size=8002))
        model = add_lora(Classifier.build(encoder, 3), rank=8)
    assert adapter_parameters(model) == 294_912
    layers = [layer for layer in model.modules() if hasattr(layer, "lora_A")]
    assert sum(p.numel() for layer in layers for p in layer.parameters()) == 14_469_120


def test_fit_trains_adapters_and_head_and_nothing_else(tmp_path):
    loaders, model = tiny.loaders(), tiny.model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    lora = add_lora(model, rank=2)
    fit(lora, loaders, CONFIG)
    after = {k.removeprefix("base_model.model."): v for k, v in lora.state_dict().items()}
    for name, value in before.items():
        name = name.replace("query.", "query.base_layer.").replace("value.", "value.base_layer.")
        if name.startswith("head"):
            name = name.replace("head.", "head.modules_to_save.default.")
            assert not torch.equal(after[name], value), name
        else:
            assert torch.equal(after[name], value), name
    expected = predict(lora, loaders["validation"]).logits
    lora.save_pretrained(tmp_path)
    weights = sum(p.stat().st_size for p in tmp_path.glob("*.safetensors"))
    assert weights < 40_000  # the adapter and the head, not the encoder
    again = PeftModel.from_pretrained(tiny.model(), tmp_path)
    assert torch.allclose(predict(again, loaders["validation"]).logits, expected, atol=1e-6)
    merged = again.merge_and_unload()
    assert torch.allclose(predict(merged, loaders["validation"]).logits, expected, atol=1e-5)


def test_layers_that_are_not_there_are_named():
    with pytest.raises(ConfigError, match=r"no linear layer named Wqkv; it has dense, key, query, value"):
        add_lora(tiny.model(), targets=["Wqkv"])


# ---- the other methods


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_saves_and_reloads_what_it_says(method, tmp_path):
    loaders = tiny.loaders()
    model = adapt(tiny.model(), method, rank=2, tokens=3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit(model, loaders, CONFIG)
    for name, p in model.named_parameters():
        silent = name.endswith("key.bias")  # one number added to all of a token's scores changes no softmax
        assert silent or torch.equal(p, before[name]) != p.requires_grad, name
    expected = predict(model, loaders["validation"], precision="fp32").logits
    size = save_trained(model, tmp_path / "task.safetensors")
    trained, used = honest_count(model)
    assert 4 * trained < size < 4 * trained + 16_000 and trained <= used
    again = adapt(tiny.model(seed=1), method, rank=2, tokens=3)
    again.load_state_dict({k: v for k, v in model.state_dict().items() if k in _frozen(model)}, strict=False)
    load_trained(again, tmp_path / "task.safetensors")
    assert torch.allclose(predict(again, loaders["validation"], precision="fp32").logits, expected, atol=1e-6)


@pytest.mark.parametrize("method", ["LoRA", "DoRA", "rsLoRA", "IA3"])
def test_merged_by_peft_it_is_an_ordinary_classifier_that_computes_the_same(method, tmp_path):
    loaders = tiny.loaders()
    model = adapt(tiny.model(), method, rank=2)
    fit(model, loaders, CONFIG)
    expected = predict(model, loaders["validation"]).logits
    plain = merged(model)
    assert type(plain) is Classifier and not plain.training
    assert all(p.requires_grad for p in plain.parameters())
    assert not any("lora_" in name or "ia3_" in name or "base_layer" in name for name in plain.state_dict())
    assert torch.allclose(predict(plain, loaders["validation"]).logits, expected, atol=1e-5)
    plain.save_pretrained(tmp_path)
    again = Classifier.from_pretrained(tmp_path)
    assert torch.allclose(predict(again, loaders["validation"]).logits, expected, atol=1e-5)


def _frozen(model) -> set[str]:
    trains = {name for name, p in model.named_parameters() if p.requires_grad}
    return set(model.state_dict()) - trains


def test_what_each_method_trains():
    """By formula, for 2 layers of width 16, a feed-forward part of 32 and a head of 16 · 3 + 3."""
    head, everything = 51, sum(p.numel() for p in tiny.model().parameters())
    counted = {m: honest_count(adapt(tiny.model(), m, rank=2, tokens=3)) for m in METHODS}
    lora = 2 * 2 * 2 * (16 + 16)  # layers, query and value, rank
    added = {"full": 0, "LoRA": lora, "DoRA": lora + 4 * 16, "rsLoRA": lora, "IA3": 2 * (16 + 16 + 32),
             "prefix": 2 * 2 * 3 * 16, "head only": 0}  # fmt: skip
    for method, extra in added.items():
        trained, used = counted[method]
        assert trained == (everything if method == "full" else extra + head), method
        assert used == everything + extra, method


def test_a_method_begins_at_the_pretrained_model_and_rslora_differs_by_its_scale_alone():
    ids = torch.randint(5, 50, (4, 7))
    plain = tiny.model(0.0).eval()(ids).logits
    for method in ("LoRA", "DoRA", "rsLoRA", "IA3"):
        found = adapt(tiny.model(0.0), method, rank=4, alpha=8).eval()(input_ids=ids).logits
        assert torch.allclose(found, plain, atol=1e-6), method
    scales = [
        next(m for m in adapt(tiny.model(), method, rank=4, alpha=8).modules() if hasattr(m, "lora_A"))
        for method in ("LoRA", "rsLoRA")
    ]
    assert [m.scaling["default"] for m in scales] == [2.0, 4.0]  # alpha / r, alpha / sqrt(r)


def test_a_method_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="no method 'lora'; there are full, LoRA"):
        adapt(tiny.model(), "lora")
    other = tiny.model()
    other.config.encoder.model_type = "modernbert"
    with pytest.raises(ConfigError, match="not for 'modernbert'"):
        adapt(other, "IA3")


def test_what_was_saved_for_another_model_is_refused(tmp_path):
    file = tmp_path / "task.safetensors"
    save_trained(adapt(tiny.model(), "LoRA", rank=2), file)
    with pytest.raises(CheckpointError, match="another model: .* do not fit"):
        load_trained(adapt(tiny.model(), "LoRA", rank=4), file)
    with pytest.raises(CheckpointError, match=r"query\.base_layer|query\.weight|do not fit"):
        load_trained(tiny.model(), file)
    file.write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_trained(adapt(tiny.model(), "LoRA", rank=2), file)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_trained(tiny.model(), tmp_path / "none.safetensors")


@given(
    inside=st.integers(1, 12), outside=st.integers(1, 12), seed=st.integers(0, 999), data=st.data(),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_merging_changes_no_output_and_no_rank_is_exceeded(inside, outside, seed, data):
    torch.manual_seed(seed)
    rank = data.draw(st.integers(1, min(inside, outside)))
    layer = LoRALinear(nn.Linear(inside, outside).double(), rank=rank, alpha=3.0)
    nn.init.normal_(layer.B)
    x = torch.randn(4, inside, dtype=torch.float64)
    merged = layer.merged()
    assert torch.allclose(merged(x), layer(x), rtol=1e-9, atol=1e-9)
    assert torch.linalg.matrix_rank(merged.weight - layer.base.weight, atol=1e-9) <= rank
