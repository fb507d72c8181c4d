"""Coverage-guided fuzzing of `load_aihub`: whatever the bytes, it reads them or says why not.

    python tests/fuzz_aihub.py                          until Ctrl-C, or until something breaks
    python tests/fuzz_aihub.py -runs=20000 -seed=1      a bounded number of inputs (any option of libFuzzer)
    python tests/fuzz_aihub.py CORPUS -max_total_time=3600      keeps what it finds worth keeping in a folder
    python tests/fuzz_aihub.py crash-0123abcd           one input again

It begins with files in the published format: arrays of the bundled records, with and without a byte-order mark, and zip
archives with names in UTF-8, CP949 and decomposed. An input that breaks is kept as `crash-…` in the folder where the
fuzzer was started.
Needs atheris (`pip install atheris`; Linux on x86-64). `broken(content)` alone needs nothing.
"""

import contextlib
import importlib
import io
import json
import os
import random
import sys
import tempfile
import unicodedata
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Values and bytes that a random mutation would not find in a lifetime.
VALUES = [
    None, True, 0, 1, -1, 1e400, float("nan"), 10**30, "", " ", "\t", "-1", "0", "1", " 1", "1 ", "2", "１", "\u200b",
    "\0", "\ud800", "\udc00\ud800", "\ufeff", "\u202e", "\u3164", "\u1112\u1161\u11ab", "&lt;br&gt;",
    "&amp;amp;lt;b&gt;", "&#0;", "&#xD800;", "&#1114112;", "<br>", "<b", "좋아요", "좋아요!", "ㅋㅋ", "👍🏽",
    "👨\u200d👩\u200d👧", [], {}, [[]], [None], [{}],
]  # fmt: skip
NAMES = [
    "a.json", "SNS/04. IT기기/1-1.여성의류(156).json", "../a.json", "/a.json", "C:\\a.json", "._a.json", "a.JSON",
    "a.txt", "__MACOSX/a.json", "a/", "a.json/", "\0.json", "..\\a.json", "C:a.json", ".json",
]  # fmt: skip


def broken(content: bytes) -> str | None:
    """What is wrong with how these bytes are read, in words; None where all is as it should be.

    They are written as a file, an archive if they look like one, and read as a user does. An error has to be one of
    kolab's own, name the file, and be one line that can be printed; what is read has to be clean, and `audit` and
    `strict=True` have to tell the same story.
    """
    import kolab as kl
    from kolab.errors import DataError, KolabError
    from kolab.text import clean

    name = "a.zip" if content[:2] == b"PK" else "a.json"
    with (
        tempfile.TemporaryDirectory(dir=_memory()) as folder,
        contextlib.redirect_stdout(io.StringIO()) as said,
    ):
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            data, report = kl.load_aihub(path, return_report=True)
        except KolabError as error:
            return _unreadable(str(error), name)
        said.getvalue().encode()
        dirty = next((text for text in data["text"][:] if not text or text != clean(text)), None)
        if dirty is not None:
            return f"a text that is not clean: {dirty!r}"
        if len(data) != report.kept or str(kl.audit(path)) != str(report):
            return "the audit counts otherwise than the loader"
        try:
            kl.load_aihub(path, strict=True)
            strict = True
        except DataError as error:
            strict = False
            if complaint := _unreadable(str(error), name):
                return complaint
        if strict != (report.dropped == 0):
            return (
                f"strict=True {'passes' if strict else 'refuses'} although {report.dropped} rows are dropped"
            )
        left = sorted(p.name for p in Path(folder).iterdir())
        return None if left == [name] and path.read_bytes() == content else f"files were changed: {left}"


def _unreadable(message: str, name: str) -> str | None:
    message.encode()  # what cannot be encoded cannot be printed either
    if name not in message:
        return f"the message does not name the file: {message}"
    odd = [
        c for c in message if unicodedata.category(c) in ("Cc", "Zl", "Zp") or c in "\u202d\u202e\u2066\u2067"
    ]
    if odd or len(message) > 2000:
        return f"the message is not one readable line: {message!r}"
    return None


