"""Lesson 01: a validity filter, a cleaner that keeps the signal, a leak-free split, the baselines."""

import html
import random
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline

from kolab.text import near_key

from . import Exercise, Wrong, WrongAnswer, expect, fresh_seed, run

# --- 1.1 ---------------------------------------------------------------------------------------------------------

_VALID = [
    ({"RawText": "배터리가 오래 가요", "GeneralPolarity": "1"}, "a sound positive review"),
    ({"RawText": "그냥 그래요", "GeneralPolarity": "0"}, "the label '0' is as good as the others: neutral"),
    ({"RawText": "하루 만에 고장", "GeneralPolarity": "-1"}, "a sound negative review"),
    (
        {"RawText": "ㅋㅋㅋ 👍", "GeneralPolarity": "1"},
        "no syllables, but it says a lot: jamo and emoji are text too",
    ),
    (
        {"RawText": unicodedata.normalize("NFD", "조용해서 좋아요"), "GeneralPolarity": "1"},
        "its Hangul is decomposed (NFD), which cleaning can mend; the row is sound",
    ),
    ({"RawText": "<br>화면 좋음", "GeneralPolarity": "1"}, "HTML can be removed; the row is sound"),
]
_INVALID = [
    ({"RawText": "좋아요"}, "the field GeneralPolarity is missing"),
    ({"RawText": "좋아요", "GeneralPolarity": None}, "the polarity is null"),
    ({"RawText": "좋아요", "GeneralPolarity": ""}, "the polarity is empty (and '' is 'in' every string)"),
    ({"RawText": "좋아요", "GeneralPolarity": "2"}, "there is no polarity '2'"),
    (
        {"RawText": "좋아요", "GeneralPolarity": " 1"},
        "' 1' is padded with a blank (int() and strip() forgive it)",
    ),
    (
        {"RawText": "좋아요", "GeneralPolarity": "-1 "},
        "'-1 ' is padded with a blank (int() and strip() forgive it)",
    ),
    ({"RawText": "", "GeneralPolarity": "1"}, "the text is empty"),
    ({"RawText": None, "GeneralPolarity": "1"}, "the text is null"),
    ({"RawText": " \n\t ", "GeneralPolarity": "1"}, "the text is white space only"),
]


def check_valid(is_valid) -> None:
    run(is_valid, dict(_VALID[0][0]))  # NotDone on a stub
    for cases, good in ((_VALID, True), (_INVALID, False)):
        for row, why in cases:
            try:
                verdict = run(is_valid, dict(row), none_is_stub=False)
            except Wrong as wrong:
                raise Wrong(f"on the row {row}: {wrong}") from wrong
            if bool(verdict) != good:
                raise Wrong(f"your filter {'keeps' if not good else 'drops'} {row}: {why}")


def _valid_key_error(row):
    return row["GeneralPolarity"] in ("-1", "0", "1") and bool((row["RawText"] or "").strip())


def _valid_truthy(row):
    return bool(row.get("GeneralPolarity")) and bool((row.get("RawText") or "").strip())


def _valid_int(row):
    try:
        return int(row.get("GeneralPolarity")) in (-1, 0, 1) and bool((row.get("RawText") or "").strip())
    except (TypeError, ValueError):
        return False


def _valid_substring(row):
    polarity = row.get("GeneralPolarity")
    return polarity is not None and polarity in "-1, 0, 1" and bool((row.get("RawText") or "").strip())


def _valid_blank(row):
    return row.get("GeneralPolarity") in ("-1", "0", "1") and bool(row.get("RawText"))


def _valid_syllables(row):
    return row.get("GeneralPolarity") in ("-1", "0", "1") and bool(
        re.search("[가-힣]", row.get("RawText") or "")
    )


def _valid_no_zero(row):
    return row.get("GeneralPolarity") in ("-1", "1") and bool((row.get("RawText") or "").strip())


# --- 1.2 ---------------------------------------------------------------------------------------------------------

