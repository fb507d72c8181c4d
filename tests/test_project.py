"""The files around the package agree with one another."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COLAB = dict(
    line.split("==")
    for line in (ROOT / "tests" / "colab_versions.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)


def requirements(*extras: str) -> set[str]:
    """Dependencies of pyproject.toml with these extras; kolab[docs] inside [test] is followed."""
    lines = [*PROJECT["dependencies"], *(r for e in extras for r in PROJECT["optional-dependencies"][e])]
    return {line for line in lines if not line.startswith("kolab[")}


def test_conda_has_the_same_ranges():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, *others = environment["dependencies"]
    assert python == f"python{PROJECT['requires-python']}"
    pip = next(d["pip"] for d in others if isinstance(d, dict))
    assert pip[0] == "-e ." and set(pip[1:]) == requirements("lab", "docs", "test")


@pytest.mark.parametrize("name", COLAB)
def test_colab_needs_no_other_version(name):
    ranges = {Requirement(line).name: Requirement(line) for line in requirements()}
    assert ranges[name].specifier.contains(COLAB[name])


def test_the_pins_are_exact_inside_the_ranges_and_complete():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(line.split("==") for line in text.splitlines() if line and not line.startswith("#"))
    assert all("+" not in version for version in pins.values()), (
        "a local version such as +cpu binds to one index"
    )
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    for line in requirements("lab", "docs", "test"):
        wanted = Requirement(line)
        assert wanted.specifier.contains(Version(pins[wanted.name.lower()])), line


def test_ci_runs_the_quick_and_the_slow_tests_and_fails_with_either(tmp_path):
    """With a `make` that only notes what it is asked for, and fails where it is told to."""
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "=== 1 passed in $1 ==="\n[ "$1" != "$FAILS" ]\n', encoding="utf-8")
    make.chmod(0o755)
    for fails, code in (("", 0), ("test", 1), ("test-slow", 1)):
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FAILS": fails}
        done = subprocess.run([ROOT / ".ci" / "run"], capture_output=True, text=True, env=os.environ | path)
        assert (done.returncode != 0) == bool(code), fails
        summary = done.stdout.split("--- summary")[1]
        assert "1 passed in test =" in summary and "1 passed in test-slow =" in summary


def test_make_alone_lists_the_targets():
    done = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True)
    for target in ("lab", "test", "test-slow", "notebooks", "lint", "results"):
        assert re.search(rf"^  make {target} +\S", done.stdout, re.MULTILINE), target


@pytest.mark.parametrize("version, words", [("3.10", "3.11 or newer"), ("nothing", "is not here")])
def test_a_python_that_will_not_do_is_said_in_one_line(tmp_path, version, words):
    python = tmp_path / "python-of-old"
    if version != "nothing":
        python.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.10.2\nexit 1\n', encoding="utf-8")
        python.chmod(0o755)
    command = ["make", "-s", "-C", str(ROOT), "lab", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and words in done.stdout and not (tmp_path / "venv").exists()


def test_nothing_links_to_an_address_that_nobody_has_given():
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "pyproject.toml"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"github\.com/(?!owner/name)[\w-]+/kolab", text, re.IGNORECASE), path.name
