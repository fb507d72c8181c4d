"""Is everything there that a lesson needs? `kl.setup()` shows it in a notebook, `kolab doctor` in a shell."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import platform
import re
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from kolab.environment import flag
from kolab.errors import ConfigError, SetupError

SHOWN = (
    "torch",
    "transformers",
    "datasets",
)  # versions worth a reader's eye; the others only when they are wrong


@dataclass(frozen=True)
class Finding:
    """state: "ok", "note" (works, but good to know) or "bad". what: one line. cure: what to do, if anything."""

    state: str
    what: str
    cure: str = ""


def examine(data: bool = True) -> list[Finding]:
    """All findings: versions, device and precision, an idle GPU, data, fetched corpora, font, quick mode."""
    findings = [*versions(), device(), *unused_gpu()]
    if data:
        findings += [data_files(), *fetched()]
    findings.append(font())
    try:
        if flag("KOLAB_QUICK"):
            findings.append(Finding("note", "quick mode: everything is trimmed, so the numbers mean little"))
    except ConfigError as error:
        findings.append(Finding("bad", str(error)))
    return findings


def quieten() -> None:
    """Keep the libraries' chatter out of the lessons: loading bars, advice to train, worker warnings."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else a forking DataLoader worker warns
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*IProgress not found.*")
    # peft asks transformers 5 for a property by the name that transformers has given up
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)


def nothing_stale() -> None:
    """Raises SetupError when pip has replaced a package that this process had loaded before.

    That happens where a new kernel comes with a library loaded, matplotlib say, in a version outside our ranges: what
    is loaded next then belongs to another version than what is there already, and fails in ways nobody understands.
    """
    from packaging.requirements import Requirement
    from packaging.version import InvalidVersion, Version

    found = []
    for text in importlib.metadata.requires("kolab") or ():
        name = Requirement(text).name
        module = sys.modules.get({"scikit-learn": "sklearn", "pyyaml": "yaml"}.get(name, name))
        try:
            loaded = Version(module.__version__)
            installed = Version(importlib.metadata.version(name))
        except (AttributeError, TypeError, InvalidVersion, importlib.metadata.PackageNotFoundError):
            continue  # not loaded, or it does not tell its version
        if loaded.release != installed.release:
            found.append(f"{name} {loaded} is loaded, {installed} is installed")
    if found:
        raise SetupError(
            f"{'; '.join(found)}. The installation is complete; restart the kernel (Colab: Runtime, Restart session; "
            "Kaggle: Run, Restart session) and run from the first cell again."
        )


def versions() -> list[Finding]:
    """One line for what is fine, one for each package that is missing or outside the range of pyproject.toml."""
    from packaging.requirements import Requirement

    fine, wrong = {}, []
    for text in importlib.metadata.requires("kolab") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        cure = f'`pip install "{wanted.name}{wanted.specifier}"`, then restart the kernel'
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(Finding("bad", f"{wanted.name} is missing", cure))
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            wrong.append(Finding("bad", f"{wanted.name} {version} is outside {wanted.specifier}", cure))
        elif wanted.name in SHOWN:
            fine[wanted.name] = f"{wanted.name} {version}"
    line = [f"Python {platform.python_version()}", *(fine[name] for name in SHOWN if name in fine)]
    return [Finding("ok", " · ".join(line)), *wrong]


def device() -> Finding:
    """What training will run on, and in which precision `precision="auto"` will do it."""
    import torch

    from kolab.engine import resolve_precision

    if torch.cuda.is_available():
        place = torch.device("cuda", torch.cuda.current_device())
        memory = torch.cuda.get_device_properties(place).total_memory / 2**30
        name = f"{torch.cuda.get_device_name(place)}, {memory:.0f} GiB"
    elif torch.backends.mps.is_available():
        place, name = torch.device("mps"), "Apple GPU (MPS)"
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        place, name = torch.device("cpu"), f"CPU with {cores} cores"
    precision = resolve_precision("auto", place)
    return Finding(
        "ok", f"{name} · training precision {precision}{' with loss scaling' * (precision == 'fp16')}"
    )


def unused_gpu() -> list[Finding]:
    """An NVIDIA GPU that torch cannot use: the build for CPUs, or a driver that is too old for the build."""
    import torch

    seen = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
    if not seen or torch.cuda.is_available() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return []
    if torch.version.cuda is None:
        why = f"torch {torch.__version__} is a build for CPUs"
        cure = "`pip install --force-reinstall torch` with the index that pytorch.org names for your CUDA, restart"
    else:
        why = f"torch {torch.__version__} needs a driver for CUDA {torch.version.cuda}"
        cure = "`nvidia-smi` tells what the driver can; renew it, or install an older build of torch"
    return [Finding("bad", f"an NVIDIA GPU is here, and torch cannot use it: {why}", cure)]


def fetched() -> list[Finding]:
    """Which corpora `kolab fetch` has brought, and downloads that were stopped in the middle."""
    from kolab.fetch import SOURCES, folder_of

    findings, there = [], []
    for key, source in SOURCES.items():
        folder = folder_of(source.folder)
        names = [source.parquet] if source.parquet else [file.name for file in source.files]
        if all((folder / name).is_file() for name in names):
            there.append(key)
        elif any((folder / f"{file.name}.part").is_file() for file in source.files):
            findings.append(
                Finding("note", f"{key} is downloaded in part", f"`kolab fetch {key}` goes on with it")
            )
    if there:
        findings.insert(0, Finding("ok", f"fetched: {', '.join(there)}, in {folder_of('')}"))
    return findings


def data_files(folder: Path | None = None) -> Finding:
    """Compare the bundled data with their checksums (data/SHA256SUMS)."""
    if folder is None:
        from kolab.data import DATA

        folder = Path(DATA)
    listed = folder / "SHA256SUMS"
    cure = "restore it with `git checkout -- data` in a clone, or install kolab again"
    if not listed.is_file():
        return Finding(
            "bad",
            "the course's data are not where they should be",
            f"{cure}; KOLAB_DATA names another folder",
        )
    bad, files, size = [], 0, 0
    for line in listed.read_text(encoding="utf-8").splitlines():
        digest, name = re.split(r" [ *]", line, maxsplit=1)
        path = folder / name
        files += 1
        if not path.is_file():
            bad.append(f"{name} is missing")
            continue
        size += path.stat().st_size
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                bad.append(f"{name} is not what it was")
    if bad:
        more = f", and {len(bad) - 3} more" if len(bad) > 3 else ""
        return Finding("bad", f"data: {', '.join(bad[:3])}{more}", cure)
    return Finding("ok", f"data: {files} files, {size / 1e6:.0f} MB, checksums right")


def font() -> Finding:
    """Let figures draw Hangul, and say with which font."""
    from kolab import plots

    try:
        return Finding("ok", f"Hangul in figures: {plots.use_hangul()}")
    except ImportError:
        return Finding(
            "bad", "no font with Hangul", "`pip install pylopdf-fonts-ko`, then restart the kernel"
        )
