"""kolab/formats.py against the hardware: every 16-bit pattern, and random numbers in float32."""

import math
import struct
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kolab.errors import ConfigError
from kolab.formats import FORMATS, encode, first_swallowed, gap, table

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


def patterns(values: torch.Tensor, name: str) -> list[int]:
    """The bits of float32 values after a cast to a format, as whole numbers."""
    cast = values.to(DTYPES[name])
    whole = cast.view(torch.int32 if name == "fp32" else torch.int16).to(torch.int64)
    return [p & (2 ** FORMATS[name].bits - 1) for p in whole.tolist()]


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_every_number_of_a_format_is_found_again(name):
    bits = torch.arange(0, 65536, 7, dtype=torch.int32).to(torch.int16)
    values = bits.view(DTYPES[name]).double()
    for pattern, value in zip((bits.to(torch.int64) & 0xFFFF).tolist(), values.tolist()):
        stored = encode(value, name)
        if math.isnan(value):
            assert stored.kind == "nan" and math.isnan(stored.value)
        else:
            assert stored.pattern == pattern and float(stored.value) == value


@given(st.lists(finite, min_size=1, max_size=20))
def test_rounding_is_the_hardwares(numbers):
    values = torch.tensor(numbers, dtype=torch.float32)
    for name in DTYPES:
        assert [encode(v, name).pattern for v in values.tolist()] == patterns(values, name)


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_ties_and_edges_round_as_the_hardware_does(name):
    form = FORMATS[name]
    edges = [
        form.largest,
        form.smallest,
        form.smallest_normal,
        Fraction(1),
        Fraction(2) ** form.mantissa_bits,
    ]
    numbers = [float(e * k) for e in edges for k in (Fraction(1, 2), Fraction(3, 2), 1, Fraction(2049, 2048))]
    with np.errstate(over="ignore"):
        numbers += [np.nextafter(np.float32(n), np.float32(d)).item() for n in numbers for d in (0, np.inf)]
    values = torch.tensor([n for n in numbers if abs(n) < 3e38], dtype=torch.float32)
    assert [encode(v, name).pattern for v in values.tolist()] == patterns(values, name)


@pytest.mark.parametrize("name", DTYPES)
def test_limits_are_torchs(name):
    about, form = torch.finfo(DTYPES[name]), FORMATS[name]
    assert (about.max, about.tiny, about.eps) == tuple(
        map(float, (form.largest, form.smallest_normal, form.epsilon))
    )
    assert about.bits == form.bits and encode(form.smallest, name).pattern == 1
    assert encode(form.smallest / 2, name).kind == "zero"  # a tie goes to the even neighbour


@given(finite, st.sampled_from(sorted(FORMATS)))
def test_the_error_is_at_most_half_a_gap(number, name):
    stored = encode(number, name)
    if stored.kind != "infinity":
        assert abs(stored.value - Fraction(number)) <= Fraction(stored.gap) / 2


@given(finite.filter(lambda x: x != 0))
def test_gap_is_the_distance_to_the_next_number(number):
    value = np.float32(number)
    there = float(np.nextafter(value, np.float32(math.copysign(math.inf, number))))
    if math.isfinite(there):
        assert gap(float(value), "fp32") == abs(there - float(value))


def test_swallowed_numbers_are_swallowed():
    for name, dtype in DTYPES.items():
        n = torch.tensor(first_swallowed(name), dtype=dtype)
        assert n + 1 == n and (n / 2) + 1 != n / 2


@pytest.mark.parametrize(
    "text, value",
    [
        ("1/3", Fraction(1, 3)), ("2^-24", Fraction(1, 2**24)), ("-2**3", -8), ("1,000", 1000),
        (" 1e-8 ", Fraction(1, 10**8)),
    ],
)  # fmt: skip
def test_texts_are_exact(text, value):
    assert encode(text).wanted == value


def test_special_numbers():
    assert (
        encode("-inf").value == -math.inf
        and encode("nan").kind == "nan"
        and encode("1e9999").kind == "infinity"
    )
    assert encode(-0.0).fields[0] == encode("-0").fields[0] == "1" and encode("-0").kind == "zero"
    assert encode("9" * 500).kind == "infinity"
    assert struct.pack("<e", -0.0) == encode("-0").pattern.to_bytes(2, "little")


@pytest.mark.parametrize("text", ["", "abc", "1/0", "2^^3", "2^1e9", "--1", None, [1]])
def test_what_is_no_number(text):
    with pytest.raises(ConfigError, match="no number"):
        encode(text)


def test_an_unknown_format():
    with pytest.raises(ConfigError, match="fp8.*fp32"):
        encode(1, "fp8")


def test_the_table_has_a_row_a_format():
    found = table("65520")
    assert list(found.index) == ["fp32", "fp16", "bf16"]
    assert found.loc["fp16", "kind"] == "infinity" and found.loc["bf16", "relative error"] < 2**-8
