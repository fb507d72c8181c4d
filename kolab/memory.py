"""What a learner has done: one small file, ~/.kolab/progress.json (KOLAB_HOME names another folder)."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout


def home() -> Path:
    """The folder that holds progress.json."""
    return Path(os.environ.get("KOLAB_HOME") or Path.home() / ".kolab")


_in_memory: dict | None = None  # used when the folder cannot be written


def read() -> dict:
    """The progress file, or an empty one. A file that is not JSON is put aside, never deleted."""
    if _in_memory is not None:
        return _in_memory
    path = home() / "progress.json"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        state = {}
    except ValueError:
        broken = path.with_suffix(".broken.json")
        path.replace(broken)
        print(f"Your progress file could not be read. It is kept as {broken.name}; a new one is started.")
        state = {}
    except OSError:
        state = {}
    for key in ("exercises", "guesses", "hints"):
        if not isinstance(state.get(key), dict):
            state[key] = {}
    return state


def update(change: Callable[[dict], None]) -> dict:
    """Read, change and write the progress file as one step, also when two notebooks do so at once."""
    global _in_memory
    try:
        home().mkdir(parents=True, exist_ok=True)
        with FileLock(home() / ".progress.lock", timeout=5):
            state = read()
            change(state)
            if _in_memory is None:
                _write(home() / "progress.json", json.dumps(state, ensure_ascii=False, indent=1))
    except (OSError, Timeout) as error:
        if _in_memory is None:
            print(f"Your progress cannot be saved in {home()} ({error}). It is kept until this notebook is closed;"
                  " set KOLAB_HOME to a folder that can be written.")  # fmt: skip
        state = read()
        change(state)
        _in_memory = state
    return state


def _write(path: Path, text: str) -> None:
    """Write a file so that it is either the old one or the new one, never half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".progress-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
