"""Killed, torn, full, wrong: whatever happens to a run, nothing that was saved is lost, and it ends as if nothing had.

Slow, in all: two chains of ten kills, 40 s of one core each; every file operation, 120 s; every size of a disk, 60 s.
"""

import contextlib
import dataclasses
import gc
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from kolab import checkpoint, cli, resume
from kolab.data import load_emotions
from kolab.errors import CheckpointError
from kolab.ledger import Ledger
from kolab.losses import CrossEntropy
from kolab.train import fit
from tests import tiny
from tests.survival import (
    Disk,
    Started,
    at,
    caught,
    end_of,
    killed,
    kolab,
    pretraining,
    result_on_a_disk,
    small_encoder,
    train,
)  # fmt: skip
from tests.test_train import comparable, config, same, weights

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals, /proc and tmpfs")
CURE = "Free some space"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What `train` leaves when nobody disturbs it, and the names of its file operations."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    operations = Started(train, folder, 0, how=killed).result()
    return end_of(folder), operations


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> list[str]:
    """`kolab train` with a small recipe, but for the folder: 2 epochs of 8 steps, saved at every fourth."""
    place = tmp_path_factory.mktemp("recipe")
    encoder = small_encoder(place / "encoder", load_emotions(seed=0)["train"]["text"][:300])
    path = place / "small.yaml"
    path.write_text(
        f"data: {{name: emotions, rows: 64, batch_size: 8, max_length: 32}}\nmodel: {{encoder: {encoder}}}\n"
        "train: {epochs: 2, lr: 5.0e-3, precision: fp32, device: cpu, save_every: 4, progress: false}\n",
        encoding="utf-8",
    )
    return ["train", "--config", str(path)]


def _undisturbed(words: list[str], folder: Path) -> dict:
    assert Started(kolab, folder, *words, "--folder", str(folder)).result() == 0
    return end_of(folder)


@pytest.fixture(scope="module")
def whole(words, tmp_path_factory) -> dict:
    """What the recipe's run leaves when nobody disturbs it."""
    return _undisturbed(words, tmp_path_factory.mktemp("whole") / "run")


# ---- killed


def _is_resumed_to_the_same_end(folder: Path, where: int | str, expected: dict) -> None:
    assert Started(train, folder, where, how=killed).result() is None, "it was to be killed, and was not"
    found = Started(train, folder, resume=True)
    found.result()
    assert end_of(folder) == expected, f"killed before {where}: {found.text()}"
    assert "damaged" not in found.text()


def test_killed_before_any_rename_of_the_last_save(undisturbed, tmp_path):
    """Between two renames a folder holds neither the old nor the new: the moments that timing alone never meets."""
    expected, operations = undisturbed
    renames = [n for n, name in enumerate(operations, 1) if name.startswith("os.rename")][-4:]
    assert [operations[n - 1].split()[1] for n in renames] == [
        "step-00000010", ".saving-00000010", ".saving-history.jsonl", ".saving-best",
    ]  # fmt: skip
    for number in renames:
        _is_resumed_to_the_same_end(tmp_path / f"run-{number}", number, expected)


