"""Time, memory and arithmetic, measured; and runs that are recorded, each with the machine it was made on.

A time means little by itself: machines differ, and other programs share them. So `compare` takes turns between the
candidates and gives ratios, and `record` writes no number without the machine's name beside it.
"""

import contextlib
import gc
import json
import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch

from kolab import heap
from kolab.errors import ConfigError, DataError

LIBRARIES = ("torch", "transformers", "datasets", "accelerate", "peft", "tokenizers", "numpy")


def _wait() -> None:
    """Let the GPU finish: it works on while Python has long returned, and a clock stopped early times nothing."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@dataclass
class Stopwatch:
    """What `stopwatch` hands out: `seconds` is the time so far, and stands still once the block is left."""

    start: float
    stop: float | None = None

    @property
    def seconds(self) -> float:
        return (self.stop if self.stop is not None else time.perf_counter()) - self.start


@contextlib.contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Time a block, the GPU's work included.

    >>> with stopwatch() as watch:
    ...     _ = sum(range(1000))
    >>> 0 < watch.seconds < 60
    True
    """
    _wait()
    watch = Stopwatch(time.perf_counter())
    try:
        yield watch
    finally:
        _wait()
        watch.stop = time.perf_counter()


def compare(functions: Mapping[str, Callable[[], Any]], *, repeats: int = 5, warmup: int = 1) -> pd.DataFrame:
    """Time several ways of doing one thing, taking turns, so that a busy minute of the machine hits all of them.

    Args:
        functions: name → function without arguments. The first is what the others are compared with.
        repeats: rounds; each function runs once in each, and every round begins with another one.
        warmup: rounds that are run first and not counted (caches, lazy imports, the GPU's clock).

    Returns:
        A table with one row a function: `seconds` (median), `fastest`, `slowest`, and `times as fast`: how many times
        faster than the first it is, the median over the rounds of the ratio within a round.
    """
    if not functions or repeats < 1:
        raise ConfigError("compare wants at least one function and one repeat.")
    names = list(functions)
    gc.collect()  # else the first function pays for what earlier cells have left behind
    rounds: list[dict[str, float]] = []
    for turn in range(warmup + repeats):
        shift = turn % len(names)
        times = {}
        for name in names[shift:] + names[:shift]:
            with stopwatch() as watch:
                functions[name]()
            times[name] = watch.seconds
        rounds.append(times)
    seconds = pd.DataFrame(rounds[warmup:])[names]
    return pd.DataFrame(
        {
            "seconds": seconds.median(),
            "fastest": seconds.min(),
            "slowest": seconds.max(),
            "times as fast": seconds.rdiv(seconds[names[0]], axis=0).median(),
        }
    )


class PeakMemory:
    """What `peak_memory` hands out: `bytes` and `mib`, the most memory the block had beyond what it began with."""

    def __init__(self) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.bytes = 0

    @property
    def mib(self) -> float:
        return self.bytes / 2**20


@contextlib.contextmanager
def peak_memory(interval: float = 0.002) -> Iterator[PeakMemory]:
    """The most memory a block takes on top of what is in use at its start.

    On a GPU this is what torch's allocator counts, to the byte. On a CPU a thread reads the size of the process every
    `interval` seconds: short peaks can slip through. Memory that the process held without using it would not be seen;
    with glibc it is handed back first, elsewhere the first run of a block shows more than the second. Pages of files
    (libraries, weights that are mapped) do not count where the system tells them apart: it takes them back and reads
    them again as it likes.
    """
    gc.collect()
    memory = PeakMemory()
    if memory.device == "cuda":
        _wait()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        try:
            yield memory
        finally:
            _wait()
            memory.bytes = torch.cuda.max_memory_allocated() - before
        return
    heap.give_back()  # after a kl.fit there may be much of it (kolab/heap.py)
    process, done = psutil.Process(), threading.Event()

    def in_use() -> int:
        sizes = process.memory_info()
        return sizes.rss - getattr(sizes, "shared", 0)

    before = in_use()

    def watch() -> None:
        while True:
            memory.bytes = max(memory.bytes, in_use() - before)
            if done.wait(interval):
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        done.set()
        thread.join()


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        if found:
            return " ".join(found[1].split())
    return platform.processor() or platform.machine() or "unknown processor"


