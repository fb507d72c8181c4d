"""Every exercise is proved three ways: its solution passes, its stub does not, and each answer that is known to be
wrong fails with its own diagnosis. Solutions and stubs are taken from the lessons' sources.
"""

import ast
import functools
import importlib
import math
import random
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import jupytext
import numpy as np
import pandas as pd
import pytest
import torch

import kolab as kl
from kolab import checks
from kolab.checks import Exercise, NotDone, Wrong, WrongAnswer

SOURCES = sorted((Path(__file__).resolve().parent.parent / "notebooks" / "source").glob("[0-9]*.py"))
EXERCISES = checks.exercises()


class Place(NamedTuple):
    """Where an exercise stands in a lesson: the text above it, its stub and solution, and what is checked."""

    lesson: str
    text: str
    stub: list[str]
    solution: list[str]
    checked: str
    imports: list[str]


@functools.cache
def places() -> dict[str, list[Place]]:
    """Exercise id → the places where a lesson calls `kl.check` for it."""
    found: dict[str, list[Place]] = {}
    for source in SOURCES:
        cells = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent").cells
        imports = [i for c in cells if c.cell_type == "code" for i in _imports(c.source)]
        text, stub, solution = "", [], []
        for cell in cells:
            tags = cell.metadata.get("tags", [])
            if cell.cell_type == "markdown":
                if "Exercise" in cell.source and "ko" not in tags:
                    text = cell.source
            elif "exercise" in tags:
                stub.append(cell.source)
            elif "solution" in tags:
                solution.append(cell.source)
            elif "check" in tags:
                for id, checked in _calls(cell.source):
                    place = Place(source.stem, text, stub, solution, checked, imports)
                    found.setdefault(id, []).append(place)
                stub, solution = [], []
    return found


def _imports(source: str) -> list[str]:
    """The import statements at the top level of a cell (not those of the set-up cell's installing branch)."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a cell with shell or notebook magic
        return []
    return [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]


def _calls(source: str) -> list[tuple[str, str]]:
    """(id, expression) of every `kl.check(id, expression)` in a cell."""
    return [
        (node.args[0].value, ast.unparse(node.args[1]))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "kl.check"
    ]


def answer(place: Place, cells: list[str]):
    """Run an exercise's cells as a notebook would, and return what is handed to the check."""
    names = {"torch": torch, "np": np, "pd": pd, "kl": kl, "re": re, "random": random, "math": math}
    for statement in place.imports:
        exec(statement, names)
    for number, cell in enumerate(cells):
        exec(compile(cell, f"<{place.lesson} cell {number}>", "exec"), names)
    return eval(place.checked, names)


# --- three ways ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", EXERCISES)
def test_the_solution_passes(id):
    for place in places()[id]:
        for _ in range(3):  # on fresh random inputs each time
            assert EXERCISES[id].check(answer(place, place.solution)) is None


@pytest.mark.parametrize("id", EXERCISES)
def test_the_stub_is_not_done(id):
    for place in places()[id]:
        with pytest.raises(NotDone):
            EXERCISES[id].check(answer(place, place.stub))


WRONG = [(id, n) for id, exercise in EXERCISES.items() for n in range(len(exercise.wrong))]


def fails_with_its_own_diagnosis(id, number):
    known = EXERCISES[id].wrong[number]
    with pytest.raises(Wrong) as verdict:
        EXERCISES[id].check(known.answer)
    assert known.diagnosis in str(verdict.value)


@pytest.mark.parametrize("id, number", WRONG)
def test_a_known_wrong_answer_fails_with_its_own_diagnosis(id, number, monkeypatch):
    for seed in (1, 2, 3):  # the same inputs each time: what fails here fails for whoever looks into it
        monkeypatch.setenv("KOLAB_CHECK_SEED", str(seed))
        fails_with_its_own_diagnosis(id, number)


@pytest.mark.slow
@pytest.mark.parametrize("id, number", WRONG)
def test_it_does_so_whatever_is_drawn(id, number):
    for _ in range(3):
        fails_with_its_own_diagnosis(id, number)


def test_marks_side_by_side_by_chance_do_not_hide_that_words_are_torn(monkeypatch):
    monkeypatch.setenv("KOLAB_CHECK_SEED", "629509")
    fails_with_its_own_diagnosis("10.4", 0)


@pytest.mark.parametrize("id", EXERCISES)
def test_diagnoses_tell_mistakes_apart(id):
    assert len({w.diagnosis for w in EXERCISES[id].wrong}) >= 3, (
        "three kinds of mistakes, each with its own words"
    )


@pytest.mark.parametrize("id", EXERCISES)
@pytest.mark.parametrize("junk", [3, "text", lambda *a, **k: "nonsense", lambda *a, **k: 1 / 0, object])
def test_junk_is_diagnosed_and_never_crashes(id, junk):
    with pytest.raises((Wrong, NotDone)):
        EXERCISES[id].check(junk)


# --- what each exercise has to have --------------------------------------------------------------------------


def test_there_are_exercises():
    assert SOURCES and EXERCISES


