"""KoLab: the shared training loop and the exercise checks of a course on fine-tuning Korean language models.

`import kolab as kl` gives the dozen names that a lesson needs; everything else lives in the submodules.
The names are resolved on first use (PEP 562), so that the import itself takes no time. It does tell
transformers' Auto classes about `Classifier`, so that a saved one loads in a pipeline (kolab/_register.py).
"""

import importlib

from ._register import register_when_needed

__version__ = "0.1.0"

_HOME = {
    "setup": "lesson", "pick": "lesson", "predict": "lesson", "reveal": "lesson", "hint": "lesson",
    "check": "lesson", "progress": "lesson",
    "load_reviews": "data", "load_emotions": "data", "load_aihub": "data", "audit": "data", "split": "data",
    "load_nsmc": "corpora", "load_kote": "corpora", "load_unsmile": "corpora",
    "clean": "text",
    "make_loaders": "batching",
    "load_encoder": "model", "Classifier": "model",
    "TrainConfig": "train", "fit": "train", "evaluate": "train",
}  # fmt: skip
_MODULES = (
    "batching", "checkpoint", "checks", "data", "decide", "ensemble", "errors", "lesson", "lora", "losses", "measure",
    "metrics", "model", "multilabel", "optim", "plots", "text", "train", "widgets",
)  # fmt: skip

__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__


register_when_needed()
