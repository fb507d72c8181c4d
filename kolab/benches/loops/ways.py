"""Six ways to train the same classifier for an epoch, and what all of them share: what `kolab bench loop` compares.

The first four are the same training, written down four times: equal batches in equal order, float32, AdamW with the
same groups and the same schedule, clipping at 1, no evaluation, nothing saved. After an epoch their weights agree to
the last bit (tests/test_bench_loop.py). The last two are a loop as it was published, and `kl.fit` with nothing set.
"""

import contextlib
import importlib.util
import io
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from kolab import heap
from kolab.batching import Loaders
from kolab.optim import make_optimizer, make_schedule, parameter_groups
from kolab.train import TrainConfig, fit

# Rate, schedule and clipping of all four. Without weight decay there is one group of parameters: all clip the same sum,
# added up in the same order, and so their weights agree to the last bit.
CONFIG = TrainConfig(epochs=1, precision="fp32", weight_decay=0.0, progress=False)
NEEDS = {"lightning": "Lightning is not installed: pip install 'kolab[slow]'"}

Loop = Callable[[nn.Module, Loaders], None]


def plain(model: nn.Module, loaders: Loaders) -> None:
    """The loop that everybody writes by hand, in torch alone."""
    loader, device = loaders["train"], next(model.parameters()).device
    optimizer, schedule = _optimizer(model, len(loader))
    model.train()
    total = torch.zeros((), device=device)
    for batch in loader:
        batch = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
        labels = batch.pop("labels")
        loss = F.cross_entropy(model(**batch).logits, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CONFIG.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        total += loss.detach()
    float(total)  # the mean loss of the epoch is read once, here as everywhere


def trainer(model: nn.Module, loaders: Loaders) -> None:
    """transformers' Trainer, told to do no more than the others."""
    from transformers import Trainer, TrainingArguments

    class OwnBatches(Trainer):
        def get_train_dataloader(self) -> DataLoader:
            return loaders["train"]

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=1, max_grad_norm=CONFIG.max_grad_norm, use_cpu=not _cuda(),
            save_strategy="no", logging_strategy="no", eval_strategy="no", report_to="none", disable_tqdm=True,
        )  # fmt: skip
        OwnBatches(model, arguments, optimizers=_optimizer(model, len(loaders["train"]))).train()


def lightning(model: nn.Module, loaders: Loaders) -> None:
    """Lightning's Trainer, likewise."""
    import lightning as L

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def training_step(self, batch: dict, _: int) -> torch.Tensor:
            labels = batch.pop("labels")
            return F.cross_entropy(self.model(**batch).logits, labels)

        def configure_optimizers(self) -> dict[str, Any]:
            optimizer, schedule = _optimizer(self.model, len(loaders["train"]))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    model.train()  # Lightning keeps each module's mode
    L.Trainer(
        max_epochs=1, accelerator="gpu" if _cuda() else "cpu", devices=1, gradient_clip_val=CONFIG.max_grad_norm,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False,
    ).fit(Module(), loaders["train"])  # fmt: skip


def kolab_fit(model: nn.Module, loaders: Loaders) -> None:
    """`kl.fit` at the same settings."""
    fit(model, {"train": loaders["train"]}, CONFIG)


def published(model: nn.Module, loaders: Loaders) -> None:
    """A published loop, step for step: AdamW as it comes, no clipping, no schedule, the loss read after each step."""
    device = next(model.parameters()).device
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    model.train()
    total_train_loss = 0.0
    for batch in tqdm(loaders["train"], desc="Training"):
        optimizer.zero_grad()
        input_ids = batch["input_ids"].to(device)
        attention_mask = batch["attention_mask"].to(device)
        token_type_ids = batch["token_type_ids"].to(device)
        labels = batch["labels"].to(device)
        logits = model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        loss = criterion(logits, labels)
        loss.backward()
        optimizer.step()
        total_train_loss += loss.item()


def default_fit(model: nn.Module, loaders: Loaders) -> None:
    """`kl.fit` with nothing set but the number of epochs."""
    fit(model, {"train": loaders["train"]}, TrainConfig(epochs=1))


def bare(model: nn.Module, loaders: Loaders) -> None:
    """What no loop can do without, and nothing else: forward, backward, the optimizer's step, on batches made before.

    Freed memory is kept, as in `kl.fit`. No clipping, no schedule, no sum of the losses: a bound, not a training.
    """
    device = next(model.parameters()).device
    heap.keep_freed(device)
    batches = [{name: tensor.to(device) for name, tensor in batch.items()} for batch in loaders["train"]]
    optimizer, _ = _optimizer(model, len(batches))
    model.train()
    for batch in batches:
        labels = batch.pop("labels")
        F.cross_entropy(model(**batch).logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()


# In the order of the table. The first is what the others are compared with.
WAYS: dict[str, Loop] = {
    "plain": plain, "trainer": trainer, "lightning": lightning, "fit": kolab_fit,
    "published": published, "default": default_fit, "bare": bare,
}  # fmt: skip
EQUAL = ("plain", "trainer", "lightning", "fit")
TITLES = {
    "plain": "(a) plain PyTorch loop, by hand",
    "trainer": "(b) transformers' Trainer",
    "lightning": "(c) Lightning's Trainer",
    "fit": "(d) kl.fit, the same settings",
    "published": "(e) the published loop",
    "default": "(f) kl.fit at its defaults",
    "bare": "the bare steps of (a) to (d)",
}


def missing(way: str) -> str | None:
    """Why a way cannot be taken here, or None."""
    return NEEDS[way] if way in NEEDS and importlib.util.find_spec(way) is None else None


def run(way: str, model: nn.Module, loaders: Loaders, seed: int = 0) -> dict[str, float]:
    """One epoch: `seconds` in all, `setup` of these until the first batch goes in, `cpu` seconds of all threads, of
    which `system` were the kernel's, and page `faults` (where the system counts them).

    Dropout's random numbers begin at `seed` when the first batch goes in, whatever a library has drawn before.
    """
    began, cpu, kernel = time.perf_counter(), time.process_time(), _kernel()
    first: list[float] = []

    def start(*_: Any) -> None:
        if not first:
            torch.manual_seed(seed)
            first.append(time.perf_counter())

    hook = model.register_forward_pre_hook(start)
    try:
        with _quiet():
            WAYS[way](model, loaders)
            if _cuda():
                torch.cuda.synchronize()
    finally:
        hook.remove()
    return {
        "seconds": time.perf_counter() - began,
        "setup": first[0] - began,
        "cpu": time.process_time() - cpu,
        **{name: value - kernel[name] for name, value in _kernel().items()},
    }


def _kernel() -> dict[str, float]:
    """The kernel's seconds and the page faults of this process so far."""
    try:
        import resource
    except ImportError:  # Windows
        return {}
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"system": used.ru_stime, "faults": used.ru_minflt}


def _optimizer(model: nn.Module, steps: int) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    """What `kl.fit` takes, for everyone: fused AdamW, a warm-up and a linear decay."""
    optimizer = make_optimizer(parameter_groups(model, CONFIG.lr, CONFIG.weight_decay))
    return optimizer, make_schedule(optimizer, CONFIG.schedule, CONFIG.warmup, steps)


def _cuda() -> bool:
    return torch.cuda.is_available()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Bars are drawn, but nobody sees them; advice about workers and versions is not for here."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        quiet = contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO())
        with quiet[0], quiet[1], warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
