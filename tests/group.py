"""Processes that wait for jobs, so that tests of several processes pay for their imports once a session.

`Group.run(world, job, …)` lets the first `world` of them form a gloo group, as torchrun would, and call `job` in each.
A job is one of the functions below; it returns what can be pickled.
"""

import dataclasses
import os
import signal
import socket
import traceback
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from kolab.bucket import ShardedBatchSampler
from kolab.losses import BinaryCrossEntropy, CrossEntropy
from kolab.optim import parameter_groups
from kolab.sharding import whole
from tests import tiny

WEIGHT = [0.2, 1.0, 7.0]


class Group:
    """Up to `size` processes; each job gets a group of its own. A process that a job has killed is made anew."""

    def __init__(self, size: int = 3):
        self.context = get_context("forkserver")  # imports once, and forks from there
        self.context.set_forkserver_preload(["tests.group", "kolab.train"])
        self.members = [self._member(rank) for rank in range(size)]

    def _member(self, rank: int):
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=_work, args=(theirs, rank), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def run(self, world: int, job, *args: Any, timeout: float = 300) -> list[Any]:
        """What each of `world` processes returns; an error as its text, None for one that was killed."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for _, pipe in self.members[:world]:
            pipe.send((world, port, job.__name__, args))
        answers = []
        for rank, (process, pipe) in enumerate(self.members[:world]):
            try:
                if not pipe.poll(timeout):
                    process.kill()
                    raise TimeoutError(f"{job.__name__} hangs in process {rank} of {world}")
                answers.append(pipe.recv())
            except EOFError:
                process.join()
                answers.append(None)
                self.members[rank] = self._member(rank)
        return answers

    def close(self) -> None:
        for process, pipe in self.members:
            pipe.close()
            process.kill()
            process.join()


def _work(pipe: Connection, rank: int) -> None:
    while True:
        try:
            world, port, name, args = pipe.recv()
        except EOFError:
            return
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        if world == 1:  # as without a launcher
            for key in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
                os.environ.pop(key)
        try:
            answer = globals()[name](*args)
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        pipe.send(answer)


# ---- jobs


def loss_of(kind: str, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    """The losses that the tests go through."""
    weight = torch.tensor(WEIGHT, dtype=dtype)
    return {
        "mean": CrossEntropy(),
        "weighted": CrossEntropy(weight),
        "smoothed": CrossEntropy(weight, 0.1),
        "multi-label": BinaryCrossEntropy(weight),
    }[kind]


class Ragged:
    """A batch sampler that gives the batches it was given, of whatever sizes."""

    def __init__(self, batches: list[list[int]]):
        self.batches, self.skip, self.batch_size = batches, 0, max(map(len, batches))

    def set_epoch(self, epoch: int) -> None: ...

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        skip, self.skip = self.skip, 0
        return iter(self.batches[skip:])

    def shard(self, rank: int, world: int) -> ShardedBatchSampler:
        return ShardedBatchSampler(self, rank, world)


def batches_of(sizes: list[int]) -> list[list[int]]:
    """Consecutive numbers in batches of these sizes."""
    ends = np.cumsum(sizes).tolist()
    return [list(range(end - size, end)) for end, size in zip(ends, sizes, strict=True)]


def gradients(
    sizes: list[int], accumulate: int, kind: str, double: bool, seed: int
) -> list[np.ndarray] | None:
    """The gradient of every optimizer step of one epoch of `fit`, weights unchanged; of the first process only."""
    from kolab.train import TrainConfig, fit

    dtype = torch.float64 if double else torch.float32
    model = tiny.model(0.0, seed, multi_label=kind == "multi-label").to(dtype)
    data = tiny.dataset(sum(sizes), seed, multi_label=kind == "multi-label")
    loader = torch.utils.data.DataLoader(
        data, batch_sampler=Ragged(batches_of(sizes)), collate_fn=tiny.Collator(0)
    )
    seen = []
    order = [p for group in parameter_groups(model, 1.0) for p in group["params"]]

    def note(optimizer, *_):
        trained = [
            p for group in optimizer.param_groups for p in group["params"]
        ]  # under FSDP not the model's own
        place = {id(p): q.grad for p, q in zip(order, trained, strict=True)}
        found = {str(i): place[id(p)] for i, p in enumerate(model.parameters()) if place[id(p)] is not None}
        seen.append(torch.cat([g.flatten() for g in whole(found).values()]).double().numpy())

    # A rate so small that no weight changes: every step's gradient is taken at the same place.
    config = TrainConfig(
        epochs=1, lr=1e-30, accumulate=accumulate, max_grad_norm=None, precision="fp32", progress=False
    )
    watch = register_optimizer_step_pre_hook(note)
    try:
        fit(model, {"train": loader}, config, loss=loss_of(kind, dtype))
    finally:
        watch.remove()
    return seen


def history(
    kind: str, folder: str | None = None, resume: bool = False, kill: tuple[int, int] | None = None
) -> dict[str, Any]:
    """Three epochs of `fit` on 41 examples in batches of 8: the last holds one, so that not every process gets one.

    kill: (rank, number of losses, the evaluations' too, after which that process kills itself).
    """
    from accelerate import PartialState

    from kolab.train import TrainConfig, fit, predict

    multi, rank = kind == "multi-label", int(os.environ.get("RANK", "0"))
    loaders, loss = tiny.loaders(41, 8, validation=17, multi_label=multi), loss_of(kind)
    if kill is not None and kill[0] == rank:
        left = iter(range(kill[1]))
        loss.register_forward_pre_hook(
            lambda *_: os.kill(os.getpid(), signal.SIGKILL) if next(left, None) is None else None
        )
    config = TrainConfig(
        epochs=3, lr=3e-3, precision="fp32", progress=False, accumulate=2, metric="loss", folder=folder, resume=resume,
        save_every=1 if folder else "epoch",
    )  # fmt: skip
    model = tiny.model(0.0, multi_label=multi)
    rows = fit(model, loaders, config, loss=loss)
    found = predict(model, loaders["validation"])
    return {
        "processes": PartialState().num_processes,
        "rows": [{k: v for k, v in row.items() if k != "seconds"} for row in rows],
        "weights": {k: v.double().sum().item() for k, v in model.state_dict().items()},
        "references": found.references.tolist(),
        "logits": found.logits.flatten().tolist(),
    }


FSDP = {
    "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
}  # fmt: skip


def sharded(job: str, *args: Any) -> Any:
    """Another job, with what `accelerate launch` would say for FSDP in the environment."""
    os.environ |= FSDP
    try:
        return globals()[job](*args)
    finally:
        for name in FSDP:
            os.environ.pop(name)


def wrapped_prediction() -> list[float]:
    """The logits of nine texts in batches of four by a model inside DistributedDataParallel."""
    from kolab.train import predict

    torch.distributed.init_process_group("gloo")
    model = torch.nn.parallel.DistributedDataParallel(tiny.model(0.0))
    return predict(model, tiny.loaders(8, 4, validation=9)["validation"]).logits.flatten().tolist()


def predict_alone() -> list[float]:
    """The same by one process."""
    from kolab.train import predict

    return predict(tiny.model(0.0), tiny.loaders(8, 4, validation=9)["validation"]).logits.flatten().tolist()


def shared_run(precision: str = "fp32", only_layers: bool = False) -> dict[str, Any]:
    """Two epochs without keeping the best, the processes' models drawn differently; what each held meanwhile."""
    from kolab.sharding import local
    from kolab.train import TrainConfig, fit

    model = tiny.model(0.0, seed=int(os.environ.get("RANK", "0")))
    if only_layers:
        model.encoder.embeddings.requires_grad_(False)
    held = []

    def evaluator(trained, _):
        held.append(sum(local(p).numel() for p in trained.parameters()))
        return {"loss": 0.5, "f1": float(os.environ.get("RANK", "0"))}  # the processes do not agree

    config = TrainConfig(
        epochs=2, lr=3e-3, precision=precision, progress=False, keep_best=False, accumulate=2
    )
    rows = fit(model, tiny.loaders(19, 4), config, evaluator=evaluator)
    return {
        "held": held,
        "scores": [row["f1"] for row in rows],
        "kinds": {type(p.data).__name__ for p in model.parameters()},
        "weights": torch.cat([p.detach().flatten() for p in model.parameters()]).numpy(),
    }


def stopped_run(folder: str) -> list[Any]:
    """A run that process 1 is told to stop after the first epoch; resumed to its end; and once more, for nothing.

    Returns the message and, after each of the three, the weights that the caller holds.
    """
    from kolab.engine import Interrupted
    from kolab.train import TrainConfig, fit

    def evaluator(*_):
        if os.environ.get("RANK") == "1" and not found:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"loss": 0.5}

    found: list[Any] = []
    config = TrainConfig(
        epochs=2, lr=3e-3, precision="fp32", progress=False, keep_best=False, metric="loss", folder=folder
    )
    for resume in (False, True, True):
        model = tiny.model(0.0)
        try:
            fit(model, tiny.loaders(9, 4), dataclasses.replace(config, resume=resume), evaluator=evaluator)
        except Interrupted as stopped:
            found.append(str(stopped))
        found.append(torch.cat([p.detach().flatten() for p in model.parameters()]).numpy())
    return found
