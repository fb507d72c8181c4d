"""Number formats, exactly: what fp32, tf32, fp16 and bf16 make of a number, bit by bit, and how far the next one is.

A number is (-1)^sign · 1.mantissa · 2^(exponent - bias); with an exponent field of zeros it is subnormal:
(-1)^sign · 0.mantissa · 2^(1 - bias). Everything here is computed in whole numbers and fractions (round half to even),
so it is exact, needs no GPU, and can be compared with the hardware.

IEEE 754-2019 for fp32 and fp16; bf16 and tf32 keep fp32's exponent and cut its mantissa (tf32 exists only inside
NVIDIA's matrix units: it is stored in 32 bits).
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from kolab.errors import ConfigError


@dataclass(frozen=True)
class Format:
    """A binary floating-point format, by the widths of its fields.

    >>> half = FORMATS["fp16"]
    >>> float(half.largest), float(half.smallest_normal) == 2**-14, float(half.smallest) == 2**-24
    (65504.0, True, True)
    """

    name: str
    exponent_bits: int
    mantissa_bits: int

    @property
    def bits(self) -> int:
        """All bits, the sign's included."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """What is taken from the exponent field: half its range."""
        return 2 ** (self.exponent_bits - 1) - 1

    @property
    def largest(self) -> Fraction:
        """The largest finite number."""
        return (2 - Fraction(1, 2**self.mantissa_bits)) * Fraction(2) ** self.bias

    @property
    def smallest_normal(self) -> Fraction:
        """Below this the mantissa loses a bit with every halving."""
        return Fraction(2) ** (1 - self.bias)

    @property
    def smallest(self) -> Fraction:
        """The smallest number above zero."""
        return self.smallest_normal / 2**self.mantissa_bits

    @property
    def epsilon(self) -> Fraction:
        """The gap between 1 and the next number."""
        return Fraction(1, 2**self.mantissa_bits)


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (Format("fp32", 8, 23), Format("tf32", 8, 10), Format("fp16", 5, 10), Format("bf16", 8, 7))
}


@dataclass(frozen=True)
class Stored:
    """A number as a format stores it: the three fields as whole numbers, and what was asked for.

    wanted: the exact number, or a float for infinity and NaN.
    """

    format: Format
    sign: int
    exponent: int
    mantissa: int
    wanted: Fraction | float

    @cached_property
    def kind(self) -> str:
        """normal, subnormal, zero, infinity or nan."""
        if self.exponent == 2**self.format.exponent_bits - 1:
            return "nan" if self.mantissa else "infinity"
        if self.exponent == 0:
            return "subnormal" if self.mantissa else "zero"
        return "normal"

    @property
    def fields(self) -> tuple[str, str, str]:
        """Sign, exponent and mantissa as strings of 0 and 1."""
        form = self.format
        return (
            f"{self.sign}",
            f"{self.exponent:0{form.exponent_bits}b}",
            f"{self.mantissa:0{form.mantissa_bits}b}",
        )

    @property
    def pattern(self) -> int:
        """All bits as one whole number, as they lie in memory."""
        return int("".join(self.fields), 2)

    @property
    def power(self) -> int:
        """The power of two that the mantissa is multiplied by."""
        return max(self.exponent, 1) - self.format.bias

    @cached_property
    def value(self) -> Fraction | float:
        """The number that is really there: exact, or a float for infinity and NaN."""
        if self.kind == "nan":
            return math.nan
        if self.kind == "infinity":
            return -math.inf if self.sign else math.inf
        hidden = 2**self.format.mantissa_bits if self.kind == "normal" else 0
        size = (hidden + self.mantissa) * self.gap
        return -size if self.sign else size

    @property
    def gap(self) -> Fraction | float:
        """The distance to the next number away from zero."""
        if self.kind in ("infinity", "nan"):
            return math.nan
        return Fraction(2) ** (self.power - self.format.mantissa_bits)

    @property
    def relative_error(self) -> float:
        """|stored - wanted| / |wanted|: 0 if exact, 1 if all is lost, infinite on overflow."""
        if self.kind == "nan" or isinstance(self.wanted, float):
            return 0.0
        if self.kind == "infinity":
            return math.inf
        return float(abs(self.value - self.wanted) / abs(self.wanted)) if self.wanted else 0.0


