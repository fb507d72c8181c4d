import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kolab.text import aeda, clean, has_html, near_key

KOREAN = st.text(
    alphabet=st.sampled_from("가각힣ㄱㅋㅠ하하ㅎab1Ａ①&<>;#br/ pltam!~^\n\t\u200b\u200d\ufe0f👍\x00\ud83dé́")
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("좋아요<br>ㅋㅋ", "좋아요 ㅋㅋ"),
        ("<b>사진</b>이 잘 나와요", "사진이 잘 나와요"),
        ("<P CLASS='x'>끝</P>", "끝"),
        ("A&amp;S&nbsp;빠름&#33;", "A&S 빠름!"),
        ("&amp;lt;br&amp;gt;두 번", "두 번"),
        ("가성비 <3 최고 >_<", "가성비 <3 최고 >_<"),
        ("<필독> 재연결 -> 끊김", "<필독> 재연결 -> 끊김"),
        ("R&D 좋아요 &notanentity;", "R&D 좋아요 &notanentity;"),
        (unicodedata.normalize("NFD", "꼼꼼한 포장"), "꼼꼼한 포장"),
        ("배송\u200b 빨라요\ufeff\x00", "배송 빨라요"),
        ("줄\r\n바꿈\u3000과\xa0빈칸", "줄 바꿈 과 빈칸"),
        ("ㅤㅤ", ""),
        ("반쪽\ud83d", "반쪽"),
        ("ㅋㅋㅋ ㅠㅠ ㅎㅎ ^^ 👍🏽 👨‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ♡", "ㅋㅋㅋ ㅠㅠ ㅎㅎ ^^ 👍🏽 👨‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ♡"),
        ("①②③ Ⅱ ½ ＵＳＢ", "①②③ Ⅱ ½ ＵＳＢ"),
    ],
)
def test_clean(raw, expected):
    assert clean(raw) == expected


@given(st.one_of(KOREAN, st.text()))
def test_clean_twice_is_clean_once(text):
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == once.strip()
    assert not has_html(once)
    once.encode("utf-8")


@given(KOREAN)
def test_near_key_ignores_spacing_punctuation_case_and_form(text):
    key = near_key(text)
    if any(c.isalnum() for c in clean(text)):
        assert key == near_key(text + "  !!~")
        assert key == near_key(clean(text).replace(" ", "  ").upper())
    assert key == near_key(unicodedata.normalize("NFD", text))


def test_near_key_keeps_texts_without_letters_apart():
    assert len({near_key("^^"), near_key("👍"), near_key("👍👍"), near_key("...")}) == 4


def test_near_key_tells_different_texts_apart():
    assert near_key("굿 ㅋㅋ") != near_key("굿")
    assert near_key("안 좋아요") != near_key("좋아요")


@given(KOREAN, st.integers(0, 10_000))
def test_aeda_puts_marks_between_words_and_changes_none(text, seed):
    words = text.split()
    changed = aeda(text, seed=seed).split()
    extra = len(changed) - len(words)
    assert extra == 0 if not words else 1 <= extra <= len(words) // 3 + 1
    left, marks = list(words), 0
    for piece in changed:  # whatever is not the next word has to be a mark: a text may have such words itself
        if left and piece == left[0]:
            left.pop(0)
        else:
            marks += 1
            assert piece in ".;?:!,"
    assert not left and marks == extra
    assert aeda(text, seed=seed).split() == changed


def test_aeda_draws_places_numbers_and_marks_from_its_seed():
    text = " ".join("가나다라마바사아자차카타")
    found = [aeda(text, seed=seed) for seed in range(200)]
    assert found[0] == aeda(text, seed=0) and len(set(found)) > 150
    assert {len(changed.split()) - 12 for changed in found} == {1, 2, 3, 4, 5}
    assert {mark for changed in found for mark in changed.split() if len(mark) and mark in ".;?:!,"} == set(
        ".;?:!,"
    )
    assert {changed.split()[0] in ".;?:!," for changed in found} == {
        True,
        False,
    }  # also before the first word
    assert not any(changed.split()[-1] in ".;?:!," for changed in found)
