"""A recipe: everything one training needs, as dataclasses that a YAML file or the command line fills."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from kolab.errors import ConfigError
from kolab.train import TrainConfig

RECIPES = Path(__file__).parent / "recipes"


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """name: reviews, emotions, or aihub (then `path` is its folder or zip). seed: of the split."""

    name: str = "reviews"
    path: str | None = None
    seed: int = 0
    batch_size: int = 32
    max_length: int = 128
    rows: int | None = None  # at most so many training rows: for a quick try

    def __post_init__(self):
        if self.name not in ("reviews", "emotions", "aihub"):
            raise ConfigError(f"data.name is {self.name!r}; there are reviews, emotions and aihub.")
        if (self.name == "aihub") != (self.path is not None):
            raise ConfigError(
                "data.path and data.name=aihub need each other: path is the folder or zip you downloaded."
            )
        for name in ("batch_size", "max_length", "rows"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or value < 1):
                raise ConfigError(f"data.{name} is {value!r}; it has to be a whole number of at least 1.")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The encoder (a name of the registry, a Hub id, or a folder) and the head on it."""

    encoder: str = "kolab-mini"
    pretrained: bool = True
    pooling: str = "mean"
    head: str = "linear"
    dropout: float = 0.1


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """class_weights: None or "balanced" (rows / (classes × rows of the class)). smoothing: ε of label smoothing."""

    class_weights: str | None = None
    smoothing: float = 0.0

    def __post_init__(self):
        if self.class_weights not in (None, "balanced"):
            raise ConfigError(
                f"loss.class_weights is {self.class_weights!r}; it has to be 'balanced' or null."
            )


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """With `kind` a recipe is not one training but a study of them (see `kolab/studies/`).

    kind: batches, or another of the modules there. seeds: how many. encoders, variants, folds: what is compared, for
    the kinds that compare it. batches: effective batches, multiples of data.batch_size, the base first; rules: how rate
    and epochs follow them. held_out: at most so many held-out examples.
    """

    kind: str | None = None
    batches: list[int] = dataclasses.field(default_factory=list)
    encoders: list[str] = dataclasses.field(default_factory=lambda: ["kolab-mini"])
    rules: list[str] = dataclasses.field(default_factory=lambda: ["same", "linear", "sqrt", "updates"])
    variants: list[str] = dataclasses.field(default_factory=list)
    folds: int = 5
    seeds: int = 2
    held_out: int | None = None

    def __post_init__(self):
        if self.kind is not None and (not self.encoders or not self.rules or self.seeds < 1):
            raise ConfigError("A study needs at least one of study.encoders, study.rules and study.seeds.")
        if self.folds < 2:
            raise ConfigError(f"study.folds is {self.folds}; there have to be at least two.")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One training: what data, what model, what loss, and how; or a study of many."""

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    study: StudyConfig = dataclasses.field(default_factory=StudyConfig)

    def __post_init__(self):
        if self.study.kind is not None:
            from kolab import studies

            studies.load(self.study.kind).check(self)


@dataclasses.dataclass
class Prepared:
    """What a recipe becomes when its data and its encoder have been loaded."""

    recipe: Recipe
    data: Any  # datasets.DatasetDict
    loaders: Any
    model: Any
    tokenizer: Any
    loss: torch.nn.Module

    @property
    def labels(self) -> list[str]:
        """The names of the classes."""
        return list(self.data["train"].features["label"].names)


def find_recipe(name: str) -> Path:
    """A recipe's file: a path, or the name of one that comes with the course. Raises ConfigError, listing those."""
    path = Path(name)
    for candidate in (path, RECIPES / path.name, RECIPES / f"{path.name}.yaml"):
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(p.name for p in RECIPES.glob("*.yaml")))
    raise ConfigError(f"There is no recipe {name!r}: no such file, and the course has {known}.")


def load_data(config: DataConfig):
    """The splits that a recipe names, as a DatasetDict."""
    from kolab import data

    if config.name == "emotions":
        splits = data.load_emotions(seed=config.seed)
    elif config.name == "reviews":
        splits = data.load_reviews(seed=config.seed)
    else:
        splits = data.split(data.load_aihub(config.path), seed=config.seed)
    if config.rows is not None and config.rows < len(splits["train"]):
        splits["train"] = splits["train"].shuffle(seed=config.seed).select(range(config.rows))
    return splits


def prepare(recipe: Recipe) -> Prepared:
    """Loads what a recipe names: data, encoder, loaders, classifier, loss."""
    from kolab.batching import make_loaders
    from kolab.losses import CrossEntropy
    from kolab.model import Classifier, load_encoder

    data = load_data(recipe.data)
    wanted = recipe.model
    encoder, tokenizer = load_encoder(wanted.encoder, pretrained=wanted.pretrained, seed=recipe.train.seed)
    labels = list(data["train"].features["label"].names)
    model = Classifier.build(
        encoder,
        labels,
        pooling=wanted.pooling,
        head=wanted.head,
        dropout=wanted.dropout,
        seed=recipe.train.seed,
    )
    loaders = make_loaders(
        data,
        tokenizer,
        batch_size=recipe.data.batch_size,
        max_length=recipe.data.max_length,
        seed=recipe.train.seed,
    )
    weight = None
    if recipe.loss.class_weights == "balanced":
        counts = torch.bincount(torch.tensor(data["train"]["label"]), minlength=len(labels)).clamp_min(1)
        weight = counts.sum() / (len(labels) * counts)
    return Prepared(recipe, data, loaders, model, tokenizer, CrossEntropy(weight, recipe.loss.smoothing))
