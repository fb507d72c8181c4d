"""Groups hold every parameter once; schedules go where they should."""

import itertools

import pytest
import torch
from transformers import ModernBertConfig, ModernBertModel

from kolab.errors import ConfigError
from kolab.model import Classifier
from kolab.optim import make_optimizer, make_schedule, parameter_groups, rate_at
from tests import tiny


@pytest.mark.parametrize("layer_decay", [None, 0.9])
@pytest.mark.parametrize("head_lr", [None, 1e-3])
def test_every_parameter_lands_in_exactly_one_group(layer_decay, head_lr):
    model = tiny.model()
    groups = parameter_groups(model, 1e-4, layer_decay=layer_decay, head_lr=head_lr)
    found = [id(p) for g in groups for p in g["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())


def test_matrices_decay_and_vectors_do_not():
    groups = parameter_groups(tiny.model(), 1e-4, 0.05)
    assert all(p.ndim >= 2 for g in groups if g["weight_decay"] for p in g["params"])
    assert all(p.ndim < 2 for g in groups if not g["weight_decay"] for p in g["params"])


def rates(model, **options) -> dict[str, float]:
    groups = parameter_groups(model, 1.0, **options)
    by_id = {id(p): g["lr"] for g in groups for p in g["params"]}
    return {name: by_id[id(p)] for name, p in model.named_parameters()}


def test_layer_decay_follows_the_layers_name_not_its_position():
    found = rates(tiny.model(), layer_decay=0.5)
    assert found["encoder.embeddings.word_embeddings.weight"] == 0.25
    assert {v for k, v in found.items() if ".layer.0." in k} == {0.5}
    assert {v for k, v in found.items() if ".layer.1." in k} == {1.0}
    assert {v for k, v in found.items() if k.startswith("head")} == {1.0}


def test_layer_decay_knows_modernberts_names():
    config = ModernBertConfig(
        vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2,
        pad_token_id=0, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    found = rates(Classifier.build(ModernBertModel(config), 2), layer_decay=0.5)
    assert {v for k, v in found.items() if "layers.0." in k} == {0.25}
    assert {v for k, v in found.items() if "layers.2." in k} == {1.0}
    assert {v for k, v in found.items() if "embeddings" in k} == {0.125}


def test_the_head_can_have_a_rate_of_its_own():
    found = rates(tiny.model(), head_lr=10.0)
    assert {v for k, v in found.items() if k.startswith("head")} == {10.0}
    assert {v for k, v in found.items() if k.startswith("encoder")} == {1.0}


def test_frozen_parameters_are_left_out_and_a_wholly_frozen_model_is_refused():
    model = tiny.model()
    model.encoder.requires_grad_(False)
    assert sum(len(g["params"]) for g in parameter_groups(model, 1e-3)) == len(list(model.head.parameters()))
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="no trainable"):
        parameter_groups(model, 1e-3)


@pytest.mark.parametrize("name", ["linear", "cosine", "constant"])
def test_schedules_warm_up_peak_once_and_end_where_they_should(name):
    factors = [rate_at(step, name, 10, 100) for step in range(101)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(factors) == 1.0
    assert factors[100] == pytest.approx(1.0 if name == "constant" else 0.0)
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))


def test_cosine_is_the_librarys_cosine():
    from transformers import get_cosine_schedule_with_warmup

    optimizers = [torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0) for _ in range(2)]
    ours = make_schedule(optimizers[0], "cosine", 5, 50)
    theirs = get_cosine_schedule_with_warmup(optimizers[1], 5, 50)
    for step in range(50):
        if step >= 5:  # theirs wastes its first step at a rate of 0
            assert ours.get_last_lr()[0] == pytest.approx(theirs.get_last_lr()[0])
        optimizers[0].step(), optimizers[1].step(), ours.step(), theirs.step()


def test_an_unknown_schedule_is_refused():
    optimizer = make_optimizer(
        [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": 1.0, "weight_decay": 0.0}]
    )
    with pytest.raises(ConfigError, match="linear, cosine, constant"):
        make_schedule(optimizer, "polynomial", 0, 10)
