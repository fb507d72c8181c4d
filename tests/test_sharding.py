"""FSDP: weights shared out among the processes, and still the gradient, the history and the files of one process."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kolab import checkpoint
from kolab.model import Classifier
from tests import group as jobs
from tests.test_distributed import group, same_history, whole_batch  # noqa: F401

pytestmark = pytest.mark.xdist_group("several processes")


@settings(max_examples=10, deadline=None)
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
