"""What a run says of itself when it is over: its recipe, its report, and rows of predictions."""

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from sklearn.metrics import f1_score

from kolab import checkpoint, processes
from kolab.errors import ConfigError, DataError
from kolab.metrics import bootstrap_interval, classification_metrics
from kolab.model import count_parameters
from kolab.recipe import ModelConfig, Recipe
from kolab.studies import ROWS
from kolab.train import History, Predictions, default_loss, predict
from kolab.user_files import on_disk, read_columns, read_lines


def score(model, loader) -> dict[str, Any]:
    """Loss and metrics over a loader, macro-F1's 95 % interval, and F1 by class."""
    found = predict(model, loader)
    references, names = found.references.numpy(), model.config.id2label
    total, weight = default_loss(loader)(found.logits, found.references)
    low, high = bootstrap_interval(found.labels, references)
    single = f1_score(references, found.labels, labels=sorted(names), average=None, zero_division=0.0)
    return {
        "loss": float(total / weight),
        **{name: float(value) for name, value in classification_metrics(found.labels, references).items()},
        "f1_interval": [float(low), float(high)],
        "f1_by_class": {names[c]: float(single[c]) for c in sorted(names)},
        "rows": len(references),
    }


def score_text(found: Mapping[str, Any], split: str) -> str:
    """The scores as Markdown."""
    low, high = found["f1_interval"]
    lines = [
        f"| {split}, {found['rows']:,} rows | |",
        "|---|---|",
        f"| macro-F1 | {found['f1']:.4f} (95 % interval {low:.3f}–{high:.3f}) |",
        *(f"| {key} | {found[key]:.4f} |" for key in ("accuracy", "precision", "recall", "loss")),
        *(f"| F1 {name} | {value:.4f} |" for name, value in found["f1_by_class"].items()),
    ]
    return "\n".join(lines)


def keep_recipe(recipe: Recipe) -> None:
    """Writes recipe.yaml into the run's folder; refuses to resume a run that was started with another recipe."""
    path, settings = Path(recipe.train.folder) / "recipe.yaml", dataclasses.asdict(recipe)
    if path.is_file() and (recipe.train.resume or _has_begun(path.parent)):
        before = _recipe_of(path)
        settings = yaml.safe_load(yaml.safe_dump(settings))  # as `before` was read: a tuple is a list
        parts = ("data", "model", "loss", "study")  # what `train` says is compared by fit
        other = [part for part in parts if before.get(part, settings[part]) != settings[part]]
        any_time = {"resume": None}
        if recipe.study.batches and before["train"] | any_time != settings["train"] | any_time:
            other.append("train")
        if recipe.train.resume and other:
            raise ConfigError(
                f"{path.parent} was started with another recipe: {', '.join(other)} differ. Resume with the same one, "
                "or give another folder."
            )
        return
    with checkpoint.locked(path.parent):  # another run's recipe stays, also before its first checkpoint
        checkpoint.write_text(path, yaml.safe_dump(settings, allow_unicode=True, sort_keys=False))


def _has_begun(folder: Path) -> bool:
    """Whether a folder holds something that was trained: a run's checkpoints, or a study's rows."""
    return bool(checkpoint.listed(folder / "checkpoints")) or (folder / ROWS).is_file()


def _recipe_of(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        return found | {"train": dict(found["train"])}
    except (OSError, yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, ValueError) as error:
        raise ConfigError(
            f"{path} is damaged, so nobody knows whether this is the same recipe: {str(error).splitlines()[0]}. "
            "If it is, delete that file and go on with --resume."
        ) from error


def write_report(prepared, history: History, name: str) -> str:
    """Writes report.md into the run's folder and returns it. Of several processes all have to call it; one writes."""
    folder = Path(prepared.recipe.train.folder)
    columns = ["epoch", "train_loss", "validation_loss", "accuracy", "f1", "seconds"]
    lines = [f"# {name}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in history:
        cells = [f"{row[c]:.4f}" if isinstance(row[c], float) else str(row[c]) for c in columns if c in row]
        mark = " ←" if history.best and row["epoch"] == history.best["epoch"] else ""
        lines.append("| " + " | ".join(cells) + f" |{mark}")
    lines += [
        "",
        "The arrow marks the epoch that validation picked; its weights are in `best/`, and scored below.",
        "",
    ]
    lines.append(score_text(score(prepared.model, prepared.loaders["test"]), "test"))
    parts, wanted = count_parameters(prepared.model), prepared.recipe.model
    if wanted.adapter != "full":
        parts = parts.drop(columns="trainable")  # merged, all of it looks alike
        lines += ["", _adapter_text(wanted, *prepared.trained)]
    lines += ["", "```", str(parts), "```", ""]
    text = "\n".join(lines)
    if processes.launched()[0] == 0:
        checkpoint.write_text(folder / "report.md", text)
    return text


def _adapter_text(wanted: ModelConfig, trained: int, used: int) -> str:
    """What was trained of the model."""
    rank = "" if wanted.adapter in ("IA3", "head only") else f" of rank {wanted.rank}"
    merged = (
        ""
        if wanted.adapter == "head only"
        else " `adapter/` holds those alone; in `best/` they are added to the weights, as below."
    )
    return f"{wanted.adapter}{rank}: {trained:,} of {used:,} parameters were trained.{merged}"


def read_texts(path: Path) -> list[str]:
    """The texts of a CSV or TSV file (its column 'text') or of a text file (one a line). Raises DataError."""
    path = on_disk(path)
    kind = path.suffix.lower()
    if kind in (".json", ".jsonl", ".ndjson"):
        raise DataError(
            f"{path}: JSON is not read here. Give a CSV file with a column 'text', or a text file with one text a line."
        )
    if kind in (".csv", ".tsv"):
        texts = [text for (text,) in read_columns(path, ["text"])]
    else:
        texts = [line for line in read_lines(path) if line.strip()]
    if not texts:
        raise DataError(
            f"{path} holds no rows: there is nothing to predict. Check that it is the right file."
        )
    return texts


def prediction_rows(
    texts: Sequence[str], found: Predictions, names: Mapping[int, str]
) -> list[dict[str, Any]]:
    """One row a text: the text, its label (or the list `labels`, where it may carry several), their probabilities."""
    rows = []
    for text, label, probabilities in zip(texts, found.labels, found.probabilities.tolist(), strict=True):
        picked = (
            {"label": names[int(label)]}
            if label.ndim == 0
            else {"labels": [names[i] for i, on in enumerate(label) if on]}
        )
        rows.append({"text": text, **picked, **{names[i]: round(p, 6) for i, p in enumerate(probabilities)}})
    return rows


def write_rows(rows: list[dict[str, Any]], out: str | None, *, as_json: bool) -> None:
    """Prints rows, or writes them to a file, as CSV (lists joined by commas) or JSON lines. Raises CheckpointError."""
    if as_json:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: ",".join(v) if isinstance(v, list) else v for k, v in row.items()})
        text = buffer.getvalue()
    if out is None:
        sys.stdout.write(text)
        return
    checkpoint.write_text(Path(out), text)
    print(f"{len(rows):,} rows written to {out}")
