"""The state of one training run: what stands around the loop in `train.py`."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from kolab import best, checkpoint, diagnosis, engine, heap, processes, resume, sharding, stopping
from kolab.errors import ConfigError
from kolab.optim import make_optimizer, make_schedule, parameter_groups
from kolab.progress_bar import Progress


class Run:
    """Used by `fit` as a context: sets everything up, takes everything down, and saves on the way."""

    def __init__(
        self, model: nn.Module, loaders: Mapping[str, DataLoader], config: Any, loss: nn.Module, evaluator
    ):
        self.config, self.loaders, self.evaluator = config, loaders, evaluator
        if "train" not in loaders or len(loaders["train"]) == 0:
            raise ConfigError("There is nothing to train on: loaders['train'] is missing or empty.")
        diagnosis.check_labels(loaders["train"], model)
        self.folder = None if config.folder is None else Path(config.folder)
        self.accelerator = engine.make_accelerator(
            config.precision, config.device, config.tracker, self.folder
        )
        self.rank, self.world = self.accelerator.process_index, self.accelerator.num_processes
        self.is_main, self.device = self.accelerator.is_main_process, self.accelerator.device
        self.precision = engine.resolve_precision(config.precision, self.device)
        self.loader = engine.shard(loaders["train"], self.rank, self.world, pad_empty=True)
        per_epoch = -(-len(self.loader) // config.accumulate)
        self.total_steps = min(config.max_steps or per_epoch * config.epochs, per_epoch * config.epochs)
        self.plain_model, self.loss = model, loss.to(self.device)
        self.sharded = self.accelerator.is_fsdp2
        if engine.prepared(model):  # by the Accelerator of a notebook's own loop
            engine.unprepare(model)
        if self.sharded:
            self.model, self.optimizer = sharding.share_out(self.accelerator, model, self._optimizer)
        else:
            optimizer = self._optimizer(model.to(self.device))  # which can refuse, while nothing is wrapped
            self.model = self.accelerator.prepare_model(model)
            self.optimizer = self.accelerator.prepare_optimizer(optimizer)
        self.optimizer.zero_grad()  # of what an earlier loop left behind
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.schedule = make_schedule(
            self.optimizer.optimizer, config.schedule, config.warmup, self.total_steps
        )
        self.state = engine.State()
        self.best_tensors: dict[str, Tensor] | None = None
        self.sums = self._zeros()
        self._exit = contextlib.ExitStack()
        self._stop = False
        self.resume_rng: dict[str, Tensor] | None = None

    def _optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        config = self.config
        groups = parameter_groups(
            model, config.lr, config.weight_decay, layer_decay=config.layer_decay, head_lr=config.head_lr
        )
        return make_optimizer(groups, betas=config.betas, eps=config.eps)

    # ---- set up and take down

    def __enter__(self) -> "Run":
        try:
            if self.folder is not None:
                if self.is_main:
                    self._exit.enter_context(checkpoint.locked(self.folder))
                resume.open_folder(self)
            if self.config.tracker:
                values = dataclasses.asdict(self.config).items()
                plain = {k: v for k, v in values if isinstance(v, int | float | str)}
                self.accelerator.init_trackers("kolab", config=plain)
                # Not end_training(): it would also part the processes, which still have a report to write.
                self._exit.callback(lambda: [tracker.finish() for tracker in self.accelerator.trackers])
            heap.keep_freed(self.device)
            self.signals = self._exit.enter_context(engine.Signals())
            self.bar = self._exit.enter_context(
                Progress(
                    self.total_steps,
                    self.state.step,
                    show=self.config.progress and self.is_main,
                    title=f"{self.precision} on {self.device.type}"  # "auto" says what it took
                    + f", weights shared by {self.world} processes" * self.sharded,
                )
            )
            for row in self.state.rows:
                self.bar.row(row)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, _: Any) -> None:
        lost = self.world > 1 and engine.lost_process(error)
        self.signals.hold_term = lost
        self._close()
        if kind is None:
            self.plain_model.to(self.device)  # a shared-out model was on the CPU until now
        if kind is not None and issubclass(kind, torch.cuda.OutOfMemoryError):
            size = getattr(self.loader.batch_sampler, "batch_size", None)
            raise diagnosis.out_of_memory(size, self.config.accumulate) from error
        if lost:
            raise diagnosis.lost_process(self.rank, self.world, self.folder, error) from error

    def _close(self) -> None:
        self._exit.close()
        model = self.plain_model if self.sharded else self.model
        self.model = engine.release(self.accelerator, model, self.optimizer.optimizer)

    # ---- the walk through the data

    def epochs(self) -> Iterator[int]:
        """The epochs that are left; stops early when it is time."""
        while self.state.epoch < self.config.epochs and not self.state.finished and not self._stop:
            self.model.train()
            torch.manual_seed(
                _mix(self.config.seed, self.state.epoch, self.rank)
            )  # dropout's; not the batches' order
            self._began = engine.now()
            yield self.state.epoch

    def windows(self) -> Iterator[list[dict]]:
        """The epoch's windows; after a resume in mid-epoch, those not yet trained on."""
        sampler, done = self.loader.batch_sampler, self.state.step_in_epoch * self.config.accumulate
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(self.state.epoch)
        if hasattr(sampler, "skip"):
            sampler.skip, left = done, 0
        else:
            left = done  # a loader of the learner's own: read and leave
        batches = iter(self.loader)
        for _ in range(left):
            next(batches)
        if self.resume_rng is not None:  # after the iterator was made, which may draw numbers itself
            engine.set_rng_state(self.resume_rng, self.device)
            self.resume_rng = None
        for window in engine.windows(batches, self.config.accumulate):
            if self.state.step >= self.total_steps:
                return
            self.window = window
            yield window

    def on_device(self, window: list[dict]) -> Iterator[tuple[dict, bool]]:
        """The micro-batches, each with whether it is the window's last."""
        for number, batch in enumerate(window, 1):
            yield engine.to_device(batch, self.device), number == len(window)

    @staticmethod
    def inputs(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the model gets: everything but the labels."""
        return {name: value for name, value in batch.items() if name not in ("labels", "empty")}

    # ---- sums and weights

    def weight_of(self, window: list[dict]) -> Tensor:
        """The weight of all examples of a window, over all micro-batches and all processes: a scalar."""
        labels = [b["labels"].to(self.device, non_blocking=True) for b in window if "empty" not in b]
        weight = sum((self.loss.weight_of(part).double() for part in labels), self._zeros()[0])
        return self.accelerator.reduce(weight, "sum") if self.world > 1 else weight

    @staticmethod
    def counted(total: Tensor, batch: dict) -> Tensor:
        """The loss of a micro-batch; nothing for one that only keeps the other processes company."""
        return total * 0.0 if "empty" in batch else total

    def add(self, total: Tensor, batch: dict) -> None:
        """Adds to the epoch's loss, on the device: reading it would make the CPU wait for the GPU."""
        self.sums[0] += self.counted(total.detach(), batch)

    def whole_sums(self) -> Tensor:
        """The epoch's sums over all processes: each knows its own share of the loss, and the whole of the rest."""
        sums = self.sums.clone()
        if self.world > 1:
            sums[0] = self.accelerator.reduce(sums[0], "sum")
        return sums

    def clip(self) -> Tensor:
        """Clips the gradient's norm (unscaled first under fp16) and returns what it was before."""
        limit = self.config.max_grad_norm or float("inf")
        if self.sharded:
            return sharding.clip(self.parameters, limit)
        return self.accelerator.clip_grad_norm_(self.parameters, limit)

    def schedule_step(self) -> None:
        """One step of the learning-rate schedule for one step of the optimizer."""
        if not self.accelerator.optimizer_step_was_skipped:
            self.schedule.step()

    # ---- after a step, after an epoch

    def after_step(self, weight: Tensor, norm: Tensor) -> None:
        """Counts the step; reads the device only when it has to be read anyway."""
        state, config = self.state, self.config
        state.step += 1
        state.step_in_epoch += 1
        self.sums[1] += weight
        self.sums[2] += norm.nan_to_num(
            0.0, 0.0, 0.0
        )  # infinite where fp16 overflowed: that step was skipped
        due = self.folder is not None and config.save_every != "epoch" and state.step % config.save_every == 0
        log = config.log_every and state.step % config.log_every == 0
        # On a CPU the sums can be read for nothing; on a GPU a NaN is noticed at the next reading.
        if self.device.type == "cpu" or due or log or self.signals.received:
            stopping.on_nan(self)
        note = ""
        if log:
            loss = float(self.sums[0] / self.sums[1])
            note = f"loss {loss:.4f}"
            self.accelerator.log(
                {"train_loss": loss, "lr": self.lr, "grad_norm": float(norm)}, step=state.step
            )
        self.bar.step(note)
        if due:
            resume.save(self)
        if stopping.asked_for(self):
            stopping.interrupt(self)

    def after_epoch(self) -> None:
        """Evaluates, keeps the best weights, decides about stopping, saves."""
        stopping.on_nan(self)
        state, config = self.state, self.config
        sums = self.whole_sums()
        row = {
            "epoch": state.epoch + 1,
            "step": state.step,
            "train_loss": float(sums[0] / sums[1]),
            "lr": self.lr,
            "grad_norm": float(sums[2] / max(1, state.step_in_epoch)),
        }
        if "validation" in self.loaders:
            model = self.inner_model
            with engine.own_forward(model):  # scores are measured in the evaluator's own precision
                found = self.evaluator(model, self.loaders["validation"])
            if self.world > 1:  # what stops one has to stop all
                found = processes.gathered(found)[0]
            row |= {("validation_loss" if name == "loss" else name): value for name, value in found.items()}
        row["seconds"] = round(state.seconds + engine.now() - self._began, 2)
        state.rows.append(row)
        state.epoch, state.step_in_epoch, state.seconds = state.epoch + 1, 0, 0.0
        self.sums = self._zeros()
        best.keep(self, row)
        stale = config.patience is not None and state.stale >= config.patience
        best.note(self, row, stale)
        self._stop = stale or state.step >= self.total_steps
        state.finished = self._stop or state.epoch >= config.epochs
        if config.tracker:
            self.accelerator.log({k: v for k, v in row.items() if isinstance(v, float)}, step=state.step)
        self.bar.row(row)
        if self.folder is not None and (config.save_every == "epoch" or state.finished):
            resume.save(self)
        if stopping.asked_for(self) and not state.finished:
            stopping.interrupt(self)

    def result(self) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """The history and its best row; the model has the best weights now, and `folder/best` holds them for others."""
        return best.hand_over(self)

    # ---- the model

    @property
    def inner_model(self) -> nn.Module:
        """The model that is trained, not inside DDP: there a process without examples keeps the others waiting."""
        return self.model if self.sharded else self.plain_model

    def tensors(self) -> dict[str, Tensor]:
        """The trained model's parameters and buffers; of shared-out ones this process's parts (see `sharding`)."""
        sharding.regroup(self.inner_model)
        return engine.own_tensors(self.inner_model)

    def bring_home(self) -> None:
        """The weights as they are now, in the model that the caller holds; all processes have to call it."""
        if self.sharded:
            engine.load_tensors(self.plain_model, sharding.whole(self.tensors()))

    @property
    def stepper(self) -> Any:
        """What steps: the optimizer itself where Accelerate's wrapper has nothing to do (no loss scaling, no shards).

        The wrapper searches the disk for another library's optimizers twice a step, a few tenths of a millisecond.
        """
        bare = self.accelerator.scaler is None and not self.sharded
        return self.optimizer.optimizer if bare else self.optimizer

    @property
    def seconds(self) -> float:
        """Spent on the epoch under way."""
        return round(
            self.state.seconds + (engine.now() - self._began if self.state.step_in_epoch else 0.0), 2
        )

    @property
    def lr(self) -> float:
        """The highest learning rate of all groups right now."""
        return max(self.schedule.get_last_lr())

    def _zeros(self) -> Tensor:
        """Sums of loss, weight and gradient norm; in float64 where the device has it."""
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        return torch.zeros(3, dtype=kind, device=self.device)


def _mix(*numbers: int) -> int:
    """One seed from several."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
