"""`kolab fetch`: public corpora that may not, or need not, be bundled; downloaded once, checked, in one form.

A line in SOURCES says which files a corpus is made of and what proves them right: size and git hash where they are
known. Where they are not (GitHub packs an archive anew whenever it likes; nobody has written the hash down), what is
inside is checked instead: every row readable, and as many as published.

Everything lies in `~/.kolab/data/NAME` (KOLAB_HOME names another place than ~/.kolab).
"""

import functools
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from kolab import checkpoint, memory
from kolab.corpus_files import read_kote, read_unsmile, wrong_content
from kolab.download import File, accept, download, fault
from kolab.errors import ConfigError, DataError
from kolab.nsmc_archive import COLUMNS, Digest, raw_reviews, write_table
from kolab.recipe_file import nearest

__all__ = ["COLUMNS", "SOURCES", "Digest", "Source", "fetch", "folder_of", "main", "raw_reviews"]


@dataclass(frozen=True)
class Source:
    """A corpus: its files, and, for an archive of raw reviews, the parquet made of it and what proves that.

    licence: its name, and in `terms` what it asks for where that is more than a mention; then `fetch` asks first.
    rows, digest: of the parquet table; `nsmc_archive.Digest` says how.
    """

    folder: str
    licence: str
    files: tuple[File, ...]
    parquet: str | None = None
    rows: int = 0
    digest: str = ""
    title: str = ""
    page: str = ""
    terms: str = ""


_NSMC = "https://raw.githubusercontent.com/e9t/nsmc/master"
_NSMC_PAGE = "https://github.com/e9t/nsmc"
_KOTE = "https://raw.githubusercontent.com/searle-j/KOTE/main"
_UNSMILE = "https://raw.githubusercontent.com/smilegate-ai/korean_unsmile_dataset/main"


def _kote(name: str, rows: int, blob: str | None = None) -> File:
    return File(
        f"{_KOTE}/{name}", name, None, blob, functools.partial(wrong_content, reader=read_kote, rows=rows)
    )


def _unsmile(name: str, rows: int) -> File:
    check = functools.partial(wrong_content, reader=read_unsmile, rows=rows)
    return File(f"{_UNSMILE}/{name}", name, check=check)


SOURCES: dict[str, Source] = {
    "nsmc": Source(
        folder="nsmc",
        licence="CC0",
        title="NSMC, 200,000 film reviews in two classes",
        page=_NSMC_PAGE,
        files=(
            File(f"{_NSMC}/ratings_train.txt", "ratings_train.txt", 14_628_807,
                 "ac0dba272895dc1d0b3dd5f11afbeaeb7abe7876"),
            File(f"{_NSMC}/ratings_test.txt", "ratings_test.txt", 4_893_335,
                 "b6cfcd8cd1557bcd9bf06617b0e429ed73e9a367"),
        ),
    ),
    "nsmc --raw": Source(
        folder="nsmc",
        licence="CC0",
        title="NSMC, all 712,404 film reviews with their ratings",
        page=_NSMC_PAGE,
        files=(
            File("https://github.com/e9t/nsmc/archive/b6232e69290a826104357381560e18adbad23473.zip", "nsmc.zip"),
        ),
        parquet="nsmc_raw.parquet",
        rows=712_404,
        digest="79ef2fad1bc5f21db3c1ef59dde8a607202c06735452c97b25361231ca05c496",
    ),
    "kote": Source(
        folder="kote",
        licence="MIT",
        title="KOTE, 50,000 online comments with 44 emotions",
        page="https://github.com/searle-j/KOTE",
        files=(
            _kote("train.tsv", 40_000, "6d61184517c834417796ca6a1bde99b52620a2c5"),
            _kote("val.tsv", 5_000),
            _kote("test.tsv", 5_000),
        ),
    ),
    "unsmile": Source(
        folder="unsmile",
        licence="CC BY-NC-ND 4.0",
        title="UnSmile, 18,742 comments with ten labels of hate speech",
        page="https://github.com/smilegate-ai/korean_unsmile_dataset",
        files=(_unsmile("unsmile_train_v1.0.tsv", 15_005), _unsmile("unsmile_valid_v1.0.tsv", 3_737)),
        terms="name its authors (Smilegate AI), no commercial use, and no passing on of a changed copy, an augmented "
        "one included",
    ),
}  # fmt: skip


