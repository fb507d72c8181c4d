"""A recipe on data of many labels: the right head, the right loss, the right names."""

import torch

from kolab.losses import BinaryCrossEntropy
from kolab.multilabel import label_names
from kolab.recipe import DataConfig, LossConfig, Recipe, prepare


def test_aspects_make_a_multi_label_classifier_with_clamped_weights():
    data = DataConfig(name="aspects", rows=80)
    found = prepare(Recipe(data=data, loss=LossConfig(class_weights="balanced")))
    assert found.labels == label_names(found.data) and len(found.labels) == found.model.config.num_labels
    assert found.model.config.problem_type == "multi_label_classification"
    assert isinstance(found.loss, BinaryCrossEntropy) and float(found.loss.pos_weight.max()) == 10.0
    batch = next(iter(found.loaders["train"]))
    assert batch["labels"].shape == (32, len(found.labels)) and batch["labels"].dtype == torch.float32
    assert len(found.data["train"]) == 80
    assert prepare(Recipe(data=data)).loss.pos_weight is None
