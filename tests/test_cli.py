"""The command line, as a process: what a user types, sees, and gets as an exit code."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from peft import PeftModel

from kolab.cli import main
from kolab.errors import ConfigError
from kolab.model import Classifier, load_encoder
from kolab.recipe import RECIPES
from kolab.recipe_file import parse_recipe

QUICK = ["--data.rows", "64", "--train.epochs", "2", "--train.precision", "fp32"]


def kolab(*words: str, cwd: Path, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "kolab.cli", *words]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=300, **options
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run of the emotions recipe, on 64 rows."""
    folder = tmp_path_factory.mktemp("cli")
    done = kolab("train", "--config", "emotions_full", *QUICK, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "effective batch 32" in done.stdout and "macro-F1" in done.stdout
    return folder / "runs" / "emotions_full"


def test_train_leaves_a_run_as_described(run):
    names = {path.name for path in run.iterdir()}
    assert {"recipe.yaml", "train.json", "history.jsonl", "checkpoints", "best", "report.md"} <= names
    assert len((run / "history.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert (run / "best" / "model.safetensors").is_file() and (run / "best" / "tokenizer.json").is_file()
    assert yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))["data"]["rows"] == 64


def test_predict_prints_csv_or_json_and_writes_files(run, tmp_path):
    done = kolab("predict", str(run), "오늘 정말 행복해 ㅋㅋ", "짜증나", cwd=tmp_path)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["text"] for row in rows] == ["오늘 정말 행복해 ㅋㅋ", "짜증나"]
    assert sum(
        float(rows[0][name]) for name in ("joy", "anxiety", "anger", "sadness", "neutral")
    ) == pytest.approx(1, abs=1e-4)
    (tmp_path / "in.csv").write_text('text,other\n"따옴표 ""속"" 글",1\n둘째,2\n', encoding="utf-8")
    done = kolab("predict", str(run), "--file", "in.csv", "--out", "out.csv", "--json", cwd=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()]
    assert done.returncode == 0 and [line["text"] for line in lines] == ['따옴표 "속" 글', "둘째"]


def test_evaluate_repeats_the_reports_numbers(run, tmp_path):
    done = kolab("evaluate", str(run), "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert f"{found['f1']:.4f}" in (run / "report.md").read_text(encoding="utf-8")
    low, high = found["f1_interval"]
    assert low <= found["f1"] <= high and len(found["f1_by_class"]) == 5


def test_a_second_run_into_the_folder_is_refused_and_nothing_changes(run):
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file() and p.name != ".lock"}
    done = kolab("train", "--config", "emotions_full", *QUICK, cwd=run.parent.parent)
    assert done.returncode == 1 and "already holds a run" in done.stderr and "Traceback" not in done.stderr
    assert "(--resume)" in done.stderr and not done.stdout, "before anything was loaded"
    other = [*QUICK, "--resume", "--data.seed", "5"]
    done = kolab("train", "--config", "emotions_full", *other, cwd=run.parent.parent)
    assert done.returncode == 1 and "another recipe: data differ" in done.stderr
    assert before == {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file() and p.name != ".lock"}


