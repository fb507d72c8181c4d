"""The command line: `kolab train`, `evaluate`, `predict`, `pretrain`, `fetch`, `doctor`, `bench`, `results`."""

import contextlib
import dataclasses
import importlib
import inspect
import json
import os
import pkgutil
import sys
from pathlib import Path
from typing import Any

from kolab.errors import ConfigError, DataError, KolabError
from kolab.recipe_file import nearest, parse_recipe

USAGE = """usage: kolab COMMAND …

  kolab train --config RECIPE.yaml [--train.lr 3e-4 …]   train as a recipe says; any field can be changed
                                                          (--quick: a trimmed run, --resume: go on with one)
  kolab evaluate RUN [--split test]                       the metrics of a finished run
  kolab predict RUN "문장" … | --file F [--out F] [--json]  labels and probabilities
  kolab pretrain CORPUS --minutes 60 [--folder F] [--resume]  a tokenizer and a BERT of your own
  kolab fetch nsmc|kote|unsmile [--raw] [--yes]           download a public corpus, check it, say where it lies
  kolab doctor                                            what is wrong with the installation, if anything
  kolab bench NAME [--quick]                              repeat a measurement and record it
  kolab results [NAME]                                    show what was recorded

`kolab COMMAND --help` tells more.
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command. Exit codes: 0 done, 1 an explained error, 2 wrong usage, 130 or 143 stopped by a signal."""
    argv = sys.argv[1:] if argv is None else argv
    commands = {
        "train": _train, "evaluate": _evaluate, "predict": _predict, "pretrain": _pretrain,
        "fetch": lambda argv: importlib.import_module("kolab.fetch").main(argv),
        "doctor": _doctor, "bench": _bench, "results": _results,
    }  # fmt: skip
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if argv[0] not in commands:
        hint = nearest(argv[0], list(commands))
        print(f"kolab: there is no command {argv[0]!r}.{hint}\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    try:
        return commands[argv[0]](argv[1:])
    except KolabError as error:
        print(f"kolab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"\nkolab: {stop or 'stopped'}", file=sys.stderr)
        return 128 + int(getattr(stop, "signal_number", 2))
    except BrokenPipeError:  # the reader (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser(command: str, about: str):
    import argparse

    return argparse.ArgumentParser(prog=f"kolab {command}", description=about)


# ---- train


def _train(argv: list[str]) -> int:
    quick = "--quick" in argv
    recipe, name = parse_recipe([word for word in argv if word != "--quick"])
    if recipe.study.kind:
        return _study(recipe, name, quick)
    if quick:
        recipe = dataclasses.replace(
            recipe,
            data=dataclasses.replace(recipe.data, rows=64),
            train=dataclasses.replace(recipe.train, epochs=1),
        )
    from kolab import doctor, processes
    from kolab.recipe import prepare
    from kolab.report import keep_recipe, plan, write_report
    from kolab.train import fit

    doctor.quieten()
    prepared = prepare(recipe)
    main_process = processes.launched()[0] == 0
    if main_process:
        print(plan(prepared, name))
        keep_recipe(recipe)
    history = fit(prepared.model, prepared.loaders, recipe.train, loss=prepared.loss)
    report = write_report(prepared, history, name)  # under torchrun all processes score their share
    if main_process:
        print(report)
    return 0


def _study(recipe: Any, name: str, quick: bool) -> int:
    from kolab import doctor, processes, studies
    from kolab.checkpoint import write_text
    from kolab.report import keep_recipe

    if processes.launched()[1] > 1:
        raise ConfigError(
            "A study runs its trainings one after the other, in one process: start it without torchrun."
        )
    doctor.quieten()
    kind = studies.load(recipe.study.kind)
    recipe = kind.trimmed(recipe) if quick else recipe
    keep_recipe(recipe)
    folder = Path(recipe.train.folder)
    text = f"# {name}\n\n{kind.report(*kind.run(recipe, folder, recipe.train.resume))}"
    write_text(folder / "report.md", text)
    print(f"\n{text}\nSaved in {folder}{' (trimmed: the numbers mean little)' * quick}.")
    return 0


# ---- evaluate, predict


def _run_folder(text: str) -> Path:
    folder = Path(text)
    for candidate in (folder, folder / "best"):
        if (candidate / "config.json").is_file():
            return candidate
    raise DataError(f"{folder} holds no trained model: neither config.json nor best/config.json is there.")


def _load(text: str):
    from kolab import doctor
    from kolab.encoders import read_tokenizer
    from kolab.model import Classifier

    doctor.quieten()
    folder = _run_folder(text)
    return Classifier.from_pretrained(folder), read_tokenizer(folder)


def _evaluate(argv: list[str]) -> int:
    parser = _parser("evaluate", "The metrics of a finished run, on the data of its recipe.")
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
        raise DataError(f"{settings} is missing: only runs of `kolab train` know their data.")
    try:
        config = DataConfig(**yaml.safe_load(settings.read_text(encoding="utf-8"))["data"])
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError) as error:
        raise DataError(
            f"{settings} is damaged, so the run's data are not known: {str(error).splitlines()[0]}."
        ) from error
    model, tokenizer = _load(args.run)
    rows = {args.split: load_data(config)[args.split]}
    same_labels(model.config, label_names(rows), folder)
    loaders = make_loaders(rows, tokenizer, batch_size=config.batch_size, max_length=config.max_length)
    found = score(model, loaders[args.split])
    print(json.dumps(found, ensure_ascii=False) if args.json else score_text(found, args.split))
    return 0


def _predict(argv: list[str]) -> int:
    parser = _parser(
        "predict", "Labels and probabilities for sentences, or for the column 'text' of a CSV file."
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

    from kolab.report import prediction_rows, read_texts, write_rows
    from kolab.text import clean
    from kolab.train import predict

    if args.out is not None and not Path(args.out).parent.is_dir():
        raise DataError(f"--out {args.out}: there is no folder {Path(args.out).parent}. Make it first.")
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
    found = predict(model, clean_texts, tokenizer=tokenizer, max_length=length)
    shown = [text.encode("utf-8", errors="replace").decode() for text in texts]  # no half characters
    write_rows(prediction_rows(shown, found, model.config.id2label), args.out, as_json=args.json)
    return 0


# ---- pretrain


def _pretrain(argv: list[str]) -> int:
    from kolab import doctor, processes
    from kolab.pretrain import pretrain
    from kolab.pretrain_config import PretrainConfig, add_options

    parser = _parser("pretrain", "Train a tokenizer and a BERT on any texts, by masked-language modelling.")
    add_options(parser)
    parser.add_argument("--resume", action="store_true", help="go on with the run in --folder")
    args = vars(parser.parse_args(argv))
    resume = args.pop("resume")
    if not args["corpus"] and not resume:
        parser.error("give a corpus: a text file, or a .csv or .parquet table")
    doctor.quieten()
    folder = pretrain(PretrainConfig(**args), resume=resume)
    if processes.launched()[0] == 0:
        print(f"Ready: {folder}. Use it as kl.load_encoder({str(folder)!r}).")
    return 0


# ---- doctor, bench, results


def _doctor(argv: list[str]) -> int:
    _parser("doctor", "What is wrong with the installation, if anything.").parse_args(argv)
    from kolab.doctor import examine

    signs = {"ok": "  ok  ", "note": " note ", "bad": " BAD  "}
    findings = examine()
    for finding in findings:
        print(
            f"[{signs[finding.state]}] {finding.what}"
            + (f"\n         {finding.cure}" if finding.cure else "")
        )
    return 1 if any(finding.state == "bad" for finding in findings) else 0


def _benches() -> list[str]:
    import kolab.benches

    found = pkgutil.iter_modules(kolab.benches.__path__)
    return sorted(module.name for module in found if not module.ispkg)  # a package holds parts of benches


def _bench(argv: list[str]) -> int:
    parser = _parser("bench", "Repeat a measurement and record it in data/results, with the machine's name.")
    parser.add_argument("name", metavar="NAME", help=", ".join(_benches()))
    parser.add_argument("--quick", action="store_true", help="trimmed, and not recorded")
    parser.add_argument("--record-as", metavar="NAME", help="record it under another name")
    args, more = parser.parse_known_args(argv)
    if args.name not in _benches():
        known = _benches()
        raise ConfigError(
            f"There is no measurement {args.name!r}.{nearest(args.name, known)} There are: {known}."
        )
    from kolab import doctor, measure

    doctor.quieten()
    run = importlib.import_module(f"kolab.benches.{args.name}").run
    table, meta = run(quick=args.quick, **_bench_options(run, args.name, more))
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    if args.quick:
        print("Trimmed: not recorded.")
    else:
        print(f"Recorded in {measure.record(args.record_as or args.name, table, **meta)}")
    return 0


def _bench_options(run: Any, name: str, words: list[str]) -> dict[str, Any]:
    """What a measurement can be told besides --quick: the keywords of its `run`, as --keyword value."""
    parser = _parser(f"bench {name}", run.__doc__)
    for key, known in inspect.signature(run).parameters.items():
        if key != "quick":
            kind = str if known.default is None else type(known.default)
            parser.add_argument("--" + key.replace("_", "-"), type=kind, default=known.default)
    return vars(parser.parse_args(words))


def _results(argv: list[str]) -> int:
    parser = _parser("results", "Show what was recorded.")
    parser.add_argument("name", nargs="?", metavar="NAME")
    args = parser.parse_args(argv)
    from kolab import measure

    if args.name is None:
        for name, machines in measure.recordings().items():
            print(f"{name:24} {', '.join(m for m in machines if m) or 'published elsewhere'}")
        return 0
    table = measure.recorded(args.name)
    where = table.attrs["machine"]
    print(f"{args.name}, {table.attrs['date']}, {where['name'] if isinstance(where, dict) else where}")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
