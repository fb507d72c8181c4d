"""What kl.setup() and `kolab doctor` find out."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kolab import doctor

ROOT = Path(__file__).resolve().parent.parent


def test_all_is_well_here():
    findings = doctor.examine()
    assert [f.what for f in findings if f.state == "bad"] == []


def test_a_version_outside_the_range_and_a_missing_package_come_with_a_cure(monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "evaluate":
            raise importlib.metadata.PackageNotFoundError(name)
        return "4.40.0" if name == "transformers" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    bad = {f.what: f.cure for f in doctor.versions() if f.state == "bad"}
    assert set(bad) == {"transformers 4.40.0 is outside <6,>=5.8", "evaluate is missing"}
    assert all("pip install" in cure and "restart" in cure for cure in bad.values())


def test_what_pip_has_replaced_under_a_running_kernel_asks_for_a_restart(tmp_path):
    # A real older package, loaded first as a kernel of Kaggle's loads matplotlib, and then no longer what is installed.
    (tmp_path / "yaml").mkdir()
    (tmp_path / "yaml" / "__init__.py").write_text("__version__ = '5.4.1'\n", encoding="utf-8")
    first = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import yaml; del sys.path[0]"
    code = f"{first}; import kolab as kl; kl.setup()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    installed = importlib.metadata.version("pyyaml")
    assert f"SetupError: pyyaml 5.4.1 is loaded, {installed} is installed" in done.stderr, done.stderr
    assert "restart the kernel" in done.stderr and done.returncode == 1


def test_nothing_is_stale_where_everything_is_loaded():
    for text in importlib.metadata.requires("kolab"):
        name = re.match(r"[\w-]+", text)[0]
        if "extra ==" not in text:
            importlib.import_module(
                {"scikit-learn": "sklearn", "pyyaml": "yaml"}.get(name, name.replace("-", "_"))
            )
    doctor.nothing_stale()


def test_extras_are_not_asked_for():
    assert not any("jupyterlab" in f.what or "nbmake" in f.what for f in doctor.versions())


@pytest.mark.parametrize("capability, words", [((9, 0), "bf16"), ((7, 5), "fp16 with loss scaling")])
def test_what_a_gpu_is_called(monkeypatch, capability, words):
    class Properties:
        total_memory = 15 * 2**30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda *_: Properties)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla T4")
    assert doctor.device().what == f"Tesla T4, 15 GiB · training precision {words}"


@pytest.mark.parametrize(("build", "words"), [(None, "a build for CPUs"), ("12.8", "a driver for CUDA 12.8")])
def test_a_gpu_that_torch_cannot_use_is_noticed(monkeypatch, build, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi" if name == "nvidia-smi" else None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (found,) = doctor.unused_gpu()
    assert found.state == "bad" and words in found.what and found.cure
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert doctor.unused_gpu() == [], "hidden on purpose"


def test_fetched_corpora_and_halves_of_them_are_listed(monkeypatch, tmp_path):
    monkeypatch.setenv("KOLAB_HOME", str(tmp_path))
    assert doctor.fetched() == []
    for name in ("nsmc/ratings_train.txt", "nsmc/ratings_test.txt", "kote/train.tsv", "kote/val.tsv.part"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("", encoding="utf-8")
    there, half = doctor.fetched()
    assert (
        there.what.startswith("fetched: nsmc, in")
        and half.state == "note"
        and "kolab fetch kote" in half.cure
    )


@pytest.fixture
def data(tmp_path):
    """A small data folder with its checksums."""
    (tmp_path / "폴더").mkdir()
    (tmp_path / "폴더" / "가(1).json").write_text("[]", encoding="utf-8")
    (tmp_path / "b.csv").write_text("text\n", encoding="utf-8")
    shutil.copy(ROOT / "data" / "checksums.py", tmp_path / "checksums.py")
    assert os.system(f"cd {tmp_path} && {shutil.which('python3') or 'python'} checksums.py > /dev/null") == 0
    return tmp_path


def test_data_as_they_should_be(data):
    assert doctor.data_files(data).what == "data: 2 files, 0 MB, checksums right"


def test_changed_and_missing_data_are_named(data):
    (data / "b.csv").write_text("text\nmore", encoding="utf-8")
    (data / "폴더" / "가(1).json").unlink()
    found = doctor.data_files(data)
    assert found.state == "bad" and "git checkout" in found.cure
    assert found.what == "data: b.csv is not what it was, 폴더/가(1).json is missing"


def test_no_data_at_all(tmp_path):
    found = doctor.data_files(tmp_path)
    assert found.state == "bad" and "KOLAB_DATA" in found.cure


def test_every_bundled_file_has_its_checksum():
    spec = importlib.util.spec_from_file_location("checksums", ROOT / "data" / "checksums.py")
    checksums = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checksums)
    listed = (ROOT / "data" / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert sorted(line.split("  ", 1)[1] for line in listed) == checksums.listed(), "run: make checksums"


def test_no_font(monkeypatch):
    from kolab import plots

    def missing():
        raise ImportError

    monkeypatch.setattr(plots, "use_hangul", missing)
    assert "pip install pylopdf-fonts-ko" in doctor.font().cure
