"""What a training costs, in time and memory, from a few of its own batches on a throw-away copy of the model."""

import copy
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kolab import allocations, engine
from kolab.optim import make_optimizer, parameter_groups

_TIMED = 4  # micro-batches that are timed, from narrow to wide
_PATIENCE = 5.0  # seconds after which no further one is


@dataclasses.dataclass(frozen=True)
class Costs:
    """Seconds of a micro-batch (forward and backward), of an optimizer step, and of an evaluated example.

    bytes: the most that weights, gradients, AdamW's means and the tensors of the widest batch take together. timed:
    how many micro-batches that is read off.
    """

    micro_batch: float
    update: float
    evaluated: float
    bytes: int
    timed: int

    def seconds(self, micro_batches: float, updates: float, evaluated: float = 0.0) -> float:
        """Of a whole training: so many micro-batches, optimizer steps and evaluated examples.

        >>> Costs(0.5, 0.25, 0.01, 0, 4).seconds(micro_batches=10, updates=4, evaluated=100)
        7.0
        """
        return micro_batches * self.micro_batch + updates * self.update + evaluated * self.evaluated

    @property
    def memory(self) -> str:
        """In words.

        >>> Costs(0, 0, 0, 300 * 2**20, 4).memory, Costs(0, 0, 0, 3 * 2**30, 4).memory
        ('300 MiB', '3.0 GiB')
        """
        mib = self.bytes / 2**20
        return f"{mib:.0f} MiB" if mib < 1000 else f"{mib / 1024:.1f} GiB"


def duration(seconds: float) -> str:
    """About how long, in words.

    >>> duration(0.2), duration(8), duration(600), duration(36_000)
    ('a second', '8 seconds', '10 minutes', '10.0 hours')
    """
    if seconds < 1.5:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def measure(model: nn.Module, loaders: Any, config: Any, loss: nn.Module) -> Costs:
    """The costs of training `model` as `kl.fit` would, with `kolab.batching.make_loaders`' loaders.

    Batches from the narrowest to the widest of the first epoch are timed, so that their mean is the epoch's; the widest
    says what memory is needed. An evaluation is timed in float32, as `kl.evaluate` scores. The model, the order of the
    batches and torch's random state stay as they were.

    Raises torch's OutOfMemoryError where the GPU does not hold it.
    """
    device = torch.device("cpu") if config.device == "cpu" else engine.default_device()
    precision = engine.resolve_precision(config.precision, device)
    train = loaders["train"]
    lengths = train.dataset.lengths
    batches = sorted(train.batch_sampler, key=lambda rows: len(rows) * lengths[rows].max())

    def batch_of(rows: Any) -> dict[str, Tensor]:
        return engine.to_device(train.collate_fn(train.dataset.__getitems__(rows)), device)

    count = min(_TIMED, len(batches))
    timed = [batch_of(batches[(2 * k + 1) * len(batches) // (2 * count)]) for k in range(count)]
    middle = timed[count // 2]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        trial, loss = copy.deepcopy(model).to(device).train(), copy.deepcopy(loss).to(device)
        optimizer = make_optimizer(parameter_groups(trial, config.lr, config.weight_decay))

        def forward_backward(batch: dict[str, Tensor]) -> None:
            inputs = {name: value for name, value in batch.items() if name != "labels"}
            with engine.autocast(precision, device):
                logits = trial(**inputs).logits
            total, weight = loss(logits.float(), batch["labels"])
            (total / weight).backward()

        def update() -> None:
            optimizer.step()
            optimizer.zero_grad()

        forward_backward(timed[0])  # kernels are chosen
        update()  # AdamW makes its means
        if config.accumulate > 1:
            forward_backward(timed[0])  # the gradients of a window's first micro-batches lie there already
        held = sum(allocations.held(trial, optimizer).values())
        widest = batch_of(batches[-1])
        peak = allocations.peak_of(lambda: (forward_backward(widest), update()), device)
        seconds, updates = [], []
        for batch in timed:
            seconds.append(_clock(lambda batch=batch: forward_backward(batch), device))
            updates.append(_clock(update, device))
            if sum(seconds) > _PATIENCE:
                break
        with torch.inference_mode():
            trial.eval()
            scored = _clock(lambda: trial(**{k: v for k, v in middle.items() if k != "labels"}), device)
    return Costs(
        micro_batch=sum(seconds) / len(seconds), update=sum(updates) / len(updates),
        evaluated=scored / len(middle["input_ids"]), bytes=held + peak, timed=len(seconds),
    )  # fmt: skip


def _clock(work: Callable[[], Any], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
