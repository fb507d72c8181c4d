"""One file over HTTP: resumed when the connection is cut, checked against what is known of it, whole or not there.

Bytes go to `NAME.part`; only when size and hash are right is it renamed to NAME. So whoever finds NAME can use it, and
a download that was stopped goes on from where it was.
"""

import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from kolab.errors import DataError

TRIES = 5  # in a row without a single new byte
SECONDS = 30.0  # without an answer, before the connection counts as cut
PAUSE = 1.0  # seconds before the second try; doubled for each one after
_BLOCK = 1 << 16


@dataclass(frozen=True)
class File:
    """A file to be had: its address, its name in the cache, and what proves that it is the right one.

    size: bytes. blob: its hash as git names contents. None: the publisher does not promise the same bytes each time
    (GitHub packs an archive anew), or nobody has written them down. check: then says of a file what is wrong with what
    is inside, or None; without it whoever reads the file has to look.
    """

    url: str
    name: str
    size: int | None = None
    blob: str | None = None
    check: Callable[[Path], str | None] | None = None


class Cut(Exception):
    """The connection ended too early; what has come is kept."""


def git_blob(data: bytes) -> str:
    """The hash by which git names a file's content: SHA-1 over a short head and the bytes.

    >>> git_blob(b"hello\\n")            # as `git hash-object` says
    'ce013625030ba8dba906f756967f9e9ca394464a'
    """
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def download(file: File, folder: Path, *, show: bool = True, cure: str = "") -> Path:
    """The file in `folder`: as it lies there if it is the right one, otherwise downloaded.

    show: draw a progress bar. cure: what a reader can do where the network fails; part of the error's message.

    Raises DataError: no connection, an error page instead of the file, or another size or hash than `file` says.
    """
    target = folder / file.name
    if target.is_file() and fault(file, target) is None:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{file.name}.part"
    if (
        file.blob and part.is_file() and fault(file, part) is None
    ):  # stopped between the last byte and the renaming
        return accept(file, part, target)
    failures, reason = 0, "no answer"
    while failures < TRIES:
        before = part.stat().st_size if part.exists() else 0
        try:
            _receive(file, part, show)
            return accept(file, part, target)
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"the server answers {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 429):
                break
        except (Cut, OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        # A connection that is cut again and again still gets there, as long as each one brings something.
        failures = 0 if part.exists() and part.stat().st_size > before else failures + 1
        if 0 < failures < TRIES:
            time.sleep(PAUSE * 2 ** (failures - 1))
    raise DataError(f"{file.url} cannot be downloaded: {reason}. {cure}".strip())


def accept(file: File, part: Path, target: Path) -> Path:
    """Renames a complete `part` to `target` when it is the right file; otherwise removes it and raises DataError.

    A file whose line ends were turned to CRLF on its way (git on Windows does that) is turned back: the hash then
    proves that nothing else differs.
    """
    wrong = fault(file, part)
    if wrong and file.blob:
        mended = part.read_bytes().replace(b"\r\n", b"\n")
        if git_blob(mended) == file.blob:
            part.write_bytes(mended)
            wrong = None
    if wrong:
        part.unlink()
        _note(part).unlink(missing_ok=True)
        raise DataError(
            f"{file.name} from {file.url} is not the file that is expected: {wrong}. It was thrown away. Fetch it "
            "again; if that does not help, the publisher has changed it, or something between here and there does."
        )
    with open(part, "rb") as done:
        os.fsync(done.fileno())
    os.replace(part, target)
    _note(part).unlink(missing_ok=True)
    return target


def fault(file: File, path: Path) -> str | None:
    """What is wrong with the content of `path`, or None where it is what `file` says (or `file` says nothing)."""
    size = path.stat().st_size
    if file.blob is not None:
        found = git_blob(path.read_bytes())
        if found != file.blob:
            wanted = "" if file.size is None else f" instead of {file.size:,}"
            return (
                f"it has {size:,} bytes{wanted} and the git hash {found[:12]}… instead of {file.blob[:12]}…"
            )
    if file.size is not None and size != file.size:
        return f"it has {size:,} bytes instead of {file.size:,}"
    return file.check(path) if file.check and not file.blob else None


def _receive(file: File, part: Path, show: bool) -> None:
    """Adds to `part` what is missing. Raises Cut when the connection ends before the server's own count is reached."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(file.url, headers={"User-Agent": "kolab", "Accept-Encoding": "identity"})
    tag = _tag(part)
    if have and (
        tag or file.blob
    ):  # else nobody could tell that the rest belongs to another version of the file
        request.add_header("Range", f"bytes={have}-")
        if tag:
            request.add_header("If-Range", tag)
    else:
        have = 0
    try:
        answer = urllib.request.urlopen(request, timeout=SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # "range not satisfiable": what is here is as long as the file, or longer
            raise
        error.close()
        part.unlink()
        raise Cut("what had come before does not fit the file") from error
    with answer:
        if answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0  # the server sends the whole
        left = answer.headers.get("Content-Length")
        total = have + int(left) if left and left.isdigit() else None
        block = answer.read(_BLOCK)
        if have == 0:
            _refuse_pages(file, answer.headers.get_content_type(), block)
            _note(part).write_text(json.dumps(_strong(answer.headers.get("ETag"))), encoding="utf-8")
        with (
            open(part, "ab" if have else "wb") as sink,
            tqdm(
                total=total, initial=have, unit="B", unit_scale=True, desc=file.name, disable=not show
            ) as bar,
        ):
            while block:
                sink.write(block)
                bar.update(len(block))
                block = answer.read(_BLOCK)
    if total is not None and part.stat().st_size < total:
        raise Cut(f"the connection ended after {part.stat().st_size:,} of {total:,} bytes")


def _refuse_pages(file: File, kind: str, beginning: bytes) -> None:
    head = beginning[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if kind == "text/html" or head.startswith((b"<!doctype html", b"<html")):
        raise DataError(
            f"{file.url} gives a web page instead of {file.name}: a login page of this network, or an error page. Open "
            "the address in a browser to see what it says. Nothing was saved."
        )


def _note(part: Path) -> Path:
    """Where the ETag of a partial file is kept."""
    return part.with_name(f"{part.name}.etag")


def _tag(part: Path) -> str | None:
    try:
        return json.loads(_note(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _strong(tag: str | None) -> str | None:
    """An ETag that vouches for every byte; a weak one (W/…) may not be used to resume (RFC 9110, 13.1.5)."""
    return tag if tag and not tag.startswith("W/") else None
