"""Two processes: the same gradients and the same history as one process with the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

SCRIPT = """
import json, sys, torch
from accelerate import PartialState
from tests import tiny
from kolab.losses import BinaryCrossEntropy, CrossEntropy
from kolab.train import TrainConfig, fit, predict

out, expected = sys.argv[1], int(sys.argv[2])
weight = torch.tensor([0.2, 1.0, 7.0])
losses = {"mean": CrossEntropy(), "weighted": CrossEntropy(weight, 0.1), "multi-label": BinaryCrossEntropy(weight)}
results = {}
for kind, loss in losses.items():
    multi = kind == "multi-label"
    # 41 and 17 examples in batches of 8: the last batch holds one, so that one of two processes gets none of it
    loaders = tiny.loaders(41, 8, validation=17, multi_label=multi)
    config = TrainConfig(epochs=3, lr=3e-3, precision="fp32", progress=False, accumulate=2, metric="loss",
                         device="cpu", folder=f"{out}.{kind}")
    model = tiny.model(0.0, multi_label=multi)
    history = fit(model, loaders, config, loss=loss)
    assert PartialState().num_processes == expected, PartialState().num_processes
    found = predict(model, loaders["validation"])
    results[kind] = {
        "rows": [{k: v for k, v in row.items() if k != "seconds"} for row in history],
        "weights": {k: v.double().sum().item() for k, v in model.state_dict().items()},
        "references": found.references.tolist(),
        "logits": found.logits.flatten().tolist(),
    }
if PartialState().is_main_process:
    json.dump(results, open(out, "w"))
"""


def run(folder: Path, processes: int) -> dict:
    script, out = folder / "script.py", folder / f"{processes}.json"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, str(script), str(out), str(processes)],
        cwd=ROOT, capture_output=True, text=True, timeout=400, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text(encoding="utf-8"))


def test_two_processes_do_what_one_does(tmp_path):
    one, two = (run(tmp_path, processes) for processes in (1, 2))
    assert set(one) == {"mean", "weighted", "multi-label"}
    for kind in one:
        assert one[kind]["references"] == two[kind]["references"]
        for ours, theirs in zip(two[kind]["rows"], one[kind]["rows"], strict=True):
            assert ours == pytest.approx(theirs, rel=2e-4, abs=1e-6), kind
        assert two[kind]["weights"] == pytest.approx(one[kind]["weights"], rel=1e-3, abs=1e-3), kind
        assert two[kind]["logits"] == pytest.approx(one[kind]["logits"], abs=2e-3), kind
