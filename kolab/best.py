"""The best epoch: noticed after each one, waited for, and in the end what the run hands over."""

import logging
from typing import TYPE_CHECKING, Any

from kolab import checkpoint, engine, sharding
from kolab.errors import ConfigError

if TYPE_CHECKING:
    from kolab.run import Run

log = logging.getLogger("kolab.train")  # silent until somebody adds a handler


def keep(run: "Run", row: dict[str, Any]) -> None:
    """Keeps the weights of a row that is the best so far, and counts the epochs without an improvement that counts."""
    name = "validation_loss" if run.config.metric == "loss" else run.config.metric
    if "validation" not in run.loaders:
        return
    if name not in row:
        names = ", ".join(k for k in row if k not in ("epoch", "step", "seconds"))
        raise ConfigError(f"metric={run.config.metric!r} is not in the history, which has {names}.")
    state, config, sign = run.state, run.config, -1.0 if "loss" in name else 1.0
    # The best weights are the best, by however little; min_delta only says what is worth waiting for.
    value = sign * row[name]
    if state.best is None or value > sign * state.best[name]:
        state.best = row
        if config.keep_best:
            run.best_tensors = sharding.whole(run.tensors())
    if state.mark is None or value > state.mark + config.min_delta:
        state.mark, state.stale = value, 0
    else:
        state.stale += 1


def note(run: "Run", row: dict[str, Any], stale: bool) -> None:
    """A line an epoch, and one when training stops early; of several processes the first one writes."""
    if not run.is_main:
        return
    values = "  ".join(
        f"{k} {v:.4f}" for k, v in row.items() if isinstance(v, float) and k not in ("lr", "grad_norm")
    )
    mark = "  <- best so far" if run.state.best is row else ""
    log.info("epoch %d/%d  %s%s", row["epoch"], run.config.epochs, values, mark)
    if stale:
        log.info("early stopping: %d epochs without improvement", run.state.stale)


def hand_over(run: "Run") -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The history; the model has the best weights now, and `folder/best` holds them for others."""
    if run.best_tensors is not None:
        engine.load_tensors(run.plain_model, run.best_tensors)
    else:
        run.bring_home()
    if run.folder is not None and run.is_main and hasattr(run.plain_model, "save_pretrained"):
        with checkpoint.folder_for(run.folder / "best") as partial:
            with engine.own_forward(run.plain_model):  # Accelerate's wrapper does not belong in a file
                run.plain_model.save_pretrained(partial)
            if (tokenizer := getattr(run.loaders, "tokenizer", None)) is not None:
                tokenizer.save_pretrained(partial)
    run.plain_model.eval()
    return run.state.rows, run.state.best