@pytest.mark.parametrize("id", EXERCISES)
def test_an_exercise_is_complete(id):
    exercise = EXERCISES[id]
    assert re.fullmatch(r"\d{1,2}\.\d{1,2}", id) and exercise.title and 1 <= exercise.difficulty <= 5
    assert 1 <= exercise.minutes <= 60
    assert len(exercise.hints) == 3 and all(h.strip() for h in exercise.hints)
    assert len(exercise.wrong) >= 3 and all(
        isinstance(w, WrongAnswer) and w.diagnosis for w in exercise.wrong
    )
    assert id in places(), f"no lesson has a cell that calls kl.check({id!r}, …)"


@pytest.mark.parametrize("id", EXERCISES)
def test_the_lesson_says_what_the_exercise_is(id):
    exercise = EXERCISES[id]
    for place in places()[id]:
        assert place.lesson.startswith(f"{int(id.split('.')[0]):02d}_"), "it stands in another lesson"
        assert place.stub and place.solution
        dots = "●" * exercise.difficulty + "○" * (5 - exercise.difficulty)
        assert f"Exercise {id} " in place.text and f"{dots} · {exercise.minutes} min" in place.text
        assert f'kl.hint("{id}")' in place.text


def test_every_check_in_a_lesson_has_an_exercise():
    assert set(places()) == set(EXERCISES)
    for id, found in places().items():
        assert len({p.lesson for p in found}) == 1, id


def test_every_lesson_but_the_first_has_three_exercises():
    count = Counter(id.split(".")[0] for id in EXERCISES)
    for source in SOURCES:
        number = str(int(source.stem[:2]))
        assert count[number] >= (1 if number == "0" else 3), source.stem


# --- the frame itself ----------------------------------------------------------------------------------------


def made(check) -> Exercise:
    return Exercise("99.1", "title", 1, 1, check, ("a", "b", "c"), ())


def doubles(f):
    got = checks.run(f, torch.ones(2))
    checks.close(got, [2, 2], "the result")


@pytest.mark.parametrize("value", [None, ..., lambda x: None, lambda x: ...])
def test_stubs(value):
    with pytest.raises(NotDone):
        made(doubles).check(value)


def test_more_stubs():
    def to_do(x):
        raise NotImplementedError

    def documented(x):
        """Says what to do."""

    class Half:
        def __call__(self, x): ...

    for value in (to_do, documented, Half, Half()):
        with pytest.raises(NotDone):
            made(doubles).check(value)
    assert not checks.is_stub(lambda x: 0)
    assert not checks.is_stub(doubles)


def test_a_crash_names_the_error_and_the_learners_line():
    def crashes(x):
        total = x + 1
        return total["key"]

    with pytest.raises(Wrong, match=r"IndexError|TypeError") as verdict:
        made(doubles).check(crashes)
    assert 'return total["key"]' in str(verdict.value)
    assert str(Path(__file__).parent) not in str(verdict.value)


def test_a_crash_in_a_cell_names_the_line_without_a_file():
    names = {}
    exec(compile("def f(x):\n    y = x\n    return y.nothing\n", "<cell>", "exec"), names)
    with pytest.raises(Wrong, match=r"AttributeError: .*nothing.* \(line 3 of the cell\)"):
        made(doubles).check(names["f"])


def test_a_crash_outside_run_is_a_diagnosis_too():
    with pytest.raises(Wrong, match="ZeroDivisionError"):
        made(lambda answer: answer() + 1).check(lambda: 1 / 0)


def test_what_is_no_function():
    with pytest.raises(Wrong, match="expected a function here, but got int 3"):
        made(doubles).check(3)


@pytest.mark.parametrize(
    "got, words",
    [
        (torch.tensor([2.0, 3.0]), r"the result: at \[1\] it is 3, it should be 2"),
        (torch.ones(3), r"the result has shape \(3,\), it should be \(2,\)"),
        (torch.tensor([2.0, float("nan")]), r"at \[1\] it is nan"),
        ("word", "the result should be numbers, but it is str 'word'"),
        (torch.tensor([2, 5]), r"at \[1\] it is 5"),
    ],
)
def test_what_close_says(got, words):
    with pytest.raises(Wrong, match=words):
        made(doubles).check(lambda x: got)


def test_close_allows_rounding_and_any_kind_of_number():
    for got in (
        torch.tensor([2.0, 2 + 1e-6]),
        np.array([2, 2]),
        [2, 2.0],
        torch.tensor([2.0, 2.0]).bfloat16(),
    ):
        assert made(doubles).check(lambda x, got=got: got) is None


def test_random_inputs_can_be_repeated(monkeypatch):
    drawn = []

    def check(f):
        drawn.append(checks.fresh_seed())
        checks.expect(False, "no")

    for _ in range(2):
        with pytest.raises(Wrong, match=r"no \(random inputs: seed \d+\)"):
            made(check).check(doubles)
    assert drawn[0] != drawn[1]
    monkeypatch.setenv("KOLAB_CHECK_SEED", str(drawn[0]))
    with pytest.raises(Wrong, match=f"seed {drawn[0]}"):
        made(check).check(doubles)


def test_a_check_leaves_the_lessons_random_numbers_alone():
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = torch.rand(1).item(), np.random.rand(), random.random()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    made(lambda f: (torch.manual_seed(5), torch.rand(9), np.random.rand(9), random.random())).check(doubles)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected


def test_two_exercises_with_one_id_are_refused(monkeypatch):
    class Twice:
        EXERCISES = (made(doubles), made(doubles))

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", lambda name: Twice if "lesson_" in name else real(name))
    with pytest.raises(ValueError, match=r"two exercises have the id 99\.1"):
        checks.exercises()