_CLEAN = [
    ("배송 빨라요ㅋㅋㅋ", "배송 빨라요ㅋㅋㅋ", "ㅋㅋ was changed or lost: jamo are signal"),
    ("또 고장 ㅠㅠ", "또 고장 ㅠㅠ", "ㅠㅠ was changed or lost: jamo are signal"),
    ("최고예요 👍🏻 ♡", "최고예요 👍🏻 ♡", "the emoji was changed or lost"),
    ("참 튼튼하네요^^ (이틀 씀)", "참 튼튼하네요^^ (이틀 씀)", "punctuation such as ^^ was changed or lost"),
    ("좋아요<br>빨라요", "좋아요 빨라요", "two lines were glued into one word: put a blank where <br> was"),
    ("<p>가벼워요</p>", "가벼워요", "an HTML tag is left, or the blank it leaves at the end"),
    ("소음&nbsp;없음", "소음 없음", "the entity &nbsp; has to become a plain blank (U+0020)"),
    ("A&amp;S &quot;친절&quot;", 'A&S "친절"', "an HTML entity such as &amp; or &quot; is left, or lost"),
    ("가성비 <3 최고 >_<", "가성비 <3 최고 >_<", "<3 and >_< are no HTML tags: ask for a letter after '<'"),
    ("셔터음 맘에 들어요&gt;_&lt;", "셔터음 맘에 들어요>_<", "&gt;_&lt; should become >_<"),
    (
        "무게 5 &lt; 6 그램 &gt; 4",
        "무게 5 < 6 그램 > 4",
        "remove the tags before you decode the entities, not after",
    ),
    ("  줄\n바꿈   정리 ", "줄 바꿈 정리", "runs of white space should become one blank, none at the ends"),
    ("", "", "an empty text should stay empty"),
]


def check_clean(clean_text) -> None:
    expect(isinstance(run(clean_text, "좋아요"), str), "clean_text should return a string")
    for raw, wanted, why in _CLEAN:
        got = run(clean_text, raw)
        expect(got == wanted, f"{raw!r} became {got!r}, it should be {wanted!r}: {why}")
    decomposed = unicodedata.normalize("NFD", "꼼꼼한 포장")
    got = run(clean_text, decomposed)
    if got != "꼼꼼한 포장":
        left = "nothing of it is left" if not got.strip() else f"it became {len(got)} characters instead of 6"
        raise Wrong(
            f"decomposed Hangul (NFD) should be composed first: {left}; unicodedata.normalize knows NFC"
        )


_TAG = r"</?[A-Za-z][^<>]*>"


def _clean_steps(text, *, tag=_TAG, blank=" ", form="NFC", first="tags", entities=True, spaces=True):
    text = unicodedata.normalize(form, text) if form else text
    if first == "entities":
        text = html.unescape(text)
    text = re.sub(tag, blank, text)
    if entities:
        text = html.unescape(text)
    return " ".join(text.split()) if spaces else text


def _clean_letters_only(text):
    text = _clean_steps(text)
    return " ".join(re.sub(r"[^0-9A-Za-z가-힣.,?! ]", " ", text).split())


# --- 1.3 ---------------------------------------------------------------------------------------------------------

_WORDS = "화면 소리 무게 배터리 충전 버튼 키감 발열 소음 색감 포장 배송 연결 속도 손맛 그립 렌즈 USB".split()
_ENDS = "좋아요 별로예요 무난해요 글쎄요 최고예요 ㅋㅋ ㅠㅠ 그대로 같아요 달라요".split()
_NAMES = ("train", "validation", "test")


