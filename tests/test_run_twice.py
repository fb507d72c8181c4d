"""Every lesson is run as people run it: exercises in any order, Run All, and Run All again in the same kernel.

Slow: a kernel a lesson, for twice the time of a trimmed run: some five minutes on two cores in all.
"""

import ast
from pathlib import Path

import nbformat
import pytest

SOURCES = sorted((Path(__file__).resolve().parent.parent / "notebooks" / "source").glob("[0-9]*.py"))


def tagged(notebook: nbformat.NotebookNode, tag: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def imports(notebook: nbformat.NotebookNode) -> str:
    """Everything that a lesson imports, wherever it does."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            plain = "\n".join(
                "" if line.startswith(("%", "!")) else line for line in cell.source.splitlines()
            )
            found += [
                ast.unparse(n) for n in ast.parse(plain).body if isinstance(n, ast.Import | ast.ImportFrom)
            ]
    return "\n".join(found)


def verdict(cell: nbformat.NotebookNode) -> str:
    """What a check has shown."""
    return "\n".join(o.data["text/plain"] for o in cell.outputs if "data" in o)


@pytest.mark.slow
@pytest.mark.parametrize("source", [pytest.param(s, id=s.stem) for s in SOURCES])
def test_exercises_in_reverse_then_run_all_twice(builder, source):
    """One kernel, in which every cell runs at least twice.

    1. The set-up cell and the lesson's imports, and nothing else of it; then the exercises from the last to the first,
       each as it is handed out, and solved.
    2. Run All of the learner's edition, in the variables that the first act has left.
    3. Run All of the solved edition: what a learner does who has solved everything meanwhile.
    """
    learner, solved = (builder.assemble(source, edition) for edition in ("learner", "solutions"))
    parts = [tagged(learner, "exercise"), tagged(solved, "solution"), tagged(solved, "check")]
    assert len({len(part) for part in parts}) == 1, "an exercise has a stub, a solution and a check"
    first = [tagged(learner, "setup")[0], nbformat.v4.new_code_cell(imports(solved))]
    for stub, solution, check in reversed(list(zip(*parts, strict=True))):
        first += [stub, check, solution, check]
    acts = [first, learner.cells, solved.cells]
    whole = learner.copy()  # for its metadata: a check that fails says so, and raises nothing
    cells = [(number, cell) for number, act in enumerate(acts) for cell in act if cell.cell_type == "code"]
    whole.cells = [nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata) for _, cell in cells]

    builder.execute(whole, quick=True, timeout=600, threads=1)

    assert builder.problems(whole) == []
    checks = [
        (number, verdict(ran))
        for (number, cell), ran in zip(cells, whole.cells, strict=True)
        if "check" in cell.metadata.get("tags", [])
    ]
    expected = [
        ["not done yet", "✓"] * len(parts[0]),
        ["not done yet"] * len(parts[0]),
        ["✓"] * len(parts[0]),
    ]
    for act, words in enumerate(expected):
        shown = [text for number, text in checks if number == act]
        assert len(shown) == len(words)
        for text, word in zip(shown, words, strict=True):
            assert word in text, f"act {act + 1}: {text}"
