"""A lesson on Colab or Kaggle: its ipynb alone in an empty folder, beside torch and the libraries that Colab has.

The slow test makes a new virtual environment for each lesson and runs what is committed, not what lies uncommitted in
the work tree. It needs a network for pip alone. On one core it takes about two minutes a lesson.
"""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
LIST = (ROOT / "tests" / "colab_versions.txt").read_text(encoding="utf-8")
COLAB = dict(line.split("==") for line in LIST.splitlines() if not line.startswith("#"))
NO_NETWORK = dict.fromkeys(
    ("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9"
)  # nothing listens
# Loaded by every Python that is started. Only pip may connect; what else tries is written down and fails.
GUARD = """\
import os, sys
def guard(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if host not in (None, "", "localhost", "127.0.0.1", "::1"):
        with open(os.environ["NETWORK_LOG"], "a") as log:
            print(sys.orig_argv, event, host, file=log)
        raise OSError(f"no network but pip's: {host}")
if not any("pip" in part.split(os.sep)[-1] for part in sys.orig_argv[1:3]):
    sys.addaudithook(guard)
"""


def setup_cell(notebook) -> str:
    return next(c.source for c in notebook.cells if "setup" in c.metadata.get("tags", []))


def call(*command, **options) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


class Colab:
    """An empty folder, a Python with only ipykernel, torch and Colab's versions, and a kernel on it."""

    def __init__(self, place: Path):
        self.place, self.empty = place, place / "content"
        self.python = place / "venv" / "bin" / "python"
        for folder in (self.empty, place / "guard"):
            folder.mkdir()
        (place / "guard" / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
        foreign = ("PYTHON", "VIRTUAL_ENV", "KOLAB_", "JUPYTER", "MPL", "TOKENIZERS", "HF_", "PYTEST")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)} | {
            "PYTHONPATH": str(place / "guard"),
            "NETWORK_LOG": str(place / "network.log"),
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(place / "hf"),
            "IPYTHONDIR": str(place / "ipython"),
            "MPLCONFIGDIR": str(place / "matplotlib"),
            "KOLAB_HOME": str(place / "home"),
            "KOLAB_QUICK": "1",
        }
        call(sys.executable, "-m", "venv", place / "venv")
        torch = importlib.metadata.version("torch").split("+")[0]
        self.run("-m", "pip", "install", "-q", "--no-deps", "--no-compile", f"torch=={torch}")
        uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        others = [f"{name}=={version}" for name, version in (COLAB | {"torch": torch}).items()]
        # pandas is not on the list: the newest that accepts the list's matplotlib
        call(uv, "pip", "install", "-q", "--python", self.python, "ipykernel", "pandas[plot]", *others)
        self.run("-m", "ipykernel", "install", "--prefix", place / "kernel", "--name", "bare")

    def run(self, *arguments) -> str:
        """Start this Python in the empty folder; returns what it prints."""
        return call(self.python, *arguments, cwd=self.empty, env=self.environment)

    def installed(self) -> dict[str, str]:
        code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
        return json.loads(self.run("-c", code))

    def torch_files(self) -> dict[str, str]:
        """File → sha256 of all that pip installed as torch."""
        (record,) = self.place.glob("venv/lib/python*/site-packages/torch-*.dist-info/RECORD")
        names = [
            line.rsplit(",", 2)[0].strip('"') for line in record.read_text(encoding="utf-8").splitlines()
        ]
        digests = {}
        for name in names:
            with (record.parent.parent / name).open("rb") as file:
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
        assert len(digests) > 1000
        return digests

    def execute(self, notebook, **environment) -> None:
        client = NotebookClient(
            notebook, kernel_name="bare", timeout=600, resources={"metadata": {"path": str(self.empty)}}
        )
        client.execute(env=self.environment | environment)


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no git clone, so pip cannot clone it")
@pytest.mark.parametrize("lesson, from_git", [("00_start_here", True), ("05_lora", False)])
def test_a_lesson_alone_in_an_empty_folder_runs_to_its_end(tmp_path, monkeypatch, lesson, from_git):
    clone = tmp_path / "clone"
    call("git", "clone", "-q", ROOT, clone)
    colab = Colab(tmp_path)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "kernel" / "share" / "jupyter"))
    shutil.copy(clone / "notebooks" / f"{lesson}.ipynb", colab.empty)
    notebook = nbformat.read(colab.empty / f"{lesson}.ipynb", as_version=4)
    with pytest.raises(AssertionError, match="no network but pip's"):  # the guard is on its post
        colab.run("-c", "import urllib.request as u; u.urlopen('http://192.0.2.1', timeout=5)")
    (tmp_path / "network.log").unlink()
    before, torch_before = colab.installed(), colab.torch_files()
    assert {k: v for k, v in before.items() if k in COLAB and k != "torch"}.items() <= COLAB.items()
    assert not {"kolab", "evaluate", "jsonargparse"} & set(before)

    first = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(setup_cell(notebook))])
    source = f"git+file://{clone}" if from_git else str(clone)
    with pytest.raises(CellExecutionError, match="(?s)pip could not install.*Internet"):
        colab.execute(first, KOLAB_SOURCE=source, PIP_RETRIES="0", **NO_NETWORK)
    assert colab.installed() == before

    colab.execute(notebook, KOLAB_SOURCE=source)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    shown = "".join(o.data["text/plain"] for o in code[0].outputs if "data" in o)
    assert "checksums right" in shown and "Hangul" in shown and "✗" not in shown, shown
    assert not [o for c in code for o in c.outputs if o.output_type == "error"]

    after = colab.installed()
    assert before.items() <= after.items(), "pip has replaced something that was there"
    assert colab.torch_files() == torch_before
    data = Path(colab.run("-c", "from kolab import data; print(data.DATA)").strip())
    assert data.resolve().is_relative_to((colab.place / "venv").resolve()) and (data / "kolab-mini").is_dir()
    assert not (tmp_path / "network.log").exists(), (tmp_path / "network.log").read_text()


@pytest.mark.parametrize(
    "source, says",
    [
        (None, r"KOLAB_SOURCE=git\+https"),
        (
            "git+https://example.invalid/owner/name",
            r"from git\+https://example\.invalid/owner/name.*Internet",
        ),
        ("a/folder/that/is/not/there", "from a/folder/that/is/not/there.*Internet"),
    ],
)
def test_the_first_cell_says_what_to_do_when_it_cannot_install(builder, tmp_path, source, says):
    # Python without site-packages has no kolab, and pip without a network cannot bring it.
    cell = setup_cell(builder.assemble(builder.sources(["00"])[0], "learner"))
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "KOLAB_SOURCE")
    } | NO_NETWORK
    environment |= {"PIP_RETRIES": "0", "PIP_DRY_RUN": "1"} | ({"KOLAB_SOURCE": source} if source else {})
    done = subprocess.run(
        [sys.executable, "-S", "-c", cell], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert re.search(says, done.stderr.splitlines()[-1]), done.stderr
    assert source is None or "error:" in done.stderr.lower(), "what pip says has to be seen"
