"""Saving and resuming a run, so that a kill at any moment loses nothing that was saved before it.

A checkpoint is a folder `step-00000120` with `model.safetensors`, `optimizer.safetensors`, `state.json` and, where the
best weights are not the newest, `best.safetensors`. It is written under another name, flushed to the disk, and renamed
when whole; `manifest.json` holds the size and SHA-256 of every file. Nothing here is ever unpickled.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kolab.errors import CheckpointError, ConfigError

MANIFEST = "manifest.json"
_PARTIAL = ".saving-"
_OLD = ".old"  # what a folder is called while another takes its place
_CURE = "Free some space, or give a folder that can be written to. What was saved before is untouched."


@dataclass(frozen=True)
class Checkpoint:
    """What a saved run needs to go on: tensors by file, and everything else as JSON values."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]
    path: Path


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(
    folder: Path, step: int, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any], keep: int = 2
) -> Path:
    """Writes `folder/step-…` whole or not at all, then removes all but the newest `keep` checkpoints.

    tensors: file name (without suffix) → name → tensor. state: JSON values.
    Raises CheckpointError if the disk is full or the folder cannot be written; older checkpoints stay.
    """
    folder = Path(folder)
    target, partial = folder / f"step-{step:08d}", folder / f"{_PARTIAL}{step:08d}"
    try:
        with writing(f"step {step} in {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f"{_PARTIAL}*"):  # by a run that was killed in a save
                shutil.rmtree(left, ignore_errors=True)
            partial.mkdir()
            for name, values in tensors.items():
                save_file(
                    {k: v.detach().contiguous() for k, v in values.items()}, partial / f"{name}.safetensors"
                )
            text = json.dumps(state | {"step": step}, ensure_ascii=False, indent=1)
            (partial / "state.json").write_text(text, encoding="utf-8")
            files = {
                f.name: {"bytes": f.stat().st_size, "sha256": sha256(f)} for f in sorted(partial.iterdir())
            }
            (partial / MANIFEST).write_text(json.dumps(files, indent=1), encoding="utf-8")
            # A resumed run comes by the same step again; and a run's end may be the step of its last checkpoint.
            replace_folder(partial, target)
    except CheckpointError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    # What is newer than this step was damaged, or this run would have begun there.
    kept = [path for path in listed(folder) if _step(path) <= step][-keep:]
    for other in listed(folder):
        if other not in kept:
            shutil.rmtree(other, ignore_errors=True)
    return target


def listed(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first; unfinished ones do not count."""
    found = (p for p in Path(folder).glob("step-*") if p.is_dir() and _step(p) is not None)
    return sorted(found, key=lambda p: (_step(p), not p.name.endswith(_OLD)))


def _step(path: Path) -> int | None:
    """The step in a checkpoint's name; None if it has another name."""
    match = re.fullmatch(rf"step-(\d+)({re.escape(_OLD)})?", path.name)
    return match and int(match[1])


def load(path: Path) -> Checkpoint:
    """Reads one checkpoint and checks every file against the manifest. Raises CheckpointError naming the file."""
    path = Path(path)
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in manifest.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path / MANIFEST} is missing or torn ({error}).") from error
    if "state.json" not in expected:
        raise CheckpointError(f"{path / MANIFEST} does not list state.json.")
    try:
        for name, (size, digest) in expected.items():
            file = path / name
            if not file.is_file():
                raise CheckpointError(f"{file} is missing.")
            if file.stat().st_size != size:
                raise CheckpointError(f"{file} has {file.stat().st_size:,} bytes instead of {size:,}.")
            if sha256(file) != digest:
                raise CheckpointError(f"{file} is not the file that was saved: its SHA-256 differs.")
        tensors = {
            Path(name).stem: load_file(path / name) for name in expected if name.endswith(".safetensors")
        }
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    step = _step(path)
    if state.get("step", step) != step:
        raise CheckpointError(f"{path} holds step {state['step']}, not the one in its name.")
    return Checkpoint(step=step, tensors=tensors, state=state, path=path)


def latest(folder: Path, check: Callable[[Checkpoint], None] | None = None) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None if there is none at all.

    check: raises ConfigError for a checkpoint that is of another run.

    A damaged one, or another run's among our own, is passed over with a warning that says which and why. If all are
    damaged: CheckpointError. If none is of this run: the first ConfigError.
    """
    candidates, strange = listed(folder), []
    for path in reversed(candidates):
        try:
            found = load(path)
        except CheckpointError as error:
            warnings.warn(f"Passed over a damaged checkpoint: {error}", stacklevel=2)
            continue
        try:
            if check is not None:
                check(found)
        except ConfigError as error:
            strange.append((path, error))
            continue
        for other, error in strange:
            warnings.warn(f"Passed over {other}, which another run has saved: {error}", stacklevel=2)
        return found
    if strange:
        raise strange[0][1]
    if candidates:
        raise CheckpointError(
            f"None of the {len(candidates)} checkpoints in {folder} is whole. Move the folder away and start anew."
        )
    return None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a second run out of a folder for as long as the first one lives."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        lock = FileLock(Path(folder) / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise CheckpointError(
            f"Another run is writing to {folder}. Wait for it to end, or give this run a folder of its own."
        ) from error
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written to: {error}. {_CURE}") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """Makes one CheckpointError, with the cure, of all that libraries raise where a disk is full or read-only."""
    try:
        yield
    except Exception as error:
        # The tokenizers library raises plain Exception.
        if not (isinstance(error, OSError | SafetensorError) or "os error" in str(error)):
            raise
        raise CheckpointError(f"Could not write {what}: {error}. {_CURE}") from error


@contextlib.contextmanager
def folder_for(target: Path) -> Iterator[Path]:
    """A folder to write into, which takes the target's place when the block ends: whole or not at all.

    Raises CheckpointError if the disk is full or cannot be written to; the target is then what it was.
    """
    partial = target.with_name(f"{_PARTIAL}{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(str(target)):
            yield partial
            replace_folder(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # it may be what fills the disk
        raise


def replace_folder(partial: Path, target: Path) -> None:
    """Puts a finished folder in the place of another; a crash in between leaves both whole, the other as NAME.old."""
    old = target.with_name(target.name + _OLD)
    _flush(partial)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    partial.rename(target)
    _flush_folder(target.parent)
    drop_replaced(target)


def drop_replaced(target: Path) -> None:
    """Removes what a whole folder has replaced: a kill right after the replacement leaves it lying there."""
    shutil.rmtree(target.with_name(target.name + _OLD), ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a small file atomically. Raises CheckpointError; what was there stays."""
    partial = path.with_name(f"{_PARTIAL}{path.name}")
    try:
        with writing(str(path)):
            with open(partial, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
    except CheckpointError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as named tensors (for safetensors) and JSON values: nothing that needs pickle."""
    state = optimizer.state_dict()
    tensors, values = {}, {}
    for index, slots in state["state"].items():
        for slot, value in slots.items():
            if torch.is_tensor(value):
                tensors[f"{index}.{slot}"] = value
            else:
                values[f"{index}.{slot}"] = value
    return tensors, {"values": values, "param_groups": state["param_groups"]}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], meta: dict[str, Any]
) -> None:
    """Puts back what `flatten_optimizer` took out. Raises CheckpointError if the parameter groups differ."""
    slots: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **meta["values"]}.items():
        index, slot = key.split(".", 1)
        slots.setdefault(int(index), {})[slot] = value
    try:
        optimizer.load_state_dict({"state": slots, "param_groups": meta["param_groups"]})
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            f"The saved optimizer does not fit this model's parameter groups: {error}"
        ) from error


def _flush(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