def _texts_and_labels(seed: int) -> tuple[list[str], list[int]]:
    """900 texts, 300 a label, sorted by label; 15 of each 300 are copies, some with other spacing or punctuation."""
    rng = random.Random(seed)
    texts, labels, seen = [], [], set()
    for label in range(3):
        own = []
        while len(own) < 285:
            text = f"{rng.choice(_WORDS)} {rng.randrange(1000)} {rng.choice(_WORDS)} {rng.choice(_ENDS)}"
            if near_key(text) not in seen:
                seen.add(near_key(text))
                own.append(text)
        for number, text in enumerate(rng.sample(own, 15)):
            near = (text + "!!", text.replace(" ", "", 1), text.replace(" ", "  ") + " ~", text.lower() + ".")
            own.append(near[number // 2 % 4] if number % 2 else text)
        rng.shuffle(own)
        texts += own
        labels += [label] * 300
    return texts, labels


def check_split(split_rows) -> None:
    for round_ in range(6):
        seed = fresh_seed()
        texts, labels = _texts_and_labels(seed)
        parts = _parts(run(split_rows, list(texts), list(labels), seed), len(texts))
        _no_leak(parts, texts)
        for name, part, size in zip(_NAMES, parts, (0.8, 0.1, 0.1)):
            share = len(part) / len(texts)
            expect(
                abs(share - size) <= 0.02, f"{name} holds {share:.0%} of the rows, it should hold {size:.0%}"
            )
            counts = Counter(labels[row] for row in part)
            for label in range(3):
                off = abs(counts[label] - 300 * size)
                expect(
                    off <= 6.5,
                    f"{name} holds {counts[label]} rows of label {label}, it should hold about {300 * size:.0f}: "
                    "split each label by itself (stratify), after shuffling",
                )
        if round_ < 2:
            again = _parts(run(split_rows, list(texts), list(labels), seed), len(texts))
            expect(again == parts, "the same seed gave two different splits: draw from random.Random(seed)")
            other = _parts(run(split_rows, list(texts), list(labels), seed + 1), len(texts))
            expect(other != parts, "another seed gave the same split: shuffle with random.Random(seed)")


def _parts(result, rows: int) -> list[list[int]]:
    """The answer as three sorted lists of row numbers, each row in exactly one."""
    try:
        parts = [sorted(int(row) for row in part) for part in result]
    except (TypeError, ValueError):
        raise Wrong("return three lists of row numbers: train, validation, test") from None
    expect(len(parts) == 3, f"return three lists of row numbers, not {len(parts)}")
    counts = Counter(row for part in parts for row in part)
    strange = [row for row in counts if not 0 <= row < rows]
    expect(not strange, f"there is no row {strange[:1]}: the rows are 0 to {rows - 1}")
    twice = [row for row, count in counts.items() if count > 1]
    expect(not twice, f"{len(twice)} rows are in the result twice, for example row {twice[:1]}")
    missing = rows - len(counts)
    expect(not missing, f"{missing} rows are in no split: keep duplicates together instead of dropping them")
    return parts


def _no_leak(parts: list[list[int]], texts: list[str]) -> None:
    near = "texts that differ only in spacing, punctuation or case stand"
    for key, tell in ((str, "the very same text stands"), (near_key, near)):
        places = defaultdict(dict)
        for name, part in zip(_NAMES, parts):
            for row in part:
                places[key(texts[row])].setdefault(name, row)
        leaks = [place for place in places.values() if len(place) > 1]
        if leaks:
            (one, row), (other, twin), *_ = leaks[0].items()
            raise Wrong(
                f"{tell} on both sides, {len(leaks)} times: {texts[row]!r} in {one}, {texts[twin]!r} in {other}"
            )


def _grouped(texts, key=near_key):
    groups = defaultdict(list)
    for row, text in enumerate(texts):
        groups[key(text)].append(row)
    return list(groups.values())


def _cut(groups):
    a, b = round(0.8 * len(groups)), round(0.9 * len(groups))
    return [[row for group in part for row in group] for part in (groups[:a], groups[a:b], groups[b:])]


def _stratified(groups, labels, shuffle):
    parts = [[], [], []]
    for label in sorted(set(labels)):
        members = [group for group in groups if labels[group[0]] == label]
        shuffle(members)
        for part, rows in zip(parts, _cut(members)):
            part += rows
    return parts


def _split_random(texts, labels, seed):
    groups = [[row] for row in range(len(texts))]
    random.Random(seed).shuffle(groups)
    return _cut(groups)


def _split_exact(texts, labels, seed):
    return _stratified(_grouped(texts, str), labels, random.Random(seed).shuffle)


def _split_in_order(texts, labels, seed):
    return _cut(_grouped(texts))


def _split_unstratified(texts, labels, seed):
    groups = _grouped(texts)
    random.Random(seed).shuffle(groups)
    return _cut(groups)


def _split_unseeded(texts, labels, seed):
    return _stratified(_grouped(texts), labels, random.SystemRandom().shuffle)


def _split_ignores_seed(texts, labels, seed):
    return _stratified(_grouped(texts), labels, random.Random(0).shuffle)


def _split_drops(texts, labels, seed):
    return _stratified([group[:1] for group in _grouped(texts)], labels, random.Random(seed).shuffle)


# --- 1.4 ---------------------------------------------------------------------------------------------------------


def _labelled_texts(
    rng: np.random.Generator, counts: tuple, noise: float, words
) -> tuple[list[str], list[int]]:
    """Texts of five words, three of them of their class's own; a share of the labels is wrong."""
    texts, labels = [], []
    for label, count in enumerate(counts):
        for _ in range(count):
            own, common = rng.choice(words[label], 3), rng.choice(words[3], 2)
            texts.append(" ".join(rng.permutation([*own, *common])))
            labels.append(int(rng.integers(3)) if rng.random() < noise else label)
    order = rng.permutation(len(texts))
    return [texts[i] for i in order], [labels[i] for i in order]


def check_baselines(baselines) -> None:
    rng = np.random.default_rng(fresh_seed())
    syllables = [chr(code) for code in rng.choice(np.arange(ord("가"), ord("힣")), 240, replace=False)]
    words = np.array(["".join(syllables[i : i + 3]) for i in range(0, 240, 3)]).reshape(4, 20)
    train_texts, train_labels = _labelled_texts(rng, (200, 120, 80), 0.0, words)
    texts, labels = _labelled_texts(rng, (60, 150, 90), 0.3, words)
    with _watched() as fitted:
        result = run(baselines, list(train_texts), list(train_labels), list(texts), list(labels))
    expect(
        isinstance(result, dict) and {"majority", "tfidf"} <= set(result),
        'return a dict: {"majority": …, "tfidf": …}',
    )
    _check_majority(float(result["majority"]), train_labels, labels)
    seen = len(fitted & set(texts))
    expect(
        not seen,
        f"the vectoriser was fitted on {seen} of the texts it is then scored on: fit it on the training texts only",
    )
    _check_tfidf(float(result["tfidf"]), train_texts, train_labels, texts, labels)


def _check_majority(got: float, train_labels: list[int], labels: list[int]) -> None:
    common = Counter(train_labels).most_common(1)[0][0]
    constant = [common] * len(labels)
    right = f1_score(labels, constant, average="macro")
    mistakes = {
        accuracy_score(labels, constant): "that is its accuracy, not its macro-F1",
        f1_score(
            labels, constant, average="weighted"
        ): "that is its weighted F1; macro counts each class alike",
        f1_score(labels, [Counter(labels).most_common(1)[0][0]] * len(labels), average="macro"): (
            "that is the majority of the labels it is scored on; a model knows only the training labels"
        ),
    }
    if abs(got - right) > 1e-6:
        why = next(
            (text for value, text in mistakes.items() if abs(got - value) < 1e-6), "predict one label for all"
        )
        raise Wrong(f"the majority baseline scores {right:.4f} macro-F1 here, you return {got:.4f}: {why}")


def _check_tfidf(got: float, train_texts, train_labels, texts, labels) -> None:
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, solver="newton-cg"))
    model.fit(train_texts, train_labels)
    predicted = model.predict(texts)
    macro = f1_score(labels, predicted, average="macro")
    for value, name in (
        (accuracy_score(labels, predicted), "accuracy"),
        (f1_score(labels, predicted, average="weighted"), "weighted F1"),
    ):
        # Only where it is told apart for certain: another vectoriser's macro-F1 may happen to be the same number.
        if abs(got - value) < 1e-9 < abs(value - macro):
            raise Wrong(
                f"for tfidf you return {got:.4f}, the {name} of the predictions; macro-F1 was asked for"
            )
    expect(
        got <= macro + 0.1,
        f"{got:.3f} is too good to be true: three in ten of these labels are drawn at random, and a sound model gets "
        f"about {macro:.2f}. Did you score the training texts?",
    )
    expect(
        got >= macro - 0.15,
        f"{got:.3f} is too low: a plain TF-IDF with logistic regression gets about {macro:.2f}. Do the texts and the "
        "labels still belong together, and is `texts` only transformed, not fitted anew?",
    )


