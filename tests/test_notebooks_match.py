"""Committed notebooks are what their sources say, show their output, and hold nothing that does not belong."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
SOURCES = sorted((NOTEBOOKS / "source").glob("[0-9]*.py"))
BUILT = [
    pytest.param(s, edition, id=f"{s.stem}-{edition}")
    for s in SOURCES
    for edition in ("learner", "solutions")
]
SETUP = """\
import importlib.util, os, subprocess, sys
if importlib.util.find_spec("kolab") is None:  # Colab, Kaggle: no clone around this file
    source = os.environ.get("KOLAB_SOURCE", "")
    if not source:
        raise SystemExit("kolab is not installed. In a cell above, run `%env KOLAB_SOURCE=git+https://…` with the address of the course's repository, or with a folder that holds it; then run this cell again.")
    if subprocess.call([sys.executable, "-m", "pip", "install", "-q", source]):
        raise SystemExit(f"pip could not install kolab from {source}: the reason stands above. Is the address right, and is there a network? On Kaggle it is off at first: Settings → Internet (after a phone check). Then run this cell again.")
import kolab as kl
kl.setup()"""


def read(builder, source, edition):
    return nbformat.read(builder.target(source, edition), as_version=4)


@pytest.mark.parametrize("source, edition", BUILT)
def test_source_and_notebook_differ_in_nothing_but_outputs(builder, source, edition):
    assert builder.difference(source, edition) == ""


@pytest.mark.parametrize("source, edition", BUILT)
def test_outputs_are_there_and_clean(builder, source, edition):
    notebook = read(builder, source, edition)
    nbformat.validate(notebook)
    assert builder.problems(notebook) == []
    ran = [c.execution_count for c in notebook.cells if c.cell_type == "code"]
    assert ran == list(range(1, len(ran) + 1)), "not run from top to bottom, once"


@pytest.mark.parametrize("source, edition", BUILT)
def test_editions_hold_what_they_should(builder, source, edition):
    tags = [t for c in read(builder, source, edition).cells for t in c.metadata.get("tags", [])]
    assert builder.LEFT_OUT[edition] not in tags
    assert {"setup", "check", "exercise" if edition == "learner" else "solution"} <= set(tags)


@pytest.mark.parametrize("source, edition", BUILT)
def test_the_committed_run_was_a_full_one(builder, source, edition):
    assert "quick mode" not in json.dumps(read(builder, source, edition), ensure_ascii=False)


@pytest.mark.parametrize("source, edition", BUILT)
def test_all_checks_of_the_solved_edition_are_green_and_none_of_the_learners(builder, source, edition):
    cells = [c for c in read(builder, source, edition).cells if "check" in c.metadata.get("tags", [])]
    for cell in cells:
        text = "\n".join(o.data["text/plain"] for o in cell.outputs if "data" in o)
        assert ("✓" if edition == "solutions" else "not done yet") in text, cell.source


@pytest.mark.parametrize("source", [pytest.param(s, id=s.stem) for s in SOURCES])
def test_every_lesson_begins_alike_and_speaks_both_languages(source, builder):
    notebook = builder.assemble(source, "learner")
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert code[0].source == SETUP and "setup" in code[0].metadata.tags
    prose = [c for c in notebook.cells if c.cell_type == "markdown"]
    assert re.match(rf"# {int(source.stem[:2])}\. ", prose[0].source), "the first cell is the numbered title"
    assert "you will be able to" in prose[0].source
    for english, korean in zip(prose[::2], prose[1::2], strict=True):
        assert english.metadata.get("tags") == ["en"] and korean.metadata.get("tags") == ["ko"]
        assert re.search("[가-힣]", korean.source)
    everything = "\n".join(c.source for c in code)
    assert "kl.predict(" in everything and "kl.reveal(" in everything


# --- the builder ---------------------------------------------------------------------------------------------

LESSON = f"""\
# %% [markdown] tags=["en"]
# # 99. Try

# %% tags=["setup"]
{SETUP}

# %% tags=["exercise"]
def f(x):
    ...

# %% tags=["solution"]
def f(x):
    return x

# %%
print(1)

# %%
print(1)
"""


@pytest.fixture
def course(builder, tmp_path, monkeypatch):
    """A course of one small lesson."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "99_try.py").write_text(LESSON, encoding="utf-8")
    monkeypatch.setattr(builder, "NOTEBOOKS", tmp_path)
    return tmp_path / "source" / "99_try.py"


def test_two_editions(builder, course):
    learner, solved = (builder.assemble(course, e) for e in ("learner", "solutions"))
    assert "..." in learner.cells[2].source and "return x" in solved.cells[2].source
    assert len(learner.cells) == len(solved.cells) == 5


def test_building_is_deterministic_and_ids_are_unique(builder, course):
    one, two = (nbformat.writes(builder.assemble(course, "learner")) for _ in range(2))
    assert one == two
    ids = [c["id"] for c in json.loads(one)["cells"]]
    assert len(set(ids)) == len(ids) == 5


