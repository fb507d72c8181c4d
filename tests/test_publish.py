"""`make notebooks REPO=owner/name`: the badges, the default source, and nothing else; without it no link."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
COLAB = "colab.research.google.com/github/"


def make(course: Path, *arguments: str) -> subprocess.CompletedProcess:
    """`make notebooks` in a copy of the course, with the virtual environment that runs this test, taken as it is."""
    ready = f"{sys.prefix}/.ready"
    command = ["make", "-o", ready, f"VENV={sys.prefix}", "notebooks", *arguments]
    return subprocess.run(command, cwd=course, capture_output=True, text=True)


@pytest.fixture
def course(tmp_path):
    """A copy of what `make notebooks` reads and writes, without lessons that the test does not need."""
    (tmp_path / "notebooks" / "solutions").mkdir(parents=True)
    (tmp_path / "notebooks" / "source").mkdir()
    for name in (
        "Makefile", "pyproject.toml", "constraints.txt", "notebooks/build.py", "notebooks/colab_link.py",
        "notebooks/source/00_start_here.py",
        "notebooks/00_start_here.ipynb", "notebooks/solutions/00_start_here.ipynb",
    ):  # fmt: skip
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def built(course: Path) -> dict[str, bytes]:
    return {
        p.relative_to(course).as_posix(): p.read_bytes() for p in sorted(course.glob("notebooks/**/*.ipynb"))
    }


def outputs(raw: bytes) -> list:
    return [c["outputs"] for c in json.loads(raw)["cells"] if c["cell_type"] == "code"]


def test_an_address_is_written_changed_and_taken_out_again(course, builder, monkeypatch):
    before = built(course)
    assert len(before) == 2

    def look(repo, branch, source):
        for name, raw in built(course).items():
            notebook = nbformat.reads(raw.decode(), as_version=4)
            nbformat.validate(notebook)
            link = f"https://{COLAB}{repo}/blob/{branch}/{name}"
            assert notebook.cells[1].source.endswith(f"]({link})") and raw.count(COLAB.encode()) == 1
            setup = next(c for c in notebook.cells if "setup" in c.metadata.get("tags", []))
            assert f'get("KOLAB_SOURCE", "{source}")' in setup.source
            assert outputs(raw) == outputs(before[name]), "an address is no reason to run a lesson again"

    done = make(course, "REPO=some-one/kolab.course")
    assert done.returncode == 0, done.stderr
    look("some-one/kolab.course", "main", "git+https://github.com/some-one/kolab.course")

    monkeypatch.setattr(builder, "NOTEBOOKS", course / "notebooks")
    assert builder.main(["--repo", "other/course", "--branch", "v1/dev"]) == 0
    look("other/course", "v1/dev", "git+https://github.com/other/course@v1/dev")
    after = built(course)
    assert builder.main(["--check"]) == builder.main(["--no-run"]) == 0
    assert built(course) == after, "a later build keeps the address"

    assert make(course, "REPO=none").returncode == 0
    assert built(course) == before


@pytest.mark.parametrize(
    "repo, says",
    [
        ("some one/kolab", "not 'some one/kolab'"),
        ('it\'s/"kolab"', "wants owner/name"),
    ],
)
def test_make_refuses_what_is_no_repository(course, repo, says):
    before = built(course)
    done = make(course, f"REPO={repo}")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert re.search(f"argument --repo: .*{says}", done.stderr), done.stderr
    assert built(course) == before


@pytest.mark.parametrize(
    "repo",
    [
        "",
        "/",
        "a/",
        "/b",
        "a/b/c",
        "a//b",
        "a-/b",
        "a/..",
        "a/b.git",
        "한글/강의",
        "a/b?x",
    ],
)
def test_other_words_that_are_no_repository(builder, repo, capsys):
    with pytest.raises(SystemExit):
        builder.main(["--repo", repo])
    assert "wants owner/name" in capsys.readouterr().err


@pytest.mark.parametrize(
    "before, after", [("https://", ""), ("git@", ".git"), ("http://www.", "/"), ("", "")]
)
def test_a_whole_address_is_answered_with_what_to_write(builder, before, after, capsys):
    text = f"{before}github.com{':' if '@' in before else '/'}some-one/kolab{after}"
    with pytest.raises(SystemExit):
        builder.main(["--repo", text])
    assert f"write some-one/kolab for {text}" in capsys.readouterr().err


def test_a_branch_has_to_be_one(builder, capsys):
    with pytest.raises(SystemExit):
        builder.main(["--repo", "a/b", "--branch", "two words"])
    assert "wants the name of a branch" in capsys.readouterr().err


def test_no_notebook_ships_a_link_that_leads_nowhere():
    paths = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/solutions/*.ipynb")]
    assert len(paths) >= 26
    for path in paths:
        raw = path.read_text(encoding="utf-8")
        repo = json.loads(raw)["metadata"]["kolab"].get("repo")
        assert raw.count(COLAB) == (1 if repo else 0), path.name
        assert re.findall(r"git\+https://[\w.]+", raw) == (["git+https://github.com"] if repo else []), (
            path.name
        )
