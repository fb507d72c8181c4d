"""The configuration of `kolab.model.Classifier`: the encoder's own configuration inside, the head's beside it."""

import importlib
from typing import ClassVar

from transformers.configuration_utils import PretrainedConfig

from .errors import ConfigError

POOLINGS = ("mean", "cls", "attention")
HEADS = ("linear", "mlp")


class ClassifierConfig(PretrainedConfig):
    """What `config.json` of a saved `Classifier` holds.

    `encoder`: the encoder's configuration (an object, or the dict that `config.json` has), `pooling`: one of
    `POOLINGS`, `head`: one of `HEADS`, `dropout`: the probability before and inside the head, in [0, 1).
    `id2label`, `label2id` and `problem_type` are transformers' own fields.

    Raises `ConfigError` on a pooling, head or dropout that does not exist.
    """

    model_type = "kolab-classifier"
    # so that a dtype or an attention implementation given for the whole reaches the encoder
    sub_configs: ClassVar[dict] = {"encoder": PretrainedConfig}

    # transformers turned its configurations into dataclasses within 5.x; a written-out __init__ works with both kinds
    def __init__(self, encoder=None, pooling="mean", head="linear", dropout=0.1, **kwargs):
        importlib.import_module("kolab.model")  # registers Classifier, see kolab/_register.py
        _one_of("pooling", pooling, POOLINGS)
        _one_of("head", head, HEADS)
        if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
            raise ConfigError(f"dropout is {dropout!r}, but it is a probability: at least 0 and below 1.")
        encoder = _encoder_config(encoder)
        kwargs.setdefault("pad_token_id", getattr(encoder, "pad_token_id", None))
        super().__init__(**kwargs)
        # only now: super().__init__ would have reset the attention implementation of a live encoder
        self.encoder = encoder
        self.pooling, self.head, self.dropout = pooling, head, dropout

    @property
    def hidden_size(self) -> int:
        """The width of the encoder's output, which is that of the pooled vector."""
        return self.encoder.hidden_size


def _one_of(field: str, value, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{field} is {value!r}; it has to be one of {', '.join(map(repr, allowed))}.")


def _encoder_config(encoder):
    from transformers import CONFIG_MAPPING  # here: this table is what loads the present module

    if isinstance(encoder, PretrainedConfig):
        return encoder
    # a default, because transformers itself makes one, to compare with
    fields = dict(encoder or {"model_type": "bert"})
    kind = fields.pop("model_type", None)
    if kind not in CONFIG_MAPPING:
        raise ConfigError(
            f"The encoder's configuration has the model_type {kind!r}, which this transformers does not know. "
            "Install the transformers that saved it: config.json names the version as transformers_version."
        )
    return CONFIG_MAPPING[kind](**fields)
