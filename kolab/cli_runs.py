"""`kolab evaluate` and `kolab predict`: what can be done with a finished run."""

import argparse
import contextlib
import json
from pathlib import Path

from kolab.errors import CheckpointError, DataError


def _run_folder(text: str) -> Path:
    from kolab.recipe_check import checkpoint_of

    try:
        folder = checkpoint_of(text)
    except (OSError, ValueError) as error:  # no permission, a name that is too long, a NUL
        said = getattr(error, "strerror", None) or error
        raise DataError(f"{text[:100]} cannot be looked into: {said}. Give another folder.") from error
    if folder is None:
        what = (
            "an encoder, but no classifier" if (Path(text) / "config.json").is_file() else "no trained model"
        )
        raise DataError(
            f"{text} holds {what}. Give the folder that `kolab train` or Classifier.save_pretrained has written."
        )
    return folder


def _load(text: str):
    from kolab import doctor
    from kolab.encoders import read_tokenizer
    from kolab.model import Classifier

    doctor.quieten()
    folder = _run_folder(text)
    model, tokenizer = Classifier.from_pretrained(folder), read_tokenizer(folder)
    words = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > words:
        raise CheckpointError(
            f"{folder}: the tokenizer has {len(tokenizer):,} tokens, the model {words:,}. They do not belong together: "
            "save the model again, tokenizer included."
        )
    return model, tokenizer


def evaluate(argv: list[str]) -> int:
    """`kolab evaluate RUN [--split test] [--json]`. Returns 0; raises KolabError."""
    parser = argparse.ArgumentParser(
        prog="kolab evaluate", description="The metrics of a finished run, on the data of its recipe."
    )
    parser.add_argument("run", metavar="RUN", help="the run's folder")
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    import yaml

    from kolab.batching import make_loaders
    from kolab.multilabel import label_names
    from kolab.recipe import DataConfig, load_data
    from kolab.recipe_check import same_labels
    from kolab.report import score, score_text

    folder = _run_folder(args.run)
    settings = Path(args.run) / "recipe.yaml"
    if not settings.is_file():
        raise DataError(
            f"{settings} is missing: only runs of `kolab train` know their data. Give such a run's folder."
        )
    try:
        config = DataConfig(**yaml.safe_load(settings.read_text(encoding="utf-8"))["data"])
    except (OSError, yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError) as error:
        raise DataError(
            f"{settings} is damaged, so the run's data are not known: {str(error).splitlines()[0]}. Put it right, or "
            "train again."
        ) from error
    model, tokenizer = _load(args.run)
    rows = {args.split: load_data(config)[args.split]}
    same_labels(model.config, label_names(rows), folder)
    loaders = make_loaders(rows, tokenizer, batch_size=config.batch_size, max_length=config.max_length)
    found = score(model, loaders[args.split])
    print(json.dumps(found, ensure_ascii=False) if args.json else score_text(found, args.split))
    return 0


def predict(argv: list[str]) -> int:
    """`kolab predict RUN 문장 … | --file F [--out F] [--json]`. Returns 0; raises KolabError."""
    parser = argparse.ArgumentParser(
        prog="kolab predict",
        description="Labels and probabilities for sentences, or for the column 'text' of a CSV file.",
    )
    parser.add_argument(
        "run", metavar="RUN", help="a run's folder, or one saved by Classifier.save_pretrained"
    )
    parser.add_argument("text", nargs="*", metavar="문장")
    parser.add_argument(
        "--file", help="a CSV file with a column 'text', or a text file with one sentence a line"
    )
    parser.add_argument("--out", help="where to write a CSV (default: print)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    args = parser.parse_args(argv)
    if bool(args.text) == bool(args.file):
        parser.error("give either sentences or --file")
    import yaml

    from kolab import train
    from kolab.report import prediction_rows, read_texts, write_rows
    from kolab.text import clean

    if args.out is not None and not Path(args.out).parent.is_dir():
        raise DataError(f"--out {args.out}: there is no folder {Path(args.out).parent}. Make it first.")
    if args.out is not None and args.file and Path(args.out).absolute() == Path(args.file).absolute():
        raise DataError(
            f"--out {args.out} is the file that the texts come from, and would be overwritten. Give another name."
        )
    texts = args.text or read_texts(Path(args.file))
    clean_texts = [clean(text) for text in texts]  # as the texts that the model has learned from
    blank = next((i for i, text in enumerate(clean_texts, 1) if not text), None)
    if blank is not None:
        where = f"row {blank} of {args.file}" if args.file else f"sentence {blank}"
        raise DataError(f"{where}: the text is empty, or nothing that can be read; take it out.")
    model, tokenizer = _load(args.run)
    length = min(128, tokenizer.model_max_length)
    # a run cuts texts where it did in training
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        settings = yaml.safe_load((Path(args.run) / "recipe.yaml").read_text(encoding="utf-8"))
        length = int(settings["data"]["max_length"])
    found = train.predict(model, clean_texts, tokenizer=tokenizer, max_length=length)
    shown = [text.encode("utf-8", errors="replace").decode() for text in texts]  # no half characters
    write_rows(prediction_rows(shown, found, model.config.id2label), args.out, as_json=args.json)
    return 0
