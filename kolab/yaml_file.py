"""YAML files that people write by hand: strict where YAML is lenient and the mistake would not be noticed."""

from pathlib import Path
from typing import Any

import yaml

from kolab.errors import ConfigError, DataError
from kolab.user_files import encoding_of


class _Strict(yaml.SafeLoader):
    """Runs no code, and takes no key twice: plain YAML lets the last one win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"{twice!r} stands there twice: put both into one, or delete one", node.start_mark
            )
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """What a YAML file says. Raises ConfigError with the place and the cure."""
    try:
        with open(path, encoding=encoding_of(path)) as file:
            content = file.read()
        found = yaml.load(content, Loader=_Strict)
        _flat(found)
        return found
    except DataError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    except RecursionError as error:
        raise ConfigError(f"{path} holds itself, or is nested without end. Write it out plainly.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        tabs = any(line.lstrip(" ").startswith("\t") for line in content.splitlines())
        cure = "Indent with blanks, not with tabs." if tabs else "Correct that place."
        raise ConfigError(
            f"{path} is not a YAML file a recipe can be read from{where}: {what}. {cure}"
        ) from error


def _flat(value: Any, depth: int = 0) -> None:
    """Raises RecursionError for what refers to itself, and for what nobody writes."""
    if depth > 20:
        raise RecursionError
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _flat(inner, depth + 1)
