"""A rate that is set is applied, in every family; one that is written into the configuration is not."""

import pytest
import torch
from torch import nn
from transformers import ModernBertConfig, ModernBertModel

from kolab.dropout import dropout_rates, set_dropout
from kolab.errors import ConfigError
from kolab.model import Classifier
from tests import tiny


def modern() -> Classifier:
    config = ModernBertConfig(
        vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        pad_token_id=0, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2, attention_dropout=0.1,
    )  # fmt: skip
    return Classifier.build(ModernBertModel(config), 2)


@pytest.mark.parametrize("build", [tiny.model, modern])
def test_every_place_gets_the_rate(build):
    model = build()
    places = set_dropout(model, 0.3)
    assert dropout_rates(model) == {0.3: places} and places > 5


@pytest.mark.parametrize("build", [tiny.model, modern])
def test_what_is_set_is_what_happens(build):
    model, ids = build().train(), torch.randint(5, 40, (4, 7))

    def twice() -> float:
        return float((model(ids).logits - model(ids).logits).detach().abs().max())

    set_dropout(model, 0.0)
    assert twice() == 0.0
    set_dropout(model, 0.5)
    assert twice() > 0.0


def test_the_configuration_comes_too_late():
    model = tiny.model(dropout=0.1)
    model.config.encoder.hidden_dropout_prob = model.encoder.config.attention_probs_dropout_prob = 0.3
    assert set(dropout_rates(model)) == {0.1}


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ConfigError, match="has to be"):
        set_dropout(tiny.model(), rate)


def test_a_model_without_dropout_is_refused():
    with pytest.raises(ConfigError, match="no dropout"):
        set_dropout(nn.Linear(2, 2), 0.1)
