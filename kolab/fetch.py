"""`kolab fetch`: public corpora that may not, or need not, be bundled; downloaded once, checked, in one form.

A line in SOURCES says which files a corpus is made of and what proves them right. Where the publisher gives no fixed
bytes (GitHub packs an archive anew whenever it likes), what is inside is checked instead: `rows` and `digest`.

Everything lies in `~/.kolab/data/NAME` (KOLAB_HOME names another place than ~/.kolab).
"""

import hashlib
import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from kolab import checkpoint, memory
from kolab.download import File, accept, download
from kolab.errors import ConfigError, DataError

COLUMNS = ("id", "movie", "rating", "date", "text")
_FILM = re.compile(r"[^/\\]+/raw/(\d+)\.json")
_MOST = 10 * 2**20  # bytes of one film's file: a hundred reviews are some 30,000


@dataclass(frozen=True)
class Source:
    """A corpus: its files, and, for an archive of raw reviews, the parquet made of it and what proves that.

    rows, digest: of that table; `Digest` says how.
    """

    folder: str
    licence: str
    files: tuple[File, ...]
    parquet: str | None = None
    rows: int = 0
    digest: str = ""


_NSMC = "https://raw.githubusercontent.com/e9t/nsmc/master"
SOURCES: dict[str, Source] = {
    "nsmc": Source(
        folder="nsmc",
        licence="CC0",
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
        files=(
            File("https://github.com/e9t/nsmc/archive/b6232e69290a826104357381560e18adbad23473.zip", "nsmc.zip"),
        ),
        parquet="nsmc_raw.parquet",
        rows=712_404,
        digest="79ef2fad1bc5f21db3c1ef59dde8a607202c06735452c97b25361231ca05c496",
    ),
}  # fmt: skip


def main(argv: list[str]) -> int:
    """`kolab fetch NAME [--raw] [--folder F] [--from PATH]`. Returns 0; raises DataError where it fails."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="kolab fetch", description="Download a public corpus, check it, and say where it lies."
    )
    parser.add_argument("name", metavar="NAME", help=", ".join(n for n in SOURCES if " " not in n))
    parser.add_argument(
        "--raw", action="store_true", help="all raw reviews with their ratings, as one parquet file"
    )
    parser.add_argument("--folder", help="where to put it (default: ~/.kolab/data/NAME)")
    parser.add_argument(
        "--from",
        dest="given",
        metavar="PATH",
        help="a file (or a folder of files) that you have downloaded yourself",
    )
    args = parser.parse_args(argv)
    paths = fetch(args.name, raw=args.raw, folder=args.folder, given=args.given)
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
) -> list[Path]:
    """The files of a corpus, downloaded where they are not there yet.

    Args:
        name: a corpus in SOURCES.
        raw: its raw form, one parquet table with the columns id, movie, rating, date, text.
        folder: where they are to lie.
        given: take them from this file, or this folder, instead of the network.
        show: draw progress bars (default: where a terminal can show them).

    Raises ConfigError: no such corpus. DataError: what came is not what is expected, or nothing came.
    """
    key = f"{name} --raw" if raw else name
    if key not in SOURCES:
        known = ", ".join(f"`kolab fetch {source}`" for source in SOURCES)
        raise ConfigError(f"There is no corpus {key!r} to fetch. There is: {known}.")
    source = SOURCES[key]
    folder = Path(folder) if folder is not None else memory.home() / "data" / source.folder
    show = sys.stderr.isatty() if show is None else show
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


# ---- the raw reviews


class Digest:
    """SHA-256 over rows: each as a JSON list without blanks, and a line end. What the rows are is all that counts.

    >>> one, other = Digest(), Digest()
    >>> one.add(["1", "10001", 10, "15.08.25", "좋다"]); other.add(["1", "10001", 10, "15.08.25", "좋다 "])
    >>> one.hex() == other.hex()
    False
    """

    def __init__(self):
        self.rows, self._hash = 0, hashlib.sha256()

    def add(self, row: list) -> None:
        self.rows += 1
        self._hash.update((json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n").encode())

    def hex(self) -> str:
        return self._hash.hexdigest()


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
        _write_table(source, archive, target, show)
    except DataError:
        archive.unlink()  # else it would be found here, wrong as it is, at the next call
        raise
    archive.unlink()
    sums.write_text(f"{checkpoint.sha256(target)}  {target.name}\n", encoding="utf-8")
    return target


def _write_table(source: Source, archive: Path, target: Path, show: bool) -> None:
    """Reads all films of an archive and writes the table, whole or not at all. Raises DataError for other rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list] = {name: [] for name in COLUMNS}
    digest = Digest()
    for row in raw_reviews(archive, show=show):
        digest.add(row)
        for name, value in zip(COLUMNS, row, strict=True):
            columns[name].append(value)
    if (digest.rows, digest.hex()) != (source.rows, source.digest):
        raise DataError(
            f"{archive.name} does not hold the reviews that are expected: {digest.rows:,} of {source.rows:,}, SHA-256 "
            f"over them {digest.hex()[:12]}… instead of {source.digest[:12]}…. It was thrown away; fetch it again."
        )
    kinds = {name: pa.int64() if name == "rating" else pa.large_string() for name in COLUMNS}
    part = target.with_name(f"{target.name}.part")
    pq.write_table(pa.table(columns, schema=pa.schema(kinds.items())), part, compression="zstd")
    os.replace(part, target)


def raw_reviews(archive: Path, *, show: bool = False) -> Iterator[list]:
    """[id, movie, rating, date, text] of every review in the raw folder of an archive, film by film.

    Films come in the order of their numbers as text, a film's reviews as in its file. Authors are left out.
    Nothing is unpacked: entries are read in memory, those of raw/ alone, and none can write anywhere.

    Raises DataError for a file that is no such archive, or an entry that is not what it should be.
    """
    try:
        with zipfile.ZipFile(archive) as files:
            films = {}
            for entry in files.infolist():
                name = entry.filename
                if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or ":" in name:
                    raise DataError(
                        f"{archive.name}: the entry {name!r} points outside of its folder. Do not use that file."
                    )
                if found := _FILM.fullmatch(name):
                    films[found[1]] = entry
            if not films:
                raise DataError(
                    f"{archive.name} holds no raw/NUMBER.json, so it is no archive of NSMC's repository."
                )
            for film in tqdm(sorted(films), desc="films", unit="", disable=not show):
                entry = films[film]
                if entry.file_size > _MOST:
                    raise DataError(
                        f"{archive.name}: {entry.filename} would take {entry.file_size:,} bytes; that is no film."
                    )
                yield from _film(archive, entry.filename, files.read(entry))
    # NotImplementedError: zipfile's word for a way of packing that it does not know; RuntimeError: for a password.
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive.name} is no whole zip archive: {error}. Fetch it again.") from error


def _film(archive: Path, name: str, content: bytes) -> Iterator[list]:
    """The rows of one film's file."""
    try:
        for review in json.loads(content.decode("utf-8-sig")):
            rating = int(review["rating"])
            texts = [review[key] for key in ("review_id", "movie_id", "date", "review")]
            if not all(isinstance(text, str) for text in texts) or not 1 <= rating <= 10:
                raise ValueError(
                    f"a review with the id {review['review_id']!r} has a field of the wrong kind"
                )
            yield [texts[0], texts[1], rating, texts[2], texts[3]]
    except (ValueError, KeyError, TypeError) as error:
        what = f"the field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{archive.name}: {name} is not a list of reviews ({what}).") from error
