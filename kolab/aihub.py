"""Reading files in the shape of AI Hub's aspect-based sentiment corpus (data set 71603).

A file is one JSON array of about 100 records whose values are all strings. This module only reads: a folder, one file,
or a zip archive, whose entry names may be CP949 (Windows) or decomposed Unicode (macOS). Archives are read in memory;
nothing is ever unpacked to disk. What the records hold is judged in :mod:`kolab.auditing`.
"""

import contextlib
import json
import os
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from datasets import Features, Value

from .errors import DataError
from .user_files import on_disk

FIELDS = (
    "Index", "RawText", "Source", "Domain", "MainCategory", "ProductName", "ReviewScore", "Syllable", "Word", "RDate",
    "GeneralPolarity",
)  # fmt: skip
ASPECT_FIELDS = ("Aspect", "SentimentText", "SentimentWord", "SentimentPolarity")

#: What ``load_dataset("json", features=…)`` needs to be told, so that no file decides the types for all others.
FEATURES = Features(
    {field: Value("string") for field in FIELDS}
    | {"Aspects": [{field: Value("string") for field in ASPECT_FIELDS}]}
)

_MOST = 2**28  # bytes that one entry of an archive may unpack to; a file of the corpus has some 100,000
_WHERE = (
    "Give the folder of the unpacked corpus (for example '.../SNS/04. IT기기'), one of its .json files, "
    "or a .zip archive that holds them."
)


class File(NamedTuple):
    """One JSON file: its name (inside the folder or archive), its records as they stand, and whether it had a BOM."""

    name: str
    records: list
    bom: bool


def read_files(path: str | Path) -> Iterator[File]:
    """Read every ``.json`` file under a folder or in a zip archive, or one file, in the order of their names.

    Raises DataError, naming the file and the cure, when the path is missing, holds no JSON, is not UTF-8, is not valid
    JSON, or is not an array.
    """
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise DataError(f"{path!r} is no path. {_WHERE}")
    path = _existing(Path(path))
    try:
        if path.is_dir():
            yield from _read_folder(path)
        elif path.suffix.lower() == ".zip":
            yield from _read_zip(path)
        else:
            yield parse(path.read_bytes(), path.name)
    except OSError as error:
        raise DataError(
            f"{error.filename or path}: cannot be read ({error.strerror or error}). Check the disk and the permissions."
        ) from error


def parse(content: bytes, name: str) -> File:
    """Parse one file's bytes; `name` is for the messages.

    >>> parse('[{"RawText": "좋아요"}]'.encode(), "1-1.json").records
    [{'RawText': '좋아요'}]
    """
    name = name.encode("utf-8", errors="replace").decode("utf-8")  # a name the system could not decode
    bom = content.startswith(b"\xef\xbb\xbf")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(
            f"{name}: the file is UTF-16, not UTF-8. Convert it: iconv -f utf-16 -t utf-8 OLD > NEW."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(_encoding_message(content, name, error)) from error
    try:
        records = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name}: not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}; "
            f"there it says {_excerpt(text, error.pos)}. "
            "A cut-off file usually means a broken download: fetch or unpack it again."
        ) from error
    except (RecursionError, ValueError) as error:
        raise DataError(f"{name}: not valid JSON ({error}). Fetch or unpack the file again.") from error
    if not isinstance(records, list):
        raise DataError(
            f"{name}: expected a JSON array of records, found {type(records).__name__}. "
            "Leave files that are not part of the corpus out of the folder."
        )
    return File(name, records, bom)


def _existing(path: Path) -> Path:
    found = on_disk(path)
    if not found.exists():
        raise DataError(f"{path}: there is no such file or folder. {_WHERE}")
    return found


