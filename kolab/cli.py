"""The command line: `kolab train`, `evaluate`, `predict`, `pretrain`, `fetch`, `doctor`, `bench`, `results`."""

import argparse
import contextlib
import errno
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable
from typing import Any

from kolab.errors import ConfigError, KolabError
from kolab.recipe_file import nearest

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
        "train": _elsewhere("kolab.cli_train", "main"), "evaluate": _elsewhere("kolab.cli_runs", "evaluate"),
        "predict": _elsewhere("kolab.cli_runs", "predict"), "pretrain": _pretrain,
        "fetch": _elsewhere("kolab.fetch", "main"), "doctor": _doctor, "bench": _bench, "results": _results,
    }  # fmt: skip
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if argv[0] not in commands:
        hint = nearest(argv[0], list(commands))
        print(f"kolab: there is no command {argv[0]!r}.{hint}\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    try:
        code = commands[argv[0]](argv[1:])
        sys.stdout.flush()  # here, where a full disk can still be explained
        return code
    except KolabError as error:
        _say(f"kolab: {error}")
        return 1
    except KeyboardInterrupt as stop:
        _say(f"\nkolab: {str(stop) or 'stopped'}")
        return 128 + int(getattr(stop, "signal_number", 2))
    except BrokenPipeError:  # the reader (head, less) has gone
        _no_more_output()
        return 0
    except OSError as error:
        cure = _CURES.get(error.errno)
        if cure is None:
            raise
        _no_more_output()  # it may be what cannot be written
        _say(f"kolab: {error}. {cure}")
        return 1


_CURES = dict.fromkeys(
    (errno.ENOSPC, errno.EDQUOT),
    "Free some space. What was saved is whole: a training goes on with --resume.",
) | dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "Give a folder that can be written to.")


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the log that it goes to may lie on the full disk
        print(text, file=sys.stderr, flush=True)


def _no_more_output() -> None:
    """Python would try again to write what is left when it exits, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _elsewhere(module: str, name: str) -> Callable[[list[str]], int]:
    """A command of another module, which is imported when it is called."""
    return lambda argv: getattr(importlib.import_module(module), name)(argv)


def _parser(command: str, about: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"kolab {command}", description=about)


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
