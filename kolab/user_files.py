"""Text files and tables as people have them: saved by Excel, on Windows or on a Mac, with a semicolon or a tab.

What can be read without a doubt is read; what would be guessed at is refused, with the way to save it right.
"""

import csv
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from kolab.errors import DataError

_BINARY = {  # how a file begins that is no text, and what it is
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a parquet table",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "packed with gzip",
}
_SAVE = "Save it as text: in Excel 'CSV UTF-8', in an editor UTF-8."


def on_disk(path: Path) -> Path:
    """The path as it is on disk: a name typed composed may be stored decomposed (macOS), and the other way round.

    A path that is there in none of the forms comes back as it was given.
    """
    for form in ("NFC", "NFD"):
        if path.exists():
            break
        other = Path(unicodedata.normalize(form, str(path)))
        path = other if other.exists() else path
    return path


def encoding_of(path: Path) -> str:
    """What a text file is encoded in: UTF-8 (with or without a byte-order mark), UTF-16 with one, or CP949.

    Says so on stderr where it is CP949, since nothing proves it. Raises DataError, with the cure, for what is no text.
    """
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder. Give a file that lies in it.")
        with open(path, "rb") as file:
            head = file.read(1000)
        kind = next((what for start, what in _BINARY.items() if head.startswith(start)), None)
        if kind is not None:
            raise DataError(f"{path} is {kind}, not a text file. {_SAVE}")
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            ways = ["utf-16"]
        elif head.count(0) > len(head) // 4:
            raise DataError(f"{path} is no text file, or UTF-16 without a byte-order mark. {_SAVE}")
        else:
            ways = ["utf-8-sig", "cp949"]
        for way in ways:
            if _reads(path, way):
                if way == "cp949":
                    print(f"{path} is not UTF-8; it is read as CP949 (Korean Windows).", file=sys.stderr)
                return way
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from error
    raise DataError(f"{path} is neither UTF-8 nor CP949. {_SAVE}")


def _reads(path: Path, encoding: str) -> bool:
    try:
        with open(path, encoding=encoding, newline="") as file:
            while file.read(2**20):
                pass
    except UnicodeError:
        return False
    return True


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, without their ends. Raises DataError."""
    with open(path, encoding=encoding_of(path)) as file:
        for line in file:
            yield line.rstrip("\n")


def read_columns(path: Path, wanted: Sequence[str]) -> Iterator[list[str]]:
    """The cells of some columns of a CSV file with a header, row by row; the cells may be separated by , ; or tabs.

    Raises DataError: a column that is not there, or twice; a row with more cells than the header, which is a text with
    a comma and no quotes, and would be cut; a quote that is never closed, and swallows rows.
    """
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # Python's own is 131,072 characters
    with open(path, encoding=encoding_of(path), newline="") as file:
        header = file.readline()
        if header.lower().startswith("sep="):  # Excel's own way of saying it
            header = file.readline()
        comma, names = _header(path, header, wanted)
        places = [names.index(name) for name in wanted]
        quotes, last = 0, ""

        def counted() -> Iterator[str]:
            nonlocal quotes
            for line in file:
                quotes += line.count('"')
                yield line

        rows = csv.reader(counted(), delimiter=comma)
        try:
            for row in rows:
                if not row:
                    continue
                if any(cell.strip() for cell in row[len(names) :]):
                    raise DataError(
                        f"{path}: line {rows.line_num + 1} has {len(row)} cells, the header {len(names)}. A text with "
                        f"{'a tab' if comma == chr(9) else repr(comma)} in it has to stand in quotes; or give a .txt "
                        "file with one text a line."
                    )
                last = row[-1]
                yield [row[place] if place < len(row) else "" for place in places]
        except csv.Error as error:
            raise DataError(
                f"{path}: line {rows.line_num + 1} is not CSV: {error}. Save it as CSV again."
            ) from error
        if quotes % 2 and "\n" in last.strip():
            raise DataError(
                f"{path}: a quote is opened and never closed, so that the last row holds several lines "
                f"({last.strip()[:40]!r}…). Close it, or double the quotes that belong to the text."
            )


def _header(path: Path, line: str, wanted: Sequence[str]) -> tuple[str, list[str]]:
    """What separates the cells, and the names of the columns, without blanks around them."""
    found: list[tuple[str, list[str]]] = []
    for comma in ",;\t":
        names = [name.strip() for name in next(csv.reader([line], delimiter=comma), [])]
        names = [next((w for w in wanted if w.lower() == name.lower()), name) for name in names]
        if all(name in names for name in wanted):
            twice = next((name for name in wanted if names.count(name) > 1), None)
            if twice is not None:
                raise DataError(f"{path} has several columns {twice!r}: keep one, or give them other names.")
            return comma, names
        found.append((comma, names))
    names = max((names for _, names in found), key=len)
    missing = next(name for name in wanted if name not in names)
    has = f"the columns {', '.join(chain(names[:8], ['…'] * (len(names) > 8)))}" if names else "no columns"
    raise DataError(
        f"{path} has {has}; one of them has to be {missing!r}. Rename the one that is meant in the first line."
    )
