"""How transformers learns about `kolab.model.Classifier` from `import kolab` alone.

`import kolab` has to be enough for `transformers.pipeline("text-classification", model=FOLDER)`, and it
should not cost the seconds that torch and transformers take to load (`kolab --help` needs neither). So the
registration has two steps, each done at the moment it is needed:

1. `register_when_needed`, called by `kolab/__init__.py`, adds `ClassifierConfig` to `AutoConfig` as soon as
   transformers' own table of configurations has been loaded, whoever loads it;
2. a model is only ever chosen for a configuration that exists, so `ClassifierConfig.__init__` imports
   `kolab.model`, which adds `Classifier` to `AutoModel` and `AutoModelForSequenceClassification`.

Measured on two cores: `import kolab` takes a hundredth of a second with this, five with an eager import.
"""

import sys
from importlib.machinery import PathFinder

_TABLE = "transformers.models.auto.configuration_auto"


class _AfterImport:
    """A finder (PEP 451) that lets Python import `_TABLE` as usual and registers our configuration right after.

    Finders on `sys.meta_path` are asked for every module in turn. This one answers for a single name, once,
    with the ordinary answer whose `exec_module` does one thing more.
    """

    def find_spec(self, name, path=None, target=None):
        if name != _TABLE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module):
            execute(module)
            _register(module)

        spec.loader.exec_module = execute_and_register
        return spec


def _register(table) -> None:
    from .classifier_config import ClassifierConfig  # needs transformers, which is loaded by now

    table.AutoConfig.register(ClassifierConfig.model_type, ClassifierConfig, exist_ok=True)


def register_when_needed() -> None:
    """Make `AutoConfig` know `ClassifierConfig`: now if transformers is loaded already, otherwise when it is.

    Calling it again changes nothing.
    """
    table = sys.modules.get(_TABLE)
    if table is not None:
        _register(table)
    elif not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())
