"""The lowest versions that pyproject.toml allows are versions that the course runs with.

This is the quick part of `make test-matrix`: its oldest environment, but with the torch that is at hand, the core of
the unit tests, and one lesson. About three minutes on one core; it needs a network for pip and uv.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
CORE = ("batching", "losses", "lora", "metrics", "model", "optim", "plots", "train", "widgets")


def call(*command, **environment) -> str:
    done = subprocess.run(
        [str(c) for c in command], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def lowest() -> dict[str, str]:
    """Lower bound of each requirement of the package and its tests, torch excepted."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(line) for line in [*project["dependencies"], *extras["docs"], *extras["test"]]]
    wanted = [r for r in wanted if r.name not in ("kolab", "torch")]
    bounds = {r.name: [s.version for s in r.specifier if s.operator == ">="] for r in wanted}
    assert all(len(found) == 1 for found in bounds.values()), bounds
    return {name: bound for name, (bound,) in bounds.items()}


@pytest.mark.slow
def test_the_oldest_versions_run_the_core_and_a_lesson(tmp_path):
    torch = importlib.metadata.version("torch").split("+")[0]
    ready = tmp_path / "oldest" / ".ready"
    call("make", f"MATRIX={tmp_path}", f"TORCH={torch}", f"PYTHON={sys.executable}", ready, MAKEFLAGS="")
    python = ready.parent / "bin" / "python"

    names = json.dumps(sorted(lowest()))
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names}}}))"
    installed = json.loads(call(python, "-c", code))
    assert len(installed) > 20
    higher = {n: v for n, v in installed.items() if Version(v) != Version(lowest()[n])}
    assert not higher, f"these lower bounds promise a version that nothing can be installed with: {higher}"

    pytest_here = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in call(*pytest_here, "-m", "not slow", *(f"tests/test_{name}.py" for name in CORE))
    lesson = "notebooks/solutions/00_start_here.ipynb"
    nbmake = ("--nbmake", "--nbmake-kernel=python3", "--nbmake-timeout=600")
    quick = {"KOLAB_QUICK": "1", "KOLAB_STRICT": "1", "KOLAB_HOME": str(tmp_path / "home")}
    assert "1 passed" in call(*pytest_here, *nbmake, lesson, **quick)
