"""`load_encoder`: a pre-trained encoder and its tokenizer, from the course's data, a folder, or the Hugging Face Hub.

`trust_remote_code` is never used. Weights come from safetensors; where an old repository has none, from its
pytorch_model.bin, with a reader that can make tensors and nothing else: an ordinary one runs whatever code the file
holds. Nothing is downloaded that is already there.
"""

import contextlib
import difflib
import hashlib
import inspect
import pickle
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import MODEL_MAPPING, AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from .errors import CheckpointError, ConfigError, KolabError
from .hub import PICKLED, fetch
from .kobert import is_kobert, load_kobert_tokenizer
from .registry import ALIASES, ENCODERS

_FOREIGN = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.pkl")
# families that count positions from the padding id
_POSITIONS_AFTER_PAD = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer"}


def load_encoder(
    name_or_folder: str | Path = "kolab-mini", *, pretrained: bool = True, seed: int = 0
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load an encoder and its tokenizer.

    name_or_folder: a name or an alias in `registry.ENCODERS`, a folder with config.json, model.safetensors and a
        tokenizer's files, or a Hub id ("owner/model"), downloaded once and then read from the cache. Of a folder that
        `Classifier.save_pretrained` has written, the encoder in it.
    pretrained: False gives the same architecture with random weights, drawn from `seed`; torch's own random
        state is left as it was.

    Returns (encoder, tokenizer): the encoder in float32, in evaluation mode, without a pooler; its output's
    `last_hidden_state` is (B, L, H). Its padding id is the tokenizer's.

    Raises `ConfigError` where name, folder or Hub are at fault, `CheckpointError` where a file is damaged.
    """
    folder, is_bundled = _folder_of(name_or_folder)
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"{folder} holds no config.json, so it is no saved encoder. Give the folder that does."
        )
    _check_sums(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if config.model_type == "kolab-classifier":
            return _inside(folder, config, pretrained, seed)
        tokenizer = _tokenizer(folder, config)
    except KolabError:
        raise
    except Exception as error:  # the tokenizers library raises plain Exception
        raise ConfigError(
            f"{folder}: the configuration or the tokenizer cannot be read ({_first_line(error)}). The folder needs "
            "config.json and tokenizer.json (or vocab.txt), of a family that transformers knows without remote code."
        ) from error
    _match_padding(config, tokenizer, folder)
    choose_attention(config)
    config.dtype = torch.float32  # a file may store float16 to be small; training starts from float32
    weights = [*folder.glob("*.safetensors"), *folder.glob(PICKLED)]
    if not pretrained:
        return _random(config, seed), tokenizer
    if weights:
        return _read(folder, config), tokenizer
    if not is_bundled:
        raise CheckpointError(_no_weights(folder))
    message = (
        f"{name_or_folder}: {folder} holds no model.safetensors, so the encoder has RANDOM weights (seed {seed}). "
        "It runs, but it knows no Korean. `git checkout -- data/kolab-mini` brings the weights back."
    )
    warnings.warn(message, stacklevel=2)
    print(f"!! {message}")
    return _random(config, seed), tokenizer


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


def _tokenizer(folder: Path, config) -> PreTrainedTokenizerBase:
    if is_kobert(folder, config.model_type):
        return load_kobert_tokenizer(folder, config.max_position_embeddings)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that lies beside a saved classifier. Raises CheckpointError."""
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises plain Exception
        raise CheckpointError(
            f"{folder}: the tokenizer cannot be read ({_first_line(error)}). Save the model again, tokenizer included."
        ) from error


def _inside(folder: Path, config, pretrained: bool, seed: int):
    """The encoder of a saved classifier, and its tokenizer."""
    from .model import Classifier  # which imports this module

    tokenizer = read_tokenizer(folder)
    if pretrained:
        return Classifier.from_pretrained(folder).encoder, tokenizer
    choose_attention(config.encoder)
    return _random(config.encoder, seed), tokenizer


def check_name(name_or_folder: str | Path) -> None:
    """Raises ConfigError, with the nearest right spelling, for what can be neither a name, a folder nor a Hub id."""
    name = str(name_or_folder)
    if name in ENCODERS or name in ALIASES or Path(name).is_dir():
        return
    if isinstance(name_or_folder, Path) or name.count("/") != 1 or name.startswith((".", "~", "/")):
        near = difflib.get_close_matches(name, [*ENCODERS, *ALIASES], n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"There is no encoder {name!r}.{meant} Known names: kolab-mini, {', '.join(ALIASES)}; "
            "or give a folder that exists, or a Hub id such as 'owner/model'."
        )


def _folder_of(name_or_folder: str | Path) -> tuple[Path, bool]:
    check_name(name_or_folder)
    name = str(name_or_folder)
    if name in ENCODERS or name in ALIASES:
        card = ENCODERS[ALIASES.get(name, name)]
        if card.source.startswith("data/"):
            from .data import data_path

            return data_path(*card.source.split("/")[1:]), True
        return fetch(card.source, card.revision), False
    return (Path(name) if Path(name).is_dir() else fetch(name, None)), False


def choose_attention(config) -> None:
    """Plain attention where there is no GPU; what a caller has chosen stays.

    On a CPU torch's fused attention gains nothing in float32 and loses in bf16: forward and backward of kolab-mini took
    1.1 to 1.4 times as long with it (batches of 24 to 256 tokens, two cores of an AMD EPYC).
    """
    if not torch.cuda.is_available() and config._attn_implementation is None:
        config._attn_implementation = "eager"


def _random(config, seed: int) -> PreTrainedModel:
    kind, options = encoder_class(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind._from_config(config, **options).float().eval()


def _read(folder: Path, config) -> PreTrainedModel:
    kind, options = encoder_class(config)
    safe = any(folder.glob("*.safetensors"))
    try:
        with _no_report():
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
        raise CheckpointError(
            f"{folder / PICKLED} holds something else than tensors, or is damaged, so it was not opened: a pickled "
            f"file can run code ({_first_line(error)}). Take the model from somebody you trust, as safetensors."
        ) from error
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        raise CheckpointError(
            f"{folder}: the weights cannot be read ({_first_line(error)}). The file is cut short or belongs to "
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


def _check_sums(folder: Path) -> None:
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


def _match_padding(config, tokenizer, folder: Path) -> None:
    """Make the encoder's padding id the tokenizer's: the mask, the embedding and the collator all rely on it."""
    pad = tokenizer.pad_token_id
    if pad is None:
        raise ConfigError(
            f"{folder}: the tokenizer has no padding token. Set pad_token in tokenizer_config.json."
        )
    if len(tokenizer) > config.vocab_size:
        raise ConfigError(
            f"{folder}: the tokenizer has {len(tokenizer):,} tokens, config.json's vocab_size is "
            f"{config.vocab_size:,}. They do not belong together."
        )
    theirs = getattr(config, "pad_token_id", None)
    if theirs == pad:
        return
    if config.model_type in _POSITIONS_AFTER_PAD:  # a wrong guess would shift every position
        raise ConfigError(
            f"{folder}: the tokenizer pads with id {pad}, config.json says {theirs}. Correct whichever is wrong."
        )
    warnings.warn(
        f"{folder}: padding id {theirs} in config.json, {pad} in the tokenizer; using {pad}.", stacklevel=4
    )
    config.pad_token_id = pad


def _no_weights(folder: Path) -> str:
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
def _no_report():
    """No load report either: the head of a language model is meant to be left over. We check what is missing."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with no_bars():
            yield
    finally:
        logging.set_verbosity(level)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
