"""The settings of a pre-training, which are also the options of `kolab pretrain`."""

import dataclasses
from typing import Any

from kolab.errors import ConfigError


def _option(default: Any, about: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": about})


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """All that a pre-training can be told; each field is an option of `kolab pretrain`, with the same words."""

    corpus: str = _option("", "a text file (one text a line), or a .csv or .parquet table")
    folder: str = _option("runs/pretrain", "where the run is saved")
    text_column: str = _option("text", "the column of a table that holds the texts")
    hold_out_column: str | None = _option(None, "leave out rows by this column: crc32(value) %% 10 == tenth")
    hold_out_tenth: int = _option(0, "which tenth is left out, 0 to 9")
    any_language: bool = _option(False, "also train on texts that hardly hold any Hangul")
    tokenizer: str | None = _option(None, "the folder of a tokenizer to use (default: train one)")
    init: str | None = _option(
        None, "go on from the weights and the tokenizer of this folder (default: random weights)"
    )
    vocabulary: int = _option(8002, "ids of the tokenizer that is trained")
    layers: int = _option(6, "layers of the encoder")
    width: int = _option(256, "numbers in a token's vector; the feed-forward part is four times as wide")
    heads: int = _option(4, "attention heads")
    positions: int = _option(256, "longest sequence the model can ever read, in tokens")
    max_length: int = _option(128, "longest sequence in training; longer texts lose their end")
    minutes: float | None = _option(
        None, "train for about so long: steps are planned from the speed measured"
    )
    tokens: int | None = _option(None, "train on so many tokens of text")
    epochs: float | None = _option(None, "train for so many passes over the texts (default: 1)")
    batch_tokens: int = _option(4096, "tokens of a batch, padding counted")
    accumulate: int = _option(1, "batches in one optimizer step")
    lr: float = _option(1e-3, "peak learning rate")
    warmup: float = _option(0.05, "share of the steps, or their number, until the peak")
    share: float = _option(0.20, "which part of the tokens is masked (BERT: 0.15)")
    whole_words: bool = _option(False, "mask whole words instead of single tokens")
    held_out: float = _option(0.01, "share of the texts that is only evaluated on; 4,000 at most")
    evaluations: int = _option(20, "how often in the run it is evaluated and saved")
    precision: str = _option("auto", "auto, fp32, bf16 or fp16")
    device: str | None = _option(None, "cpu, to leave a GPU alone")
    seed: int = _option(0, "of first weights, order, masks and held-out texts")
    half: bool = _option(False, "save the result in float16: half the size")

    def __post_init__(self):
        given = [n for n in ("minutes", "tokens", "epochs") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} both say how long to train; give one of them.")
        for name in (*given, "batch_tokens", "max_length", "layers", "width", "heads", "evaluations"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it has to be above 0.")
        if self.init is not None and self.tokenizer is not None:
            raise ConfigError("init brings its own tokenizer; leave the option tokenizer away.")
        if self.width % self.heads:
            raise ConfigError(f"width={self.width} cannot be divided among {self.heads} heads.")
        if not 3 <= self.max_length <= min(self.positions, self.batch_tokens):
            raise ConfigError(
                f"max_length is {self.max_length}; it has to be from 3 to {min(self.positions, self.batch_tokens)}: "
                "a text has to fit into the model's positions and into a batch."
            )
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held_out is {self.held_out!r}; it has to be above 0 and below 1.")


def add_options(parser: Any) -> None:
    """Adds every field to an argparse parser: `corpus` as the word that comes first, the others as --field-name."""
    for field in dataclasses.fields(PretrainConfig):
        flag, about = "--" + field.name.replace("_", "-"), field.metadata["help"]
        if field.name == "corpus":
            parser.add_argument("corpus", nargs="?", default=field.default, help=about)
        elif field.type is bool:
            parser.add_argument(flag, action="store_true", help=about)
        else:
            kind = next(k for k in (int, float, str) if field.type in (k, k | None))
            parser.add_argument(flag, type=kind, default=field.default, help=about)
