"""KoBERT's tokenizer as a fast one, rebuilt from its SentencePiece model and its vocabulary, with no code of others.

On the Hub KoBERT comes with a tokenizer class of its own, which would have to be run (`trust_remote_code`), and which
today's transformers can neither load nor save. XLNetTokenizer and BertTokenizer take its files and give wrong ids
without a word. What the class does is this:

    `` and '' become ", accents go (NFKD, then the marks are dropped), SentencePiece normalises (NFKC, or Hangul would
    stay in pieces) and cuts into pieces (Unigram: Kudo, 2018, *Subword Regularization*), and a piece's id is its line
    in vocab.txt; the numbers in the SentencePiece model are others.

The Rust library behind transformers' fast tokenizers has each of these steps. A `.model` file is a protocol buffer;
the pieces and scores are read from it directly, so nothing has to be installed.
"""

import functools
import json
import struct
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from .errors import CheckpointError, ConfigError

SPECIAL = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "pad", "cls", "sep", "mask")}
_UNIGRAM = 1  # SentencePiece's number for this kind of model
_BLANK = "▁"  # U+2581, which stands for a blank


def is_kobert(folder: Path, model_type: str) -> bool:
    """Whether a folder holds a tokenizer of KoBERT's kind: a BERT with a SentencePiece model and no tokenizer.json.

    Its vocabulary (vocab.txt) may be there (monologg/kobert) or not (skt/kobert-base-v1: the model's own order).
    """
    return (
        model_type in ("bert", "distilbert")
        and not (folder / "tokenizer.json").is_file()
        and _model_file(folder) is not None
    )


def load_kobert_tokenizer(folder: Path, max_length: int = 512) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder for which `is_kobert` holds.

    Raises CheckpointError where a file is damaged, ConfigError where the two do not belong together.
    """
    model = _model_file(folder)
    scores = read_pieces(model)
    vocabulary = folder / "vocab.txt"
    words = read_vocabulary(vocabulary) if vocabulary.is_file() else list(scores)
    place = vocabulary if vocabulary.is_file() else model
    missing = [word for word in SPECIAL.values() if word not in words]
    if missing:
        raise ConfigError(f"{place} lacks {', '.join(missing)}, so it is no vocabulary of KoBERT's kind.")
    strange = [word for word in words if word not in scores and word not in SPECIAL.values()]
    if strange:
        raise ConfigError(
            f"{place} and {model.name} do not belong together: {strange[0]!r} and {len(strange) - 1:,} more words "
            "have no score. Fetch both files from the same place."
        )
    return _build([(word, scores.get(word, 0.0)) for word in words], _length(folder, max_length))


def _build(pieces: list[tuple[str, float]], max_length: int) -> PreTrainedTokenizerFast:
    """pieces: (piece, score) in the order of the ids."""
    ids = {piece: number for number, (piece, _) in enumerate(pieces)}
    raw = Tokenizer(models.Unigram(pieces, unk_id=ids["[UNK]"], byte_fallback=False))
    raw.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(
                Regex(r"[\x09-\x0D\x1C-\x20\x{85}\s]+"), " "
            ),  # where Python's str.split parts
            normalizers.Replace("``", '"'),
            normalizers.Replace("''", '"'),
            normalizers.NFKD(),
            normalizers.Replace(Regex(_accents()), ""),
            normalizers.NFKC(),  # puts the jamo, which NFKD took apart, together again
            # what SentencePiece drops and what it takes for a blank; normalizers.Nmt would also part emoji at U+200D
            normalizers.Replace(Regex(r"[\x01-\x08\x0B\x0E-\x1F\x7F\x{8F}\x{9F}]"), ""),
            normalizers.Replace(Regex(r"[\x{200B}\x{200C}\x{200E}\x{200F}\x{2581}\x{FEFF}\x{FFFD}]"), " "),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    raw.pre_tokenizer = pre_tokenizers.Metaspace(_BLANK, prepend_scheme="always", split=True)
    raw.decoder = decoders.Metaspace(_BLANK, prepend_scheme="always", split=True)
    raw.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIAL.values()])
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        model_max_length=max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **SPECIAL,
    )


@functools.cache
def _accents() -> str:
    """A pattern for the characters that Python's unicodedata.combining tells from others, as KoBERT's class does.

    Not normalizers.StripAccents: that takes all marks away, the one that makes ☺ an emoji (U+FE0F) too.
    """
    codes = [code for code in range(sys.maxunicode + 1) if unicodedata.combining(chr(code))]
    starts = [code for code, before in zip(codes, [-2, *codes]) if code != before + 1]
    ends = [code for code, after in zip(codes, [*codes[1:], -2]) if code != after - 1]
    return "[" + "".join(f"\\x{{{start:X}}}-\\x{{{end:X}}}" for start, end in zip(starts, ends)) + "]"


def read_vocabulary(path: Path) -> list[str]:
    """The words of a vocab.txt, one a line; with Windows line ends too. Raises CheckpointError."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as UTF-8 ({error}). Fetch it again.") from error
    words = [line.rstrip("\r") for line in text.split("\n")]
    if words and not words[-1]:
        words.pop()
    twice = {word for word in words if words.count(word) > 1} if len(set(words)) < len(words) else set()
    if twice or "" in words:
        raise CheckpointError(
            f"{path} is damaged: {'an empty line' if '' in words else f'{min(twice)!r} stands there twice'}. "
            "Fetch it again."
        )
    return words


def read_pieces(path: Path) -> dict[str, float]:
    """Piece → score, in the order of the file: what a SentencePiece model (.model) holds.

    Raises CheckpointError where the file is cut short or no such model, ConfigError for another kind than Unigram.
    """
    try:
        content = path.read_bytes()
        pieces: dict[str, float] = {}
        kind = _UNIGRAM
        for number, value in _fields(content):
            if number == 1:  # a piece: its text (1), its score (2), its type (3)
                piece = dict(_fields(value))
                pieces[piece[1].decode("utf-8")] = struct.unpack("<f", piece.get(2, b"\0\0\0\0"))[0]
            elif number == 2:  # how it was trained; (3) in there is the kind of model
                kind = dict(_fields(value)).get(3, _UNIGRAM)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error, OSError) as error:
        raise CheckpointError(
            f"{path} is no whole SentencePiece model ({error or type(error).__name__}). Fetch it again."
        ) from error
    if not pieces:
        raise CheckpointError(f"{path} is no SentencePiece model: it holds no pieces. Fetch it again.")
    if kind != _UNIGRAM:
        raise ConfigError(f"{path} is a SentencePiece model of another kind than KoBERT's (Unigram).")
    return pieces


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(number, value) of each field of a protocol buffer: whole numbers as int, everything else as bytes.

    https://protobuf.dev/programming-guides/encoding. Raises ValueError or IndexError where the message ends too early.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
        else:
            if kind == 2:
                size, at = _varint(message, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise ValueError(f"a field of the kind {kind} at byte {at}")
            value, at = message[at : at + size], at + size
            if at > len(message):
                raise ValueError(f"it ends {at - len(message):,} bytes too early")
        yield key >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, and where the next thing begins."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise ValueError(f"a number without end at byte {at}")


def _model_file(folder: Path) -> Path | None:
    found = sorted(folder.glob("*.model"))
    return found[0] if len(found) == 1 else None


def _length(folder: Path, most: int) -> int:
    """How many tokens a text may have: what tokenizer_config.json says, but no more than the encoder has positions."""
    try:
        said = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["model_max_length"]
    except (OSError, ValueError, KeyError, TypeError):
        return most
    return min(said, most) if isinstance(said, int) and said > 0 else most
