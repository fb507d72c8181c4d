"""Checkpoints: whole or not at all; a damaged one is recognised and the one before is taken."""

import os
import shutil

import pytest
import torch

from kolab import checkpoint
from kolab.errors import CheckpointError


def tensors(value: float) -> dict:
    return {"model": {"w": torch.full((4, 3), value)}, "rest": {"n": torch.tensor([value])}}


@pytest.fixture
def folder(tmp_path):
    for step in (10, 20):
        checkpoint.save(tmp_path, step, tensors(step), {"step": step})
    return tmp_path


def test_what_was_saved_comes_back(folder):
    found = checkpoint.latest(folder)
    assert found.step == 20 and found.state == {"step": 20}
    assert torch.equal(found.tensors["model"]["w"], torch.full((4, 3), 20.0))


def test_only_the_newest_are_kept_and_nothing_else_is_touched(folder):
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    checkpoint.save(folder, 30, tensors(30), {}, keep=2)
    assert [p.name for p in checkpoint.listed(folder)] == ["step-00000020", "step-00000030"]
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "mine"


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["model.safetensors", "rest.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize(
    "harm",
    [truncate, flip, lambda p: p.write_bytes(b""), lambda p: p.unlink()],
    ids=["torn", "flipped", "empty", "gone"],
)
def test_damage_is_recognised_and_the_one_before_is_used(folder, name, harm):
    harm(folder / "step-00000020" / name)
    with pytest.warns(UserWarning, match="Passed over a damaged checkpoint"):
        assert checkpoint.latest(folder).step == 10


def test_a_swapped_file_is_recognised(folder):
    shutil.copy(
        folder / "step-00000010" / "model.safetensors", folder / "step-00000020" / "model.safetensors"
    )
    with pytest.warns(UserWarning, match="SHA-256 differs"):
        assert checkpoint.latest(folder).step == 10


def test_all_damaged_is_an_error_and_none_at_all_is_none(folder, tmp_path_factory):
    for path in checkpoint.listed(folder):
        truncate(path / "model.safetensors")
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="None of the 2 checkpoints"):
        checkpoint.latest(folder)
    assert checkpoint.latest(tmp_path_factory.mktemp("empty")) is None


def test_an_unfinished_save_does_not_count(folder):
    partial = folder / ".saving-00000030"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    assert checkpoint.latest(folder).step == 20
    assert checkpoint.save(folder, 30, tensors(30), {}).name == "step-00000030"


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder", encoding="utf-8")
    with pytest.raises(CheckpointError, match="Could not write step 5"):
        checkpoint.save(file / "run", 5, tensors(1), {})
    with pytest.raises(CheckpointError, match="cannot be written"), checkpoint.locked(file / "run"):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_loses_nothing(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left"):
        checkpoint.save(folder, 30, tensors(30), {})
    monkeypatch.undo()
    assert checkpoint.latest(folder).step == 20 and not list(folder.glob(".saving-*"))


def test_an_optimizers_state_goes_through_without_pickle():
    parameters = [torch.nn.Parameter(torch.randn(3)), torch.nn.Parameter(torch.randn(2))]
    optimizer = torch.optim.AdamW(
        [{"params": parameters[:1], "lr": 0.1}, {"params": parameters[1:]}], fused=True
    )
    sum((p**2).sum() for p in parameters).backward()
    optimizer.step()
    values, meta = checkpoint.flatten_optimizer(optimizer)
    other = torch.optim.AdamW([{"params": parameters[:1], "lr": 9.0}, {"params": parameters[1:]}], fused=True)
    checkpoint.restore_optimizer(other, values, meta)
    for a, b in zip(optimizer.state.values(), other.state.values(), strict=True):
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert other.param_groups[0]["lr"] == 0.1
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoint.restore_optimizer(torch.optim.AdamW(parameters), values, meta)


def test_a_folder_is_replaced_whole(tmp_path):
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name, encoding="utf-8")
    checkpoint.replace_folder(tmp_path / "new", tmp_path / "target")
    assert [p.name for p in (tmp_path / "target").iterdir()] == ["new"] and not (tmp_path / "new").exists()
