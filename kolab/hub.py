"""Fetching a model's files from the Hugging Face Hub: the cache first, no code, no long wait when offline."""

import threading
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import model_info, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .errors import ConfigError

SECONDS = 8.0  # how long an unreachable Hub may keep somebody waiting
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "LICENSE*", "README.md")
PICKLED = "pytorch_model.bin"  # what repositories from before safetensors hold; downloaded only where there is no other


def fetch(name: str, revision: str | None = None) -> Path:
    """The local folder of the Hub repository `name`: from the cache if it is complete, otherwise downloaded.

    revision: a commit, tag or branch; None means the main branch.

    Raises `ConfigError`, in under ten seconds where the Hub does not answer, with what to do about it.
    """
    cached = _cached(name, revision)
    if cached is not None:
        return cached
    exactly = f" --revision {revision}" if revision else ""
    cure = (
        f"Check the connection (behind a proxy: HTTPS_PROXY); or fetch it elsewhere with `hf download {name}{exactly}` "
        "and pass the folder; or use 'kolab-mini', which needs no network."
    )
    try:
        info = _within(SECONDS, lambda: model_info(name, revision=revision, timeout=SECONDS / 2))
        names = [file.rfilename for file in info.siblings or ()]
        safe = any("/" not in file and file.endswith(".safetensors") for file in names)
        if safe or PICKLED in names:
            wanted = [*FILES] if safe else [*FILES, PICKLED]
            return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except GatedRepoError as error:
        raise ConfigError(f"{name} is gated: accept its terms on its page, then `hf auth login`.") from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        where = f"{name!r} at revision {revision!r}" if revision else repr(name)
        raise ConfigError(f"The Hub has no model {where}, or it is private. Check the spelling.") from error
    except OfflineModeIsEnabled as error:
        raise ConfigError(f"{name} is not in the cache, and HF_HUB_OFFLINE forbids asking. {cure}") from error
    except Exception as error:  # being offline has many names: httpx's, the socket's, our own time limit …
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"The Hugging Face Hub cannot be reached for {name} ({reason}). {cure}") from error
    raise ConfigError(
        f"{name} holds neither model.safetensors nor {PICKLED}, so there are no weights that can be read here. Where "
        "you trust it, convert it, AutoModel.from_pretrained(…).save_pretrained(FOLDER), and give that folder."
    )


def _cached(name: str, revision: str | None) -> Path | None:
    try:
        folder = Path(
            snapshot_download(name, revision=revision, allow_patterns=list(FILES), local_files_only=True)
        )
    except Exception:  # not there, or not a name that the Hub could have: asking it will tell
        return None
    weights = any(folder.glob("*.safetensors")) or (folder / PICKLED).is_file()
    complete = (folder / "config.json").is_file() and weights
    return folder if complete else None


def _within(seconds: float, call: Callable):
    """`call()`, given up after `seconds`. In a thread, since looking a name up has no time limit of its own."""
    outcome: list = []

    def work():
        try:
            outcome.append((call(), None))
        except Exception as error:  # handed on below
            outcome.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    value, error = outcome[0]
    if error is not None:
        raise error
    return value
