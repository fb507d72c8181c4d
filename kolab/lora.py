"""LoRA: in thirty readable lines for the lesson, and on peft for real use.

Hu et al. (2021), *LoRA: Low-Rank Adaptation of Large Language Models*. A weight W of shape (out, in) stays as it is;
what is learned is a difference of low rank, B A · α/r, with A of shape (r, in) and B of shape (out, r).
"""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kolab.errors import CheckpointError, ConfigError
from kolab.registry import FAMILIES

# Which linear layers of an encoder family make its queries and its values, by `config.model_type`.
QUERY_AND_VALUE = {kind: family.attention for kind, family in FAMILIES.items()}
# Where IA3 puts its factors: on keys and values, and on what enters the second layer of the feed-forward part.
_IA3_LAYERS, _IA3_FEED_FORWARD = (
    r".*\.(key|value)|.*layer\.\d+\.output\.dense",
    r".*layer\.\d+\.output\.dense",
)
_IA3_FAMILIES = ("bert", "roberta", "electra")
METHODS = ("full", "LoRA", "DoRA", "rsLoRA", "IA3", "prefix", "head only")


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


def merge_all(module: nn.Module) -> int:
    """Replaces every `LoRALinear` by the ordinary layer it is merged into; returns how many. In place."""
    count = 0
    for name, child in module.named_children():
        if isinstance(child, LoRALinear):
            setattr(module, name, child.merged())
            count += 1
        else:
            count += merge_all(child)
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
    from peft import LoraConfig

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
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,
        lora_dropout=dropout,
        target_modules=list(targets),
        modules_to_save=_outside(model),
        **options,
    )
    return _wrap(model, config)


def _outside(model: nn.Module) -> list[str]:
    """What trains besides the adapter. A head that is not named here stays random and frozen, without a word."""
    return ["head"] + (["pool"] if any(True for _ in model.pool.parameters()) else [])


def _wrap(model: nn.Module, config: Any) -> nn.Module:
    from peft import get_peft_model

    with warnings.catch_warnings():  # peft asks transformers 5 by a name that transformers has given up
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        return get_peft_model(model, config)


def adapt(
    model: nn.Module, method: str, *, rank: int = 8, alpha: float | None = None, tokens: int = 8
) -> nn.Module:
    """A `Classifier` made ready to be trained by one of `METHODS`. In place, as far as the method allows.

    full: everything trains. head only: pooling and head. LoRA, DoRA (Liu et al., 2024), rsLoRA (Kalajdzievski, 2023):
    see `add_lora`. IA3 (Liu et al., 2022): a factor for each number of the keys, the values and the feed-forward part.
    prefix (Li and Liang, 2021): `tokens` made-up positions in each layer that every text may attend to.
    rank and alpha matter to the LoRA family, tokens to prefix. Raises ConfigError for another method, or an encoder
    whose layers are not known.
    """
    if method not in METHODS:
        raise ConfigError(f"There is no method {method!r}; there are {', '.join(METHODS)}.")
    if method == "full":
        return model.requires_grad_(True)
    if method == "head only":
        model.requires_grad_(True).encoder.requires_grad_(False)
        return model
    if method == "IA3":
        from peft import IA3Config

        family = model.config.encoder.model_type
        if family not in _IA3_FAMILIES:
            known = ", ".join(_IA3_FAMILIES)
            raise ConfigError(f"IA3's layers are known for {known} encoders, not for {family!r}.")
        config = IA3Config(
            target_modules=_IA3_LAYERS,
            feedforward_modules=_IA3_FEED_FORWARD,
            modules_to_save=_outside(model),
        )
        return _wrap(model, config)
    if method == "prefix":
        from peft import PrefixTuningConfig

        config = PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=tokens)
        model.encoder = _wrap(model.encoder, config)  # the head stays outside, and trains
        return model
    options = {"DoRA": {"use_dora": True}, "rsLoRA": {"use_rslora": True}}.get(method, {})
    return add_lora(model, rank=rank, alpha=alpha, **options)


def merged(model: nn.Module) -> nn.Module:
    """The ordinary `Classifier` that computes what a trained peft model computes: its adapter added to the weights."""
    device = next(model.parameters()).device
    return model.float().merge_and_unload().to(device).requires_grad_(True).eval()


def adapter_parameters(model: nn.Module) -> int:
    """The parameters that LoRA adds, and nothing else: those of A and B, not of the frozen layers they stand beside."""
    ours = [layer for layer in model.modules() if isinstance(layer, LoRALinear)]
    if ours:
        return sum(layer.A.numel() + layer.B.numel() for layer in ours)
    return sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)


def honest_count(model: nn.Module) -> tuple[int, int]:
    """(what trains, what the model uses), in numbers. Divide the first by the second, and say so.

    peft keeps the head it found beside the copy that it trains (`original_module`). Nothing ever uses that one, so it
    is left out; peft's own `print_trainable_parameters` counts it.

    >>> honest_count(LoRALinear(nn.Linear(8, 6), rank=2))
    (28, 82)
    """
    used = [p for name, p in model.named_parameters() if ".original_module." not in f".{name}"]
    return sum(p.numel() for p in used if p.requires_grad), sum(p.numel() for p in used)


def save_trained(model: nn.Module, path: str | Path) -> int:
    """Writes what trains, and nothing else, to one safetensors file: all that a task needs beside the base.

    Returns the file's size in bytes. The tensors keep their names in the model.
    """
    trained = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    save_file(trained, path)
    return Path(path).stat().st_size


def load_trained(model: nn.Module, path: str | Path) -> None:
    """Copies what `save_trained` wrote into a model that is built in the same way. In place.

    Raises CheckpointError when the file cannot be read, or its names and shapes are not those of what trains here.
    """
    try:
        saved = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    wrong = sorted(set(own) ^ set(saved)) or [n for n in own if own[n].shape != saved[n].shape]
    if wrong:
        raise CheckpointError(
            f"{path} belongs to another model: {', '.join(wrong[:3])}{' …' if len(wrong) > 3 else ''} do not fit. "
            "Build the model as it was: the same method, rank and labels."
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(saved[name])
