"""LoRA: in thirty readable lines for the lesson, and on peft for real use.

Hu et al. (2021), *LoRA: Low-Rank Adaptation of Large Language Models*. A weight W of shape (out, in) stays as it is;
what is learned is a difference of low rank, B A · α/r, with A of shape (r, in) and B of shape (out, r).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kolab.errors import ConfigError

# Which linear layers of an encoder family make its queries and its values, by `config.model_type`.
QUERY_AND_VALUE = {
    "bert": ("query", "value"),
    "roberta": ("query", "value"),
    "electra": ("query", "value"),
    "modernbert": ("Wqkv",),
}


class LoRALinear(nn.Module):
    """A frozen linear layer plus a trainable difference of rank r: y = W x + b + (α/r) B A x.

    B starts at zero, so that training begins at the pre-trained model; A starts at random, or nothing would ever learn.

    >>> layer = LoRALinear(nn.Linear(8, 6), rank=2)
    >>> x = torch.randn(5, 8)
    >>> torch.equal(layer(x), layer.base(x)), sum(p.numel() for p in layer.parameters() if p.requires_grad)
    (True, 28)
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float | None = None, dropout: float = 0.0):
        super().__init__()
        if not 1 <= rank <= min(base.weight.shape):
            raise ConfigError(f"rank is {rank}; for this layer it has to be 1 to {min(base.weight.shape)}.")
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(torch.empty(rank, base.in_features, dtype=base.weight.dtype))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank, dtype=base.weight.dtype))
        nn.init.kaiming_uniform_(
            self.A, a=math.sqrt(5)
        )  # as nn.Linear starts its weights, and as peft starts A
        self.scale = (2 * rank if alpha is None else alpha) / rank
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        return self.base(x) + self.scale * (
            self.dropout(x) @ self.A.T @ self.B.T
        )  # never makes the (out, in) matrix

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The same function as one ordinary linear layer, to rounding: nothing slower than before at inference."""
        layer = nn.Linear(self.base.in_features, self.base.out_features, self.base.bias is not None)
        layer = layer.to(self.base.weight)
        layer.weight.copy_(self.base.weight + self.scale * self.B @ self.A)
        if self.base.bias is not None:
            layer.bias.copy_(self.base.bias)
        return layer


def replace_linear(module: nn.Module, names: Sequence[str], make: Any) -> int:
    """Replaces every `nn.Linear` whose own name is in `names` by `make(layer)`; returns how many. In place."""
    count = 0
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and name in names:
            setattr(module, name, make(child))
            count += 1
        else:
            count += replace_linear(child, names, make)
    return count


def add_lora(
    model: nn.Module,
    *,
    rank: int = 8,
    alpha: float | None = None,
    dropout: float = 0.0,
    targets: Sequence[str] | None = None,
    **options: Any,
) -> nn.Module:
    """A `Classifier` with peft's LoRA in its encoder: the encoder frozen, adapters and head trained and saved.

    alpha: None for 2 · rank. targets: names of linear layers; None for the queries and values of the encoder's family.
    options: more fields of `peft.LoraConfig` (`use_dora`, `use_rslora` …).

    Returns a `peft.PeftModel` that `fit` takes like any model; its `save_pretrained` writes the adapter and the head
    alone. Raises ConfigError for a family whose layers are not known, or names that match nothing.
    """
    from peft import LoraConfig, get_peft_model

    family = model.config.encoder.model_type
    targets = targets or QUERY_AND_VALUE.get(family)
    if not targets:
        raise ConfigError(
            f"The layers of {family!r} encoders are not known; give targets=[…], names of linear layers."
        )
    linear = {
        name.split(".")[-1] for name, layer in model.encoder.named_modules() if isinstance(layer, nn.Linear)
    }
    unknown = sorted(set(targets) - linear)
    if unknown:
        raise ConfigError(
            f"The encoder has no linear layer named {', '.join(unknown)}; it has {', '.join(sorted(linear))}."
        )
    # A head that is not named in modules_to_save stays random and frozen, without a word.
    trained = ["head"] + (["pool"] if any(True for _ in model.pool.parameters()) else [])
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,
        lora_dropout=dropout,
        target_modules=list(targets),
        modules_to_save=trained,
        **options,
    )
    return get_peft_model(model, config)


def adapter_parameters(model: nn.Module) -> int:
    """The parameters that LoRA adds, and nothing else: those of A and B, not of the frozen layers they stand beside."""
    ours = [layer for layer in model.modules() if isinstance(layer, LoRALinear)]
    if ours:
        return sum(layer.A.numel() + layer.B.numel() for layer in ours)
    return sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)
