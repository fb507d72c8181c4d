"""A recipe: everything one training needs, as dataclasses that a YAML file or the command line fills."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from kolab.errors import ConfigError, DataError
from kolab.train import TrainConfig

RECIPES = Path(__file__).parent / "recipes"
SINGLE_LABEL = ("reviews", "emotions", "aihub", "nsmc")
MULTI_LABEL = ("aspects", "unsmile", "kote")
_FETCHED = ("nsmc", "unsmile", "kote")
LOSSES = ("auto", "cross_entropy", "binary_cross_entropy")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """name: reviews, emotions, aihub or nsmc; or, where a text may carry several labels, aspects (of reviews), unsmile
    or kote. path: the folder or zip of aihub; of another corpus a folder of your own, instead of the bundled reviews or
    of what `kolab fetch` has brought. seed: of the split. classes: of nsmc, 2 or, by rating, 3. groups: of kote, its
    seven groups of emotions instead of the 44.

    workers: processes that make batches ahead of time; see `kolab.batching.make_loaders`.
    """

    name: str = "reviews"
    path: str | None = None
    seed: int = 0
    batch_size: int = 32
    max_length: int = 128
    rows: int | None = None  # at most so many training rows: for a quick try
    classes: int | None = None
    groups: bool = False
    workers: int = 0

    def __post_init__(self):
        known = [*SINGLE_LABEL, *MULTI_LABEL]
        if self.name not in known:
            from kolab.recipe_file import nearest

            raise ConfigError(
                f"data.name is {self.name!r}.{nearest(self.name, known)} There are {', '.join(known)}."
            )
        if self.name == "aihub" and self.path is None:
            raise ConfigError("data.name=aihub needs data.path: the folder or zip that you have downloaded.")
        if self.path is not None and self.name not in ("aihub", "aspects", *_FETCHED):
            raise ConfigError(
                f"data.path is for corpora of your own (data.name=aihub, aspects, {', '.join(_FETCHED)}); "
                f"{self.name} are bundled. Leave it out, or name the corpus that lies there."
            )
        for name in ("batch_size", "max_length", "rows"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or value < 1):
                raise ConfigError(f"data.{name} is {value!r}; it has to be a whole number of at least 1.")
        if self.classes is not None and (self.name != "nsmc" or self.classes not in (2, 3)):
            raise ConfigError(
                f"data.classes is {self.classes!r} and data.name {self.name}; only nsmc can be told: 2, or 3 by rating."
            )
        if self.groups and self.name != "kote":
            raise ConfigError(f"data.groups is for data.name=kote; {self.name} have no groups.")
        if isinstance(self.workers, bool) or self.workers < 0:
            raise ConfigError(f"data.workers is {self.workers!r}; it has to be a whole number of at least 0.")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The encoder (a name of the registry, a Hub id, or a folder) and the head on it.

    Where the folder is a run, or holds a saved classifier, training goes on with that, head and all; its labels have to
    be the data's, its pooling and head those of the recipe.

    adapter: what of it is trained (see `kolab.lora.adapt`): full, LoRA, DoRA, rsLoRA, IA3 or head only. rank, alpha: of
    the LoRA family; alpha is 2 · rank where it is not given. A trained adapter is merged: the run's `best` holds an
    ordinary classifier, and `adapter` what was trained, alone, as peft saves it.
    """

    encoder: str = "kolab-mini"
    pretrained: bool = True
    pooling: str = "mean"
    head: str = "linear"
    dropout: float = 0.1
    adapter: str = "full"
    rank: int = 8
    alpha: float | None = None


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """kind: cross_entropy (a text has one label), binary_cross_entropy (several, or none), or auto: what the data need.
    class_weights: None or "balanced" (rows / (classes × rows of the class); for data of many labels negatives /
    positives of each, at most 10). smoothing: ε of label smoothing.
    """

    kind: str = "auto"
    class_weights: str | None = None
    smoothing: float = 0.0

    def __post_init__(self):
        from kolab.recipe_file import nearest

        if self.kind not in LOSSES:
            raise ConfigError(
                f"loss.kind is {self.kind!r}.{nearest(self.kind, list(LOSSES))} There are {', '.join(LOSSES)}."
            )
        if self.class_weights not in (None, "balanced"):
            raise ConfigError(
                f"loss.class_weights is {self.class_weights!r}; it has to be 'balanced' or null."
            )
        if not 0 <= self.smoothing < 1:
            raise ConfigError(f"loss.smoothing is {self.smoothing!r}; it has to be at least 0 and below 1.")


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
        from kolab import recipe_check

        recipe_check.check(self)
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
    trained: tuple[int, int]  # parameters: those that train, and those that the model uses

    @property
    def labels(self) -> list[str]:
        """The names of the classes."""
        from kolab.multilabel import label_names

        return label_names(self.data)