def test_a_run_that_was_killed_is_resumed_to_the_same_end(run, tmp_path):
    words = ["train", "--config", "emotions_full", *QUICK, "--train.save_every", "1"]
    command = [sys.executable, "-m", "kolab.cli", *words]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "runs" / "emotions_full" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("step-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    done = kolab(*words, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ours, theirs = history(checkpoints.parent), history(run)
    assert ours == theirs


def history(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path, number):
    command = [
        sys.executable,
        "-m",
        "kolab.cli",
        "train",
        "--config",
        "emotions_full",
        "--train.epochs",
        "40",
        *QUICK[:2],
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    checkpoints = tmp_path / "runs" / "emotions_full" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("step-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "resume" in errors and "Traceback" not in errors


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["trian"], 2, "Did you mean 'train'"),
        (["train", "--config", "nope"], 1, "emotions_full.yaml"),
        (["train", "--train.epochz", "3"], 1, "Did you mean 'train.epochs'"),
        (["train", "--train.lr", "abc"], 1, "train.lr"),
        (["train", "--train.lr", "-1"], 1, "lr is -1.0"),
        (["train", "--data.name", "aspect"], 1, "Did you mean 'aspects'"),
        (["train", "--data.name", "aspects", "--loss.smoothing", "0.1"], 1, "carry several, or none"),
        (["train", "--data.path", "x"], 1, "reviews are bundled"),
        (["train", "--data.name", "aihub", "--data.path", "nowhere"], 1, "nowhere"),
        (["train", "--model.pooling", "max"], 1, "pooling"),
        (["train", "--train.precision", "fp16", "--train.device", "cpu"], 1, "needs a CUDA GPU"),
        (["train", "--loss.class_weights", "equal"], 1, "balanced"),
        (["evaluate", "nowhere"], 1, "holds no trained model"),
        (["predict", "nowhere", "글"], 1, "holds no trained model"),
        (["predict", "nowhere", "--file", "none.csv"], 1, "cannot be read"),
        (["predict", "nowhere", "  "], 1, "the text is empty"),
        (["bench", "none"], 1, "There is no measurement"),
        (["results", "none"], 1, "none"),
    ],
)
def test_wrong_words_get_an_answer_without_a_traceback(words, code, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    found = capsys.readouterr()
    assert says in found.err and "Traceback" not in found.err
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_is_whole_and_says_what_it_is_for(path):
    recipe, name = parse_recipe(["--config", path.name])
    assert name == path.stem and recipe.train.folder == f"runs/{name}"
    head = path.read_text(encoding="utf-8")
    assert head.startswith(f"# {name}: ")
    assert all(f"# {word}:" in head for word in ("Repeats", "Needs", "Takes")) and "--quick" in head


def test_a_recipe_that_is_no_yaml_is_named(tmp_path):
    (tmp_path / "bad.yaml").write_text("train: [1, 2", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad.yaml is not a YAML file"):
        parse_recipe(["--config", str(tmp_path / "bad.yaml")])
    (tmp_path / "odd.yaml").write_text("train:\n  epoch: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"'train.epoch'. Did you mean 'train.epochs'"):
        parse_recipe(["--config", str(tmp_path / "odd.yaml")])


def test_an_adapter_is_trained_merged_and_kept_alone(tmp_path):
    """reviews_lora as a process: `best` is an ordinary classifier, `adapter` what peft puts on the base by itself."""
    words = [
        "--config",
        "reviews_lora.yaml",
        "--quick",
        "--train.precision",
        "fp32",
        "--data.max_length",
        "24",
    ]
    done = kolab("train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "LoRA; 49,923 of 6,903,299 parameters trained" in done.stdout and "takes      about" in done.stdout
    assert "LoRA of rank 8: 49,923 of 6,903,299 parameters were trained" in done.stdout
    folder = tmp_path / "runs" / "reviews_lora"
    assert not list(folder.rglob("README.md")) and not list(folder.glob(".saving*"))
    sizes = [
        (folder / part).stat().st_size
        for part in ("adapter/adapter_model.safetensors", "best/model.safetensors")
    ]
    assert 50 * sizes[0] < sizes[1]

    texts = ["배터리가 오래 가요", "화면이 어둡고 느려요"]
    assert main(["predict", str(folder), *texts, "--out", str(tmp_path / "out.csv"), "--json"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()]
    encoder, tokenizer = load_encoder("kolab-mini")
    base = Classifier.build(encoder, ["부정", "중립", "긍정"], pooling="mean", dropout=0.1, seed=5)
    model = PeftModel.from_pretrained(base, str(folder / "adapter")).eval()
    with torch.no_grad():
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        expected = model(**batch).logits.softmax(-1)
    found = torch.tensor([[row[name] for name in ("부정", "중립", "긍정")] for row in rows])
    assert torch.allclose(found, expected, atol=1e-4)


def test_doctor_says_that_all_is_well(capsys):
    assert main(["doctor"]) == 0
    assert "torch" in capsys.readouterr().out


def test_usage_is_shown_without_a_command(capsys):
    assert main([]) == 0 and "kolab train" in capsys.readouterr().out
