"""What every exercise must do, three hints for it, and the wrong answers that are known.

One file a lesson (`lesson_04.py` holds `EXERCISES`). A check is a function of the learner's answer: it returns
nothing when the answer is right, raises `NotDone` for a stub and `Wrong` with a diagnosis otherwise. Write checks
with the helpers below: `run` calls the learner's code and turns a crash into a diagnosis, `close` and `same_shape`
name what is off, `fresh_seed` gives new random inputs each time that the message lets one repeat.
"""

from __future__ import annotations

import dis
import functools
import importlib
import inspect
import linecache
import pkgutil
import random
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from kolab.environment import number


class NotDone(Exception):
    """The exercise is still the stub."""


class Wrong(Exception):
    """The answer is wrong; the text says what is wrong, in words one can act on."""


@dataclass(frozen=True)
class WrongAnswer:
    """An answer that is known to be wrong, and words that the check's diagnosis of it must contain."""

    answer: Any
    diagnosis: str


@dataclass(frozen=True)
class Exercise:
    """One exercise. `check(answer)` returns None when right, raises `NotDone` or `Wrong` otherwise.

    id: lesson and number, "4.1". difficulty: 1 to 5. hints: nudge, skeleton, nearly there.
    solution: only where the lesson's `solution` cell cannot serve (tests take it from there).
    """

    id: str
    title: str
    difficulty: int
    minutes: int
    check: Callable[[Any], None]
    hints: tuple[str, str, str]
    wrong: tuple[WrongAnswer, ...]
    solution: Any = None

    def __post_init__(self):
        object.__setattr__(self, "check", _guarded(self.check))


def exercises() -> dict[str, Exercise]:
    """All exercises of all lessons, by id, in the order of the course."""
    found: dict[str, Exercise] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name.startswith("lesson_")):
        for exercise in importlib.import_module(f"{__name__}.{module}").EXERCISES:
            if exercise.id in found:
                raise ValueError(f"two exercises have the id {exercise.id}")
            found[exercise.id] = exercise
    return found


def find(id: str) -> Exercise:
    """The exercise with this id. Imports only its own lesson's checks; KeyError names the ids there are."""
    lesson = re.match(r"\d+", str(id))
    name = f"lesson_{int(lesson[0]):02d}" if lesson else ""
    if any(m.name == name for m in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        for exercise in module.EXERCISES:
            if exercise.id == str(id):
                return exercise
    raise KeyError(f"no exercise {id!r}; there are: {', '.join(exercises())}")


# --- calling the learner's code ------------------------------------------------------------------------------


def run(answer: Callable, *args, none_is_stub: bool = True, **kwargs) -> Any:
    """Call the learner's `answer`; a crash becomes `Wrong`, with the error and the line it came from.

    none_is_stub: a function that returns nothing (or `...`) counts as not written yet. Set it to False where the
    answer works in place and rightly returns nothing.

    >>> run(lambda x: 1 / x, 0)
    Traceback (most recent call last):
    kolab.checks.Wrong: your code stops with ZeroDivisionError: division by zero ...
    """
    if answer is None or answer is Ellipsis or is_stub(answer):
        raise NotDone
    if not callable(answer):
        raise Wrong(f"expected a function here, but got {_describe(answer)}")
    try:
        result = answer(*args, **kwargs)
    except (NotDone, Wrong):
        raise
    except NotImplementedError:
        raise NotDone from None
    except Exception as error:
        raise Wrong(_crash(error, answer)) from error
    if none_is_stub and (result is None or result is Ellipsis):
        raise NotDone
    return result


def is_stub(answer: Any) -> bool:
    """Whether a function's body (or every method of a class) is only `...`, `pass`, or a docstring.

    >>> def stub(x):
    ...     "to do"
    ...     ...
    >>> is_stub(stub), is_stub(lambda x: x)
    (True, False)
    """
    if inspect.isclass(answer):
        own = [f for f in vars(answer).values() if inspect.isfunction(f)]
        return bool(own) and all(is_stub(f) for f in own)
    code = getattr(inspect.unwrap(answer) if callable(answer) else answer, "__code__", None)
    if code is None:
        return False
    real = [i for i in dis.get_instructions(code) if i.opname not in ("RESUME", "NOP", "COPY_FREE_VARS")]
    return all(i.opname in ("LOAD_CONST", "RETURN_CONST", "RETURN_VALUE") for i in real) and all(
        i.argval in (None, Ellipsis) for i in real if i.opname != "RETURN_VALUE"
    )


def _guarded(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """A check around which a stub is found, a crash becomes a diagnosis, and the random state is left alone."""

    @functools.wraps(check)
    def guarded(answer: Any) -> None:
        if answer is None or answer is Ellipsis or is_stub(answer):
            raise NotDone
        _seeds.clear()
        try:
            with _random_state_kept():
                check(answer)
        except (NotDone, Wrong) as verdict:
            if isinstance(verdict, Wrong) and _seeds:
                verdict.args = (f"{verdict} (random inputs: seed {_seeds[-1]})",)
            raise
        except NotImplementedError:
            raise NotDone from None
        except Exception as error:
            raise Wrong(_crash(error, answer)) from error

    return guarded


def _crash(error: Exception, answer: Any) -> str:
    """The error, and the line of the learner's code that it came from."""
    own = _file_of(answer)
    frames = traceback.extract_tb(error.__traceback__)
    mine = [f for f in frames if f.filename == own] or [f for f in frames if f.filename.startswith("<")]
    text = f"your code stops with {type(error).__name__}: {str(error).strip() or 'no message'}"
    if mine:
        line = (mine[-1].line or linecache.getline(mine[-1].filename, mine[-1].lineno)).strip()
        text += f" (line {mine[-1].lineno} of the cell{f': {line}' if line else ''})"
    return text


def _file_of(answer: Any) -> str | None:
    """The file (or the notebook cell's made-up file name) in which a function, class or object was written."""
    if inspect.isclass(answer) or not hasattr(answer, "__code__"):
        owner = answer if inspect.isclass(answer) else type(answer)
        functions = [f for f in vars(owner).values() if inspect.isfunction(f)]
        return functions[0].__code__.co_filename if functions else None
    return inspect.unwrap(answer).__code__.co_filename


# --- random inputs -------------------------------------------------------------------------------------------

_seeds: list[int] = []


def fresh_seed() -> int:
    """A new seed at each call; a `Wrong` raised afterwards names it. KOLAB_CHECK_SEED=123 repeats that case.

    `torch.Generator().manual_seed(fresh_seed())` or `np.random.default_rng(fresh_seed())`.
    """
    fixed = number("KOLAB_CHECK_SEED", None)
    seed = random.SystemRandom().randrange(1_000_000) if fixed is None else fixed
    _seeds.append(seed)
    return seed


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Whatever a check draws, the lesson's own random numbers afterwards are the same as without it."""
    import torch

    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])


