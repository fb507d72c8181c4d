"""Korean text: what to mend before training, and what to leave alone.

>>> clean("배송 빨라요&nbsp;<br>ㅋㅋㅋ 👍")
'배송 빨라요 ㅋㅋㅋ 👍'
>>> near_key("배송 빨라요!!") == near_key("배송빨라요 ~")
True
"""

import html
import random
import re
import unicodedata
from html.entities import html5

from kolab.errors import DataError

# Only real HTML tags: "<3", "<필독>" and ">_<" are things that people write and have to stay.
_BLOCK_TAGS = "br|p|div|li|ul|ol|tr|td|th|table|hr|h[1-6]|img|center"
_INLINE_TAGS = "b|i|u|s|em|strong|strike|span|a|font|small|big|sub|sup|mark"
_BLOCK = re.compile(rf"</?(?:{_BLOCK_TAGS})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_INLINE = re.compile(rf"</?(?:{_INLINE_TAGS})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

# Letters for Unicode, nothing for the eye: the Hangul fillers and the blank Braille cell.
_INVISIBLE = dict.fromkeys(map(ord, "\u3164\uffa0\u2800"), " ")


def _is_noise(character: str) -> bool:
    """True for control and format characters, except those that glue emoji together."""
    category = unicodedata.category(character)
    if category == "Cf":  # zero-width joiner and flag tags belong to emoji
        return character != "\u200d" and not "\U000e0020" <= character <= "\U000e007f"
    return category in ("Cc", "Cs") and not character.isspace()  # Cs: half a surrogate pair; Arrow refuses it


def _unescape(match: re.Match) -> str:
    """The character an entity stands for. html.unescape alone would also take '&notit;' apart, or 'A&lt'."""
    entity = match.group()
    return html.unescape(entity) if entity[1] == "#" or entity[1:] in html5 else entity


def _clean_once(text: str) -> str:
    text = _BLOCK.sub(" ", text)
    text = _INLINE.sub("", text)  # '<b>사진</b>이' is one word
    text = _ENTITY.sub(_unescape, text)
    text = text.translate(_INVISIBLE)
    if not text.isprintable():  # most texts are, and looking at each character is slow
        text = "".join(character for character in text if not _is_noise(character))
    return " ".join(unicodedata.normalize("NFC", text).split())


def clean(text: str) -> str:
    """Mend a review without touching what it says.

    Composes decomposed Hangul (Unicode NFC), removes HTML tags and entities, control characters and half surrogates,
    and turns every run of white space into one blank. Case, punctuation, jamo such as ㅋㅋ and ㅠㅠ, and emoji stay.
    Cleaning twice equals cleaning once, also for text that was escaped twice (``&amp;lt;br&amp;gt;``).

    Raises DataError for what is no text.

    >>> clean("  <p>화면이 &quot;쨍&quot;해요\\u200b ^^</p>")
    '화면이 "쨍"해요 ^^'
    >>> clean("가성비 <3 최고 >_<")
    '가성비 <3 최고 >_<'
    """
    if not isinstance(text, str):
        raise DataError(f"clean wants a text, not {text!r}. Leave out the rows that have none.")
    while (cleaned := _clean_once(text)) != text:
        text = cleaned
    return text


def has_html(text: str) -> bool:
    """Whether the text holds an HTML tag or entity that :func:`clean` would remove.

    >>> has_html("좋아요<br>"), has_html("좋아요 <3")
    (True, False)
    """
    return bool(_BLOCK.search(text) or _INLINE.search(text) or _ENTITY.sub(_unescape, text) != text)


def near_key(text: str) -> str:
    """The same key for texts that differ only in spacing, punctuation, case, width or HTML: near duplicates.

    Only letters, digits and jamo are left, in Unicode NFKC and lower case. A text with none of them (``"^^"``,
    ``"👍👍"``) is its own key, or all such texts would count as one.

    >>> near_key("ＵＳＢ-C 충전, 빨라요 ㅋㅋ") == near_key("usb c충전 빨라요ㅋㅋ!!")
    True
    >>> near_key("^^") == near_key("👍")
    False
    """
    text = clean(text)
    letters = "".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum())
    return unicodedata.normalize("NFKC", letters) or "".join(text.split())


def aeda(text: str, *, seed: int = 0, marks: str = ".;?:!,") -> str:
    """The same words in the same order, with some marks between them: An Easier Data Augmentation.

    From one mark to a third of the number of words (and one more), each a word of its own, before different words;
    which and where is drawn from `seed`. Nothing is ever put *into* a word, so the tokenizer sees the same pieces as
    before: that is the point of the method (Karimi, Rossi and Prati, 2021, AEDA: An Easier Data Augmentation Technique
    for Text Classification). White space becomes single blanks.

    >>> aeda("배송도 빠르고 화면도 밝아요", seed=1)
    '? 배송도 빠르고 화면도 밝아요'
    """
    words, draw = text.split(), random.Random(seed)
    if not words:
        return text
    places = set(draw.sample(range(len(words)), draw.randint(1, len(words) // 3 + 1)))
    changed: list[str] = []
    for place, word in enumerate(words):
        changed += [draw.choice(marks), word] if place in places else [word]
    return " ".join(changed)
