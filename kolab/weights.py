"""An encoder's weights: read from files that other people wrote, and checked before anything is computed with them.

They come from safetensors; where an old repository has none, from its pytorch_model.bin, with a reader that can make
tensors and nothing else: an ordinary one runs whatever code the file holds.
"""

import contextlib
import hashlib
import inspect
import pickle
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import MODEL_MAPPING, PreTrainedModel
from transformers.utils import logging

from .errors import CheckpointError, ConfigError
from .hub import PICKLED

_FOREIGN = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.pkl")


def encoder_class(config) -> tuple[type[PreTrainedModel], dict]:
    """The transformers class for an encoder's configuration, and the option that leaves its pooler out, if any.

    A pooler is a layer over [CLS], trained for BERT's next-sentence prediction; `Classifier` pools by itself.
    """
    try:
        kind = MODEL_MAPPING[type(config)]
    except KeyError:
        raise ConfigError(f"transformers knows no encoder for a {type(config).__name__}.") from None
    kind = kind[0] if isinstance(kind, tuple) else kind
    has_pooler = "add_pooling_layer" in inspect.signature(kind.__init__).parameters
    return kind, {"add_pooling_layer": False} if has_pooler else {}


def read(folder: Path, config) -> PreTrainedModel:
    """The encoder of a folder, in float32 and evaluation mode. Raises CheckpointError: a file that is damaged, holds
    more than tensors, or belongs to another config.json.
    """
    kind, options = encoder_class(config)
    safe = any(folder.glob("*.safetensors"))
    try:
        with no_report():
            encoder, report = kind.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=safe,
                weights_only=True,  # of a pickled file, tensors alone
                output_loading_info=True,
                **options,
            )
    except pickle.UnpicklingError as error:
        asks = re.search(r"GLOBAL (\S+)", str(error))  # the rest of it says how to open it all the same
        asks = f" (this one asks for {asks[1]})" if asks else ""
        raise CheckpointError(
            f"{folder / PICKLED} holds something else than tensors, or is damaged, so it was not opened: a pickled "
            f"file can run code{asks}. Take the model from somebody you trust, as safetensors."
        ) from error
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        said = (
            "tensors of other sizes than config.json says"
            if "mismatched" in str(error)
            else first_line(error)
        )
        raise CheckpointError(
            f"{folder}: the weights cannot be read ({said}). The file is cut short or belongs to "
            "another config.json: fetch it again."
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:  # transformers would fill them with random numbers and go on
        raise CheckpointError(
            f"{folder}: the weights lack {len(missing)} of the encoder's tensors, {missing[0]} among them. "
            "The file belongs to another config.json, or to another kind of model."
        )
    encoder = encoder.float().eval()
    check_finite(encoder, folder)
    return encoder


def check_finite(model: torch.nn.Module, folder: str | Path) -> None:
    """Raises CheckpointError where a weight is NaN or infinite: everything computed with it would be."""
    for name, value in model.named_parameters():
        if not torch.isfinite(value.sum()) and not torch.isfinite(value).all():
            raise CheckpointError(
                f"{folder}: the tensor {name} holds numbers that are NaN or infinite. The training that wrote it went "
                "wrong, or the file is damaged: take an earlier checkpoint, or fetch it again."
            )


def check_sums(folder: Path) -> None:
    """Compare every file that SHA256SUMS names (lines of `sha256sum`) with its hash."""
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        return
    for line in sums.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        expected, _, name = line.partition(" ")
        path = folder / name.strip().lstrip("*")
        if not path.is_file():
            if path.suffix == ".safetensors":
                continue  # no weights at all: the caller says so
            raise CheckpointError(f"{path} is missing, but {sums} names it. {_cure(folder)}")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise CheckpointError(
                f"{path} is damaged: its SHA-256 is {found}, {sums.name} says {expected} "
                f"({path.stat().st_size:,} bytes on disk). {_cure(folder)}"
            )


def _cure(folder: Path) -> str:
    return (
        f"Bring it back with `git checkout -- {folder}` in a clone; otherwise download or install it again."
    )


def no_weights(folder: Path) -> str:
    """What to say of a folder without weights that can be read."""
    other = next((path.name for pattern in _FOREIGN for path in sorted(folder.glob(pattern))), None)
    if other:
        return (
            f"{folder} holds its weights only as {other}; model.safetensors and {PICKLED} are read. Convert them where "
            "you trust them: AutoModel.from_pretrained(…).save_pretrained(FOLDER)."
        )
    return f"{folder} holds no model.safetensors. Fetch it, or pass pretrained=False for random weights."


@contextlib.contextmanager
def no_bars():
    """None of transformers' progress bars: these files are read in no time, and a notebook keeps them for ever."""
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def no_report():
    """No load report either: the head of a language model is meant to be left over. We check what is missing."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with no_bars():
            yield
    finally:
        logging.set_verbosity(level)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type: all that fits into another error's sentence."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