def machine() -> dict[str, Any]:
    """This machine, in what matters for a measurement; nothing that would say whose it is or where it stands.

    Keys: `name` (short, usable in a file name), `cpu`, `cores` (those this process may use), `ram_gib`, `gpu` (None
    without one), `system`, `python`, `versions` of the libraries that matter.
    """
    cpu = _cpu_name()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    plain = re.sub(
        r"\(.*?\)|@.*|\d+-Core|Processor|CPU", " ", cpu
    )  # "Intel(R) Xeon(R) CPU @ 2.20GHz": intel-xeon
    label = gpu or f"{plain} {cores} cores"
    versions = {}
    for library in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[library] = version(library)
    return {
        "name": "-".join(re.findall(r"[a-z0-9]+", label.lower())),
        "cpu": cpu,
        "cores": cores,
        "ram_gib": round(psutil.virtual_memory().total / 2**30),
        "gpu": gpu,
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _results(folder: str | Path | None) -> Path:
    if folder is not None:
        return Path(folder)
    from kolab.data import DATA  # here, so that timing something does not load the data libraries

    return DATA / "results"


def record(
    name: str,
    table: pd.DataFrame | Sequence[Mapping[str, Any]],
    *,
    folder: str | Path | None = None,
    **meta: Any,
) -> Path:
    """Write a measurement to `data/results/<name>.<machine>.json`, replacing this machine's earlier one.

    Args:
        name: the study: small letters, digits, '-' and '_'.
        table: a DataFrame or a list of rows; a named index becomes a column.
        folder: another place than data/results.
        meta: what a reader needs to judge the numbers: seeds, data, batch size …

    Returns: the file. It is there as a whole or not at all, also when the process is killed while writing.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ConfigError(f"a study's name is made of small letters, digits, '-' and '_', not {name!r}.")
    frame = pd.DataFrame(table)
    if any(label is not None for label in frame.index.names):
        frame = frame.reset_index()
    here = machine()
    content = {
        "name": name,
        "date": date.today().isoformat(),
        "machine": here,
        "meta": meta,
        "rows": json.loads(frame.to_json(orient="records", force_ascii=False, double_precision=10)),
    }
    path = _results(folder) / f"{name}.{here['name']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)
    return path


def recordings(folder: str | Path | None = None) -> dict[str, list[str]]:
    """Which studies are recorded, and on which machines: {"padding": ["amd-epyc-2-cores"], …}."""
    found: dict[str, list[str]] = {}
    for path in sorted(_results(folder).glob("[!.]*.json")):
        study, _, where = path.stem.partition(".")
        found.setdefault(study, []).append(where)
    return found


def recorded(name: str, *, machine: str | None = None, folder: str | Path | None = None) -> pd.DataFrame:
    """A recorded measurement as a table; `attrs` holds `machine` (a dict), `date` and `meta`.

    Without `machine` (a name as in `recordings()`) the newest is taken; of several of one day, the first by name.

    Raises: DataError when there is none (the message lists those there are) or the file cannot be read.
    """
    there = recordings(folder)
    if name not in there or (machine is not None and machine not in there[name]):
        what = f"{name!r} on {machine!r}" if machine else repr(name)
        known = ", ".join(f"{study} ({', '.join(where)})" for study, where in there.items()) or "nothing yet"
        raise DataError(
            f"no measurement {what} is recorded. There is: {known}. `kolab bench {name}` makes one."
        )
    contents = []
    for where in [machine] if machine else there[name]:
        # A file without a machine in its name holds figures that others have published.
        path = _results(folder) / (f"{name}.{where}.json" if where else f"{name}.json")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            contents.append(
                (content["date"], content["machine"], content["meta"], pd.DataFrame(content["rows"]))
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error}); delete it and measure again.") from error
    day, where, meta, frame = max(contents, key=lambda content: content[0])
    frame.attrs |= {"machine": where, "date": day, "meta": meta}
    return frame


def flops_per_token(model: torch.nn.Module, length: int = 128, *, training: bool = False) -> int:
    """Floating-point operations a token costs in a forward pass over sequences of `length` tokens.

    Two (a multiplication and an addition) for each weight of each linear layer, and per layer 4 · length · width for
    the attention's two products. A training step costs three times that: the backward pass computes the gradient of
    the inputs and of the weights (Kaplan et al., Scaling Laws for Neural Language Models, 2020, section 2.1).
    Embeddings are looked up, not multiplied, so they count nothing. Padding costs as much as text.
    """
    weights = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    config = getattr(model, "config", None)
    config = getattr(config, "encoder", config)  # a Classifier holds its encoder's configuration
    layers, width = getattr(config, "num_hidden_layers", 0), getattr(config, "hidden_size", 0)
    return (2 * weights + 4 * layers * length * width) * (3 if training else 1)
