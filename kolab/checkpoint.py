"""Saving and resuming a run, so that a kill at any moment loses nothing that was saved before it.

A checkpoint is a folder `step-00000120` with `model.safetensors`, `optimizer.safetensors`, `state.json` and, where the
best weights are not the newest, `best.safetensors`. It is written under another name, flushed to the disk, and renamed
when whole; `manifest.json` holds the size and SHA-256 of every file. Nothing here is ever unpickled.
"""

import contextlib
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kolab.errors import CheckpointError

MANIFEST = "manifest.json"
_PARTIAL = ".saving-"


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
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name, values in tensors.items():
            save_file(
                {k: v.detach().contiguous() for k, v in values.items()}, partial / f"{name}.safetensors"
            )
        (partial / "state.json").write_text(json.dumps(state, ensure_ascii=False, indent=1), encoding="utf-8")
        files = {f.name: {"bytes": f.stat().st_size, "sha256": sha256(f)} for f in sorted(partial.iterdir())}
        (partial / MANIFEST).write_text(json.dumps(files, indent=1), encoding="utf-8")
        _flush(partial)
        if target.exists():  # a resumed run comes by the same step again, with the same content
            shutil.rmtree(target)
        partial.rename(target)
        _flush_folder(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(
            f"Could not save step {step} in {folder}: {error}. Free some space, or give a folder that can be "
            "written to. Checkpoints saved before are untouched."
        ) from error
    for old in listed(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def listed(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first; unfinished ones do not count."""
    return sorted(p for p in Path(folder).glob("step-*") if p.is_dir())


def load(path: Path) -> Checkpoint:
    """Reads one checkpoint and checks every file against the manifest. Raises CheckpointError naming the file."""
    path = Path(path)
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path / MANIFEST} is missing or torn ({error}).") from error
    if "state.json" not in manifest:
        raise CheckpointError(f"{path / MANIFEST} does not list state.json.")
    for name, expected in manifest.items():
        file = path / name
        if not file.is_file():
            raise CheckpointError(f"{file} is missing.")
        if file.stat().st_size != expected["bytes"]:
            raise CheckpointError(
                f"{file} has {file.stat().st_size:,} bytes instead of {expected['bytes']:,}."
            )
        if sha256(file) != expected["sha256"]:
            raise CheckpointError(f"{file} is not the file that was saved: its SHA-256 differs.")
    tensors = {Path(name).stem: load_file(path / name) for name in manifest if name.endswith(".safetensors")}
    state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    return Checkpoint(step=int(path.name.removeprefix("step-")), tensors=tensors, state=state, path=path)


def latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None if there is none at all.

    A damaged one is passed over with a warning that says which and why. If all are damaged: CheckpointError.
    """
    candidates = listed(folder)
    for path in reversed(candidates):
        try:
            return load(path)
        except CheckpointError as error:
            warnings.warn(f"Passed over a damaged checkpoint: {error}", stacklevel=2)
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
        raise CheckpointError(f"{folder} cannot be written to: {error}. Give a folder that can.") from error
    try:
        yield
    finally:
        lock.release()


def replace_folder(partial: Path, target: Path) -> None:
    """Puts a finished folder in the place of another; a crash in between leaves one of the two whole."""
    old = target.with_name(f".old-{target.name}")
    shutil.rmtree(old, ignore_errors=True)
    _flush(partial)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a small file atomically."""
    partial = path.with_name(f"{_PARTIAL}{path.name}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(f"Could not write {path}: {error}.") from error


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