def _read_folder(folder: Path) -> Iterator[File]:
    paths = {
        file.relative_to(folder).as_posix(): file for file in _files(folder) if file.suffix.lower() == ".json"
    }
    names = sorted((unicodedata.normalize("NFC", name), name) for name in paths if not _is_clutter(name))
    if not names:
        archives = sorted(file.name for file in _files(folder) if file.suffix.lower() == ".zip")
        hint = f"It holds archives: unpack them, or give one of them ({archives[0]}). " if archives else ""
        raise DataError(f"{folder}: no .json file in this folder. {hint}{_WHERE}")
    for shown, name in names:
        yield parse(paths[name].read_bytes(), shown)


def _files(folder: Path) -> Iterator[Path]:
    """All files under a folder. `rglob` passes over one that may not be read, and nobody would miss its rows."""

    def refuse(error: OSError) -> None:
        raise error

    for here, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(here, name) for name in names)


def _read_zip(path: Path) -> Iterator[File]:
    with unzipping(path):
        archive = zipfile.ZipFile(path)
    with archive:
        entries = {_entry_name(info): info for info in archive.infolist()}
        outside = next((name for name in entries if _climbs(name)), None)
        if outside is not None:  # nothing is unpacked here, but somebody might do it next
            raise DataError(
                f"{path}: the entry {outside!r} points outside of its folder. Do not use that file."
            )
        names = sorted(name for name in entries if name.lower().endswith(".json") and not _is_clutter(name))
        if not names:
            raise DataError(f"{path}: no .json file in this archive. {_WHERE}")
        for name in names:
            if entries[name].file_size > _MOST:
                raise DataError(
                    f"{path}: {name!r} would take {entries[name].file_size:,} bytes in memory; the corpus's files have "
                    "less than a million. Do not use that file, or unpack it yourself and give the folder."
                )
            if entries[name].flag_bits & 1:
                raise DataError(
                    f"{path}: {name!r} asks for a password. Unpack it yourself and give the folder."
                )
            with unzipping(path):
                content = archive.read(entries[name])
            yield parse(content, f"{path.name}/{name}")


@contextlib.contextmanager
def unzipping(path: Path) -> Iterator[None]:
    """Whatever goes wrong with an archive in this block becomes a DataError that names it.

    Damaged bytes can make zipfile and its decompressors raise nearly anything (zlib.error, LZMAError, struct.error, …),
    with any bytes in the message.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault; without a number it is a decompressor's complaint
        said = str(error) if len(str(error)) <= 200 else f"{str(error)[:200]}…"
        if isinstance(error, RuntimeError):  # a way of packing that zipfile has not
            raise DataError(
                f"{path}: the archive cannot be read ({said}). Unpack it and give the folder, or download it again."
            ) from error
        raise DataError(f"{path}: not a complete zip archive ({said}). Download it again.") from error


def _entry_name(info: zipfile.ZipInfo) -> str:
    """The name in composed Unicode. Without the UTF-8 flag, zipfile has read the bytes as CP437; read them again."""
    name = info.filename
    if not info.flag_bits & 0x800:
        raw = name.encode("cp437", errors="replace")
        for encoding in ("utf-8", "cp949"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return unicodedata.normalize("NFC", name)


def _climbs(name: str) -> bool:
    """Whether unpacking an entry of that name would write somewhere else than into the folder."""
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or (len(parts[0]) == 2 and parts[0][1] == ":")


def _is_clutter(name: str) -> bool:
    """macOS writes '._name.json' and '__MACOSX/...', which are no JSON at all."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith("._")


def _encoding_message(content: bytes, name: str, error: UnicodeDecodeError) -> str:
    try:
        content.decode("cp949")
    except UnicodeDecodeError:
        cure = "Fetch or unpack the file again."
    else:
        cure = "It reads as CP949. Convert it: iconv -f cp949 -t utf-8 OLD > NEW."
    return f"{name}: not UTF-8 (byte {error.start} is 0x{content[error.start]:02x}). {cure}"


def _excerpt(text: str, position: int) -> str:
    return (
        repr(text[max(0, position - 15) : position + 15])
        if position < len(text)
        else "nothing more (end of file)"
    )
