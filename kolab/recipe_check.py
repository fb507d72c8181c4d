"""What cannot be, refused before anything is loaded: a recipe's parts against one another, and against a checkpoint."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from kolab.encoders import check_name
from kolab.errors import CheckpointError, ConfigError
from kolab.recipe_file import nearest

METRICS = ("f1", "accuracy", "precision", "recall", "loss", "validation_loss", "train_loss")


def check(recipe: Any) -> None:
    """Raises ConfigError, with the nearest right spelling, for what cannot work however long it is loaded."""
    from kolab.recipe import MULTI_LABEL

    _loss(recipe, recipe.data.name in MULTI_LABEL)
    _training(recipe.train)
    _model(recipe.model)
    if recipe.study.kind is None:
        check_name(recipe.model.encoder)
        _checkpoint(recipe, recipe.data.name in MULTI_LABEL)
    else:
        _study(recipe)


def _one_of(field: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(
            f"{field} is {value!r}.{nearest(str(value), list(known))} There are {', '.join(known)}."
        )


def _loss(recipe: Any, many: bool) -> None:
    name, kind = recipe.data.name, recipe.loss.kind
    if kind == "binary_cross_entropy" and not many:
        raise ConfigError(
            f"loss.kind=binary_cross_entropy asks of every label by itself whether a text carries it; each text of "
            f"data.name={name} has exactly one. Take cross_entropy."
        )
    if kind == "cross_entropy" and many:
        raise ConfigError(
            f"loss.kind=cross_entropy picks one label a text; the texts of data.name={name} carry several, or none. "
            "Take binary_cross_entropy."
        )
    if recipe.loss.smoothing and many:
        raise ConfigError(
            f"loss.smoothing={recipe.loss.smoothing:g} softens the one right label of a text; the texts of "
            f"data.name={name} carry several, or none. Set it to 0."
        )


def _training(train: Any) -> None:
    """What a TrainConfig cannot know by itself; what it can, `settings_check` has refused when it was made."""
    from kolab import engine

    device = torch.device("cpu") if train.device == "cpu" else engine.default_device()
    engine.resolve_precision(train.precision, device)
    _one_of("train.metric", train.metric, METRICS)


def _model(model: Any) -> None:
    from kolab.classifier_config import HEADS, POOLINGS

    _one_of("model.pooling", model.pooling, POOLINGS)
    _one_of("model.head", model.head, HEADS)
    if not 0 <= model.dropout < 1:
        raise ConfigError(
            f"model.dropout is {model.dropout!r}, but it is a probability: at least 0, below 1."
        )
    _adapter(model)


def _study(recipe: Any) -> None:
    """What a study would pass over without a word."""
    from kolab.recipe import ModelConfig, StudyConfig
    from kolab.studies.encoders import check_encoder

    if recipe.model.adapter != "full":
        raise ConfigError(
            f"model.adapter={recipe.model.adapter} is for a training; a study trains all of its encoders' weights. "
            "Leave it out."
        )
    one, several, kind = recipe.model.encoder, recipe.study.encoders, recipe.study.kind
    if kind == "kfold":
        if several != StudyConfig().encoders:
            raise ConfigError(
                f"study.encoders is {several}, but a study of kind kfold compares techniques on one encoder. "
                "Give that as model.encoder."
            )
        several = [one]
    elif one != ModelConfig().encoder:
        raise ConfigError(
            f"model.encoder is {one!r}, but a study of kind {kind} takes study.encoders, a list: "
            f"--model {one}, or --study.encoders '[{one}]'."
        )
    for name in several:
        check_encoder(name)


def _adapter(model: Any) -> None:
    from kolab import lora

    known = [name for name in lora.METHODS if name != "prefix"]
    if model.adapter == "prefix":
        raise ConfigError(
            "model.adapter=prefix: a prefix cannot be merged into the weights, so `kolab predict` could not read the "
            f"run. Take {', '.join(known)}, or kolab.lora.adapt in a notebook."
        )
    _one_of("model.adapter", model.adapter, known)
    if isinstance(model.rank, bool) or model.rank < 1:
        raise ConfigError(f"model.rank is {model.rank!r}; it has to be a whole number of at least 1.")
    if model.alpha is not None and model.alpha <= 0:
        raise ConfigError(
            f"model.alpha is {model.alpha!r}; it has to be above 0, or null for twice the rank."
        )


# ---- a checkpoint to go on with


def checkpoint_of(encoder: str) -> Path | None:
    """The folder of the trained classifier that model.encoder names, a run's folder too; None for a mere encoder."""
    for folder in (Path(encoder), Path(encoder) / "best"):
        if (folder / "config.json").is_file():
            return folder if _config(folder).get("model_type") == "kolab-classifier" else None
    return None


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}). Save the model again, or fetch it again."
        ) from error
    return found if isinstance(found, dict) else {}


def _checkpoint(recipe: Any, many: bool) -> None:
    folder = checkpoint_of(recipe.model.encoder)
    if folder is None:
        return
    saved = _config(folder)
    if not recipe.model.pretrained:
        raise ConfigError(f"model.pretrained=false would throw away what {folder} has learned. Leave it out.")
    for name in ("pooling", "head"):
        if saved.get(name) != getattr(recipe.model, name):
            raise ConfigError(
                f"model.{name} is {getattr(recipe.model, name)!r}, the checkpoint {folder} has {saved.get(name)!r}. "
                f"Set model.{name}={saved.get(name)}, or give the encoder that it was made of."
            )
    kind = "multi_label_classification" if many else "single_label_classification"
    if saved.get("problem_type", kind) != kind:
        raise ConfigError(
            f"The checkpoint {folder} gives {'one label' if many else 'any number of labels'} a text, and the texts of "
            f"data.name={recipe.data.name} carry {'several, or none' if many else 'one'}."
        )
    names = known_labels(recipe.data)
    if names is not None:
        same_labels(saved.get("id2label", {}), names, folder)


def known_labels(data: Any) -> tuple[str, ...] | None:
    """The names of a corpus's labels as far as they are known without reading it."""
    from kolab import corpus_files as files
    from kolab.data import EMOTIONS, POLARITY

    return {
        "reviews": POLARITY, "aihub": POLARITY, "emotions": EMOTIONS, "unsmile": files.UNSMILE_LABELS,
        "nsmc": files.NSMC_CLASSES[data.classes or 2],
        "kote": tuple(files.KOTE_GROUPS) if data.groups else files.KOTE_EMOTIONS,
    }.get(data.name)  # fmt: skip


def same_labels(config: Any, names: Sequence[str], folder: Path) -> None:
    """Raises ConfigError where a checkpoint's labels are not the data's, in the same order.

    config: the checkpoint's configuration, or its id2label.
    """
    numbers = config if isinstance(config, dict) else config.id2label
    saved = [name for _, name in sorted((int(number), name) for number, name in numbers.items())]
    if saved != list(names):
        order = " in another order" if sorted(saved) == sorted(names) else ""
        raise ConfigError(
            f"The labels of the data are not those of the checkpoint {folder}{order}: {_short(names)}; and "
            f"{_short(saved)}. Train from an encoder, or give the data that the checkpoint was trained on."
        )


def _short(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" … ({len(names)})" if len(names) > 6 else "")
