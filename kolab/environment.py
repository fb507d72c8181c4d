"""Environment variables that people set by hand: read strictly, since a word that nobody understands is no 'no'."""

import os

from kolab.errors import ConfigError

_NO = ("", "0", "false", "no", "off")
_YES = ("1", "true", "yes", "on")


def flag(name: str) -> bool:
    """Whether a variable is switched on: 1, true, yes or on; not set, 0, false, no or off. Raises ConfigError.

    >>> flag("KOLAB_THAT_NOBODY_SETS")
    False
    """
    value = os.environ.get(name, "").strip().lower()
    if value not in _NO + _YES:
        raise ConfigError(f"The environment variable {name} is {os.environ[name]!r}; set it to 1 or 0.")
    return value in _YES


def number(name: str, default: int | None) -> int | None:
    """A variable as a whole number of at least 0; `default` where it is not set. Raises ConfigError."""
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    if not (value.isascii() and value.isdigit()):
        raise ConfigError(
            f"The environment variable {name} is {value!r}; set it to a whole number, or unset it."
        )
    return int(value)
