"""The shared training loop. `fit` fits one screen; what it calls by name is in `engine.py`.

Lesson 04 writes this loop by hand, lesson 06 proves that its accumulation is exact.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, SequentialSampler

from kolab import engine, processes, settings_check, sharding
from kolab.errors import ConfigError
from kolab.losses import BinaryCrossEntropy, CrossEntropy
from kolab.metrics import classification_metrics
from kolab.run import Run

__all__ = ["History", "Predictions", "TrainConfig", "evaluate", "fit", "predict"]


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """All that a training run can be told. Every field has a default that works on the bundled data.

    epochs: passes over the training data. lr: peak learning rate. weight_decay: AdamW's, on matrices only.
    warmup: share of all steps (below 1) or number of steps. schedule: linear, cosine or constant.
    max_grad_norm: clipping; None for none. accumulate: micro-batches in one optimizer step.
    precision: auto, fp32, bf16 or fp16. seed: of dropout (the order of batches has the loaders' seed).
    metric: what picks the best epoch: a column of the history; of a loss the lowest counts.
    patience: epochs without an improvement of more than min_delta before stopping; None for never. (The best epoch is
    the best one, by however little.)
    keep_best: end with the best epoch's weights. max_steps: stop after so many optimizer steps.
    folder: where to save; None for nowhere. save_every: "epoch" or a number of steps. keep: checkpoints kept.
    resume: go on where the folder's newest whole checkpoint stands. tracker: "tensorboard", "wandb" or None.
    log_every: steps between two logged losses, 0 for once an epoch. layer_decay, head_lr: see `optim.parameter_groups`.
    device: "cpu" to leave a GPU alone. betas, eps: AdamW's; pre-training likes a shorter memory (0.9, 0.98) and 1e-6.
    """

    epochs: int = 4
    lr: float = 4e-4
    weight_decay: float = 0.01
    warmup: float = 0.1
    schedule: str = "linear"
    max_grad_norm: float | None = 1.0
    accumulate: int = 1
    precision: str = "auto"
    seed: int = 0
    metric: str = "f1"
    patience: int | None = None
    min_delta: float = 0.0
    keep_best: bool = True
    max_steps: int | None = None
    folder: str | None = None
    save_every: int | str = "epoch"
    keep: int = 2
    resume: bool = False
    tracker: str | None = None
    log_every: int = 0
    progress: bool = True
    layer_decay: float | None = None
    head_lr: float | None = None
    device: str | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self):
        settings_check.check(self)


class History(Sequence):
    """What `fit` returns: one row (a dict) an epoch, in `rows`; `best` is the row that `metric` picked."""

    def __init__(self, rows: list[dict[str, Any]], best: dict[str, Any] | None = None):
        self.rows, self.best = rows, best

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def to_pandas(self):
        """A DataFrame, one row an epoch."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def _repr_html_(self) -> str:
        return self.to_pandas().style.hide(axis="index").format(precision=4).to_html()

    def __repr__(self) -> str:
        best = f", best epoch {self.best['epoch']}" if self.best else ""
        return f"History({len(self.rows)} epochs{best})"


def fit(
    model: nn.Module,
    loaders: Mapping[str, DataLoader],
    config: TrainConfig | None = None,
    *,
    loss: nn.Module | None = None,
    metrics: Callable | None = None,
    evaluator: Callable | None = None,
) -> History:
    """Fine-tunes `model` on loaders["train"], evaluating on loaders["validation"] after each epoch.

    The gradient of an optimizer step is the gradient of the whole window's mean loss: the sum over all examples of all
    its micro-batches (and of all processes) over the sum of their weights. So it equals the single big batch's.

    model: called with a batch without its labels, it returns an object with `.logits`. loss: see `losses.py`; the
    default is cross-entropy, or binary cross-entropy where the labels are multi-hot. metrics(predictions, references) →
    dict. evaluator(model, loader) → dict replaces evaluation altogether (which is in float32, as `evaluate` is).

    Raises ConfigError for impossible settings, TrainingError for a loss that is not a number or a full GPU,
    `engine.Interrupted` after a signal, with everything saved.
    """
    settings_check.check_call(model, loaders, config, loss)
    config = config or TrainConfig()
    loss = loss or default_loss(loaders["train"])
    evaluator = evaluator or functools.partial(evaluate, loss=loss, metrics=metrics)
    with Run(model, loaders, config, loss, evaluator) as run:
        model, optimizer, accelerator = run.model, run.stepper, run.accelerator
        for _ in run.epochs():  # a resumed run begins where it was stopped
            for window in run.windows():  # the micro-batches of one optimizer step
                weight = run.weight_of(window)  # of all, on all processes: known before the first backward
                for batch, is_last in run.on_device(window):
                    with contextlib.nullcontext() if is_last else accelerator.no_sync(model):
                        logits = model(**run.inputs(batch)).logits
                        total, _ = run.loss(logits, batch["labels"])
                        run.add(total, batch)
                        # Sums add up, so each micro-batch is divided by the window's weight. Accelerate averages over
                        # processes, where a sum is wanted: hence the factor.
                        accelerator.backward(run.counted(total, batch) / weight * accelerator.num_processes)
                norm = run.clip()  # after unscaling: a limit on the true gradient, not on the scaled one
                optimizer.step()
                run.schedule_step()  # not when fp16 overflowed and the step was skipped
                optimizer.zero_grad()
                run.after_step(weight, norm)  # counts; saves when due; stops on NaN or a signal
            run.after_epoch()  # evaluates, keeps the best, saves, decides about stopping
        return History(*run.result())


def default_loss(loader: DataLoader) -> nn.Module:
    """Cross-entropy for class numbers, binary cross-entropy for multi-hot labels."""
    labels = getattr(loader.dataset, "labels", None)
    ndim = np.ndim(labels) if labels is not None else next(iter(loader))["labels"].ndim
    return BinaryCrossEntropy() if ndim == 2 else CrossEntropy()


@dataclasses.dataclass
class Predictions:
    """logits (N, C) float32, in the data set's order; references (N,) or (N, C), None if there were no labels."""

    logits: Tensor
    references: Tensor | None
    multi_label: bool = False

    @property
    def probabilities(self) -> Tensor:
        """(N, C): softmax over the classes, or one sigmoid a class."""
        return self.logits.sigmoid() if self.multi_label else self.logits.softmax(dim=-1)

    @property
    def labels(self) -> np.ndarray:
        """(N,) class numbers, or (N, C) zeros and ones at a threshold of 0.5."""
        return (self.logits > 0).int().numpy() if self.multi_label else self.logits.argmax(dim=-1).numpy()


@torch.inference_mode()
def predict(
    model: nn.Module,
    data: DataLoader | Sequence[str],
    *,
    tokenizer: Any = None,
    batch_size: int = 64,
    max_length: int = 128,
    precision: str = "fp32",
) -> Predictions:
    """The logits of a loader's examples, or of texts (then `tokenizer` is needed), each exactly once, in order.

    Dropout is off during the call, and the model is afterwards in the mode it was in. Under several processes each
    takes its part, and all get the whole.

    precision: float32 whatever the model was trained in, so that a score is the same wherever it is measured. "auto" is
    faster where the hardware has bf16 or fp16, and moves logits by about one part in a hundred.
    """
    model = processes.unwrapped(model)
    if not isinstance(data, DataLoader):
        data = _text_loader(data, tokenizer, batch_size, max_length)
        settings_check.check_words(model, int(data.dataset.tokens.max()), "The tokenizer")
    device = next(model.parameters()).device
    precision = engine.resolve_precision(precision, device)
    rank, world = processes.joined()
    together = world > 1 and sharding.is_sharded(model)
    parts, references, order = [], [], []
    was_training = model.training
    model.eval()
    try:
        with engine.autocast(precision, device):
            for indices, batch in _with_indices(engine.shard(data, rank, world, pad_empty=together), data):
                if not together and not len(batch["input_ids"]):
                    continue
                batch = engine.to_device(batch, device)
                labels, empty = batch.pop("labels", None), batch.pop("empty", None)
                logits = model(**batch).logits.float()
                if empty is not None:  # took its turn, for the sake of the others
                    continue
                parts.append(logits)
                references += [] if labels is None else [labels]
                order += indices
    finally:
        model.train(was_training)
    logits = torch.cat(parts).cpu() if parts else torch.empty(0, 0)
    labels = torch.cat(references).cpu() if references else None
    if world > 1:
        shares = [s for s in processes.gathered((order, logits, labels)) if len(s[0])]
        order = [index for share in shares for index in share[0]]
        logits = torch.cat([s[1] for s in shares])
        labels = None if labels is None else torch.cat([s[2] for s in shares])
    back = torch.argsort(torch.tensor(order))
    labels = None if labels is None else labels[back]
    config = getattr(model, "config", None)
    multi = getattr(config, "problem_type", None) == "multi_label_classification" or (
        labels is not None and labels.ndim == 2
    )
    return Predictions(logits[back], labels, multi)


def evaluate(
    model: nn.Module,
    loader: DataLoader,
    *,
    loss: nn.Module | None = None,
    metrics: Callable | None = None,
    precision: str = "fp32",
) -> dict[str, float]:
    """Mean loss and metrics over a loader, every example exactly once: loss, accuracy, precision, recall, f1."""
    if not isinstance(loader, DataLoader):
        raise ConfigError(
            f'evaluate wants one loader, not a {type(loader).__name__}: of what make_loaders returned, loaders["test"].'
        )
    found = predict(model, loader, precision=precision)
    if found.references is None:
        raise ConfigError("evaluate needs labels, and these batches have none; use kolab.train.predict.")
    loss = loss or default_loss(loader)
    home = next(loss.buffers(), None)
    home = found.logits.device if home is None else home.device
    total, weight = loss(found.logits.to(home), found.references.to(home))
    names = (metrics or classification_metrics)(found.labels, found.references.numpy())
    return {"loss": float(total / weight), **{k: float(v) for k, v in names.items()}}


def _with_indices(loader: DataLoader, whole: DataLoader) -> Iterator[tuple[list[int], dict]]:
    """Each batch with its examples' places in the data set (or, in an order we cannot know, in what was read)."""
    sampler = loader.batch_sampler
    known = hasattr(whole.batch_sampler, "shard") or isinstance(whole.sampler, SequentialSampler)
    known = known and not getattr(whole.batch_sampler, "shuffle", False)
    if known:
        yield from zip(list(sampler), loader, strict=True)
        return
    count = 0
    for batch in loader:
        size = 0 if "empty" in batch else len(batch["input_ids"])
        yield list(range(count, count + size)), batch
        count += size


def _text_loader(texts: Sequence[str], tokenizer: Any, batch_size: int, max_length: int) -> DataLoader:
    from datasets import Dataset

    from kolab.batching import make_loaders

    if tokenizer is None:
        raise ConfigError(
            "To predict texts, give the tokenizer too: predict(model, texts, tokenizer=tokenizer)."
        )
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, Iterable) or isinstance(texts, Mapping):
        raise ConfigError(f"the texts are a {type(texts).__name__}; give a list of texts, or a loader.")
    data = {"test": Dataset.from_dict({"text": list(texts)})}
    return make_loaders(data, tokenizer, batch_size=batch_size, max_length=max_length)["test"]