def main(argv: list[str]) -> int:
    """`kolab fetch NAME [--raw] [--folder F] [--from PATH] [--yes]`. Returns 0; raises KolabError where it fails."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="kolab fetch", description="Download a public corpus, check it, and say where it lies."
    )
    parser.add_argument("name", metavar="NAME", help=", ".join(n for n in SOURCES if " " not in n))
    parser.add_argument(
        "--raw", action="store_true", help="nsmc: all raw reviews with their ratings, as one parquet file"
    )
    parser.add_argument("--folder", help="where to put it (default: ~/.kolab/data/NAME)")
    parser.add_argument(
        "--from",
        dest="given",
        metavar="PATH",
        help="a file (or a folder of files) that you have downloaded yourself",
    )
    parser.add_argument(
        "--yes", action="store_true", help="agree to the corpus's licence without being asked"
    )
    args = parser.parse_args(argv)
    paths = fetch(args.name, raw=args.raw, folder=args.folder, given=args.given, yes=args.yes)
    for path in paths:
        print(f"{path}  ({path.stat().st_size / 2**20:,.1f} MiB)")
    return 0


def fetch(
    name: str,
    *,
    raw: bool = False,
    folder: str | Path | None = None,
    given: str | Path | None = None,
    show: bool | None = None,
    yes: bool = False,
) -> list[Path]:
    """The files of a corpus, downloaded where they are not there yet. Prints the licence.

    Args:
        name: a corpus in SOURCES.
        raw: its raw form, one parquet table with the columns id, movie, rating, date, text.
        folder: where they are to lie.
        given: take them from this file, or this folder, instead of the network.
        show: draw progress bars (default: where a terminal can show them).
        yes: the licence is agreed to. Without it, a licence that restricts use is asked about on the terminal.

    Raises ConfigError: no such corpus, or its licence was not agreed to. DataError: what came is not what is expected,
    or nothing came.
    """
    key = f"{name} --raw" if raw else name
    if key not in SOURCES:
        known = ", ".join(f"`kolab fetch {source}`" for source in SOURCES)
        meant = nearest(name, [source for source in SOURCES if " " not in source])
        raise ConfigError(f"There is no corpus {key!r} to fetch.{meant} There is: {known}.")
    source = SOURCES[key]
    folder = folder_of(source.folder) if folder is None else Path(folder)
    show = sys.stderr.isatty() if show is None else show
    print(f"{source.title or key}. Licence: {source.licence}. {source.page}".rstrip())
    if given is not None and not Path(given).exists():
        takes = source.files[0].name if source.files else "the archive"
        raise DataError(f"There is no file {given}. --from takes {takes}, or the folder that holds it.")
    if source.terms and given is None and not _all_there(source, folder):
        _agree(source, key, yes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # two at once would write into one another's files
            if source.parquet is None:
                return [_have(file, folder, given, key, show) for file in source.files]
            return [_table(source, folder, given, key, show)]
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}. Free space, or give --folder."
        ) from error


def folder_of(name: str) -> Path:
    """Where `kolab fetch` puts a corpus."""
    return memory.home() / "data" / name


def _all_there(source: Source, folder: Path) -> bool:
    return all((folder / f.name).is_file() and fault(f, folder / f.name) is None for f in source.files)


def _agree(source: Source, key: str, yes: bool) -> None:
    """Asks whether the licence is agreed to. Raises ConfigError where it is not, or where nobody can be asked."""
    print(f"{source.licence} asks of you: {source.terms}.")
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            f"{key} needs your consent to {source.licence}, and there is no terminal to ask on. Where you agree: "
            f"`kolab fetch {key} --yes`, or fetch({key!r}, yes=True). Nothing was downloaded."
        )
    try:
        answer = input("Do you agree? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes", "네", "예"):
        raise ConfigError("Nothing was downloaded.")


def _have(file: File, folder: Path, given: str | Path | None, key: str, show: bool) -> Path:
    if given is None:
        cure = (
            "Check the connection (behind a proxy: HTTPS_PROXY) and call it again: it goes on where it was. Or "
            f"download that address on another machine, then `kolab fetch {key} --from FILE`."
        )
        return download(file, folder, show=show, cure=cure)
    path = Path(given) / file.name if Path(given).is_dir() else Path(given)
    if not path.is_file():
        raise DataError(f"There is no file {path}. --from takes {file.name}, or the folder that holds it.")
    part = folder / f"{file.name}.part"
    shutil.copyfile(path, part)
    return accept(file, part, folder / file.name)


def _table(source: Source, folder: Path, given: str | Path | None, key: str, show: bool) -> Path:
    """The parquet table: as it lies there, if it is the one that was written, or made from the archive."""
    target = folder / source.parquet
    sums = folder / f"{source.parquet}.sha256"
    if (
        target.is_file()
        and sums.is_file()
        and sums.read_text(encoding="utf-8").split()[:1] == [checkpoint.sha256(target)]
    ):
        return target
    (file,) = source.files
    archive = _have(file, folder, given, key, show)
    try:
        write_table(archive, target, rows=source.rows, digest=source.digest, show=show)
    except DataError:
        archive.unlink()  # else it would be found here, wrong as it is, at the next call
        raise
    archive.unlink()
    sums.write_text(f"{checkpoint.sha256(target)}  {target.name}\n", encoding="utf-8")
    return target
