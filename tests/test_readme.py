"""The README says what is true: its links exist, and its tables are the recorded ones."""

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest

from kolab import measure

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def readme():
    """docs/readme.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_readme", ROOT / "docs" / "readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "data/README.md"])
def test_links_lead_somewhere(name):
    page = ROOT / name
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert link.startswith("http") or (page.parent / link).exists(), link


def test_every_lesson_is_in_the_table():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for source in (ROOT / "notebooks" / "source").glob("[0-9]*.py"):
        assert f"(notebooks/{source.stem}.ipynb)" in text


def test_the_results_are_the_recorded_ones(readme):
    tables = [t for name, title in readme.TABLES.items() if (t := readme.table(name, title))]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for table in tables:
        assert table in text, "run: make results"


def test_a_table_names_its_machine(readme, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "_results", lambda folder: tmp_path)
    measure.record("study", pd.DataFrame({"way": ["a|b"], "f1": [0.81234], "seeds": [3]}), seeds=3)
    text = readme.table("study", "A title")
    assert "**A title** (20" in text and "| a\\|b | 0.8123 | 3 |" in text and "<sub>seeds: 3</sub>" in text
    assert f"{measure.machine()['cores']} cores" in text or measure.machine()["gpu"]
    assert readme.table("nothing", "x") == ""


def test_only_what_stands_between_the_markers_changes(readme):
    text = "before\n<!-- results -->\nold\n<!-- /results -->\nafter"
    assert readme.between(text, "results", r"new \1") == text.replace("old", r"new \1")
    with pytest.raises(LookupError):
        readme.between("nothing here", "results", "new")


def test_a_figure_that_is_not_there_is_an_error(readme, tmp_path, monkeypatch):
    import nbformat

    (tmp_path / "notebooks" / "solutions").mkdir(parents=True)
    cell = nbformat.v4.new_code_cell("plot()")
    cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": "aGVsbG8="})]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "notebooks" / "solutions" / "x.ipynb")
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    assert readme.figure("x", "plot(") == b"hello"
    with pytest.raises(LookupError):
        readme.figure("x", "other(")
