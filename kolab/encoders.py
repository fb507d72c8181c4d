"""`load_encoder`: a pre-trained encoder and its tokenizer, from the course's data, a folder, or the Hugging Face Hub.

`trust_remote_code` is never used, weights are read as `kolab.weights` says, and nothing is downloaded that is already
there.
"""

import warnings
from pathlib import Path

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from .errors import CheckpointError, ConfigError, KolabError
from .hub import PICKLED, fetch
from .kobert import is_kobert, load_kobert_tokenizer
from .recipe_file import nearest
from .registry import ALIASES, ENCODERS
from .weights import check_sums, encoder_class, first_line, no_weights, read

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
    check_sums(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if config.model_type == "kolab-classifier":
            return _inside(folder, config, pretrained, seed)
        tokenizer = _tokenizer(folder, config)
    except KolabError:
        raise
    except Exception as error:  # the tokenizers library raises plain Exception
        raise ConfigError(
            f"{folder}: the configuration or the tokenizer cannot be read ({first_line(error)}). The folder needs "
            "config.json and tokenizer.json (or vocab.txt), of a family that transformers knows without remote code."
        ) from error
    _match_padding(config, tokenizer, folder)
    choose_attention(config)
    config.dtype = torch.float32  # a file may store float16 to be small; training starts from float32
    weights = [*folder.glob("*.safetensors"), *folder.glob(PICKLED)]
    if not pretrained:
        return _random(config, seed), tokenizer
    if weights:
        return read(folder, config), tokenizer
    if not is_bundled:
        raise CheckpointError(no_weights(folder))
    message = (
        f"{name_or_folder}: {folder} holds no model.safetensors, so the encoder has RANDOM weights (seed {seed}). "
        "It runs, but it knows no Korean. `git checkout -- data/kolab-mini` brings the weights back."
    )
    warnings.warn(message, stacklevel=2)
    print(f"!! {message}")
    return _random(config, seed), tokenizer


def _tokenizer(folder: Path, config) -> PreTrainedTokenizerBase:
    if is_kobert(folder, config.model_type):
        return load_kobert_tokenizer(folder, config.max_position_embeddings)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that lies beside a saved classifier. Raises CheckpointError."""
    if not any(
        (folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json")
    ):
        raise CheckpointError(f"{folder} holds no tokenizer.json. Save the model again, tokenizer included.")
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises plain Exception
        raise CheckpointError(
            f"{folder}: the tokenizer cannot be read ({first_line(error)}). Save the model again, tokenizer included."
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
        meant = nearest(name, [*ENCODERS, *ALIASES])
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
