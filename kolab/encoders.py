"""`load_encoder`: a pre-trained encoder and its tokenizer, from the course's data, a folder, or the Hugging Face Hub.

Only safetensors are read (a pickled file can run code when it is opened), `trust_remote_code` is never used, and
nothing is downloaded that is already there.
"""

import contextlib
import difflib
import hashlib
import inspect
import json
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import model_info, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError
from transformers import MODEL_MAPPING, AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from .errors import CheckpointError, ConfigError

HUB_SECONDS = 8.0  # how long an unreachable Hub may keep somebody waiting
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "tokenizer*", "LICENSE*", "README.md"]
_PICKLED = ("pytorch_model.bin", "*.bin", "*.pt", "*.pth", "*.ckpt")
_POSITIONS_AFTER_PAD = {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "roberta-prelayernorm", "longformer"}


@dataclass(frozen=True)
class EncoderCard:
    """Where an encoder comes from: a folder of the course's data or a Hub id, at which revision, under which licence."""

    source: str
    revision: str | None
    licence: str
    note: str


ENCODERS: dict[str, EncoderCard] = {
    "kolab-mini": EncoderCard(
        source="data/kolab-mini",
        revision=None,
        licence="Apache-2.0",
        note="Bundled: BERT, 6 layers of 256, 4 heads, vocabulary 8,002 with byte fallback. Needs no network.",
    ),
}