def test_a_new_cell_leaves_the_other_ids_alone(builder, course):
    before = [c.id for c in builder.assemble(course, "learner").cells]
    course.write_text(
        LESSON.replace('# %% tags=["setup"]', '# %%\nx = 1\n\n# %% tags=["setup"]'), encoding="utf-8"
    )
    after = [c.id for c in builder.assemble(course, "learner").cells]
    assert [i for i in after if i in before] == before


def test_without_an_address_there_is_no_link(builder, course):
    assert "colab.research" not in nbformat.writes(builder.assemble(course, "learner"))


def test_with_an_address_there_is_a_badge_and_a_source(builder, course):
    for edition, path in (("learner", "notebooks/"), ("solutions", "notebooks/solutions/")):
        folder = builder.NOTEBOOKS.name  # stands for notebooks/ here
        notebook = builder.assemble(course, edition, repo="someone/course", branch="dev")
        link = f"https://colab.research.google.com/github/someone/course/blob/dev/{path}99_try.ipynb"
        assert link.replace("/notebooks/", f"/{folder}/") in notebook.cells[1].source
        setup = next(c for c in notebook.cells if "setup" in c.metadata.get("tags", []))
        assert 'get("KOLAB_SOURCE", "git+https://github.com/someone/course@dev")' in setup.source


def test_check_finds_a_notebook_that_is_out_of_date(builder, course, capsys):
    assert builder.main(["--no-run"]) == 0
    assert builder.main(["--check"]) == 0
    course.write_text(LESSON.replace("# # 99. Try", "# # 99. Try again"), encoding="utf-8")
    assert builder.main(["--check", "99"]) == 1
    assert "differs from its source at cell 1: '# 99. Try again'" in capsys.readouterr().err


def test_no_run_keeps_outputs_only_where_the_code_is_the_same(builder, course):
    builder.main(["--no-run"])
    path = builder.target(course, "learner")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[3].outputs = [nbformat.v4.new_output("stream", text="1\n")]
    nbformat.write(notebook, path)
    course.write_text(LESSON.replace("# # 99. Try", "# # 99. Words"), encoding="utf-8")
    builder.main(["--no-run"])
    assert nbformat.read(path, as_version=4).cells[3].outputs[0].text == "1\n"
    course.write_text(LESSON.replace("print(1)", "print(2)"), encoding="utf-8")
    builder.main(["--no-run"])
    assert nbformat.read(path, as_version=4).cells[3].outputs == []


@pytest.mark.parametrize(
    "text, found",
    [
        ("all is well", 0),
        ("UserWarning: something", 1),
        ("Glyph 44032 (\\N{HANGUL}) missing from font(s) DejaVu Sans.", 1),
        (f"{ROOT}/data/x.json", 2),
        (f"{Path.home()}/.kolab", 1),
    ],
)
def test_what_may_not_be_in_an_output(builder, text, found):
    cell = nbformat.v4.new_code_cell("x", outputs=[nbformat.v4.new_output("stream", text=text)])
    problems = builder.problems(nbformat.v4.new_notebook(cells=[cell]))
    assert len(problems) >= min(found, 1) and (found or not problems)


def test_an_error_stops_the_build_and_leaves_the_old_file(builder, course, capsys):
    builder.main(["--no-run"])
    path = builder.target(course, "learner")
    before = path.read_bytes()
    course.write_text(LESSON.replace("print(1)\n\n", "1 / 0\n\n"), encoding="utf-8")
    assert builder.main(["--edition", "learner", "--quick"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert path.read_bytes() == before and not list(path.parent.glob("*.tmp"))


def test_unknown_names_and_addresses_are_refused(builder, course):
    with pytest.raises(SystemExit, match="no lesson begins with '42'"):
        builder.main(["42"])
    with pytest.raises(SystemExit):
        builder.main(["--repo", "not an address"])


def test_the_script_runs_by_itself():
    done = subprocess.run(
        [sys.executable, str(NOTEBOOKS / "build.py"), "--help"], capture_output=True, text=True, check=True
    )
    assert "--repo" in done.stdout


def test_two_runs_differ_in_no_name_that_chance_gave(builder):
    def run():
        table = pd.DataFrame({"a": [1, 2]}).style  # pandas gives each a name of its own
        outputs = [
            nbformat.v4.new_output("execute_result", data={"text/html": html, "text/plain": f"{object()!r}"})
            for html in (
                table.to_html(),
                table.set_properties(color="red").to_html(),
                table.to_html(uuid="b"),
            )
        ]
        cell = nbformat.v4.new_code_cell("1", outputs=outputs)
        notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kolab": {}})
        builder.tidy(notebook)
        return [output.data for output in cell.outputs]

    first, second = run(), run()
    assert first == second
    names = [re.search('<table id="(.+?)"', data["text/html"])[1] for data in first]
    assert names[0] == "T_00000" and names[2] == "T_b", names
    assert f"#{names[1]}_row0_col0" in first[1]["text/html"], "the style has to fit the table's name"
