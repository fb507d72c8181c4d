"""The errors a user of KoLab can meet. Each message names what is wrong, where, and how to mend it."""


class KolabError(Exception):
    """The parent of all errors that KoLab raises on purpose."""


class DataError(KolabError, ValueError):
    """A file, a row or a label is not what it should be."""


class ConfigError(KolabError, ValueError):
    """A setting is unknown, impossible, or does not fit the others."""


class CheckpointError(KolabError):
    """A saved run cannot be read or written."""


class TrainingError(KolabError):
    """Training cannot go on: the loss is not a number, or memory is full."""


class SetupError(KolabError):
    """What is installed is not what this process has loaded."""
