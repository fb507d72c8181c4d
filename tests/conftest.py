"""What all tests share: no network, one core a worker, and a progress file of their own."""

import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; pytest-xdist brings the parallelism
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "agg"

import pytest
from hypothesis import HealthCheck, settings

from tests.faulty_server import server  # noqa: F401  (a fixture)

ROOT = Path(__file__).resolve().parent.parent
# On a busy machine the first examples, which import what they need, can take longer than hypothesis likes.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """Nobody's progress is touched, and no variable of the shell that runs the tests gets in the way."""
    monkeypatch.setenv("KOLAB_HOME", str(tmp_path_factory.mktemp("home")))
    for name in ("KOLAB_QUICK", "KOLAB_STRICT", "KOLAB_CHECK_SEED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def builder():
    """notebooks/build.py as a module, which finds its neighbours as it does when it is run."""
    sys.path.append(str(ROOT / "notebooks"))
    spec = importlib.util.spec_from_file_location("notebook_builder", ROOT / "notebooks" / "build.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