def encode(number: float | int | str | Fraction, format: str | Format = "fp16") -> Stored:
    """What a format makes of a number: round to the nearest that it has, to the even one of two equally near.

    number: any number, or a text: "0.1" (a tenth exactly, not the double nearest to it), "1e-8", "1/3", "2^-24", "inf".

    >>> stored = encode("0.1", "bf16")
    >>> stored.fields, float(stored.value), float(stored.gap) == 2**-11
    (('0', '01111011', '1001101'), 0.10009765625, True)
    >>> [encode(n, "fp16").kind for n in (65519, 65520, 1e-8, 1e-6)]
    ['normal', 'infinity', 'zero', 'subnormal']

    Raises ConfigError for a text that is no number, or an unknown format.
    """
    form = _format(format)
    negative, exact = _exact(number)
    top = 2**form.exponent_bits - 1
    if isinstance(exact, float):
        return Stored(form, int(negative), top, int(math.isnan(exact)) << (form.mantissa_bits - 1), exact)
    size = abs(exact)
    power = _log2(size) if size else 1 - form.bias
    power = max(power, 1 - form.bias)
    steps = round(size / Fraction(2) ** (power - form.mantissa_bits))  # Fractions round half to even
    if steps == 2 ** (form.mantissa_bits + 1):  # rounded up to the next power of two
        power, steps = power + 1, steps // 2
    if power > form.bias:
        return Stored(form, int(negative), top, 0, exact)
    hidden = 2**form.mantissa_bits
    if steps < hidden:  # no leading one: subnormal, or zero
        return Stored(form, int(negative), 0, steps, exact)
    return Stored(form, int(negative), power + form.bias, steps - hidden, exact)


def gap(number: float | str, format: str | Format = "fp16") -> float:
    """The distance from a number, as stored, to the next one away from zero.

    >>> gap(1, "fp16"), gap(2048, "fp16"), gap(256, "bf16")
    (0.0009765625, 2.0, 2.0)
    """
    return float(encode(number, format).gap)


def first_swallowed(format: str | Format = "fp16") -> int:
    """The first whole number n to which 1 cannot be added: n + 1 gives n again.

    >>> {name: first_swallowed(name) for name in ("fp16", "bf16", "fp32")}
    {'fp16': 2048, 'bf16': 256, 'fp32': 16777216}
    """
    return 2 ** (_format(format).mantissa_bits + 1)


def table(number: float | str, formats: tuple[str, ...] = ("fp32", "fp16", "bf16")):
    """A DataFrame with one row a format: sign, exponent, mantissa, what is stored, the gap, the relative error."""
    import pandas as pd

    rows = []
    for name in formats:
        stored = encode(number, name)
        sign, exponent, mantissa = stored.fields
        rows.append(
            {
                "format": name, "sign": sign, "exponent": exponent, "mantissa": mantissa, "kind": stored.kind,
                "stored": float(stored.value), "gap": float(stored.gap), "relative error": stored.relative_error,
            }
        )  # fmt: skip
    return pd.DataFrame(rows).set_index("format")


def _format(format: str | Format) -> Format:
    if isinstance(format, Format):
        return format
    if format not in FORMATS:
        raise ConfigError(f"There is no number format {format!r}; there are {', '.join(FORMATS)}.")
    return FORMATS[format]


def _exact(number: float | int | str | Fraction) -> tuple[bool, Fraction | float]:
    """(negative?, the exact number); a float where it is infinite or NaN."""
    if isinstance(number, str):
        number = _parse(number)
    try:
        if isinstance(number, Fraction | int):
            return number < 0, Fraction(number)
        number = float(number)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{number!r} is no number.") from None
    negative = math.copysign(1, number) < 0
    return negative, number if math.isinf(number) or math.isnan(number) else Fraction(number)


def _parse(text: str) -> Fraction | float:
    """A number from a text; a bare minus zero stays a float, since a fraction has no sign of zero."""
    plain = text.strip().replace(",", "").replace("−", "-").replace("**", "^").lower()
    base, caret, exponent = plain.partition("^")
    try:
        if caret:
            power = int(exponent)
            if abs(power) > 20000:
                raise ValueError
            return Fraction(base) ** power if not base.startswith("-") else -(Fraction(base[1:]) ** power)
        if len(plain) > 400 or abs(int(plain.partition("e")[2] or 0)) > 5000:
            raise ValueError
        found = Fraction(plain)
        return -0.0 if not found and plain.startswith("-") else found
    except (ValueError, ZeroDivisionError):
        pass
    try:
        special = float(plain)
    except ValueError:
        special = 0.0
    if math.isinf(special) or math.isnan(special):
        return special
    raise ConfigError(f"{text!r} is no number. Write it as 0.1, 1e-8, 1/3, 2^-24, inf or nan.")


def _log2(size: Fraction) -> int:
    """The whole number e with 2^e <= size < 2^(e+1)."""
    power = size.numerator.bit_length() - size.denominator.bit_length()
    return power if size >= Fraction(2) ** power else power - 1
