"""The fuzzer of `load_aihub` (tests/fuzz_aihub.py): that it would notice, what it has found, and a bounded run of it.

The slow test takes a minute at most.
"""

import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile

import pytest

import kolab as kl
from kolab import aihub
from kolab.errors import DataError, KolabError
from tests import fuzz_aihub
from tests.fuzz_aihub import archive, broken, cp949_archive, mutated, seeds

RUNS = 20_000
PLAIN = b'[{"RawText": "\xec\xa2\x8b\xec\x95\x84\xec\x9a\x94", "GeneralPolarity": "1"}]'


def packed(kind: int, content: bytes = PLAIN * 20, **header) -> bytes:
    """An archive of one entry, packed in some way, with fields of its entry in the directory changed."""
    found = archive({"a.json": content}, kind)
    with zipfile.ZipFile(io.BytesIO(found)) as file:
        start = file.start_dir
    places = {"flags": 8, "way": 10, "size": 24}
    for field, value in header.items():
        at, width = start + places[field], 4 if field == "size" else 2
        found = found[:at] + value.to_bytes(width, "little") + found[at + width :]
    return found


def spoilt(kind: int, at: int = 36) -> bytes:
    """An archive whose packed bytes are overwritten; they begin at 36."""
    found = packed(kind)
    return found[:at] + b"\xff" * 12 + found[at + 12 :]


FOUND = {  # what has once come out as a traceback or with the wrong cure, each as small as it could be made
    "deflated bytes that are none": (spoilt(zipfile.ZIP_DEFLATED), "Download it again"),
    "bzip2 bytes that are none": (spoilt(zipfile.ZIP_BZIP2), "Download it again"),
    "LZMA bytes that are none": (spoilt(zipfile.ZIP_LZMA, at=44), "Download it again"),
    "a way of packing that there is not": (packed(zipfile.ZIP_STORED, way=97), "Unpack it and"),
    "a password": (packed(zipfile.ZIP_STORED, flags=1), "asks for a password. Unpack it yourself"),
    "a name that is not the UTF-8 it claims to be": (
        cp949_archive("a가.json", PLAIN).replace(
            b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\0\x08"
        ),
        "Download it again",
    ),
    "an entry of four gigabytes": (packed(zipfile.ZIP_DEFLATED, size=2**32 - 2), "4,294,967,294 bytes"),
    "a name that goes on and on": (
        packed(zipfile.ZIP_STORED, PLAIN * 80).replace(b"\6\0\0\0a.json", b"\0\x0f\0\0a.json", 1),
        "Download it again",
    ),
    "nothing": (b"", "fetch or unpack it again"),
    "nothing but a signature": (b"PK", "Download it again"),
}


@pytest.mark.parametrize("case", FOUND)
def test_what_the_fuzzer_has_found_stays_mended(case, tmp_path):
    content, says = FOUND[case]
    assert broken(content) is None
    path = tmp_path / ("a.zip" if content[:2] == b"PK" else "a.json")
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        kl.load_aihub(path)
    assert says in str(error.value)


@pytest.mark.parametrize("index", ["\ud800\udfff\udfff", "1\n2", "7" * 10_000, "\u202e", {"a": "\ud800"}])
@pytest.mark.parametrize("text", [None, "", "글\ud800" * 5_000])
def test_a_strict_refusal_can_be_printed_whatever_the_row_holds(index, text):
    record = {"Index": index, "RawText": text, "GeneralPolarity": "2"}
    good = {"Index": "1", "RawText": "좋아요", "GeneralPolarity": "1"}
    assert broken(json.dumps([good, record]).encode()) is None
    assert broken(json.dumps([good, record | {"GeneralPolarity": text}]).encode()) is None


@pytest.mark.parametrize("number", range(len(seeds())))
def test_files_in_the_published_format_are_read_or_refused_as_they_should_be(number):
    assert broken(seeds()[number]) is None
    for seed in range(3):
        assert broken(mutated(seeds()[number], 10_000, seed)) is None


def test_most_seeds_can_be_read(tmp_path):
    """A fuzzer that begins with refused files alone would only ever try the refusals."""
    refused = 0
    for content in seeds():
        path = tmp_path / ("a.zip" if content[:2] == b"PK" else "a.json")
        path.write_bytes(content)
        try:
            kl.load_aihub(path)
        except KolabError:
            refused += 1
    assert 5 <= refused <= len(seeds()) / 2


def test_the_fuzzer_notices_a_foreign_error_and_a_bad_message(monkeypatch):
    def parse(content, name):
        raise KeyError("RawText")

    monkeypatch.setattr(aihub, "parse", parse)
    with pytest.raises(KeyError):
        broken(PLAIN)

    def nameless(content, name):
        raise aihub.DataError("something is wrong")

    monkeypatch.setattr(aihub, "parse", nameless)
    assert "does not name the file" in broken(PLAIN)


def test_the_fuzzer_notices_a_text_that_is_not_clean(monkeypatch):
    monkeypatch.setattr("kolab.data.clean", lambda text: text)
    assert "not clean" in broken(PLAIN.replace(b'"\xec', b'"  \xec'))


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris, the fuzzer, is not installed: it has wheels for Linux on x86-64 only",
)
def test_a_bounded_number_of_inputs_break_nothing(tmp_path):
    command = [sys.executable, fuzz_aihub.__file__, f"-runs={RUNS}", "-seed=1"]
    environment = os.environ | {"PYTHONPATH": str(fuzz_aihub.ROOT)}
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, errors="replace", capture_output=True, timeout=900
    )
    said = ran.stdout + ran.stderr
    kept = sorted(tmp_path.glob("crash-*"))
    if kept:
        place = fuzz_aihub.ROOT / "build" / kept[0].name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(kept[0].read_bytes())
        pytest.fail(
            f"An input breaks load_aihub. Again: python tests/fuzz_aihub.py {place.relative_to(fuzz_aihub.ROOT)}\n"
            + said[-3000:]
        )
    assert ran.returncode == 0 and f"Done {RUNS} runs" in said, said[-3000:]
