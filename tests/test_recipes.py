"""The recipes as a new user runs them: each trimmed, as a process; the ensemble as published, on files of one's own.

The slow tests take about four minutes of one core: each recipe's --quick has to end within two minutes on two.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kolab.cli import main
from kolab.recipe import RECIPES
from kolab.techniques import COMPARISONS
from tests.test_corpora import UNSMILE, unsmile_bytes
from tests.test_families import electra, modernbert, roberta_of_2020

ROOT = Path(__file__).resolve().parent.parent
# What the report of each has to say beside its plan. Two run in other files' tests, which are not slow.
REPORTS = {
    "accumulation_study": ["| ModernBERT | updates | 128 |", "| BERT | linear |"],
    "emotions_full": ["| macro-F1 |", "F1 anxiety"],
    "reviews_full": ["| macro-F1 |", "F1 중립"],
    "techniques": [f"| {name} |" for name in COMPARISONS],
    "unsmile_ensemble": ["| best alone | 0.5 |", "| equal weights | fitted |"],
}
ELSEWHERE = {"emotions_kfold": "test_study_kfold.py", "reviews_lora": "test_cli.py"}


def kolab(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "kolab.cli", *words]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        encoding="utf-8", timeout=1200,
    )  # fmt: skip


def test_every_recipe_is_run_by_a_test():
    assert {path.stem for path in RECIPES.glob("*.yaml")} == {*REPORTS, *ELSEWHERE}
    for name, file in ELSEWHERE.items():
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert re.search(rf'"--config",\s*"{name}\.yaml",\s*"--quick"', text)


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTS)
def test_trimmed_it_says_its_plan_does_it_and_reports(name, tmp_path):
    done = kolab("train", "--config", f"{name}.yaml", "--quick", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    plan = (
        "recipe  ",
        "data  ",
        "model  ",
        "steps  ",
        "effective batch",
        "precision  ",
        "takes  ",
        "folder  ",
    )
    places = [done.stdout.index(word) for word in (*plan, f"# {name}")]
    assert places == sorted(places), "the plan comes first, the report last"
    text = (tmp_path / "runs" / name / "report.md").read_text(encoding="utf-8")
    assert all(words in text for words in REPORTS[name]) and text.strip() in done.stdout
    if name == "techniques":
        again = kolab("train", "--config", f"{name}.yaml", "--quick", "--resume", cwd=tmp_path)
        assert again.returncode == 0 and "  plain  " not in again.stdout, "every row was there already"


# ---- unsmile_ensemble as published: UnSmile's own files, an encoder of one's own, and the study's options


@pytest.fixture(scope="module")
def unsmile(tmp_path_factory) -> Path:
    """A folder in the exact published format, whose labels can be read off the texts."""
    folder = tmp_path_factory.mktemp("unsmile")
    for name, count in (("unsmile_train_v1.0.tsv", 96), ("unsmile_valid_v1.0.tsv", 30)):
        rows = [
            (f"{name[8:13]} {n}번째 댓글 {'가나다라마바사아자차'[n % 10] * 3} 이야", [n % 10])
            for n in range(count)
        ]
        (folder / name).write_bytes(unsmile_bytes(UNSMILE[name][:2] + rows))
    return folder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> list[str]:
    """An ELECTRA, a RoBERTa as SoongsilBERT is published, and a ModernBERT, two layers of 16 each."""
    places = []
    for make in (electra, roberta_of_2020, modernbert):
        folder = tmp_path_factory.mktemp("encoders") / make.__name__
        folder.mkdir()
        make(folder)
        places.append(str(folder))
    return places


def test_one_model_of_the_published_study_with_its_options(unsmile, encoders, tmp_path, monkeypatch, capsys):
    """Per-model checkpoints and log lines; the best epoch's weights kept; patience 10, min_delta 0.001."""
    monkeypatch.chdir(tmp_path)
    words = ["--config", "unsmile_ensemble.yaml", "--model", encoders[0], "--epochs", "100", "--lr", "3e-3"]
    words += ["--data.name", "unsmile", "--data.path", str(unsmile), "--data.max_length", "32"]
    assert main(["train", *words, "--train.precision", "fp32"]) == 0
    said = capsys.readouterr().out
    assert f"model      {encoders[0]}, mean" in said and "classes 여성/가족, 남성" in said
    assert "trainings  1, a study of kind ensemble; seeds: 1" in said and "takes      at most about" in said
    folder = tmp_path / "runs" / "unsmile_ensemble"
    (model,) = (folder / "models").iterdir()
    lines = (model / "history.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]

    mark, stale, ended = -np.inf, 0, None
    for row in rows:  # the rule, written out once more
        mark, stale = (row["f1"], 0) if row["f1"] > mark + 0.001 else (mark, stale + 1)
        ended = row["epoch"] if stale == 10 and ended is None else ended
    assert len(rows) == (ended or 100) and rows[0]["lr"] <= 3e-3
    best = max(rows, key=lambda row: row["f1"])
    kept = [json.loads(line)["row"] for line in (folder / "rows.jsonl").read_text("utf-8").splitlines()]
    assert kept[0]["best_epoch"] == best["epoch"] and kept[0]["epochs"] == len(rows)
    assert (model / "best" / "model.safetensors").is_file() and list((model / "checkpoints").glob("step-*"))
    log = (folder / "train.log").read_text(encoding="utf-8")
    assert log.count("  train_loss ") == len(rows) and f"epoch {len(rows)}/100" in log
    assert log.count("<- best so far") == sum(
        row["f1"] > max([r["f1"] for r in rows[:at]], default=-1.0) for at, row in enumerate(rows)
    )
    assert ended and "early stopping: 10 epochs without improvement" in log
    assert main(["predict", str(model), "오늘 날씨가 좋네요"]) == 0
    assert capsys.readouterr().out.startswith("text,labels,여성/가족,남성,")


@pytest.mark.slow
def test_three_families_one_after_the_other_on_the_published_files(unsmile, encoders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--config", "unsmile_ensemble.yaml", "--study.encoders", json.dumps(encoders), "--epochs", "2"]
    words += ["--study.variants", "[pos_weight, aeda]", "--train.schedule", "cosine", "--train.warmup", "5"]
    words += ["--model.pooling", "cls", "--model.dropout", "0.3", "--data.batch_size", "16"]
    words += ["--data.name", "unsmile", "--data.path", str(unsmile), "--data.max_length", "32"]
    assert main(["train", *words]) == 0
    folder = tmp_path / "runs" / "unsmile_ensemble"
    rows = [json.loads(line)["row"] for line in (folder / "rows.jsonl").read_text("utf-8").splitlines()]
    assert [row["encoder"] for row in rows] == encoders and all(row["freed"] for row in rows)
    assert len(list((folder / "models").iterdir())) == 3
    assert json.loads((folder / "test_opened.json").read_text(encoding="utf-8"))
    assert "| equal weights | fitted |" in (folder / "report.md").read_text(encoding="utf-8")
