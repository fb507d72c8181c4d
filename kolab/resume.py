"""What a run saves of itself, and how it comes back: every number that the next step depends on."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kolab import checkpoint, engine, sharding
from kolab.errors import ConfigError

if TYPE_CHECKING:
    from kolab.run import Run


def settings(run: "Run") -> dict[str, Any]:
    """The settings and the size of the data: what has to be the same in both halves of a run."""
    data = run.loaders["train"].dataset
    values = dataclasses.asdict(run.config) | {
        "resolved_precision": run.precision,
        "examples": len(data),
        "batches": len(run.loader),
        "tokens": len(getattr(data, "tokens", [])),
    }
    return json.loads(json.dumps(values))  # as they come back from the file: a tuple as a list


def refuse_to_overwrite(folder: Path) -> None:
    """Raises ConfigError where a folder holds checkpoints: a new run would write over them."""
    if checkpoint.listed(folder / "checkpoints"):
        raise ConfigError(
            f"{folder} already holds a run. Go on with it by resume=True (--resume), or give another folder "
            "(--folder): nothing is overwritten."
        )


def open_folder(run: "Run") -> None:
    """Resumes what the folder holds, or makes sure that it holds nothing that would be lost."""
    if run.config.resume:
        saved = checkpoint.latest(run.folder / "checkpoints", functools.partial(check, run))
        if saved is not None:
            restore(run, saved)
            if run.is_main:
                checkpoint.drop_replaced(saved.path)  # a finished run saves nothing more that would
            return
    else:
        refuse_to_overwrite(run.folder)
    if run.is_main:
        text = json.dumps(settings(run), indent=1, ensure_ascii=False)
        checkpoint.write_text(run.folder / "train.json", text)


def save(run: "Run") -> Path | None:
    """Writes a checkpoint of this very moment, and the history beside it; only the main process does."""
    sums = run.whole_sums()  # also makes the processes wait for one another
    slots, groups = checkpoint.flatten_optimizer(run.optimizer.optimizer)
    model = run.tensors()
    if run.sharded:  # the parts are put together, with every process's help
        model, slots = sharding.whole(model, run.is_main), sharding.whole(slots, run.is_main)
    if not run.is_main:
        return None
    scaler = run.accelerator.scaler
    tensors = {
        "model": model,
        "optimizer": slots,
        "rest": {"sums": sums} | {f"rng.{k}": v for k, v in engine.rng_state(run.device).items()},
    }
    if run.best_tensors is not None and run.state.best["step"] != run.state.step:
        tensors["best"] = run.best_tensors
    values = {
        "state": dataclasses.asdict(run.state) | {"seconds": run.seconds},
        "settings": settings(run),
        "optimizer": groups,
        "schedule": run.schedule.state_dict(),
        "scaler": None if scaler is None else scaler.state_dict(),
    }
    path = checkpoint.save(run.folder / "checkpoints", run.state.step, tensors, values, run.config.keep)
    _write_history(run)
    return path


def _write_history(run: "Run") -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in run.state.rows)
    checkpoint.write_text(run.folder / "history.jsonl", lines)


def check(run: "Run", saved: checkpoint.Checkpoint) -> None:
    """Raises ConfigError if a checkpoint is another run's."""
    engine.check_same_run(saved.state["settings"], settings(run))


def restore(run: "Run", saved: checkpoint.Checkpoint) -> None:
    """Puts a run back to where a checkpoint was taken."""
    values, tensors = saved.state, saved.tensors
    engine.load_tensors(run.inner_model, tensors["model"])
    slots = sharding.optimizer_parts(tensors["optimizer"], run.parameters)
    checkpoint.restore_optimizer(run.optimizer.optimizer, slots, values["optimizer"])
    run.schedule.load_state_dict(values["schedule"])
    if run.accelerator.scaler is not None and values["scaler"]:
        run.accelerator.scaler.load_state_dict(values["scaler"])
    run.state = engine.State(**values["state"])
    if run.state.best is not None and run.config.keep_best:
        run.best_tensors = tensors.get("best") or {k: v.clone() for k, v in tensors["model"].items()}
    if run.state.step_in_epoch:
        run.sums = tensors["rest"]["sums"].to(run.sums.device)
        if not run.is_main:
            run.sums[0] = 0.0  # the loss so far, of all processes: the first one carries it on
        rng = {k.removeprefix("rng."): v for k, v in tensors["rest"].items() if k.startswith("rng.")}
        run.resume_rng = rng if run.rank == 0 else None
    if run.is_main:
        _write_history(run)  # a kill may have come between the checkpoint and its history
    run.state.warn_if_finished(run.folder)