@contextmanager
def _watched() -> Iterator[set[str]]:
    """Within it, the set of all texts that scikit-learn's text vectorisers are fitted on."""
    fitted: set[str] = set()

    def watching(plain):
        def method(self, raw_documents, y=None):
            documents = list(raw_documents)
            fitted.update(map(str, documents))
            return plain(self, documents, y)

        return method

    names = [(CountVectorizer, "fit_transform"), (TfidfVectorizer, "fit"), (TfidfVectorizer, "fit_transform")]
    with ExitStack() as stack:
        for owner, name in names:
            stack.enter_context(mock.patch.object(owner, name, watching(getattr(owner, name))))
        yield fitted


def _scores(train_texts, train_labels, texts, labels, *, majority=None, fit_on=None, average="macro"):
    """A right answer with one thing changed."""
    common = Counter(majority or train_labels).most_common(1)[0][0]
    vectoriser = TfidfVectorizer().fit(fit_on or train_texts)
    model = LogisticRegression(C=10, solver="newton-cg").fit(vectoriser.transform(train_texts), train_labels)

    def score(predicted):
        return (
            accuracy_score(labels, predicted)
            if average is None
            else f1_score(labels, predicted, average=average)
        )

    return {
        "majority": score([common] * len(labels)),
        "tfidf": score(model.predict(vectoriser.transform(texts))),
    }