@pytest.mark.slow
@pytest.mark.parametrize("share", range(4))
def test_killed_before_any_operation_on_its_files(undisturbed, tmp_path, share):
    """Some 100 kills and resumptions, 30 s of one core a quarter."""
    expected, operations = undisturbed
    for number in range(1 + share, len(operations) + 1, 4):
        _is_resumed_to_the_same_end(tmp_path / f"run-{number}", number, expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_kolab_train_killed_ten_times_and_resumed_each_time(words, tmp_path, seed):
    """Two times ten kills, in saves and between them; 40 s of one core each.

    The moments are drawn, and whether the next one is to fall into a save or into a step; where it did fall is read off
    the files, while the process is held still. The last part of the way is the command's as a user starts it.
    """
    words = [*words, "--train.epochs", "8", "--train.save_every", "1", "--resume"]
    whole = _undisturbed(words, tmp_path / "whole")
    rng, kills, folder = random.Random(seed), [], tmp_path / "run"
    line = [*words, "--folder", str(folder)]
    kinds = ["save", "step"] * 5
    rng.shuffle(kinds)
    while kinds:
        run = Started(kolab, folder, *line)
        if _killed_in(kinds[-1], run, rng):
            kills.append(kinds.pop())
        else:  # it came to its end before that: what is left of the kills gets a run of its own
            assert run.result() == 0 and end_of(folder) == whole
            shutil.rmtree(folder)
    command = [sys.executable, "-m", "kolab.cli", *line]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0 and end_of(folder) == whole, done.stderr
    assert kills.count("save") == 5 and kills.count("step") == 5
    assert "Traceback" not in run.text() + done.stderr and "damaged" not in run.text() + done.stderr


def _killed_in(kind: str, run: Started, rng: random.Random) -> bool:
    """Kills a run some steps after its start, in a save or between two; False if it came to its end before that."""
    saved = run.folder / "checkpoints"

    def newest() -> int:
        return max((int(path.name[5:13]) for path in checkpoint.listed(saved)), default=0)

    until = newest() + rng.randint(0, 2)
    while newest() < until and not run.ours.poll(0.001):
        pass
    while not run.ours.poll(rng.random() * 0.02):
        try:
            os.kill(run.process.pid, signal.SIGSTOP)
            while (
                state := Path(f"/proc/{run.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
            ) in "RSD":
                time.sleep(0.001)
        except (ProcessLookupError, FileNotFoundError):
            return False
        in_a_save = bool(list(saved.glob(".saving-*")))
        if state == "T" and in_a_save == (kind == "save"):
            os.kill(run.process.pid, signal.SIGKILL)
            assert run.result() is None
            assert bool(list(saved.glob(".saving-*"))) == in_a_save  # as the kill has left it
            return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(run.process.pid, signal.SIGCONT)
    return False


# ---- torn, truncated, emptied, swapped


@pytest.fixture(scope="module", autouse=True)
def no_garbage_but_ours():
    """The loop collects garbage at its end, which in a process with all libraries loaded takes a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


THREE = {"epochs": 2, "save_every": 2, "keep": 3, "lr": 2e-2, "device": "cpu"}


def _stopped(folder: Path, **changes) -> None:
    """A run of ten steps that was killed after step 6, with checkpoints of steps 2, 4 and 6."""
    where = "os.mkdir .saving-00000008"
    assert Started(train, folder, where, how=killed, **{**THREE, **changes}).result() is None


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """(what an undisturbed run ends with, a run stopped at step 6, another one with another seed)."""
    place = tmp_path_factory.mktemp("three")
    model = tiny.model()
    history = fit(model, tiny.loaders(40, 8), config(**THREE))
    _stopped(place / "ours")
    _stopped(place / "theirs", seed=4)
    return comparable(history), weights(model), place / "ours", place / "theirs"


def _rewrite(change):
    return lambda file, *_: file.write_bytes(change(file.read_bytes()))


def _exchange(a: Path, b: Path) -> None:
    spare = a.with_name("spare")
    a.rename(spare), b.rename(a), spare.rename(b)


def _take(source: str, *names: str):
    """Puts files of another checkpoint into the newest one."""

    def spoil(_, ours, theirs):
        where = {"theirs": theirs / "step-00000006", "before": ours / "step-00000004"}[source]
        for name in names:
            shutil.copyfile(where / name, ours / "step-00000006" / name)

    return spoil


def _replace(source: str):
    def spoil(_, ours, theirs):
        shutil.rmtree(ours / "step-00000006")
        where = {"theirs": theirs / "step-00000006", "before": ours / "step-00000004"}[source]
        shutil.copytree(where, ours / "step-00000006")

    return spoil


# name: (what is done to model.safetensors of step 6 or to the folders, what is said, the step it goes on from)
SPOILT = {
    "torn": (_rewrite(lambda data: data[:-100]), "bytes instead of", 4),
    "emptied": (_rewrite(lambda data: b""), "has 0 bytes", 4),
    "zeroed": (_rewrite(lambda data: bytes(len(data))), "SHA-256 differs", 4),
    "lost": (lambda file, *_: file.unlink(), "is missing", 4),
    "another step's weights": (_take("before", "model.safetensors"), "SHA-256 differs", 4),
    "another step's weights, manifest and all": (_take("before", "model.safetensors", "manifest.json"), "is not", 4),
    "another run's weights": (_take("theirs", "model.safetensors"), "SHA-256 differs", 4),
    "another run's state": (_take("theirs", "state.json", "manifest.json"), "SHA-256 differs", 4),
    "files exchanged by two checkpoints": (
        lambda file, ours, _: _exchange(file, ours / "step-00000004" / "model.safetensors"), "SHA-256 differs", 2,
    ),
    "folders exchanged": (
        lambda _, ours, __: _exchange(ours / "step-00000006", ours / "step-00000004"), "holds step 4, not the one", 2,
    ),
    "another step's folder": (_replace("before"), "holds step 4, not the one", 4),
    "another run's folder": (_replace("theirs"), "another run has saved.*seed: was 4, is 3", 4),
    "an empty folder": (lambda file, *_: (shutil.rmtree(file.parent), file.parent.mkdir()), "missing or torn", 4),
    "a manifest that is none": (
        lambda file, *_: (file.parent / "manifest.json").write_text("[7]", encoding="utf-8"), "missing or torn", 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_checkpoint_is_recognised_and_the_one_before_is_used(three, tmp_path, case):
    history, expected, ours, theirs = three
    spoil, says, step = SPOILT[case]
    folder = shutil.copytree(ours, tmp_path / "run")
    saved = folder / "checkpoints"
    spoil(saved / "step-00000006" / "model.safetensors", saved, theirs / "checkpoints")
    model, begun = tiny.model(seed=5), []
    with pytest.warns(UserWarning, match=f"Passed over.*{says}"), pytest.MonkeyPatch.context() as patch:
        restore = resume.restore
        patch.setattr(resume, "restore", lambda run, found: begun.append(found.step) or restore(run, found))
        found = fit(model, tiny.loaders(40, 8), config(**THREE, folder=str(folder), resume=True))
    assert begun == [step] and comparable(found) == history and same(weights(model), expected)
    assert [path.name for path in checkpoint.listed(saved)] == [f"step-{n:08d}" for n in (6, 8, 10)]


def test_where_all_are_spoilt_nothing_is_trained_and_nothing_is_removed(three, tmp_path):
    folder = shutil.copytree(three[2], tmp_path / "run")
    for path in checkpoint.listed(folder / "checkpoints"):
        (path / "rest.safetensors").write_bytes(b"")
    before = sorted(folder.rglob("*"))
    with (
        pytest.warns(UserWarning),
        pytest.raises(CheckpointError, match=r"None of the 3 .* Move the folder away"),
    ):
        fit(tiny.model(), tiny.loaders(40, 8), config(**THREE, folder=str(folder), resume=True))
    assert sorted(folder.rglob("*")) == before


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(file=st.integers(0, 5), start=st.floats(0, 1), length=st.integers(0, 300), new=st.binary(max_size=300))
def test_no_file_that_differs_by_a_byte_is_taken_for_whole(three, tmp_path_factory, file, start, length, new):
    """Any stretch of any file, replaced by anything."""
    place = tmp_path_factory.mktemp("bytes")
    for name in ("step-00000004", "step-00000006"):
        shutil.copytree(three[2] / "checkpoints" / name, place / name)
    files = sorted((place / "step-00000006").iterdir())
    path = files[file % len(files)]
    data = path.read_bytes()
    at = round(start * len(data))
    changed = data[:at] + new + data[at + length :]
    path.write_bytes(changed)
    if changed == data:
        assert checkpoint.latest(place).step == 6
        return
    if path.name == "manifest.json":  # it may be written in other ways that say the same
        same_words = _json(changed) == json.loads(data)
        with contextlib.nullcontext() if same_words else pytest.warns(UserWarning, match="Passed over"):
            assert checkpoint.latest(place).step == (6 if same_words else 4)
        return
    with pytest.warns(UserWarning, match="Passed over"):
        assert checkpoint.latest(place).step == 4


def _json(data: bytes):
    try:
        return json.loads(data.decode("utf-8"))
    except ValueError:
        return None


def test_the_command_says_what_it_has_passed_over(words, whole, tmp_path):
    folder = tmp_path / "run"
    first = Started(kolab, folder, "os.mkdir .saving-00000012", *words, "--folder", str(folder), how=killed)
    assert first.result() is None
    (folder / "checkpoints" / "step-00000008" / "optimizer.safetensors").write_bytes(b"torn")
    again = Started(kolab, folder, *words, "--folder", str(folder), "--resume")
    assert again.result() == 0 and end_of(folder) == whole
    assert re.search("Passed over a damaged checkpoint: .*optimizer.safetensors has 4 bytes", again.text())


# ---- a full disk, a read-only one


def _full_from(disk: Disk, where: str, *words: str) -> dict:
    """Runs a command on a disk that gets full at `where`, and again when there is room."""
    folder = f"{disk.path}/run"
    (Path(disk.path) / "notes.txt").write_text("mine", encoding="utf-8")
    at(where, folder, disk.fill)
    code = cli.main([*words, "--folder", folder])
    left = [str(path) for path in Path(folder).rglob(".saving-*")]
    saved = [checkpoint.load(path).step for path in checkpoint.listed(Path(folder) / "checkpoints")]
    disk.free()
    print("---- there is room again")
    again = cli.main([*words, "--folder", folder, "--resume"])
    notes = (Path(disk.path) / "notes.txt").read_text(encoding="utf-8")
    return {"codes": (code, again), "left": left, "saved": saved, "end": end_of(Path(folder)), "notes": notes}


@pytest.mark.parametrize(
    ("where", "saved"),
    [
        pytest.param("open .saving-recipe.yaml", [], marks=pytest.mark.slow),
        pytest.param("open .saving-train.json", [], marks=pytest.mark.slow),
        pytest.param("os.mkdir .saving-00000004", [], marks=pytest.mark.slow),  # in a checkpoint: its tensors
        pytest.param("open state.json", [], marks=pytest.mark.slow),  # in a checkpoint: the rest of it
        ("os.mkdir .saving-00000012", [4, 8]),
        pytest.param("open .saving-history.jsonl", [4], marks=pytest.mark.slow),
        ("os.mkdir .saving-best", [12, 16]),
        pytest.param("open .saving-report.md", [12, 16], marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_gets_full_is_explained_and_nothing_is_lost(words, whole, tmp_path, where, saved):
    found, said = result_on_a_disk(_full_from, tmp_path / "disk", where, *words)
    before, _ = said.split("---- there is room again")
    assert found["codes"] == (1, 0), said
    assert CURE in before and "No space left" in before and "Traceback" not in said
    assert found["saved"] == saved and found["left"] == [] and found["notes"] == "mine"
    assert found["end"] == whole


def _every_size(disk: Disk) -> list[dict]:
    """Trains with 0 pages left, with 1, 2, …, each time until the disk is full, then resumes; until a run fits."""
    found = []
    folder = Path(disk.path) / "run"
    while not found or found[-1]["said"]:
        disk.fill(len(found))
        with caught() as said:
            train(str(folder))
        left = [str(path) for path in folder.rglob(".saving-*")]
        steps = [checkpoint.load(path).step for path in checkpoint.listed(folder / "checkpoints")]
        disk.free()
        if said:
            train(str(folder), resume=True)
        found.append({"said": said, "left": left, "saved": steps, "end": end_of(folder)})
        shutil.rmtree(folder)
    return found


@pytest.mark.slow
def test_on_a_disk_of_any_size_a_run_ends_well_or_says_why_not(undisturbed, tmp_path):
    """So each write there is meets the full disk once, in its middle too; 60 s of one core."""
    found, _ = result_on_a_disk(_every_size, tmp_path / "disk")
    assert len(found) > 30 and not found[-1]["said"]
    assert {tuple(one["saved"]) for one in found} >= {(), (5,), (10,)}
    for pages, one in enumerate(found):
        assert one["left"] == [] and one["end"] == undisturbed[0], f"{pages} pages: {one['said']}"
        assert pages == len(found) - 1 or CURE in one["said"][0]


def _finished_and_full(disk: Disk) -> list[tuple]:
    """Comes back to a finished run on a full disk: what is said, and what is in best/ then."""
    folder = Path(disk.path) / "run"
    train(str(folder))
    found = []
    while not found or found[-1][0]:
        disk.fill(2 * len(found))
        with caught() as said:
            train(str(folder), resume=True)
        disk.free()
        found.append((said, end_of(folder)))
    return found


def test_the_best_weights_stay_while_there_is_no_room_for_them_again(undisturbed, tmp_path):
    found, _ = result_on_a_disk(_finished_and_full, tmp_path / "disk")
    assert all(end == undisturbed[0] for _, end in found) and len(found) > 3
    assert all(CURE in said[0] for said, _ in found[:-1]) and "/best: " in found[-2][0][0]


def _read_only(disk: Disk, *words: str) -> dict:
    """A run that is stopped by Ctrl-C in a save, comes back while its disk is read-only, and then again."""
    folder = f"{disk.path}/run"
    at("os.mkdir .saving-00000008", folder, lambda: os.kill(os.getpid(), signal.SIGINT))
    codes = [cli.main([*words, "--folder", folder])]
    before = {str(p): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}
    disk.read_only()
    print("---- read-only")
    codes.append(cli.main([*words, "--folder", folder, "--resume"]))
    codes.append(cli.main([*words, "--folder", f"{disk.path}/new"]))
    same = before == {str(p): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}
    disk.read_only(False)
    print("---- writable")
    codes.append(cli.main([*words, "--folder", folder, "--resume"]))
    return {"codes": codes, "same": same, "end": end_of(Path(folder))}


def test_a_read_only_disk_is_explained_and_nothing_is_lost(words, whole, tmp_path):
    found, said = result_on_a_disk(_read_only, tmp_path / "disk", *words)
    first, second, _ = re.split("---- .*", said)
    assert found["codes"] == [130, 1, 1, 0], said
    assert "Stopped by SIGINT after step 8 of 16. Saved in" in first and "--resume" in first
    assert (
        second.count("cannot be written to") == 2
        and second.count("give a folder that can be written to") == 2
    )
    assert found["same"] and found["end"] == whole and "Traceback" not in said


def _full_log(disk: Disk, folder: str, *words: str) -> list[tuple[int, str]]:
    """The real command, whose output goes to a file on a full disk; the run itself lies elsewhere. Then with room."""
    disk.fill()
    command = [sys.executable, "-m", "kolab.cli", *words, "--folder", folder]
    found = []
    for more in ([], ["--resume"]):
        with open(f"{disk.path}/log", "w", encoding="utf-8") as log:
            done = subprocess.run(
                [*command, *more], stdout=log, stderr=subprocess.PIPE, timeout=300, check=False
            )
        found.append((done.returncode, done.stderr.decode()))
        disk.free()
    return found


@pytest.mark.slow
def test_a_log_on_a_full_disk_is_explained(words, whole, tmp_path):
    """20 s."""
    found, _ = result_on_a_disk(_full_log, tmp_path / "disk", str(tmp_path / "run"), *words)
    assert [code for code, _ in found] == [1, 0] and end_of(tmp_path / "run") == whole
    assert CURE in found[0][1] and "Traceback" not in found[0][1] + found[1][1]


# ---- signals


# raise_signal: to this very thread, at once; a signal to the process may come later, through another thread.
def _signalled(folder: str, where: str, numbers: tuple[int, ...], *words: str) -> int:
    # What a shell starts with & has inherited that SIGINT is ignored; the learner's own run has not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    at(where, folder, lambda: [signal.raise_signal(number) for number in numbers])
    return cli.main([*words, "--folder", folder])


@pytest.mark.parametrize(
    ("where", "numbers", "code", "says"),
    [
        ("os.rename .saving-00000008", (signal.SIGTERM,), 143, "Stopped by SIGTERM after step 8 of 16. Saved in"),
        ("os.rename .saving-00000004", (signal.SIGINT,), 130, "Stopped by SIGINT after step 4 of 16. Saved in"),
        ("open manifest.json", (signal.SIGINT, signal.SIGINT), 130, "kolab: stopped"),  # the second does not wait
        ("open .saving-recipe.yaml", (signal.SIGINT,), 130, "kolab: stopped"),
        ("os.mkdir .saving-best", (signal.SIGTERM,), 0, "macro-F1"),  # all was done but the writing
    ],
)  # fmt: skip
def test_a_signal_in_the_middle_of_a_save(words, whole, tmp_path, where, numbers, code, says):
    folder = tmp_path / "run"
    first = Started(_signalled, folder, where, numbers, *words)
    assert first.result() == code and says in first.text() and "Traceback" not in first.text()
    again = Started(kolab, folder, *words, "--folder", str(folder), "--resume")
    assert again.result() == 0 and end_of(folder) == whole, again.text()


# ---- two at once


def test_the_second_run_is_refused_and_a_killed_ones_lock_does_not_block(words, whole, tmp_path):
    """The first one is held still; it has a helper process too, which must not keep the lock when it dies."""
    folder = tmp_path / "run"
    line = [*words, "--folder", str(folder), "--data.workers", "1"]
    first = Started(kolab, folder, *line)
    first.wait_until(lambda: checkpoint.listed(folder / "checkpoints"))
    os.kill(first.process.pid, signal.SIGSTOP)
    before = (folder / "recipe.yaml").read_bytes()
    for more in ([], ["--resume"], ["--train.lr", "1.0"]):
        second = Started(kolab, tmp_path / f"second{len(more)}", *line, *more)
        assert second.result() == 1 and "Traceback" not in second.text()
        busy = "Another run is writing to .*Wait for it to end, or give"
        expected = busy if "--resume" in more else f"{busy}|already holds a run"
        assert re.search(expected, second.text()), second.text()
    assert (folder / "recipe.yaml").read_bytes() == before
    os.kill(first.process.pid, signal.SIGKILL)
    assert first.result() is None
    again = Started(kolab, folder, *line, "--resume")
    assert again.result() == 0 and end_of(folder) == whole


def test_a_run_that_has_not_saved_yet_keeps_its_recipe(words, whole, tmp_path):
    folder = tmp_path / "run"
    line = [*words, "--folder", str(folder)]
    assert Started(kolab, folder, "open .saving-train.json", *line, how=killed).result() is None
    mine = (folder / "recipe.yaml").read_bytes()
    with checkpoint.locked(folder):  # as if it were still at work
        other = Started(kolab, tmp_path / "other", *line, "--data.max_length", "16")
        assert other.result() == 1 and "Another run" in other.text()
    assert (folder / "recipe.yaml").read_bytes() == mine
    # Nothing was trained, so the folder is free for another recipe; it was the old one that was kept, once.
    assert Started(kolab, folder, *line, "--data.max_length", "16", "--train.epochs", "1").result() == 0
    assert "max_length: 16" in (folder / "recipe.yaml").read_text(encoding="utf-8")


def test_a_damaged_recipe_is_named(words, tmp_path):
    folder = tmp_path / "run"
    line = [*words, "--folder", str(folder)]
    assert Started(kolab, folder, "os.mkdir .saving-00000008", *line, how=killed).result() is None
    for content in ("", "data: [", "[1]", "data: {}"):
        (folder / "recipe.yaml").write_text(content, encoding="utf-8")
        again = Started(kolab, tmp_path / "again", *line, "--resume")
        assert again.result() == 1 and "delete that file" in again.text() and "Traceback" not in again.text()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_resumed_in_mid_epoch_goes_on_with_the_next_batch_whoever_makes_it(tmp_path, workers):
    """A DataLoader with workers makes two iterators of its batches: the first one took the place to begin at away."""

    class Stop(CrossEntropy):
        left = 8  # two steps of four batches are done; epochs have five steps

        def forward(self, logits, labels):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return super().forward(logits, labels)

    def loaders():
        made = tiny.loaders(80, 4)
        if workers:
            train = made["train"]
            made["train"] = DataLoader(
                train.dataset, batch_sampler=train.batch_sampler, collate_fn=made.collator, num_workers=workers,
                persistent_workers=True, generator=torch.Generator().manual_seed(0),
            )  # fmt: skip
        return made

    whole, resumed = tiny.model(), tiny.model(seed=6)
    plan = config(epochs=2, accumulate=4, save_every=1, lr=2e-2, folder=str(tmp_path / "run"))
    expected = fit(whole, loaders(), dataclasses.replace(plan, folder=None))
    with pytest.raises(KeyboardInterrupt):
        fit(tiny.model(), loaders(), plan, loss=Stop())
    found = fit(resumed, loaders(), dataclasses.replace(plan, resume=True))
    assert comparable(found) == comparable(expected) and same(weights(resumed), weights(whole))


# ---- pre-training, which has the same engine


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> list[str]:
    """A file of texts, and the folder of a tokenizer."""
    place = tmp_path_factory.mktemp("corpus")
    texts = load_emotions(seed=0)["train"]["text"][:400]
    (place / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    return [str(place / "texts.txt"), str(small_encoder(place / "encoder", texts))]


@pytest.fixture(scope="module")
def pretrained(corpus, tmp_path_factory) -> dict:
    """What an undisturbed pre-training leaves."""
    folder = tmp_path_factory.mktemp("pretrained") / "run"
    Started(pretraining, folder, *corpus).result()
    return end_of(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    [
        "open .saving-corpus.npz",
        "os.rename .saving-pretrain.json",
        "open state.json",
        "os.rename .saving-model",
    ],
)
def test_a_killed_pretraining_ends_as_if_nothing_had_been(corpus, pretrained, tmp_path, where):
    """5 s each."""
    folder = tmp_path / "run"
    assert Started(pretraining, folder, where, *corpus, how=killed).result() is None
    Started(pretraining, folder, *corpus, resume=True).result()
    assert end_of(folder) == pretrained


def _pretraining_on_a_full_disk(disk: Disk, where: str, *corpus: str) -> dict:
    folder = f"{disk.path}/run"
    at(where, folder, disk.fill)
    with caught() as said:
        pretraining(folder, *corpus)
    left = [str(path) for path in Path(folder).rglob(".saving-*")]
    disk.free()
    pretraining(folder, *corpus, resume=True)
    return {"said": said, "left": left, "end": end_of(Path(folder))}


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    [
        "open tokenizer_config.json", "open .saving-corpus.npz", "open .saving-pretrain.json", "open state.json",
        "os.mkdir .saving-model",
    ],
)  # fmt: skip
def test_a_pretraining_on_a_full_disk_says_so_and_goes_on_later(corpus, pretrained, tmp_path, where):
    """5 s each."""
    found, said = result_on_a_disk(_pretraining_on_a_full_disk, tmp_path / "disk", where, *corpus)
    assert found["said"] and CURE in found["said"][0], said
    assert found["left"] == [] and found["end"] == pretrained


# ---- a study's rows


def _rows_on_a_full_disk(disk: Disk) -> dict:
    path = Path(disk.path) / "deep" / "rows.jsonl"
    book = Ledger(path, {})
    for number in range(5):
        book.get({"number": number}, lambda n=number: {"text": "가" * 300 * n})
    kept = path.read_bytes()
    disk.fill(0)
    with caught() as said:
        book.get({"number": 5}, lambda: {"text": "나" * 9000})
    begun, half = path.read_bytes(), Ledger(path, {})
    known = [half.has({"number": number}) for number in range(6)]
    disk.free()
    calls: list[int] = []
    after = Ledger(path, {})
    rows = [after.get({"number": n}, lambda n=n: calls.append(n) or {"text": "다"}) for n in range(6)]
    again = Ledger(path, {})
    same = [again.get({"number": n}, lambda: {"text": "never"}) for n in range(6)] == rows
    return {
        "said": said,
        "kept": begun.startswith(kept),
        "torn": begun != kept,
        "known": known,
        "calls": calls,
        "same": same,
    }


def test_a_row_that_does_not_fit_on_the_disk_costs_itself_alone(tmp_path):
    found, _ = result_on_a_disk(_rows_on_a_full_disk, tmp_path / "disk")
    assert CURE in found["said"][0] and "rows.jsonl" in found["said"][0]
    assert found["torn"], "the row was to be cut in its middle"
    assert found["known"] == [True] * 5 + [False] and found["calls"] == [5] and found["same"]


def _write_rows(folder: str, writer: int) -> None:
    book = Ledger(Path(folder) / "rows.jsonl", {})
    for number in range(60):
        book.get({"writer": writer, "number": number}, lambda n=number: {"text": "가" * 5000 * (n % 4)})


def test_rows_of_two_writers_do_not_tear_each_other(tmp_path):
    both = [Started(_write_rows, tmp_path, writer) for writer in range(2)]
    for one in both:
        one.result()
    book = Ledger(tmp_path / "rows.jsonl", {})
    assert all(book.has({"writer": w, "number": n}) for w in range(2) for n in range(60))
    assert all(json.loads(line) for line in (tmp_path / "rows.jsonl").read_text("utf-8").split("\n") if line)


@pytest.mark.parametrize("strange", ["\u2028", "\x85", "\x1e", "\r", "\n", "\x0b", '"'])
def test_a_row_may_hold_any_text(tmp_path, strange):
    path = tmp_path / "rows.jsonl"
    row = Ledger(path, {}).get({"text": f"앞{strange}뒤"}, lambda: {"text": f"가{strange}나"})
    again = Ledger(path, {}, new=False)
    assert again.has({"text": f"앞{strange}뒤"}) and again.get({"text": f"앞{strange}뒤"}, dict) == row


def test_a_second_study_in_the_folder_is_refused(tmp_path):
    line = ["train", "--config", "techniques", "--quick", "--folder", str(tmp_path / "study")]
    with checkpoint.locked(tmp_path / "study"):
        second = Started(kolab, tmp_path / "second", *line)
        assert second.result() == 1 and "Another run is writing to" in second.text()
    assert [path.name for path in (tmp_path / "study").iterdir()] == [".lock"]
