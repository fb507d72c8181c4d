"""Several processes: the gradient and the history of one process, and a run that outlives the loss of a process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kolab import checkpoint, engine, processes
from kolab.errors import ConfigError
from tests import group as jobs
from tests import tiny

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.xdist_group("several processes")


@pytest.fixture(scope="module")
def group():
    """Three processes for all tests of this file."""
    made = jobs.Group(3)
    yield made
    made.close()


# ---- the gradient


def whole_batch(sizes: list[int], kind: str, double: bool, seed: int) -> np.ndarray:
    """The gradient of one batch of all examples, by torch's own loss."""
    dtype = torch.float64 if double else torch.float32
    multi = kind == "multi-label"
    model = tiny.model(0.0, seed, multi_label=multi).to(dtype)
    data = tiny.dataset(sum(sizes), seed, multi_label=multi)
    batch = tiny.Collator(0)([data[i] for i in range(sum(sizes))])
    labels, weight = batch.pop("labels"), torch.tensor(jobs.WEIGHT, dtype=dtype)
    loss = {
        "mean": torch.nn.CrossEntropyLoss(),
        "weighted": torch.nn.CrossEntropyLoss(weight=weight),
        "smoothed": torch.nn.CrossEntropyLoss(weight=weight, label_smoothing=0.1),
        "multi-label": torch.nn.BCEWithLogitsLoss(pos_weight=weight),
    }[kind]
    loss(model(**batch).logits, labels.to(dtype) if multi else labels).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).double().numpy()


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    world=st.sampled_from([2, 3]),
    kind=st.sampled_from(["mean", "weighted", "smoothed", "multi-label"]),
    double=st.booleans(),
    seed=st.integers(0, 50),
)
def test_a_window_over_several_processes_has_the_gradient_of_the_single_big_batch(
    group, sizes, world, kind, double, seed
):
    """One window of micro-batches of any sizes, some with fewer examples than there are processes."""
    answers = group.run(world, jobs.gradients, sizes, len(sizes), kind, double, seed)
    big = whole_batch(sizes, kind, double, seed)
    tolerance = (1e-12 if double else 1e-6) * max(np.linalg.norm(big), 1e-3)
    for answer in answers:
        assert isinstance(answer, list), answer
        assert len(answer) == 1 and np.linalg.norm(answer[0] - big) <= tolerance


def test_the_last_window_may_be_shorter(group):
    """Windows of 3, 3 and 1 micro-batches: each step is compared with what one process does."""
    sizes = [4, 4, 4, 4, 4, 4, 1]
    (one,) = group.run(1, jobs.gradients, sizes, 3, "weighted", True, 0)
    for several in group.run(2, jobs.gradients, sizes, 3, "weighted", True, 0):
        assert len(one) == len(several) == 3
        for ours, theirs in zip(several, one, strict=True):
            assert np.linalg.norm(ours - theirs) <= 1e-12 * np.linalg.norm(theirs)


# ---- the run


@pytest.mark.parametrize("kind", ["mean", "smoothed", "multi-label"])
@pytest.mark.parametrize("world", [2, 3])
def test_several_processes_do_what_one_does(group, kind, world):
    (one,) = group.run(1, jobs.history, kind)
    for several in group.run(world, jobs.history, kind):
        assert isinstance(several, dict), several
        assert (one["processes"], several["processes"]) == (1, world)
        assert one["references"] == several["references"]
        same_history(several["rows"], one["rows"])
        assert several["weights"] == pytest.approx(one["weights"], rel=1e-3, abs=1e-3)
        assert several["logits"] == pytest.approx(one["logits"], abs=2e-3)


def same_history(ours: list[dict], theirs: list[dict]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=2e-4, abs=1e-6)


def test_a_killed_process_ends_the_run_and_any_number_of_processes_resumes_it(group, tmp_path):
    """Three steps an epoch, saved after each; process 1 dies in the second epoch, in the middle of a window."""
    (whole,) = group.run(1, jobs.history, "weighted")
    broken = tmp_path / "broken"
    survivor, killed = group.run(2, jobs.history, "weighted", str(broken), False, (1, 10))
    assert killed is None
    assert survivor.startswith("TrainingError: Another process of this run has ended")
    assert "up to step 4" in survivor and "resume=True" in survivor
    assert checkpoint.latest(broken / "checkpoints").step == 4
    for world in (1, 2, 3):
        folder = tmp_path / str(world)
        shutil.copytree(broken, folder)
        for resumed in group.run(world, jobs.history, "weighted", str(folder), True):
            assert isinstance(resumed, dict), resumed
            assert resumed["processes"] == world
            same_history(
                resumed["rows"], whole["rows"]
            )  # the first rows, and the loss of the epoch cut in two
            assert resumed["weights"] == pytest.approx(whole["weights"], rel=1e-3, abs=1e-3)


