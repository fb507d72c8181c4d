"""NSMC's raw reviews: from an archive of its repository (one JSON file a film) to one parquet table."""

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from kolab.errors import DataError

COLUMNS = ("id", "movie", "rating", "date", "text")
_FILM = re.compile(r"[^/\\]+/raw/(\d+)\.json")
_MOST = 10 * 2**20  # bytes of one film's file: a hundred reviews are some 30,000


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


def write_table(archive: Path, target: Path, *, rows: int, digest: str, show: bool = False) -> None:
    """Reads all films of an archive and writes the table, whole or not at all. Raises DataError for other rows.

    rows, digest: what proves the reviews to be the right ones; `Digest` says how.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list] = {name: [] for name in COLUMNS}
    found = Digest()
    for row in raw_reviews(archive, show=show):
        found.add(row)
        for name, value in zip(COLUMNS, row, strict=True):
            columns[name].append(value)
    if (found.rows, found.hex()) != (rows, digest):
        raise DataError(
            f"{archive.name} does not hold the reviews that are expected: {found.rows:,} of {rows:,}, SHA-256 "
            f"over them {found.hex()[:12]}… instead of {digest[:12]}…. It was thrown away; fetch it again."
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
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:  # RuntimeError: a password, odd packing
        raise DataError(f"{archive.name} is no whole zip archive: {error}. Fetch it again.") from error


def folder_reviews(folder: Path) -> Iterator[list]:
    """The same from the raw folder of a clone of the repository. Raises DataError, naming the file."""
    films = {path.stem: path for path in folder.glob("*.json") if path.stem.isdecimal()}
    if not films:
        raise DataError(f"{folder} holds no NUMBER.json, so it is no raw folder of NSMC's repository.")
    for film in sorted(films):
        yield from _film(folder, films[film].name, films[film].read_bytes())


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
