"""LoRA by hand and by peft: the same function, the same count, trained, saved and merged."""

import copy

import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import BertConfig, BertModel

from kolab.errors import ConfigError
from kolab.lora import LoRALinear, adapter_parameters, add_lora, replace_linear
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