def find_recipe(name: str) -> Path:
    """A recipe's file: a path, or the name of one that comes with the course. Raises ConfigError, listing those."""
    from kolab.recipe_file import nearest

    path = Path(name)
    if path.is_file():
        return path
    known = sorted(p.name for p in RECIPES.glob("*.yaml"))
    if path.parent.name in ("", "recipes") and path.with_suffix(".yaml").name in known:
        return RECIPES / path.with_suffix(".yaml").name
    meant = nearest(path.with_suffix(".yaml").name, known)
    raise ConfigError(f"There is no recipe {name!r}: no such file.{meant} The course has {', '.join(known)}.")


def load_data(config: DataConfig):
    """The splits that a recipe names, as a DatasetDict."""
    from kolab import corpora, data

    if config.name == "emotions":
        splits = data.load_emotions(seed=config.seed)
    elif config.name == "reviews":
        splits = data.load_reviews(seed=config.seed)
    elif config.name == "aihub":
        splits = data.split(data.load_aihub(config.path), seed=config.seed)
    elif config.name == "aspects":
        splits = data.load_aspects(config.path, seed=config.seed)
    elif config.name == "nsmc":
        splits = corpora.load_nsmc(config.path, classes=config.classes or 2, seed=config.seed)
    elif config.name == "kote":
        splits = corpora.load_kote(config.path, groups=config.groups)
    else:
        splits = corpora.load_unsmile(config.path, seed=config.seed)
    if config.rows is not None and config.rows < len(splits["train"]):
        splits["train"] = splits["train"].shuffle(seed=config.seed).select(range(config.rows))
    if config.name in SINGLE_LABEL and len(set(splits["train"]["label"][:])) < 2:
        raise DataError(
            f"All {len(splits['train']):,} training rows carry one and the same label: there is nothing to tell apart. "
            "Add rows of another, or raise data.rows."
        )
    return splits


def prepare(recipe: Recipe) -> Prepared:
    """Loads what a recipe names: data, encoder, loaders, classifier, loss."""
    from kolab import lora, recipe_check
    from kolab.batching import make_loaders
    from kolab.encoders import read_tokenizer
    from kolab.model import Classifier, load_encoder
    from kolab.multilabel import label_names

    data = load_data(recipe.data)
    wanted = recipe.model
    checkpoint = recipe_check.checkpoint_of(wanted.encoder)
    if checkpoint is not None:  # go on with a classifier that was trained before, head and all
        model, tokenizer = Classifier.from_pretrained(checkpoint), read_tokenizer(checkpoint)
        recipe_check.same_labels(model.config, label_names(data), checkpoint)
    else:
        encoder, tokenizer = load_encoder(
            wanted.encoder, pretrained=wanted.pretrained, seed=recipe.train.seed
        )
        model = Classifier.build(
            encoder,
            label_names(data),
            pooling=wanted.pooling,
            head=wanted.head,
            dropout=wanted.dropout,
            multi_label=recipe.data.name in MULTI_LABEL,
            seed=recipe.train.seed,
        )
    if wanted.adapter != "full":
        model = lora.adapt(model, wanted.adapter, rank=wanted.rank, alpha=wanted.alpha)
    loaders = make_loaders(
        data,
        tokenizer,
        batch_size=recipe.data.batch_size,
        max_length=recipe.data.max_length,
        seed=recipe.train.seed,
        workers=recipe.data.workers,
    )
    counts = lora.honest_count(model)
    return Prepared(recipe, data, loaders, model, tokenizer, make_loss(recipe, data["train"]), counts)


def make_loss(recipe: Recipe, train: Any) -> torch.nn.Module:
    """The loss that a recipe names; "balanced" weights are counted on the training rows."""
    from kolab import multilabel
    from kolab.losses import BinaryCrossEntropy, CrossEntropy, balanced_weights

    balanced = recipe.loss.class_weights == "balanced"
    if recipe.data.name in MULTI_LABEL:
        return BinaryCrossEntropy(multilabel.pos_weight(train["labels"][:]) if balanced else None)
    weight = None
    if balanced:
        weight = balanced_weights(train["label"][:], len(multilabel.label_names(train)))
    return CrossEntropy(weight, recipe.loss.smoothing)


def merge_adapter(prepared: Prepared) -> None:
    """After a training with an adapter: `prepared.model` and the run's `best` become an ordinary classifier.

    What was trained, alone, is moved into the run's folder `adapter`. Nothing happens where there was no adapter.
    """
    from kolab import checkpoint, lora, processes

    if not hasattr(prepared.model, "merge_and_unload"):
        return
    folder = Path(prepared.recipe.train.folder)
    prepared.model = lora.merged(prepared.model)
    if processes.launched()[0] == 0:
        with checkpoint.folder_for(folder / "best") as partial:
            prepared.model.save_pretrained(partial)
            prepared.tokenizer.save_pretrained(partial)
            (folder / "best" / "README.md").unlink(missing_ok=True)  # peft's empty model card
            checkpoint.replace_folder(folder / "best", folder / "adapter")
