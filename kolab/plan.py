"""What `kolab train` is about to do, said before it does it: data, model, steps, precision, time and memory."""

import contextlib
import dataclasses
import io
from typing import Any

import torch

from kolab import diagnosis, engine, estimate, lora, processes
from kolab.recipe import MULTI_LABEL, Recipe, load_data, make_loss


def of_training(prepared: Any, name: str) -> str:
    """The plan of one training, in a few lines."""
    recipe, loaders, train = prepared.recipe, prepared.loaders, prepared.recipe.train
    micro_batches = len(loaders["train"])
    per_epoch = -(-micro_batches // train.accumulate)
    steps = min(per_epoch * train.epochs, train.max_steps or per_epoch * train.epochs)
    share = steps / per_epoch  # epochs, if max_steps ends it earlier
    scored = len(loaders["validation"].dataset) if "validation" in loaders else 0
    takes = []
    if processes.launched()[1] == 1:  # several processes share the work; what one takes says little
        costs = _measured(recipe, prepared.model, loaders, prepared.loss)
        seconds = costs.seconds(micro_batches * share, steps, scored * share)
        takes = [_takes(recipe, seconds, costs)]
    at_most = "at most " if train.patience else ""
    return _lines(
        recipe,
        name,
        [
            f"data       {recipe.data.name}: {_sizes(prepared.data)}; classes {', '.join(prepared.labels)}",
            _model(recipe, recipe.model.encoder, *prepared.trained),
            f"steps      {at_most}{steps:,} in {train.epochs} epochs; "
            f"effective batch {recipe.data.batch_size * train.accumulate}",
        ],
        takes,
    )


def of_study(recipe: Recipe, name: str) -> str:
    """The plan of a study: the same for all its trainings together."""
    from kolab.batching import make_loaders
    from kolab.model import Classifier, load_encoder
    from kolab.multilabel import label_names
    from kolab.studies.encoders import encoder_of
    from kolab.studies.plans import effective_batches, works

    with contextlib.redirect_stdout(io.StringIO()):  # the study itself says what it has loaded
        splits = load_data(dataclasses.replace(recipe.data, rows=None))
    labels, wanted = label_names(splits), recipe.model
    seconds, trainings, steps, models, largest = 0.0, 0, 0, [], None
    for work in works(recipe, splits):
        pretrained = wanted.pretrained
        found = encoder_of(work.encoder, 0) if pretrained else load_encoder(work.encoder, pretrained=False)
        model = Classifier.build(
            found[0], labels, pooling=wanted.pooling, head=wanted.head, dropout=wanted.dropout, seed=0,
            multi_label=recipe.data.name in MULTI_LABEL,
        )  # fmt: skip
        rows = splits["train"].shuffle(seed=recipe.data.seed)
        rows = rows.select(range(min(work.rows, len(rows))))
        loaders = make_loaders(
            {"train": rows}, found[1], batch_size=recipe.data.batch_size, max_length=recipe.data.max_length
        )
        config = dataclasses.replace(recipe.train, accumulate=work.accumulate)
        costs = _measured(dataclasses.replace(recipe, train=config), model, loaders, make_loss(recipe, rows))
        seconds += costs.seconds(work.micro_batches, work.updates, work.evaluated)
        trainings, steps = trainings + work.trainings, steps + work.updates
        models.append(_model(recipe, work.encoder, *lora.honest_count(model)))
        largest = costs if largest is None or costs.bytes > largest.bytes else largest
    at_most = "at most " if recipe.train.patience else ""
    of = f", at most {recipe.data.rows:,} of them used" if recipe.data.rows else ""
    return _lines(
        recipe,
        name,
        [
            f"data       {recipe.data.name}: {_sizes(splits)}{of}; classes {', '.join(labels)}",
            *models,
            f"trainings  {trainings:,}, a study of kind {recipe.study.kind}; seeds: {recipe.study.seeds}",
            f"steps      {at_most}{steps:,} in all; effective batch {', '.join(map(str, effective_batches(recipe)))}",
        ],
        [_takes(recipe, seconds, largest)],
    )


def _lines(recipe: Recipe, name: str, what: list[str], takes: list[str]) -> str:
    train = recipe.train
    device = torch.device("cpu") if train.device == "cpu" else engine.default_device()
    precision = f"precision  {engine.resolve_precision(train.precision, device)} on {device.type}"
    return "\n".join([f"recipe     {name}", *what, precision, *takes, f"folder     {train.folder}", ""])


def _sizes(splits: Any) -> str:
    return ", ".join(f"{split} {len(rows):,}" for split, rows in splits.items())


def _model(recipe: Recipe, encoder: str, trained: int, used: int) -> str:
    how = "" if recipe.model.adapter == "full" else f", {recipe.model.adapter}"
    return (
        f"model      {encoder}, {recipe.model.pooling} pooling, {recipe.model.head} head{how}; "
        f"{trained:,} of {used:,} parameters trained"
    )


def _measured(recipe: Recipe, model: torch.nn.Module, loaders: Any, loss: torch.nn.Module) -> estimate.Costs:
    try:
        return estimate.measure(model, loaders, recipe.train, loss)
    except torch.cuda.OutOfMemoryError as error:
        raise diagnosis.out_of_memory(recipe.data.batch_size, recipe.train.accumulate) from error


def _takes(recipe: Recipe, seconds: float, costs: estimate.Costs) -> str:
    at_most = "at most " if recipe.train.patience else ""
    return (
        f"takes      {at_most}about {estimate.duration(seconds)}, by {costs.timed} batches timed just now; "
        f"{costs.memory} for weights, gradients, optimizer and one batch (the libraries come on top)"
    )