def seeds() -> list[bytes]:
    """Small files in the published format, whole and spoilt: where the fuzzer begins."""
    source = sorted((ROOT / "data" / "it_reviews").rglob("*.json"))
    few = [json.loads(path.read_text(encoding="utf-8-sig"))[:4] for path in source[:6]]
    plain = [json.dumps(records, ensure_ascii=False).encode() for records in few]
    name = "SNS/04. IT기기/4-4.노트북(1).json"
    found = [
        *plain,
        b"\xef\xbb\xbf" + plain[0],
        json.dumps(few[1], indent=1).encode(),
        plain[0][:-20],
        b"[]",
        b"{}",
    ]
    found += [plain[0].decode().encode("utf-16"), plain[0].decode().encode("cp949", errors="ignore")]
    found += [
        archive({name: plain[0]}), archive({unicodedata.normalize("NFD", name): plain[1], "b.json": plain[2]}),
        archive({name: plain[0]}, compression=zipfile.ZIP_DEFLATED), archive({"../a.json": plain[0]}), archive({}),
        cp949_archive(name, plain[3]), archive({"__MACOSX/._a.json": b"\0", "a.json": plain[0]})[:-9],
    ]  # fmt: skip
    return found


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(zipfile.ZipInfo(name), content, compression)  # ZipInfo: always the same date
    return memory.getvalue()


def cp949_archive(name: str, content: bytes) -> bytes:
    """A zip archive as Korean Windows writes it: the name in CP949, and nothing that says so."""
    raw = name.encode("cp949")
    stand_in = "x" * len(raw)
    return archive({stand_in: content}).replace(stand_in.encode(), raw)


def mutated(content: bytes, most: int, seed: int) -> bytes:
    """The bytes with a change that keeps their form: a record's field, a record, an entry of the archive."""
    draw = random.Random(seed)
    if content[:2] == b"PK":
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as file:
                entries = {info.filename: file.read(info) for info in file.infolist()}
        except Exception:
            return content
        name = draw.choice([*entries, draw.choice(NAMES)])
        entries[draw.choice([name, draw.choice(NAMES)])] = mutated(entries.pop(name, b"[]"), most, seed + 1)
        kinds = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
        with contextlib.suppress(Exception):  # zipfile refuses some names itself
            content = archive(entries, draw.choice(kinds))
        return content[:most]
    try:
        records = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if not isinstance(records, list):
        return content
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(records)) if records else 0
        change = draw.random()
        if change < 0.1 or not records:
            records.insert(at, draw.choice(VALUES) if draw.random() < 0.5 or not records else records[at])
        elif change < 0.2:
            del records[at]
        elif isinstance(records[at], dict):
            record = dict(records[at])
            key = draw.choice([*record, "RawText", "GeneralPolarity", "Aspects"])
            value = record.get(key)
            if isinstance(value, list) and value and isinstance(value[0], dict) and draw.random() < 0.7:
                inner = dict(value[0])
                inner[draw.choice([*inner, "Aspect"])] = draw.choice(VALUES)
                record[key] = [inner, *value[1:]]
            elif isinstance(value, str) and draw.random() < 0.5:
                cut, piece = draw.randint(0, len(value)), draw.choice(VALUES)
                record[key] = value[:cut] + (piece if isinstance(piece, str) else "<br>") + value[cut:]
            elif draw.random() < 0.1:
                record.pop(key, None)
            else:
                record[key] = draw.choice(VALUES)
            records[at] = record
    return json.dumps(records, ensure_ascii=draw.random() < 0.5).encode(errors="surrogatepass")[:most]


def _memory() -> str | None:
    """A folder in memory: thousands of small files are not worth a disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def main() -> None:
    import atheris

    # Only what reads: following every branch of the libraries would take most of the time.
    watched = ["kolab.aihub", "kolab.auditing", "kolab.data", "kolab.text", "zipfile", "json.decoder"]
    for name in watched:
        sys.modules.pop(name, None)
    with atheris.instrument_imports(include=watched):
        for name in watched:
            importlib.import_module(name)
    import datasets

    # Half the time would go into a hash of every table, under which datasets caches what is computed from it.
    datasets.arrow_dataset.generate_fingerprint = lambda dataset: "0" * 16

    def one_input(content: bytes) -> None:
        complaint = broken(content)
        if complaint is not None:
            raise AssertionError(complaint)

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        return mutated(content, most, seed) if seed % 2 else atheris.Mutate(content, most)

    argv = sys.argv
    given = [word for word in argv[1:] if not word.startswith("-")]
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        if not any(Path(word).is_file() for word in given):
            for number, content in enumerate(seeds()):
                Path(folder, f"seed-{number:02}").write_bytes(content)
            # The first folder is where libFuzzer writes: a fresh one unless one was given.
            own = [] if given else [tempfile.mkdtemp(dir=folder)]
            argv = [*argv, *own, folder]
        atheris.Setup(argv, one_input, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ["HF_HUB_OFFLINE"] = "1"
    main()
