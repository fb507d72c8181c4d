"""A classifier on an encoder: encoder → pooling → dropout → head.

    input_ids (B, L) → encoder → (B, L, H) → pooling → (B, H) → dropout → head → logits (B, C)

B is the batch, L the length in tokens, H the encoder's width, C the number of classes. `load_encoder` lives
in `kolab/encoders.py`; it is also found here, so that a lesson needs one name.
"""

import inspect
import re
from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from .classifier_config import HEADS, POOLINGS, ClassifierConfig
from .encoders import ENCODERS, choose_attention, load_encoder
from .errors import CheckpointError, ConfigError, KolabError
from .pooling import AttentionPooling, ClsPooling, MeanPooling, make_pooling
from .weights import check_finite, encoder_class, no_bars

__all__ = [
    "ENCODERS", "HEADS", "POOLINGS", "AttentionPooling", "Classifier", "ClassifierConfig", "ClsPooling",
    "MeanPooling", "count_parameters", "load_encoder",
]  # fmt: skip


class Classifier(PreTrainedModel):
    """An encoder with a pooling and a head, as a transformers model: it saves, reloads and serves in a pipeline.

    Make one with `Classifier.build(encoder, labels)`, reload one with `Classifier.from_pretrained(folder)`.
    `.encoder`, `.pool`, `.dropout` and `.head` are its parts, in the order in which a text passes through
    them.
    """

    config_class = ClassifierConfig
    base_model_prefix = ""  # the whole is the base: no prefix is ever added to or cut from a saved name
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    def __init__(self, config: ClassifierConfig, encoder: PreTrainedModel | None = None):
        super().__init__(config)
        if encoder is None:  # reloading: the architecture now, the weights from the file afterwards
            kind, options = encoder_class(config.encoder)
            choose_attention(config.encoder)
            encoder = kind._from_config(config.encoder, **options)
        else:  # transformers' mark for 'has its weights', which keeps post_init from drawing new ones
            for module in encoder.modules():
                module._is_hf_initialized = True
        width, classes = config.encoder.hidden_size, config.num_labels
        self.encoder = encoder
        self.pool = make_pooling(config.pooling, width)
        self.dropout = nn.Dropout(config.dropout)
        self.head = _head(config.head, width, classes, config.dropout)
        self._takes_types = (
            "token_type_ids" in inspect.signature(encoder.forward).parameters
            and getattr(encoder.config, "type_vocab_size", 0) > 1
        )
        self.post_init()

    @classmethod
    def build(
        cls,
        encoder: PreTrainedModel,
        labels: Sequence[str] | int,
        *,
        pooling: str = "mean",
        head: str = "linear",
        dropout: float = 0.1,
        multi_label: bool = False,
        seed: int | None = None,
    ) -> "Classifier":
        """Put a pooling and a new, random head on `encoder`.

        encoder: what `load_encoder` returned, or any transformers encoder. It is used, not copied: training
        the
            classifier trains it, so load it anew for another run. Its pooler, if any, is left out.
        labels: the classes' names in the order of their numbers, or how many there are.
        pooling: "mean", "cls" or "attention"; head: "linear", or "mlp" (Linear, ReLU, Dropout, Linear).
        multi_label: one text may carry several labels (binary cross-entropy, sigmoid) instead of exactly one.
        seed: draws the head's weights from this seed and leaves torch's own state as it was. Default:
        torch's.

        Returns the model in evaluation mode, dropout off, as from_pretrained does. Raises `ConfigError`.
        """
        if not isinstance(encoder, nn.Module) or not hasattr(encoder, "config"):  # a PEFT model will do too
            raise ConfigError(
                f"encoder is a {type(encoder).__name__}; give the first of the two that load_encoder returns: "
                "encoder, tokenizer = kl.load_encoder(…)."
            )
        names = _label_names(labels)
        if len(names) == 1 and not multi_label:
            raise ConfigError("One class is nothing to choose from: give two names, or multi_label=True.")
        config = ClassifierConfig(
            encoder=encoder.config,
            pooling=pooling,
            head=head,
            dropout=dropout,
            id2label=dict(enumerate(names)),
            label2id={name: number for number, name in enumerate(names)},
            problem_type="multi_label_classification" if multi_label else "single_label_classification",
        )
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # nothing here reads it: it would be counted, saved, and never trained
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            model = cls(config, encoder)
        return model.to(next(encoder.parameters()).device).eval()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=getattr(self.config.encoder, "initializer_range", 0.02))
            nn.init.zeros_(module.bias)
        elif isinstance(module, AttentionPooling):
            nn.init.zeros_(module.query)

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.encoder.set_input_embeddings(value)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **_,
    ) -> SequenceClassifierOutput:
        """Logits, and the loss if labels are given.

        input_ids: int64 (B, L). attention_mask: (B, L), 1 on tokens, 0 on padding; default: everything that
        is not the padding id. labels: int64 (B,), or float32 (B, C) if multi-label. num_items_in_batch: what
        the sum of the losses is divided by, if it is not this batch's own size (transformers' Trainer passes
        it when it accumulates gradients). Other keywords are ignored, so that any collator's batch can be
        passed with `**`.
        """
        if attention_mask is None:
            pad = self.config.encoder.pad_token_id
            attention_mask = torch.ones_like(input_ids) if pad is None else (input_ids != pad).long()
        types = {"token_type_ids": token_type_ids} if self._takes_types and token_type_ids is not None else {}
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
        logits = self.head(self.dropout(self.pool(hidden, attention_mask)))
        loss = None if labels is None else self._loss(logits, labels, num_items_in_batch)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def _loss(self, logits, labels, count):
        if self.config.problem_type == "multi_label_classification":
            total = F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="sum")
            return total / (labels.numel() if count is None else count)
        total = F.cross_entropy(logits.float(), labels, reduction="sum")
        return total / (len(labels) if count is None else count)

    @classmethod
    def from_pretrained(cls, folder, *args, **options) -> "Classifier":
        """Reload what `save_pretrained` wrote: from the folder alone, in evaluation mode, without the network.

        Raises `CheckpointError` when there is no saved classifier, when its files are damaged, cut short or do not fit
        each other, or when the weights are only there as a pickled file.
        """
        if not isinstance(folder, str | Path):
            raise ConfigError(f"from_pretrained wants a folder, not a {type(folder).__name__}.")
        options.setdefault("use_safetensors", True)
        asked = options.pop("output_loading_info", False)
        try:
            with no_bars():
                found, report = super().from_pretrained(folder, *args, output_loading_info=True, **options)
        except SafetensorError as error:
            raise CheckpointError(
                f"{folder}: model.safetensors cannot be read ({error}). It is damaged or cut short: save it again."
            ) from error
        except Exception as error:  # transformers raises a dozen kinds
            if isinstance(error, KolabError):
                raise
            raise CheckpointError(_unreadable(Path(folder), error)) from error
        missing = sorted(report["missing_keys"])
        if missing:  # transformers has filled them with random numbers, and would answer with those
            raise CheckpointError(
                f"{folder}: model.safetensors lacks {len(missing)} of the model's tensors, {missing[0]} among them. "
                "The file belongs to another config.json: save the model again."
            )
        check_finite(found, folder)
        return (found, report) if asked else found

    def save_pretrained(self, save_directory, *, tokenizer=None, **options):
        """Write config.json and model.safetensors, and the tokenizer's files if `tokenizer` is given.

        With the tokenizer the folder is complete: after `import kolab`, anybody's
        `transformers.pipeline("text-classification", model=folder)` gives this model's probabilities.
        """
        with no_bars():
            super().save_pretrained(save_directory, **options)
        if tokenizer is not None:
            tokenizer.save_pretrained(save_directory)