def load_encoder(
    name_or_folder: str | Path = "kolab-mini", *, pretrained: bool = True, seed: int = 0
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load an encoder and its tokenizer.

    name_or_folder: a name in `ENCODERS`, a folder with config.json, model.safetensors and a tokenizer, or a Hub id.
    pretrained: False gives the same architecture with random weights drawn from `seed`; torch's own random state
        is left as it was.

    Returns (encoder, tokenizer): the encoder in float32, in evaluation mode, without a pooler; its output's
    `last_hidden_state` is (B, L, H). Its padding id is the tokenizer's.

    Raises `ConfigError` where the name, the folder or the Hub is at fault, `CheckpointError` where a file is damaged.
    """
    folder, is_bundled = _folder_of(name_or_folder)
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder} holds no config.json, so it is no saved encoder. Give the folder that does.")
    _check_sums(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise ConfigError(
            f"{folder}: the configuration or the tokenizer cannot be read ({_first_line(error)}). The folder needs "
            "config.json and tokenizer.json (or vocab.txt), of a family that transformers knows without remote code."
        ) from error
    _match_padding(config, tokenizer, folder)
    config.dtype = torch.float32  # a file may store float16 to be small; training starts from float32
    weights = sorted(folder.glob("*.safetensors"))
    if not pretrained:
        return _random(config, seed), tokenizer
    if weights:
        return _read(folder, config), tokenizer
    if not is_bundled:
        raise CheckpointError(_no_weights(folder))
    message = (
        f"{name_or_folder}: {folder} holds no model.safetensors, so the encoder has RANDOM weights (seed {seed}). "
        "It runs, but it knows no Korean. `git checkout -- data/kolab-mini` or `git lfs pull` brings the weights back."
    )
    warnings.warn(message, stacklevel=2)
    print(f"!! {message}")
    return _random(config, seed), tokenizer


def encoder_class(config) -> tuple[type[PreTrainedModel], dict]:
    """The transformers class for an encoder's configuration, and the option that leaves its pooler out (or nothing).

    A pooler is a layer over [CLS] that BERT trained for next-sentence prediction; `Classifier` has its own pooling.
    """
    try:
        kind = MODEL_MAPPING[type(config)]
    except KeyError:
        raise ConfigError(f"transformers knows no encoder for a {type(config).__name__}.") from None
    kind = kind[0] if isinstance(kind, tuple) else kind
    has_pooler = "add_pooling_layer" in inspect.signature(kind.__init__).parameters
    return kind, {"add_pooling_layer": False} if has_pooler else {}


def _folder_of(name_or_folder: str | Path) -> tuple[Path, bool]:
    name = str(name_or_folder)
    if name in ENCODERS:
        card = ENCODERS[name]
        if card.source.startswith("data/"):
            from .data import data_path

            return data_path(*card.source.split("/")[1:]), True
        return _from_hub(card.source, card.revision), False
    if Path(name).is_dir():
        return Path(name), False
    if isinstance(name_or_folder, Path) or name.count("/") != 1 or name.startswith((".", "~", "/")):
        near = difflib.get_close_matches(name, ENCODERS, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"There is no encoder {name!r}.{meant} Known names: {', '.join(ENCODERS)}; "
            "or give a folder that exists, or a Hub id such as 'owner/model'."
        )
    return _from_hub(name, None), False


def _random(config, seed: int) -> PreTrainedModel:
    kind, options = encoder_class(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind._from_config(config, **options).float().eval()


def _read(folder: Path, config) -> PreTrainedModel:
    kind, options = encoder_class(config)
    try:
        with _quiet():
            encoder, report = kind.from_pretrained(
                folder, config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **options
            )
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError) as error:
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
    return encoder.float().eval()


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
    return f"Bring it back with `git checkout -- {folder}` in a clone; otherwise download or install it again."


def _match_padding(config, tokenizer, folder: Path) -> None:
    """Make the encoder's padding id the tokenizer's: the mask, the embedding and the collator all rely on it."""
    pad = tokenizer.pad_token_id
    if pad is None:
        raise ConfigError(f"{folder}: the tokenizer has no padding token. Set pad_token in tokenizer_config.json.")
    if len(tokenizer) > config.vocab_size:
        raise ConfigError(
            f"{folder}: the tokenizer has {len(tokenizer):,} tokens, config.json's vocab_size is "
            f"{config.vocab_size:,}. They do not belong together."
        )
    theirs = getattr(config, "pad_token_id", None)
    if theirs == pad:
        return
    if config.model_type in _POSITIONS_AFTER_PAD:  # there positions are counted from the padding id: no guessing
        raise ConfigError(
            f"{folder}: the tokenizer pads with id {pad}, config.json says {theirs}. Correct whichever is wrong."
        )
    warnings.warn(f"{folder}: padding id {theirs} in config.json, {pad} in the tokenizer; using {pad}.", stacklevel=4)
    config.pad_token_id = pad


def _from_hub(name: str, revision: str | None) -> Path:
    """The local copy of a Hub repository: from the cache if it is complete, otherwise downloaded."""
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=_FILES, local_files_only=True))
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            return folder
    except (LocalEntryNotFoundError, OSError, ValueError):
        pass
    cures = (
        f"Check the connection (a proxy? HTTPS_PROXY), or fetch it elsewhere with `hf download {name}` and pass the "
        "folder, or use 'kolab-mini', which needs no network."
    )
    try:
        info = _within(HUB_SECONDS, lambda: model_info(name, revision=revision, timeout=HUB_SECONDS / 2))
    except GatedRepoError as error:
        raise ConfigError(f"{name} is gated: accept its terms on its page, then `hf auth login`.") from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ConfigError(f"The Hub has no {name!r} (revision {revision or 'main'}). Check the spelling.") from error
    except OfflineModeIsEnabled as error:
        raise ConfigError(
            f"{name} is not in the local cache, and HF_HUB_OFFLINE forbids asking the Hub. {cures}"
        ) from error
    except Exception as error:  # offline shows in many kinds: requests', httpx's, the socket's, our own time limit
        raise ConfigError(
            f"The Hugging Face Hub cannot be reached for {name!r} ({_first_line(error)}). {cures}"
        ) from error
    if not any(file.rfilename.endswith(".safetensors") for file in info.siblings or ()):
        raise ConfigError(_no_weights(name))
    return Path(snapshot_download(name, revision=info.sha, allow_patterns=_FILES))


def _within(seconds: float, call):
    """`call()` in a thread, given up after `seconds`: name look-ups and connections have time limits of their own."""
    result: list = []

    def work():
        try:
            result.append((call(), None))
        except Exception as error:  # handed to the caller below
            result.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not result:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    value, error = result[0]
    if error is not None:
        raise error
    return value


def _no_weights(place: str | Path) -> str:
    pickled = isinstance(place, str) or any(next(place.glob(pattern), None) for pattern in _PICKLED)
    why = (
        "holds its weights only in pickled files (.bin), which can run code when they are opened; KoLab reads "
        "safetensors only. Convert them where you trust them: AutoModel.from_pretrained(…).save_pretrained(FOLDER)"
        if pickled
        else "holds no model.safetensors. Fetch it, or pass pretrained=False for random weights"
    )
    return f"{place} {why}."


@contextlib.contextmanager
def _quiet():
    """No progress bar for a file of megabytes, and no load report: a language model's head is meant to be left over."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
