"""The encoders a study can name: any that `load_encoder` knows, a part of one, or a small one of another family."""

import re
from typing import Any

import torch

from kolab.encoders import check_name, choose_attention
from kolab.errors import ConfigError
from kolab.model import load_encoder
from kolab.registry import ALIASES

_CUT = re.compile(r"(.+)\[:(\d+)\]")
_FAMILIES = {"bert": "BERT", "modernbert": "ModernBERT", "roberta": "RoBERTa", "electra": "ELECTRA"}


def encoder_of(name: str, seed: int) -> tuple[Any, Any]:
    """An encoder by name: `load_encoder`'s, "NAME[:3]" for its first three layers, or "modernbert-small".

    The last is a ModernBERT of 4 layers of 128 with random weights and kolab-mini's tokenizer: it needs no network.
    """
    if name == "modernbert-small":
        return _modernbert_small(seed)
    cut = _CUT.fullmatch(name)
    encoder, tokenizer = load_encoder(full_name(cut[1] if cut else name))
    if cut:
        inner = getattr(encoder, "encoder", encoder)
        kind = "layer" if hasattr(inner, "layer") else "layers"
        if not 1 <= int(cut[2]) <= len(getattr(inner, kind, ())):
            raise ConfigError(f"study.encoders has {name!r}; {cut[1]} does not have so many layers.")
        setattr(inner, kind, getattr(inner, kind)[: int(cut[2])])
        encoder.config.num_hidden_layers = int(cut[2])
    return encoder, tokenizer


def check_encoder(name: str) -> None:
    """Raises ConfigError, with the nearest right spelling, for what `encoder_of` cannot know."""
    if name != "modernbert-small":
        cut = _CUT.fullmatch(name)
        check_name(full_name(cut[1] if cut else name))


def full_name(name: str) -> str:
    """The name that `load_encoder` knows an encoder by.

    >>> full_name("kcelectra"), full_name("kolab-mini")
    ('beomi/KcELECTRA-base-v2022', 'kolab-mini')
    """
    return ALIASES.get(name.lower(), name)


def _modernbert_small(seed: int):
    from transformers import ModernBertConfig, ModernBertModel

    tokenizer = load_encoder("kolab-mini", pretrained=False)[1]
    config = ModernBertConfig(
        vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=192,
        max_position_embeddings=256, pad_token_id=tokenizer.pad_token_id, cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id, bos_token_id=tokenizer.cls_token_id, eos_token_id=tokenizer.sep_token_id,
        embedding_dropout=0.1, mlp_dropout=0.1, attention_dropout=0.1,
    )  # fmt: skip
    choose_attention(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ModernBertModel._from_config(config).float().eval(), tokenizer


def label_of(name: str) -> str:
    """The family that a table names the encoder by: BERT, ModernBERT …, or the name itself."""
    if name == "modernbert-small":
        return "ModernBERT"
    if name.startswith("kolab-mini"):
        return "BERT"
    lowered = full_name(name).lower()
    found = [label for kind, label in _FAMILIES.items() if kind in lowered]
    return max(found, key=len) if found else name


def described(name: str) -> str:
    """What the encoder is, in a few words for a reader of the results."""
    if name == "modernbert-small":
        return "4 layers of 128, random weights"
    cut = _CUT.fullmatch(name)
    whole = full_name(cut[1] if cut else name)
    return f"{whole}, pre-trained, its first {cut[2]} layers" if cut else f"{whole}, pre-trained"
