"""What ends a run before its time: a signal, or a loss that is no number."""

import signal
from typing import TYPE_CHECKING

import numpy as np
import torch

from kolab import diagnosis, engine, resume
from kolab.errors import TrainingError

if TYPE_CHECKING:
    from kolab.run import Run


def asked_for(run: "Run") -> bool:
    """Whether a signal has come that asks to stop, to this process or to another."""
    if run.world == 1:
        return run.signals.received is not None
    flag = torch.tensor(float(run.signals.received is not None), device=run.device)
    return bool(run.accelerator.reduce(flag, "sum") > 0)  # one process's signal stops them all


def interrupt(run: "Run") -> None:
    """Saves, and raises Interrupted, which says where the run stands and how to go on."""
    number = run.signals.received or signal.SIGTERM
    where = f"Stopped by {signal.Signals(number).name} after step {run.state.step} of {run.total_steps}. "
    if run.folder is None:
        where += "Nothing was saved (folder is None); the model holds the weights of that step."
    else:
        if run.state.step_in_epoch or run.config.save_every != "epoch":
            resume.save(run)
        where += f"Saved in {run.folder}; go on with resume=True (--resume on the command line)."
    run.bring_home()
    error = engine.Interrupted(where)
    error.signal_number = number
    raise error


def on_nan(run: "Run") -> None:
    """Raises TrainingError, with the likely causes, when the loss is no number any more."""
    value = float(run.sums[0])
    if np.isfinite(value):
        return
    tokenizer = getattr(run.loaders, "tokenizer", None)
    raise TrainingError(
        diagnosis.not_a_number(run.state.step, run.window, value, tokenizer, run.inner_model, run.config)
    )
