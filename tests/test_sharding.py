"""FSDP: weights shared out among the processes, and still the gradient, the history and the files of one process."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from kolab import checkpoint, sharding
from kolab.errors import ConfigError
from kolab.model import Classifier
from tests import group as jobs
from tests.test_distributed import ROOT, TRAIN, group, launch, same_history, whole_batch  # noqa: F401

pytestmark = [
    pytest.mark.xdist_group("several processes"),
    pytest.mark.skipif(
        Version(torch.__version__) < sharding.OLDEST, reason="kl.fit refuses FSDP with this torch"
    ),
]


@settings(max_examples=8, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    world=st.sampled_from([2, 3]),
    kind=st.sampled_from(["mean", "weighted", "smoothed", "multi-label"]),
    double=st.booleans(),
    seed=st.integers(0, 50),
)
def test_a_window_has_the_gradient_of_the_single_big_batch(group, sizes, world, kind, double, seed):  # noqa: F811
    """One window of micro-batches of any sizes, some with fewer examples than there are processes."""
    answers = group.run(world, jobs.sharded, "gradients", sizes, len(sizes), kind, double, seed)
    big = whole_batch(sizes, kind, double, seed)
    tolerance = (1e-12 if double else 1e-6) * max(np.linalg.norm(big), 1e-3)
    for answer in answers:
        assert isinstance(answer, list), answer
        assert len(answer) == 1 and np.linalg.norm(answer[0] - big) <= tolerance


def test_the_last_window_may_be_shorter(group):  # noqa: F811
    sizes = [4, 4, 4, 4, 1]
    (one,) = group.run(1, jobs.gradients, sizes, 2, "weighted", True, 0)
    for several in group.run(2, jobs.sharded, "gradients", sizes, 2, "weighted", True, 0):
        assert isinstance(several, list), several
        assert len(one) == len(several) == 3
        for ours, theirs in zip(several, one, strict=True):
            assert np.linalg.norm(ours - theirs) <= 1e-12 * np.linalg.norm(theirs)


@pytest.mark.parametrize(("world", "kind"), [(2, "smoothed"), (3, "multi-label")])
def test_several_processes_do_what_one_does(group, kind, world):  # noqa: F811
    """Clipped, evaluated on 17 examples in batches of 8, and afterwards an ordinary model with the best weights."""
    (one,) = group.run(1, jobs.history, kind)
    for several in group.run(world, jobs.sharded, "history", kind):
        assert isinstance(several, dict), several
        assert (one["processes"], several["processes"]) == (1, world)
        assert one["references"] == several["references"]
        same_history(several["rows"], one["rows"])
        assert several["weights"] == pytest.approx(one["weights"], rel=1e-3, abs=1e-3)
        assert several["logits"] == pytest.approx(one["logits"], abs=2e-3)


def test_a_killed_process_ends_the_run_and_it_resumes_shared_out_or_whole(group, tmp_path):  # noqa: F811
    """Process 1 dies in the second epoch, in the middle of a window; what was saved is for any number of processes."""
    (one,) = group.run(1, jobs.history, "weighted")
    broken = tmp_path / "broken"
    survivor, killed = group.run(2, jobs.sharded, "history", "weighted", str(broken), False, (1, 10))
    assert killed is None
    assert survivor.startswith("TrainingError: Another process of this run has ended"), survivor
    assert "up to step 4" in survivor and "resume=True" in survivor
    saved = checkpoint.latest(broken / "checkpoints")
    names = set(jobs.tiny.model().state_dict())
    assert saved.step == 4 and set(saved.tensors["model"]) == names
    assert saved.tensors["optimizer"]["0.exp_avg"].shape == (
        50,
        16,
    )  # the embeddings: whole, not the first 25 rows
    for world, job in ((1, ()), (2, ()), (3, ("sharded",))):
        folder = tmp_path / str(world)
        shutil.copytree(broken, folder)
        words = (*job, "history", "weighted", str(folder), True)
        for resumed in group.run(world, getattr(jobs, words[0]), *words[1:]):
            assert isinstance(resumed, dict), resumed
            assert resumed["processes"] == world
            same_history(resumed["rows"], one["rows"])
            assert resumed["weights"] == pytest.approx(one["weights"], rel=1e-3, abs=1e-3)
    best = Classifier.from_pretrained(tmp_path / "3" / "best").state_dict()
    assert {k: v.double().sum().item() for k, v in best.items()} == pytest.approx(
        resumed["weights"], abs=1e-6
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_holds_half_and_all_end_with_the_first_ones_model(group, precision):  # noqa: F811
    """The head is drawn differently in each process, the embeddings are frozen, the scores do not agree."""
    (one,) = group.run(1, jobs.shared_run, precision, True)
    several = group.run(2, jobs.sharded, "shared_run", precision, True)
    for ours in several:
        assert isinstance(ours, dict), ours
        for held, all_of_it in zip(ours["held"], one["held"], strict=True):
            assert held == pytest.approx(all_of_it / 2, rel=0.01)
        assert ours["kinds"] == {"Tensor"} and ours["scores"] == [0.0, 0.0]
        assert np.array_equal(ours["weights"], several[0]["weights"])
        far = np.linalg.norm(ours["weights"] - one["weights"]) / np.linalg.norm(one["weights"])
        assert far < {"fp32": 1e-6, "bf16": 1e-2}[precision]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FSDP_VERSION", "1", "fsdp_version: 2"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "gradient_checkpointing_enable"),
        ("FSDP_OFFLOAD_PARAMS", "true", "leave it out"),
        ("FSDP_AUTO_WRAP_POLICY", "SIZE_BASED_WRAP", "TRANSFORMER_BASED_WRAP"),
        ("FSDP_IGNORED_MODULES", "head", "leave it out"),
        ("ACCELERATE_USE_DEEPSPEED", "true", "asks for DEEPSPEED.*accelerate/fsdp.yaml"),
        ("ACCELERATE_USE_MEGATRON_LM", "true", "asks for MEGATRON_LM"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true", "asks for PARALLELISM_CONFIG"),
    ],
)
def test_what_would_not_be_exact_is_refused(monkeypatch, name, value, words):
    for key, usual in {**jobs.FSDP, "WORLD_SIZE": "2", name: value}.items():
        monkeypatch.setenv(key, usual)
    with pytest.raises(ConfigError, match=words):
        sharding.asked("fp32", torch.device("cpu"))


def test_a_torch_with_which_gradients_were_wrong_is_refused(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.8.0+cpu")
    with pytest.raises(ConfigError, match=r"FSDP needs torch 2\.13 or newer.* this is 2\.8\.0"):
        sharding._check_settings("fp32", torch.device("cpu"))


def test_fp16_and_unknown_layers_are_refused(monkeypatch):
    for key, usual in {**jobs.FSDP, "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(key, usual)
    with pytest.raises(ConfigError, match="fp16"):
        sharding.asked("fp16", torch.device("cuda"))
    with pytest.raises(ConfigError, match="names RobertaLayer.*its layers are BertLayer"):
        sharding._layers(jobs.tiny.model(), ["RobertaLayer"])
    assert sharding._layers(jobs.tiny.model(), None) == ["BertLayer"]


def test_one_process_has_nobody_to_share_with(group):  # noqa: F811
    (ours,) = group.run(1, jobs.sharded, "shared_run")
    (plain,) = group.run(1, jobs.shared_run)
    assert np.array_equal(ours["weights"], plain["weights"]) and ours["held"] == plain["held"]


def test_kolab_train_with_the_config_file_that_the_readme_names(tmp_path):
    file = str(ROOT / "kolab" / "recipes" / "accelerate" / "fsdp.yaml")
    words = ("accelerate.commands.launch", "--config_file", file, "--num_processes", "2", *TRAIN)
    done = launch(*words, "--train.precision", "fp32", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "weights shared by 2 processes" in done.stderr + done.stdout
    folder = tmp_path / "runs" / "emotions_full"
    assert done.stdout.count("| macro-F1 |") == 1 and (folder / "report.md").is_file()
    assert Classifier.from_pretrained(folder / "best").config.num_labels > 1


@pytest.mark.filterwarnings("ignore:The run in")
def test_a_stopped_run_leaves_the_weights_of_that_step_and_goes_on(group, tmp_path):  # noqa: F811
    (one,) = group.run(1, jobs.stopped_run, str(tmp_path / "one"))
    for ours in group.run(2, jobs.sharded, "stopped_run", str(tmp_path / "two")):
        assert isinstance(ours, list), ours
        message, stopped, resumed, finished = ours
        assert message.startswith("Stopped by SIG") and "after step 3 of 6" in message
        saved = checkpoint.load(tmp_path / "two" / "checkpoints" / "step-00000003").tensors["model"]
        assert stopped == pytest.approx(torch.cat([saved[n].flatten() for n in _names()]).numpy())
        assert resumed == pytest.approx(one[0], abs=1e-5) and np.array_equal(resumed, finished)
        assert not np.allclose(resumed, stopped)


def _names() -> list[str]:
    return [name for name, _ in jobs.tiny.model().named_parameters()]