def _unreadable(folder: Path, error: Exception) -> str:
    """What is wrong with a folder that transformers does not read as a classifier, and what to do."""
    if not (folder / "config.json").is_file():
        return (
            f"{folder} holds no config.json, so it is no saved classifier. Give the folder that save_pretrained has "
            "written; of a run of `kolab train` it is RUN/best."
        )
    if not any(folder.glob("*.safetensors")):
        return (
            f"{folder} holds no model.safetensors. Pickled weights (.bin) are not read: they can run code. Save "
            "the model again."
        )
    if "mismatched" in str(error):
        return (
            f"{folder}: model.safetensors has tensors of other sizes than config.json says, so they do not belong "
            "together. Save the model again."
        )
    said = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return f"{folder}: config.json cannot be read ({said}). It is damaged, or no classifier's: save the model again."


def _head(name: str, width: int, classes: int, dropout: float) -> nn.Module:
    if name == "linear":
        return nn.Linear(width, classes)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, classes))


def _label_names(labels: Sequence[str] | int) -> list[str]:
    if isinstance(labels, Integral):
        names = [f"LABEL_{number}" for number in range(labels)]
    elif isinstance(labels, str):
        raise ConfigError(f"labels is the text {labels!r}: give a list of names, or their number.")
    elif not isinstance(labels, Iterable):
        raise ConfigError(f"labels is {labels!r}: give a list of names, or their number.")
    else:
        names = [str(name) for name in labels]
    if not names:
        raise ConfigError("labels is empty: give the classes' names, or their number.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"labels holds {', '.join(map(repr, twice))} more than once: each class needs its own name."
        )
    return names


