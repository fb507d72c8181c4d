"""Texts for pre-training: from a text file, a CSV or a parquet table; cleaned, each once, and Korean."""

import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kolab.errors import ConfigError, DataError
from kolab.text import clean
from kolab.user_files import on_disk, read_columns, read_lines

KOREAN = 0.30  # least share of Hangul among the letters
_SAMPLE = 10_000  # texts that are looked at for it


def held_out(value: Any, tenth: int) -> bool:
    """Whether a row belongs to a tenth of the table that is kept apart, chosen by the hash of one of its values.

    A hash needs no list and no seed: whoever reads the table later finds the same rows.

    >>> [held_out(movie, 0) for movie in ("10001", 10001, "nsmc-5")]
    [False, False, False]
    """
    return zlib.crc32(str(value).encode("utf-8")) % 10 == tenth


def hangul_share(texts: list[str]) -> float:
    """Which part of the letters in (a sample of) the texts is Hangul, syllables and jamo, from 0 to 1.

    >>> hangul_share(["정말 good ㅋㅋ!!"])
    0.5
    """
    letters = hangul = 0
    for text in texts[:: max(1, len(texts) // _SAMPLE)]:
        for character in text:
            if character.isalpha():
                letters += 1
                hangul += "\uac00" <= character <= "\ud7a3" or "\u1100" <= character <= "\u318e"
    return hangul / letters if letters else 0.0


def read_corpus(
    path: str | Path,
    *,
    text_column: str = "text",
    hold_out_column: str | None = None,
    hold_out_tenth: int = 0,
    any_language: bool = False,
) -> tuple[list[str], dict[str, Any]]:
    """All texts of a file, and what was found: the file's name, rows, rows held out, blank, repeated, share of Hangul.

    Args:
        path: .parquet, .csv (with a header), or any other file: UTF-8, one text a line.
        text_column: which column holds the texts of a table.
        hold_out_column, hold_out_tenth: rows whose `held_out(value of this column, tenth)` are left out for good.
        any_language: take the texts also where hardly any of their letters are Hangul.

    Texts are cleaned as `kolab.text.clean` does, and each comes once.

    Raises DataError: no such file or column, not UTF-8, no text left, or no Korean. ConfigError: impossible settings.
    """
    path = on_disk(Path(path))
    if hold_out_tenth not in range(10):
        raise ConfigError(f"hold_out_tenth is {hold_out_tenth!r}; it has to be a number from 0 to 9.")
    rows = apart = blank = 0
    texts: dict[str, None] = {}  # a dict keeps the order and each text once
    for text, key in _rows(path, text_column, hold_out_column):
        rows += 1
        if hold_out_column is not None and held_out(key, hold_out_tenth):
            apart += 1
        elif cleaned := clean(text) if isinstance(text, str) else "":
            texts[cleaned] = None
        else:
            blank += 1
    found = {
        "file": unicodedata.normalize("NFC", path.name),
        "rows": rows,
        "held_out_rows": apart,
        "blank": blank,
        "repeated": rows - apart - blank - len(texts),
        "texts": len(texts),
    }
    if not texts:
        raise DataError(
            f"{path} holds no text to train on: {rows:,} rows, {apart:,} of them held out, {blank:,} blank."
        )
    share = hangul_share(list(texts))
    if share < KOREAN and not any_language:
        raise DataError(
            f"{path} does not look Korean: {share:.0%} of its letters are Hangul, {KOREAN:.0%} at least are expected. "
            "Is it the right file and column, and UTF-8? --any-language trains on it all the same."
        )
    return list(texts), found | {"hangul_share": round(share, 4)}


def check_file(path: Path) -> None:
    """Raises DataError where there is no file to train on, or it may not be read."""
    if not path.is_file():
        raise DataError(f"There is no file {path}. Give a text file, or a .csv or .parquet table.")
    try:
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from error


def _rows(path: Path, text_column: str, key_column: str | None) -> Iterator[tuple[Any, Any]]:
    """(text, value of the key column or None) of each row."""
    check_file(path)
    wanted = [text_column] + ([key_column] if key_column is not None else [])
    kind = path.suffix.lower()
    if kind == ".parquet":
        yield from _parquet(path, wanted)
        return
    if kind not in (".csv", ".tsv") and key_column is not None:
        raise ConfigError(
            f"hold_out_column needs a table (.parquet or .csv); {path.name} has one text a line."
        )
    if kind in (".csv", ".tsv"):
        yield from ((row[0], row[-1]) for row in read_columns(path, wanted))
    else:
        yield from ((line, None) for line in read_lines(path))


def _parquet(path: Path, wanted: list[str]) -> Iterator[tuple[Any, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            _check_columns(path, wanted, table.schema_arrow.names)
            for batch in table.iter_batches(columns=list(dict.fromkeys(wanted))):
                yield from zip(batch[wanted[0]].to_pylist(), batch[wanted[-1]].to_pylist(), strict=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} cannot be read as parquet: {str(error).splitlines()[0]} Fetch it again."
        ) from error


def _check_columns(path: Path, wanted: list[str], there: list[str]) -> None:
    for name in wanted:
        if name not in there:
            raise DataError(f"{path} has no column {name!r}; it has {', '.join(there) or 'none'}.")