# --- assertions whose message names the offending thing -----------------------------------------------------


def expect(condition: Any, message: str) -> None:
    """Raise `Wrong(message)` unless the condition holds."""
    if not condition:
        raise Wrong(message)


def is_tensor(got: Any, name: str) -> None:
    """`got` must be a torch tensor."""
    import torch

    expect(isinstance(got, torch.Tensor), f"{name} should be a torch.Tensor, but it is {_describe(got)}")


def same_shape(got: Any, shape: tuple[int, ...], name: str, hint: str = "") -> None:
    """The tensor or array `got` must have this shape.

    >>> same_shape(np.zeros((2, 3)), (3, 2), "the mask")
    Traceback (most recent call last):
    kolab.checks.Wrong: the mask has shape (2, 3), it should be (3, 2)
    """
    expect(
        hasattr(got, "shape"),
        f"{name} should be a tensor of shape {tuple(shape)}, but it is {_describe(got)}",
    )
    if tuple(got.shape) != tuple(shape):
        raise Wrong(f"{name} has shape {tuple(got.shape)}, it should be {tuple(shape)}{_tail(hint)}")


def close(
    got: Any, expected: Any, name: str, *, rtol: float = 1e-4, atol: float = 1e-5, hint: str = ""
) -> None:
    """Numbers, arrays or tensors must agree; the message names the place and the size of the worst difference.

    hint: the likely mistake, added to the message.

    >>> close([0.5, 0.25], [0.5, 0.5], "the weights", hint="did you divide by the sum?")
    Traceback (most recent call last):
    kolab.checks.Wrong: the weights: at [1] it is 0.25, it should be 0.5; did you divide by the sum?
    """
    got, expected = _array(got, name), _array(expected, name)
    same_shape(got, expected.shape, name, hint)
    bad = ~np.isclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)
    if not bad.any():
        return
    difference = np.where(bad, np.abs(np.nan_to_num(got, nan=np.inf) - np.nan_to_num(expected)), -1)
    worst = np.unravel_index(int(difference.argmax()), difference.shape)
    where = f"at [{', '.join(map(str, worst))}] it" if got.ndim else "it"
    raise Wrong(f"{name}: {where} is {got[worst]:.6g}, it should be {expected[worst]:.6g}{_tail(hint)}")


def _array(value: Any, name: str) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.double().numpy() if value.is_floating_point() else value.numpy()
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise Wrong(f"{name} should be numbers, but it is {_describe(value)}") from None


def _describe(value: Any) -> str:
    """A value in a few words: its kind, and the value itself where that is short."""
    kind = "a function" if inspect.isroutine(value) else f"{type(value).__name__}"
    text = repr(value)
    return f"{kind} {text}" if len(text) <= 60 and not inspect.isroutine(value) else kind


def _tail(hint: str) -> str:
    return f"; {hint}" if hint else ""