def count_parameters(model: nn.Module, by: str = "part") -> pd.DataFrame:
    """How many parameters each part of a classifier, or of an encoder, has.

    by: "part" (embeddings, encoder layers, …, pooling, head, total) or "layer" (each encoder layer in its own
    row). Returns a table: one row a part, columns `parameters`, `trainable` and `share` (of all parameters, 0
    to 1). A tensor used in two places is counted once, where it comes first.
    """
    _check_by(by)
    rows: dict[str, list[int]] = {}
    for name, parameter in model.named_parameters():  # yields a shared tensor once
        row = rows.setdefault(_part_of(name, by), [0, 0])
        row[0] += parameter.numel()
        row[1] += parameter.numel() * parameter.requires_grad
    if isinstance(model, Classifier):
        rows.setdefault("pooling", [0, 0])  # [CLS] and the mean have none, which is worth a row
    rows = {name: rows[name] for name in sorted(rows, key=_order)}
    total = [sum(column) for column in zip(*rows.values(), strict=True)] if rows else [0, 0]
    rows["total"] = total
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["parameters", "trainable"])
    table["share"] = table["parameters"] / max(total[0], 1)
    return table.rename_axis("part")


def _check_by(by: str) -> None:
    if by not in ("part", "layer"):
        raise ConfigError(f"by is {by!r}; it has to be 'part' or 'layer'.")


def _part_of(name: str, by: str) -> str:
    """The row of a parameter: names differ between families (encoder.layer.3, layers.3), the pattern does not."""
    if "lora_" in name:
        return "adapter"
    if name.startswith(("pool.", "head.")):
        return {"p": "pooling", "h": "head"}[name[0]]
    layer = re.search(r"\blayers?\.(\d+)\.", name)
    if layer:
        return f"layer {layer[1]}" if by == "layer" else "encoder layers"
    if "embeddings" in name:
        return "embeddings"
    return "pooler" if "pooler." in name else "rest of the encoder"


def _order(part: str) -> tuple[int, int]:
    number = re.fullmatch(r"layer (\d+)", part)
    places = ("embeddings", "encoder layers", "rest of the encoder", "pooler", "adapter", "pooling", "head")
    return (1, int(number[1])) if number else (places.index(part), 0)


AutoConfig.register(ClassifierConfig.model_type, ClassifierConfig, exist_ok=True)
AutoModel.register(ClassifierConfig, Classifier, exist_ok=True)
AutoModelForSequenceClassification.register(ClassifierConfig, Classifier, exist_ok=True)
