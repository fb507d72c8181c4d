"""What `fit` calls by name: precision, the state of a run, saving, signals. The loop itself is in `train.py`."""

import contextlib
import dataclasses
import signal
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import GradientAccumulationPlugin
from accelerate.utils.environment import parse_flag_from_env
from torch import Tensor, nn

from kolab import sharding
from kolab.errors import CheckpointError, ConfigError
from kolab.processes import default_device, launched, lost_process, shard

__all__ = [
    "PRECISIONS", "Interrupted", "Signals", "State", "autocast", "check_same_run", "default_device", "load_tensors",
    "lost_process", "make_accelerator", "now", "own_forward", "own_tensors", "prepared", "release",
    "resolve_precision", "rng_state", "set_rng_state", "shard", "to_device", "unprepare", "windows",
]  # fmt: skip
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
_DTYPE = {"bf16": torch.bfloat16, "fp16": torch.float16}
_MAY_DIFFER = {
    "resume",
    "progress",
    "log_every",
    "tracker",
    "folder",
    "keep",
    "save_every",
}  # between two parts of a run


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal; the message says where it was saved and how to go on."""

    signal_number: int = signal.SIGINT


def resolve_precision(wanted: str, device: torch.device) -> str:
    """What `precision=` means on a device: "fp32", "bf16" or "fp16".

    "auto" is bf16 where the hardware multiplies it (a GPU from compute capability 8.0, a CPU with AVX512-BF16 or AMX),
    fp16 with loss scaling on older GPUs, and fp32 elsewhere. What cannot be had is an error, never a silent fp32.
    """
    if wanted not in PRECISIONS:
        raise ConfigError(f"precision is {wanted!r}; there are {', '.join(PRECISIONS)}.")
    cuda = device.type == "cuda"
    bf16 = (
        torch.cuda.get_device_capability(device)[0] >= 8 if cuda else device.type == "cpu" and _cpu_has_bf16()
    )
    if wanted == "auto":
        return "bf16" if bf16 else "fp16" if cuda else "fp32"
    if wanted == "fp16" and not cuda:
        raise ConfigError(
            f"precision='fp16' needs a CUDA GPU; this device is {device.type}. Take precision='auto' "
            f"(here: {resolve_precision('auto', device)})."
        )
    return wanted


def _cpu_has_bf16() -> bool:
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


@contextlib.contextmanager
def own_forward(model: torch.nn.Module):
    """The model without the wrapper of its `forward` that Accelerate adds for mixed precision, until the end."""
    wrapped = vars(model).pop("forward", None)
    try:
        yield
    finally:
        if wrapped is not None:
            model.forward = wrapped


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """The autocast context of a resolved precision; nothing at all for fp32."""
    return (
        torch.autocast(device.type, dtype=_DTYPE[precision])
        if precision in _DTYPE
        else contextlib.nullcontext()
    )


def make_accelerator(
    precision: str, device: str | None, tracker: str | None, folder: Path | None
) -> Accelerator:
    """A fresh Accelerator, over the processes that torchrun or `accelerate launch` has started.

    Accelerate's states are singletons, so those of an earlier `fit`, or of a notebook's own loop, have to go first: a
    loop that was left in mid-window would keep the optimizer from stepping. And everything is said explicitly, since
    `accelerate launch` puts its own precision and accumulation steps into the environment.

    Raises ConfigError where the launcher wants what `fit` does not do.
    """
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    # Accelerate joins the processes of a CPU only where it is told that a CPU is meant.
    cpu = device == "cpu" or default_device().type == "cpu" or parse_flag_from_env("ACCELERATE_USE_CPU")
    resolved = resolve_precision(precision, torch.device("cpu") if cpu else default_device())
    plugin = sharding.asked(resolved, torch.device("cpu") if cpu else default_device())
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision={"fp32": "no"}.get(resolved, resolved),
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # fit divides by itself
        log_with=tracker,
        project_dir=None if folder is None else str(folder),
        fsdp_plugin=plugin,
    )
    sharding.enter(accelerator, plugin)
    started = launched()[1]
    if accelerator.num_processes != started:
        raise ConfigError(
            f"The launcher has started {started} processes, but Accelerate runs {accelerator.num_processes}: each "
            "would train by itself and write into the same folder. Start them with torchrun --nproc_per_node."
        )
    return accelerator


def unprepare(model: nn.Module) -> None:
    """Takes away what an Accelerator has hung on a model; nothing where there is none.

    The class's own forward comes to light again. And the mark that the model was prepared goes: with it, the next
    Accelerator would leave the model as it is, and what was to be bf16 would silently be computed in fp32.
    """
    for name in ("_is_accelerate_prepared", "_original_forward", "forward"):
        vars(model).pop(name, None)


def prepared(model: nn.Module) -> bool:
    """Whether an Accelerator has been at this model."""
    return not {"_is_accelerate_prepared", "_original_forward"}.isdisjoint(vars(model))


def release(accelerator: Accelerator, model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
    """Takes the model out of Accelerate's wrappers, so that it is an ordinary module again; empties the optimizer."""
    plain = accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    unprepare(plain)
    optimizer.state.clear()  # twice the weights, freed now: schedule and optimizer hold each other
    if accelerator.device.type != "cpu":
        accelerator.free_memory()  # gives the device's memory back
    else:  # that would walk through all of Python's objects, which takes as long as some steps
        for kept in (accelerator._models, accelerator._optimizers, accelerator._schedulers):
            kept.clear()
    return plain


