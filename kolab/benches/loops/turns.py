"""Loops that take turns, each in a process of its own: what one leaves behind in memory is not there for the next."""

import contextlib
import importlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from kolab import measure
from kolab.benches.loops import task

_task: task.Task | None = None  # in a process of a loop: what it trains
_IMPORTS = {"trainer": "transformers.trainer", "lightning": "lightning"}


@contextlib.contextmanager
def process(begin: Callable[..., None], *args: Any) -> Iterator[Callable[..., Any]]:
    """A process that begins with `begin(*args)`; what comes out runs a function in it and waits for the result.

    The libraries are imported once for all processes, where the system can fork.
    """
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(1, context, initializer=_quietly)
    try:
        begun = pool.submit(begin, *args)  # starts the process, and does not wait

        def call(function: Callable[..., Any], *values: Any) -> Any:
            begun.result()  # an error in there keeps its own type
            return pool.submit(function, *values).result()

        yield call
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _quietly() -> None:
    from kolab import doctor

    doctor.quieten()
    # A loader's workers are to start as they do in any program, not as this process did: that takes seconds.
    multiprocessing.set_start_method(None, force=True)


def begin(way: str, reviews: int) -> None:
    """In a loop's process: load the model, make the batches, import what the loop will import."""
    global _task
    with task.silent():
        _task = task.Task(way, reviews)
    if way in _IMPORTS:
        importlib.import_module(_IMPORTS[way])


def first() -> dict[str, Any]:
    """In a loop's process: an epoch that warms up, its memory, its padding, and the weights it ends with."""
    with measure.peak_memory() as memory:
        _task.epoch()
    return {"peak_mib": memory.mib, "weights": _task.weights().numpy(), **_task.padding()}


def epoch() -> dict[str, float]:
    """In a loop's process: an epoch from the first weights; see `ways.run`."""
    return _task.epoch()


def net(times: dict[str, float]) -> float:
    """An epoch's seconds from the first batch that goes into the model to the end; making a trainer is in `setup`."""
    return times["seconds"] - times["setup"]


def rounds(
    loops: Mapping[str, Callable[..., Any]], repeats: int, ledger: Any, say: Callable[[str], None] = print
) -> list[dict[str, dict[str, float]]]:
    """`repeats` rounds in which each loop trains one epoch, every round beginning with another one.

    A round that the ledger knows is not run again.
    """
    names, found = list(loops), []

    def one(turn: int) -> dict[str, dict[str, float]]:
        shift = turn % len(names)
        return {name: loops[name](epoch) for name in names[shift:] + names[:shift]}

    for turn in range(repeats):
        row = ledger.get({"round": turn}, lambda turn=turn: one(turn))
        found.append(row)
        seconds = {name: round(net(times), 2) for name, times in row.items()}
        say(f"round {turn + 1} of {repeats}: {json.dumps(seconds)}")
    return found
