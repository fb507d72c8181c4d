"""A recipe as a YAML file and the command line together describe it; for a wrong word, the nearest right spelling."""

import dataclasses
import difflib
import json
import re
from pathlib import Path
from typing import Any

from kolab.errors import ConfigError


def nearest(word: str, known: list[str]) -> str:
    """' Did you mean …?' with the known word most like this one, capitals aside, or nothing if none is.

    >>> nearest("lora", ["full", "LoRA"]), nearest("x", ["full", "LoRA"])
    (" Did you mean 'LoRA'?", '')
    """
    spelt = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), spelt, n=1)
    return f" Did you mean {spelt[close[0]]!r}?" if close else ""


# Short spellings on the command line. --model is the encoder, or, in a study of several, the only one of them.
SHORT = {"epochs": "train.epochs", "lr": "train.lr", "model": "model.encoder"}


def parse_recipe(argv: list[str]) -> tuple[Any, str]:
    """The recipe that a file and the command line together describe, and its name.

    Raises ConfigError for an unknown field (with the nearest right spelling) or a value of the wrong type.
    """
    import jsonargparse

    from kolab.recipe import Recipe, find_recipe
    from kolab.yaml_file import read_yaml

    parser = jsonargparse.ArgumentParser(
        prog="kolab train", description="Train as a recipe says.", exit_on_error=False, default_env=False
    )
    parser.add_argument("--config", help="a YAML file, or the name of a recipe that comes with the course")
    parser.add_argument("--folder", help="where the run is saved (default: runs/RECIPE)")
    parser.add_argument(
        "--resume", action="store_true", help="go on where the folder's newest checkpoint stands"
    )
    parser.add_class_arguments(Recipe, None)
    fields = _fields()
    name = "kolab"
    argv = [
        part for word in argv for part in (word.split("=", 1) if word.startswith("--config=") else [word])
    ]
    if "--config" in argv[:-1]:
        at = argv.index("--config") + 1
        path = find_recipe(argv[at])
        name = path.stem
        content = read_yaml(path) or {}
        if not isinstance(content, dict):
            raise ConfigError(f"{path} has to hold fields such as 'train:', not {type(content).__name__}.")
        empty = [key for key, value in content.items() if value is None and "." not in str(key)]
        content = {key: value for key, value in content.items() if key not in empty or key not in _parts()}
        given = [f"--{key}={_text(value)}" for key, value in _leaves(content)]
        argv = given + argv[: at - 1] + argv[at + 1 :]
    argv = _spelt_out(argv)
    if argv and not argv[0].startswith("-"):
        raise ConfigError(f"What is {argv[0]!r}? A recipe is given as `--config {argv[0]}`.")
    for word in argv:
        key = word[2:].split("=")[0]
        if word.startswith("--") and key not in fields and key not in ("help", "folder", "resume", "config"):
            raise ConfigError(
                f"There is no setting {key!r}.{nearest(key, [*fields, *SHORT])} `kolab train --help` lists all."
            )
    try:
        found = parser.parse_args(argv)
        build = (
            getattr(parser, "instantiate", None) or parser.instantiate_classes
        )  # renamed in jsonargparse 4.49
        recipe = build(found)
        recipe = Recipe(**{f.name: recipe[f.name] for f in dataclasses.fields(Recipe)})
    except (jsonargparse.ArgumentError, TypeError) as error:
        raise ConfigError(_explained(str(error), argv)) from error
    folder = found.folder or recipe.train.folder or str(Path("runs") / name)
    train = dataclasses.replace(recipe.train, folder=folder, resume=found.resume or recipe.train.resume)
    return dataclasses.replace(recipe, train=train), name


def _spelt_out(argv: list[str]) -> list[str]:
    """`--lr 3e-5` as `--train.lr 3e-5`, and so on.

    >>> _spelt_out(["--lr", "3e-5", "--model=kcelectra"])
    ['--train.lr', '3e-5', '--model.encoder=kcelectra']
    >>> _spelt_out(["--study.kind=ensemble", "--model", "kcelectra"])
    ['--study.kind=ensemble', '--study.encoders', '["kcelectra"]']
    >>> _spelt_out(["--study.kind=kfold", "--model", "kobert"])     # compares techniques, on one encoder
    ['--study.kind=kfold', '--model.encoder', 'kobert']
    """
    short = dict(SHORT)
    kinds = re.findall(r"--study\.kind[ =](\S+)", " ".join(argv))
    study = bool(kinds) and kinds[-1] not in ("kfold", "null")
    if study:
        short["model"] = "study.encoders"
    found, listed = [], False  # listed: the value that comes next stands for a list of one
    for word in argv:
        key, equals, value = word.partition("=")
        if listed and not word.startswith("--"):
            word = json.dumps([word])
        listed = False
        if key.startswith("--") and key[2:] in short:
            listed = study and key == "--model"
            value = json.dumps([value]) if listed and equals else value
            word = f"--{short[key[2:]]}{equals}{value}"
        found.append(word)
    return found


def _explained(message: str, argv: list[str]) -> str:
    """What jsonargparse says of a value of the wrong type, in plain words: which field, which value, what it may be."""
    from kolab.recipe import Recipe

    key = re.search(r'[Kk]ey "([\w.]+)"', message)
    part, _, name = key[1].partition(".") if key else ("", "", "")
    parts = {p.name: p.default_factory for p in dataclasses.fields(Recipe)}
    kinds = {field.name: field.type for field in dataclasses.fields(parts[part])} if part in parts else {}
    if name not in kinds:
        return message.strip()
    words = [w for word in argv for w in word.split("=", 1)]
    value = words[words.index(f"--{key[1]}") + 1] if f"--{key[1]}" in words[:-1] else None
    kind = kinds[name]
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(
        kind, str(getattr(kind, "__name__", kind)) if isinstance(kind, type) else str(kind)
    )
    said = f"{key[1]} is {value!r}" if value is not None else f"{key[1]} has a value of the wrong type"
    return f"{said}; it has to be {plain.replace('| None', 'or null').replace('None', 'null')}."


def _fields() -> list[str]:
    from kolab.recipe import Recipe

    parts = {part.name: part.default_factory for part in dataclasses.fields(Recipe)}
    return [f"{name}.{field.name}" for name, part in parts.items() for field in dataclasses.fields(part)]


def _parts() -> list[str]:
    """The sections of a recipe. One that is named and left empty says nothing."""
    from kolab.recipe import Recipe

    return [part.name for part in dataclasses.fields(Recipe)]


def _leaves(content: dict, prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in content.items():
        name = f"{prefix}{key}"
        found += _leaves(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return found


def _text(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
