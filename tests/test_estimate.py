"""The estimate: it leaves everything as it was, counts what it says it counts, and adds up."""

import copy

import pytest
import torch

from kolab import estimate
from kolab.losses import BinaryCrossEntropy, CrossEntropy
from kolab.train import TrainConfig
from tests import tiny


def of(model=None, loaders=None, loss=None, **changes) -> estimate.Costs:
    config = TrainConfig(precision="fp32", device="cpu", **changes)
    return estimate.measure(model or tiny.model(), loaders or tiny.loaders(), config, loss or CrossEntropy())


def test_model_order_and_chance_stay_as_they_were():
    model, loaders = tiny.model(), tiny.loaders()
    before = copy.deepcopy(model.state_dict())
    first = [batch["input_ids"].tolist() for batch in loaders["train"]]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    of(model, loaders)
    assert torch.equal(torch.get_rng_state(), state) and not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert [batch["input_ids"].tolist() for batch in loaders["train"]] == first


def test_memory_is_weights_gradients_two_means_and_the_widest_batch():
    weights = 4 * sum(p.numel() for p in tiny.model().parameters())
    small, large = (of(loaders=tiny.loaders(batch_size=size)).bytes for size in (4, 40))
    assert 4 * weights < small < large, "weights, gradients and AdamW's two means make four times the weights"
    frozen = tiny.model()
    frozen.encoder.requires_grad_(False)
    assert of(frozen).bytes < of().bytes - 2 * weights, "what is frozen has neither gradients nor means"
    assert of(accumulate=2).bytes >= of().bytes, "from the second micro-batch on there are gradients already"


def test_data_of_many_labels_and_fewer_batches_than_are_timed():
    loaders = tiny.loaders(count=6, batch_size=8, multi_label=True)
    found = of(tiny.model(multi_label=True), loaders, BinaryCrossEntropy())
    assert found.timed == 1 and min(found.micro_batch, found.update, found.evaluated, found.bytes) > 0


def test_timing_stops_when_it_has_taken_long_enough(monkeypatch):
    assert of().timed == 4
    monkeypatch.setattr(estimate, "_PATIENCE", 0.0)
    assert of().timed == 1


@pytest.mark.parametrize("more", [{"micro_batches": 1}, {"updates": 1}, {"evaluated": 1}])
def test_more_of_anything_takes_longer(more):
    costs, work = of(), {"micro_batches": 4, "updates": 2, "evaluated": 8}
    assert costs.seconds(**{k: v + more.get(k, 0) for k, v in work.items()}) > costs.seconds(**work)