def windows(loader: Iterable, size: int) -> Iterator[list]:
    """Cuts a loader into lists of `size` micro-batches; the last list holds what is left.

    >>> list(windows("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    window: list = []
    for batch in loader:
        window.append(batch)
        if len(window) == size:
            yield window
            window = []
    if window:
        yield window


def to_device(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Moves a batch; from pinned memory without waiting."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


class Signals:
    """SIGINT and SIGTERM set a flag that the loop reads after each step; a second Ctrl-C stops at once."""

    def __init__(self):
        self.received: int | None = None
        self.hold_term = False  # a launcher ends what is left of a broken group: what is left first says why
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: Any) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            if not (self.hold_term and number == signal.SIGTERM):
                signal.signal(number, handler)


@dataclasses.dataclass
class State:
    """Where a run stands; everything here is saved and comes back."""

    epoch: int = 0  # epochs finished
    step: int = 0  # optimizer steps done
    step_in_epoch: int = 0
    stale: int = 0  # epochs in a row without improvement
    best: dict[str, Any] | None = None  # the row of the best epoch
    mark: float | None = None  # the score that the next one has to beat by min_delta
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0  # of the epoch under way
    finished: bool = False

    def warn_if_finished(self, folder: Path) -> None:
        """Says that there is nothing left to train."""
        if self.finished:
            warnings.warn(
                f"The run in {folder} is finished ({self.epoch} epochs); nothing was trained.", stacklevel=4
            )


def own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters and buffers by name, shared ones once (safetensors wants no two names for one memory)."""
    shared = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    tensors = dict(model.named_parameters())
    return tensors | {name: value for name, value in model.state_dict().items() if name not in shared}


def load_tensors(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copies saved tensors into a model. Raises CheckpointError if names or shapes do not fit."""
    own = own_tensors(model)
    wrong = sorted(set(own) ^ set(tensors)) or [n for n in own if own[n].shape != tensors[n].shape]
    if wrong:
        raise CheckpointError(
            f"The saved weights are of another model: {', '.join(wrong[:3])}"
            f"{' …' if len(wrong) > 3 else ''} do not fit. Build the model as it was, or start in another folder."
        )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(sharding.part_of(tensors[name], value))


def check_same_run(saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuses to resume with settings or data other than the run was started with."""
    changed = [
        f"{key}: was {saved.get(key)!r}, is {value!r}"
        for key, value in now.items()
        if key not in _MAY_DIFFER and saved.get(key) != value
    ]
    if changed:
        raise ConfigError(
            "This run was started with other settings ("
            + "; ".join(changed)
            + "). Resume with the same ones, or "
            "start anew in another folder."
        )


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """torch's random state, as tensors."""
    state = {"cpu": torch.get_rng_state()}
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_rng_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Puts torch's random state back."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def now() -> float:
    """Seconds on a clock that only goes forward."""
    return time.perf_counter()