def _baselines_on_training(train_texts, train_labels, texts, labels):
    right = _scores(train_texts, train_labels, texts, labels)
    return right | {"tfidf": _scores(train_texts, train_labels, train_texts, train_labels)["tfidf"]}


def _baselines_refitted(train_texts, train_labels, texts, labels):
    right = _scores(train_texts, train_labels, texts, labels)
    first, second = TfidfVectorizer(max_features=60), TfidfVectorizer(max_features=60)
    model = LogisticRegression().fit(first.fit_transform(train_texts), train_labels)
    return right | {"tfidf": f1_score(labels, model.predict(second.fit_transform(texts)), average="macro")}


# -----------------------------------------------------------------------------------------------------------------

EXERCISES = (
    Exercise(
        id="1.1", title="Which rows can be trusted?", difficulty=2, minutes=8, check=check_valid,
        hints=(
            "Ask for what is right, not for everything that can be wrong: the label is one of three strings, exactly.",
            "`row.get(name)` gives None where a field is missing. Then two conditions: the label, and a text with "
            "something in it after `.strip()`.",
            "`row.get('GeneralPolarity') in ('-1', '0', '1')` (a tuple, not a string), `and` "
            "`bool((row.get('RawText') or '').strip())`",
        ),
        wrong=(
            WrongAnswer(_valid_key_error, "KeyError"),
            WrongAnswer(_valid_truthy, "there is no polarity '2'"),
            WrongAnswer(_valid_int, "int() and strip() forgive it"),
            WrongAnswer(_valid_substring, "'' is 'in' every string"),
            WrongAnswer(_valid_blank, "the text is white space only"),
            WrongAnswer(_valid_syllables, "jamo and emoji are text too"),
            WrongAnswer(_valid_no_zero, "'0' is as good as the others"),
        ),
    ),
    Exercise(
        id="1.2", title="A cleaner that keeps the signal", difficulty=3, minutes=15, check=check_clean,
        hints=(
            "List what has to go (tags, entities, odd white space, decomposed Hangul) and mend only that. "
            "The order matters.",
            "`unicodedata.normalize('NFC', …)`, then a pattern for tags, then `html.unescape`, then "
            "`' '.join(text.split())`.",
            "A tag has a letter after '<' or '</': `re.sub(r'</?[A-Za-z][^<>]*>', ' ', text)`. Unescape after it, "
            "or the '<' that people typed would look like a tag.",
        ),
        wrong=(
            WrongAnswer(_clean_letters_only, "ㅋㅋ was changed or lost"),
            WrongAnswer(lambda text: _clean_steps(text, form=None), "decomposed Hangul (NFD) should be composed first"),
            WrongAnswer(lambda text: _clean_steps(text, form="NFKC"), "ㅋㅋ was changed or lost"),
            WrongAnswer(lambda text: _clean_steps(text, tag=r"<[^>]*>"), "<3 and >_< are no HTML tags"),
            WrongAnswer(lambda text: _clean_steps(text, blank=""), "two lines were glued into one word"),
            WrongAnswer(lambda text: _clean_steps(text, entities=False), "&nbsp; has to become a plain blank"),
            WrongAnswer(
                lambda text: _clean_steps(text, tag=r"<[^>3_]*>", first="entities"),
                "remove the tags before you decode the entities",
            ),
            WrongAnswer(lambda text: _clean_steps(text, spaces=False).strip(), "plain blank (U+0020)"),
        ),
    ),
    Exercise(
        id="1.3", title="A split that does not leak", difficulty=3, minutes=20, check=check_split,
        hints=(
            "Split groups, not rows: all rows with the same `kl.text.near_key(text)` go together.",
            "Collect the rows of each key, then the groups of each label (all rows of a group have the same one); "
            "shuffle the groups of each label with `random.Random(seed)`; cut them at 80 % and 90 %.",
            "`groups = {}` … `groups.setdefault(kl.text.near_key(text), []).append(row)`; for each label "
            "`members = [g for g in groups.values() if labels[g[0]] == label]`, shuffle, and add the rows of "
            "`members[:a]`, `members[a:b]`, `members[b:]` to the three lists.",
        ),
        wrong=(
            WrongAnswer(_split_random, "the very same text"),
            WrongAnswer(_split_exact, "differ only in spacing"),
            WrongAnswer(_split_in_order, "split each label by itself"),
            WrongAnswer(_split_unstratified, "split each label by itself"),
            WrongAnswer(_split_unseeded, "the same seed gave two different splits"),
            WrongAnswer(_split_ignores_seed, "another seed gave the same split"),
            WrongAnswer(_split_drops, "keep duplicates together instead of dropping them"),
        ),
    ),
    Exercise(
        id="1.4", title="What every model has to beat", difficulty=2, minutes=12, check=check_baselines,
        hints=(
            "Both baselines learn from the training labels only and scored alike: macro-F1 on `texts` and `labels`.",
            "The majority: `Counter(train_labels).most_common(1)`. The other: `make_pipeline(TfidfVectorizer(…), "
            "LogisticRegression(…)).fit(train_texts, train_labels)`, then `.predict(texts)`.",
            "`f1_score(labels, predicted, average='macro')` for both; for the majority, `predicted` is one label, "
            "repeated.",
        ),
        wrong=(
            WrongAnswer(
                lambda a, b, texts, labels: _scores(a, b, texts, labels, majority=labels),
                "a model knows only the training labels",
            ),
            WrongAnswer(lambda *given: _scores(*given, average=None), "accuracy, not its macro-F1"),
            WrongAnswer(lambda *given: _scores(*given, average="weighted"), "macro counts each class alike"),
            WrongAnswer(
                lambda a, b, texts, labels: _scores(a, b, texts, labels, fit_on=a + texts),
                "fit it on the training texts only",
            ),
            WrongAnswer(_baselines_on_training, "Did you score the training texts?"),
            WrongAnswer(_baselines_refitted, "fit it on the training texts only"),
        ),
    ),
)  # fmt: skip