def test_the_main_process_can_be_the_one_that_is_killed(group, tmp_path):
    killed, survivor = group.run(2, jobs.history, "mean", str(tmp_path / "run"), False, (0, 1))
    assert killed is None and "Nothing had been saved yet in" in survivor


def test_a_model_inside_ddp_can_predict_and_nobody_waits(group):
    """Nine texts in batches of four: one process has no part in the last batch."""
    (alone,) = group.run(1, jobs.predict_alone)
    for found in group.run(2, jobs.wrapped_prediction, timeout=120):
        assert found == pytest.approx(alone, abs=1e-6), found


# ---- what a launcher or a notebook has left behind


def test_what_the_launcher_says_of_precision_and_accumulation_does_not_overrule_the_run(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    accelerator = engine.make_accelerator("fp32", "cpu", None, None)
    assert accelerator.mixed_precision == "no" and accelerator.gradient_accumulation_steps == 1


def test_a_loop_that_was_left_in_mid_window_does_not_keep_fit_from_stepping():
    from accelerate import Accelerator

    from kolab.train import TrainConfig, fit

    left = Accelerator(gradient_accumulation_steps=4, cpu=True)
    with left.accumulate():
        assert not left.sync_gradients
    model = tiny.model(0.0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fit(model, tiny.loaders(16, 8), TrainConfig(epochs=1, precision="fp32", progress=False, metric="loss"))
    assert any(not torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_processes_that_do_not_find_each_other_are_an_error(monkeypatch):
    """mpirun-like: WORLD_SIZE is set, but nothing by which Accelerate would know its place on a CPU."""
    monkeypatch.setattr(processes, "launched", lambda: (0, 2))
    monkeypatch.setattr(engine, "launched", lambda: (0, 2))
    with pytest.raises(ConfigError, match="has started 2 processes, but Accelerate runs 1"):
        engine.make_accelerator("fp32", "cpu", None, None)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[.../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1"), True),
        (torch.distributed.DistBackendError("NCCL error"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("gloo"), False),
        (None, False),
    ],
)
def test_only_errors_of_the_connection_are_taken_for_a_lost_process(error, lost):
    assert processes.lost_process(error) is lost


# ---- the command line, as processes


def launch(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=cwd, capture_output=True, text=True, timeout=600, env=environment,
    )  # fmt: skip


TRAIN = ("-m", "kolab.cli", "train", "--config", "emotions_full", "--data.rows", "48", "--train.epochs", "1")
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2")


def test_kolab_train_under_torchrun(tmp_path):
    done = launch(*TORCHRUN, *TRAIN, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("effective batch 32") == 1 and done.stdout.count("| macro-F1 |") == 1
    folder = tmp_path / "runs" / "emotions_full"
    assert (folder / "report.md").is_file() and (folder / "best" / "model.safetensors").is_file()


@pytest.mark.slow
def test_kolab_train_under_accelerate_launch(tmp_path):
    words = ("accelerate.commands.launch", "--cpu", "--num_processes", "1", "--mixed_precision", "no")
    done = launch(*words, *TRAIN, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "runs" / "emotions_full" / "report.md").is_file()


@pytest.mark.slow
def test_torchrun_ends_when_one_process_is_killed_and_the_run_resumes_with_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom tests.group import history\nkill = (1, 10) if sys.argv[1] == 'kill' else None\n"
        "try:\n    print(len(history('mean', sys.argv[2], sys.argv[1] == 'resume', kill)['rows']))\n"
        "except Exception as error:\n    sys.exit(f'{type(error).__name__}: {error}')\n",
        encoding="utf-8",
    )
    folder = str(tmp_path / "run")
    done = launch(*TORCHRUN, str(script), "kill", folder, cwd=ROOT)
    assert done.returncode != 0 and "Another process of this run has ended" in done.stderr
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(script), "resume", folder]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0 and done.stdout.strip().endswith("3"), done.stderr[-3000:]
