"""Train a subword tokenizer on any texts: Unigram (Kudo, 2018), with a byte for whatever no piece covers.

The Unigram model holds a set of pieces, each with a log probability, and cuts a text into the most probable row of
pieces (Viterbi). Training starts from many pieces and drops, round by round, those whose loss costs least. A character
in no piece becomes its UTF-8 bytes (`<0xF0>` …), as in SentencePiece's byte fallback: no emoji is ever [UNK].

Texts are composed (NFC), never taken apart and never lower-cased, so Hangul syllables and jamo such as ㅋㅋ survive.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import UnigramTrainer
from transformers import PreTrainedTokenizerFast

from kolab.errors import ConfigError, DataError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0 to 4
BYTES = 256  # ids 5 to 260: one piece for each byte


def train_tokenizer(
    texts: Sequence[str],
    vocabulary: int = 8002,
    *,
    max_piece_length: int = 8,
    rare: int = 2,
    max_length: int = 256,
) -> PreTrainedTokenizerFast:
    """A tokenizer with at most `vocabulary` ids: 5 special tokens, 256 bytes, and the pieces learned from `texts`.

    Args:
        texts: one string a text.
        vocabulary: most ids; a small corpus gives fewer.
        max_piece_length: longest piece, in characters.
        rare: characters seen fewer times than this are left out of training, as are all but the most common that a
            fifth of the pieces can hold. They stay readable, as bytes: a piece for each rare Hanja or emoji would
            take the place of a common word.
        max_length: what the tokenizer tells others is the longest sequence, in tokens.

    Raises:
        DataError: the texts hold nothing to learn from. ConfigError: no room for pieces beside the bytes.
    """
    room = vocabulary - len(SPECIAL) - BYTES
    if isinstance(vocabulary, bool) or room < 1:
        raise ConfigError(
            f"vocabulary is {vocabulary}; it has to be above {len(SPECIAL) + BYTES}, which the special tokens and "
            "the 256 bytes take (8002 is KoBERT's size)."
        )
    counts = Counter()
    for text in texts:
        counts.update(text)
    letters = [(c, seen) for c, seen in counts.most_common() if seen >= rare and not c.isspace()]
    common = "".join(sorted(c for c, _ in letters[: max(1, room // 5)]))
    if not common:
        raise DataError(f"The texts hold no character that comes at least {rare} times: nothing to train on.")
    dropped = re.compile(f"[^{re.escape(common)}]+")
    trainer = UnigramTrainer(
        vocab_size=room + 1,  # it counts [UNK], which stands among our special tokens
        special_tokens=[],
        unk_token="[UNK]",
        max_piece_length=max_piece_length,
        shrinking_factor=0.75,
        show_progress=False,
    )
    learner = _around(models.Unigram())
    try:
        learner.train_from_iterator((dropped.sub(" ", text) for text in texts), trainer, length=len(texts))
    except Exception as error:  # the tokenizers library raises plain Exception
        raise ConfigError(
            f"No tokenizer of {vocabulary:,} ids can be trained on these {len(texts):,} texts: {error}."
        ) from error
    pieces = [(piece, score) for piece, score in _vocabulary(learner) if piece != "[UNK]"][:room]
    lowest = min(score for _, score in pieces) - 10.0  # bytes are for what nothing else covers
    table = [(name, 0.0) for name in SPECIAL]
    table += [(f"<0x{byte:02X}>", lowest) for byte in range(BYTES)] + pieces
    whole = _around(models.Unigram(table, unk_id=SPECIAL.index("[UNK]"), byte_fallback=True))
    whole.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    whole.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", SPECIAL.index("[CLS]")), ("[SEP]", SPECIAL.index("[SEP]"))],
    )
    return _wrapped(whole, max_length)


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: str | Path) -> None:
    """Writes tokenizer.json and a tokenizer_config.json that every transformers since version 4 understands.

    (`save_pretrained` of transformers 5 names a class that version 4 does not have.)
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": tokenizer.model_max_length,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    config |= {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    text = json.dumps(dict(sorted(config.items())), indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def _around(model: models.Model) -> Tokenizer:
    """What stands around the pieces: blanks become ▁ at a word's beginning, a run of signs is a word of its own."""
    core = Tokenizer(model)
    core.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always", split=True),
            pre_tokenizers.Punctuation("contiguous"),
        ]
    )
    core.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always", split=True)]
    )
    return core


def _vocabulary(core: Tokenizer) -> list[tuple[str, float]]:
    return [tuple(entry) for entry in json.loads(core.to_str())["model"]["vocab"]]


def _wrapped(core: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    names = {f"{name.strip('[]').lower()}_token": name for name in SPECIAL}
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        **names,
    )
