# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {display_name: KoLab, language: python, name: kolab}
# ---

# %% [markdown] tags=["en"]
# # 1. Load and clean
#
# *4,926 reviews go in, 4,398 come out, and you can say of each missing one why. On the way you measure what a popular
# cleaning pattern destroys, and how far a split that leaks flatters a model.*
#
# | you will be able to | time | you need |
# |---|---|---|
# | load JSON files with types that you have set, and find the file that breaks the load | 50 min | lesson 0 |
# | audit a labelled corpus, and mend or drop each kind of dirt for a reason | | CPU is enough |
# | split without leaks, and set the score that later models have to beat | | |

# %% [markdown] tags=["ko"]
# # 1. 불러오기와 정제
#
# *리뷰 4,926건이 들어가 4,398건이 나옵니다. 빠진 리뷰마다 왜 빠졌는지 말할 수 있게 됩니다. 그 과정에서 널리 쓰이는 정제 정규식이
# 무엇을 망가뜨리는지, 새는 분할이 모델의 점수를 얼마나 부풀리는지 직접 잽니다.*
#
# | 할 수 있게 되는 것 | 시간 | 필요한 것 |
# |---|---|---|
# | 타입을 직접 정해 JSON 파일을 불러오고, 로딩을 깨뜨리는 파일 찾아내기 | 50분 | 0강 |
# | 라벨이 달린 말뭉치를 점검하고, 오류의 종류마다 근거를 갖고 고치거나 버리기 | | CPU면 충분 |
# | 새지 않게 나누고, 이후의 모델이 넘어야 할 점수 정하기 | | |

# %% tags=["setup"]
import importlib.util, os, subprocess, sys
if importlib.util.find_spec("kolab") is None:  # Colab, Kaggle: no clone around this file
    source = os.environ.get("KOLAB_SOURCE", "")
    if not source:
        raise SystemExit("kolab is not installed. In a cell above, run `%env KOLAB_SOURCE=git+https://…` with the address of the course's repository, or with a folder that holds it; then run this cell again.")
    if subprocess.call([sys.executable, "-m", "pip", "install", "-q", source]):
        raise SystemExit(f"pip could not install kolab from {source}: the reason stands above. Is the address right, and is there a network? On Kaggle it is off at first: Settings → Internet (after a phone check). Then run this cell again.")
import kolab as kl
kl.setup()

# %%
import html, json, random, re, tempfile, unicodedata
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
from datasets import Features, Value, load_dataset

datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # errors are shown below, in our own words
pd.set_option("display.max_colwidth", 70)

# %% [markdown] tags=["en"]
# ## What is in the files?
#
# The reviews come in the shape of a large public corpus of AI Hub (aspect-based sentiment, data set 71603): one folder a
# source, one JSON array of about a hundred records a file. The texts here were written for this course by a language model;
# the shape and the dirt are those of the real thing, so everything below also works on a corpus that you download yourself.
#
# Before any library touches them: what does one record look like?

# %% [markdown] tags=["ko"]
# ## 파일에 무엇이 들어 있을까요?
#
# 리뷰는 AI Hub의 큰 공개 말뭉치(속성 기반 감성 분석, 데이터셋 71603)와 같은 형식입니다. 출처마다 폴더 하나, 파일마다 레코드 백여 건의
# JSON 배열 하나가 있습니다. 글 자체는 이 강의를 위해 언어 모델이 썼지만 형식과 오류의 종류는 실제와 같습니다. 그래서 아래의 모든 코드는
# 직접 내려받은 말뭉치에도 그대로 쓸 수 있습니다.
#
# 라이브러리에 맡기기 전에 먼저 봅시다. 레코드 하나는 어떻게 생겼을까요?

# %%
folder = kl.data.data_path("it_reviews")
files = sorted(folder.rglob("*.json"))
print(len(files), "files, for example", files[0].relative_to(folder))
json.loads(files[0].read_text(encoding="utf-8"))[0]

# %% [markdown] tags=["en"]
# Every value is a string, numbers too. `GeneralPolarity` is the label: `-1`, `0` or `1`. `load_dataset("json")` of the
# `datasets` library should read all the files at once.

# %% [markdown] tags=["ko"]
# 숫자까지 모든 값이 문자열입니다. `GeneralPolarity`가 라벨로 `-1`, `0`, `1` 가운데 하나입니다. `datasets` 라이브러리의
# `load_dataset("json")`이면 모든 파일을 한 번에 읽을 수 있을 것입니다.

# %%
paths = [str(file) for file in files]
try:
    load_dataset("json", data_files=paths, split="train")
except Exception as error:
    print(f"{type(error).__name__}: {error}\ncaused by {type(error.__cause__).__name__}: {error.__cause__}")

# %% [markdown] tags=["en"]
# "Changed from object to array": a message about the parser, not about your data. It names neither the file nor the cure. So
# look where such errors usually sit: in the first bytes of each file.

# %% [markdown] tags=["ko"]
# "Changed from object to array"는 데이터가 아니라 파서의 사정을 말할 뿐, 어느 파일인지도 어떻게 고치는지도 알려 주지 않습니다. 이런 오류가
# 흔히 숨어 있는 곳, 각 파일의 첫 바이트를 봅시다.

# %%
first_bytes = {file.relative_to(folder).as_posix(): file.read_bytes()[:3] for file in files}
for start, count in Counter(first_bytes.values()).most_common():
    example = next(name for name, value in first_bytes.items() if value == start)
    print(f"{count:3} files begin with {start}, for example {example}")

# %% [markdown] tags=["en"]
# One file begins with `EF BB BF`, a *byte-order mark* (BOM, 바이트 순서 표시), which some Windows programs write. An editor does
# not show it; a JSON parser trips over it. `encoding="utf-8-sig"` reads files with and without.
#
# ### Why say the types?
# There is a second trap, and whether you meet it is luck. Without being told, the loader reads each file's types from its values.
# Two files, one review each; in the first, the label is null:

# %% [markdown] tags=["ko"]
# 파일 하나가 `EF BB BF`로 시작합니다. 일부 윈도 프로그램이 붙이는 바이트 순서 표시(byte-order mark, BOM)입니다. 편집기에는 보이지 않지만
# JSON 파서는 여기에 걸려 넘어집니다. `encoding="utf-8-sig"`로 읽으면 BOM이 있든 없든 상관없습니다.
#
# ### 왜 타입을 적어 줄까요?
# 두 번째 함정은 만날지 말지가 운에 달려 있습니다. 따로 알려 주지 않으면 로더는 파일마다 들어 있는 값을 보고 타입을 정합니다. 리뷰가 하나씩
# 든 파일 두 개가 있고, 첫 파일의 라벨은 null이라고 합시다.

# %%
with tempfile.TemporaryDirectory() as scratch:
    for name, record in {"1.json": {"RawText": "잘 쓰고 있어요", "GeneralPolarity": None},
                         "2.json": {"RawText": "금방 고장", "GeneralPolarity": "-1"}}.items():
        Path(scratch, name).write_text(json.dumps([record]), encoding="utf-8")
    try:
        load_dataset("json", data_files=[f"{scratch}/1.json", f"{scratch}/2.json"], split="train")
    except Exception as error:
        print(error.__cause__)

# %% [markdown] tags=["en"]
# A file whose labels are all null makes a column of the type `null`, and a column cannot have two types. Our files pass only because each
# of them happens to hold a label. With `Features` you decide, once, for all files:

# %% [markdown] tags=["ko"]
# 라벨이 모두 null인 파일에서는 그 열의 타입이 `null`이 되는데, 한 열이 두 가지 타입을 가질 수는 없습니다. 우리 파일은 저마다 라벨이 하나라도
# 들어 있어서 우연히 통과할 뿐입니다. `Features`를 쓰면 모든 파일의 타입을 내가 한 번에 정합니다.

# %%
names = ["Index", "RawText", "Source", "Domain", "MainCategory", "ProductName", "ReviewScore", "Syllable", "Word", "RDate",
         "GeneralPolarity"]
aspect = {name: Value("string") for name in ["Aspect", "SentimentText", "SentimentWord", "SentimentPolarity"]}
features = Features({**{name: Value("string") for name in names}, "Aspects": [aspect]})

everything = load_dataset("json", data_files=paths, split="train", features=features, encoding="utf-8-sig")
print(everything.num_rows, "rows,", everything.num_columns, "columns")

# %% [markdown] tags=["en"]
# 4,926 rows. For polarity we need three columns and one for orientation; `remove_columns` drops the rest. That is cheap: an
# Arrow table stores each column by itself, and nothing is copied.

# %% [markdown] tags=["ko"]
# 4,926행입니다. 극성 분류에는 세 열과 참고용 한 열이면 충분하니 나머지는 `remove_columns`로 뺍니다. Arrow 표는 열마다 따로 저장하므로
# 복사 없이 금방 끝납니다.

# %%
keep = ["Index", "RawText", "MainCategory", "GeneralPolarity"]
raw = everything.remove_columns([name for name in everything.column_names if name not in keep])
raw.to_pandas().head()

# %% [markdown] tags=["en"]
# ## What is wrong with it?
#
# Which values does the label column hold?

# %% [markdown] tags=["ko"]
# ## 무엇이 잘못되어 있을까요?
#
# 라벨 열에는 어떤 값들이 들어 있을까요?

# %%
Counter(raw["GeneralPolarity"][:])

# %% [markdown] tags=["en"]
# Nine values where three were promised. And the label is only one place to look. `kl.audit` (점검) counts the kinds of dirt that
# such corpora have, one kind a row; a row with several problems counts under the first.

# %% [markdown] tags=["ko"]
# 세 가지여야 할 값이 아홉 가지입니다. 게다가 라벨은 살펴볼 곳 가운데 하나일 뿐입니다. `kl.audit`(점검)은 이런 말뭉치에 흔한 오류를 종류별로
# 셉니다. 문제가 여럿인 행은 먼저 걸리는 종류에 한 번만 셉니다.

# %%
report = kl.audit(folder)
report

# %%
rows = [{"kind": kind, "file": example.file.split("/")[-1], "field": example.field, "value": repr(example.value)}
        for kind in report.counts for example in report.examples(kind, 2) if kind != "bom"]
pd.DataFrame(rows).set_index(["kind", "file"])

# %% [markdown] tags=["en"]
# Two kinds of decision hide in the table's second column.
#
# **Dropped** is what leaves you guessing. A `"2"` may be a typing slip for `1`, or for `-1`. A padded `" 1"` is the hardest call: it
# almost surely means `1`, and `int()` would take it. We drop it and *count* it, since 26 rows are little to lose and a forgiving
# parser is a habit that one day forgives the wrong thing. Of texts with two labels, no copy stays: keeping the first would let the order
# of the files decide what is true.
#
# **Mended** is what changes how a review is written and not what it says: HTML, a BOM, and *decomposed* Hangul (NFD, 자모로 풀린
# 한글), which looks right on the screen and compares equal to nothing:

# %% [markdown] tags=["ko"]
# 표의 두 번째 열에는 두 가지 결정이 들어 있습니다.
#
# **버리는 것(dropped)** 은 짐작할 수밖에 없는 것입니다. `"2"`는 `1`을 잘못 친 것일 수도, `-1`을 잘못 친 것일 수도 있습니다. 공백이 붙은
# `" 1"`이 가장 고민스럽습니다. 십중팔구 `1`이고 `int()`도 받아 줍니다. 그래도 버리고 *세어* 둡니다. 26행은 잃어도 아깝지 않지만, 무엇이든
# 받아 주는 파서는 언젠가 받지 말아야 할 것도 받아 주기 때문입니다. 라벨이 둘인 글은 모든 사본을 버립니다. 첫 번째를 남기면 파일 순서가
# 정답을 정하는 셈입니다.
#
# **고치는 것(mended)** 은 표기만 바뀌고 내용은 그대로인 것입니다. HTML, BOM, 그리고 자모로 풀린 한글(NFD)이 그렇습니다. NFD는 화면에는
# 멀쩡해 보이는데 비교하면 무엇과도 같지 않습니다.

# %%
odd = report.examples("nfd", 1)[0].value
print(odd, "→", len(odd), "characters; composed (NFC):", len(unicodedata.normalize("NFC", odd)))
print("category names, too:", [name for name in raw.unique("MainCategory") if unicodedata.normalize("NFC", name) == "스마트워치"])

# %% [markdown] tags=["en"]
# The smart watches are two categories now, spelled alike. Anything that groups, counts or looks words up goes wrong
# without an error.
#
# One thing the table has lost on the way. `kl.audit(raw)` on the loaded table cannot tell a missing label from a null one, and knows
# of no BOM: Arrow stores `None` for both. Audit the files, not only the table.

# %% [markdown] tags=["ko"]
# 스마트워치가 철자까지 똑같은 두 카테고리로 갈라졌습니다. 묶고 세고 찾는 모든 작업이 오류 하나 없이 틀어집니다.
#
# 표로 옮기면서 사라진 정보도 있습니다. 불러온 표에 `kl.audit(raw)`를 하면 라벨 필드가 아예 없는 것과 null을 구별하지 못하고 BOM도
# 모릅니다. Arrow는 둘 다 `None`으로 저장하니까요. 표뿐 아니라 파일도 점검해야 합니다.

# %% [markdown] tags=["en"]
# ### Exercise 1.1 · Which rows can be trusted?
# ●●○○○ · 8 minutes
#
# Write `is_valid(row)`: True when a record (a dict, as it comes from JSON) has a label of exactly `"-1"`, `"0"` or `"1"` and a text that
# is not blank. Fields may be missing or null. Duplicates are not its business: they cannot be seen in one row.
# Stuck? `kl.hint("1.1")`, up to three times.

# %% [markdown] tags=["ko"]
# ### 연습 1.1 · 어느 행을 믿을 수 있을까?
# ●●○○○ · 8분
#
# `is_valid(row)`를 작성하세요. JSON에서 온 레코드(dict)의 라벨이 정확히 `"-1"`, `"0"`, `"1"` 가운데 하나이고 글이 비어 있지 않으면
# True입니다. 필드가 없거나 null일 수 있습니다. 중복은 한 행만 봐서는 알 수 없으니 여기서는 다루지 않습니다.
# 막히면 `kl.hint("1.1")`을 세 번까지 부를 수 있습니다.

# %% tags=["exercise"]
def is_valid(row):
    ...

# %% tags=["solution"]
def is_valid(row):
    text = row.get("RawText") or ""
    return row.get("GeneralPolarity") in ("-1", "0", "1") and bool(text.strip())

# %% tags=["check"]
kl.check("1.1", is_valid)

# %% [markdown] tags=["en"]
# `filter` applies such a function to every row. The lesson goes on with its own, so that nothing below depends on yours:

# %% [markdown] tags=["ko"]
# 이런 함수를 모든 행에 적용하는 것이 `filter`입니다. 아래 내용이 여러분의 답에 좌우되지 않도록 강의는 자체 함수로 이어 갑니다.

# %%
sound = raw.filter(lambda row: row["GeneralPolarity"] in ("-1", "0", "1") and bool((row["RawText"] or "").strip()))
print(f"{raw.num_rows:,} rows → {sound.num_rows:,} that are sound by themselves")

# %% [markdown] tags=["en"]
# ## What does cleaning destroy?
#
# The next step in many walk-throughs (a published one that tunes KoBERT on the real corpus is one of them) is a pattern that keeps digits, Latin letters, finished syllables (`가-힣`) and a little punctuation, and blanks out
# all else. Here is one of that kind, and what it does to five reviews:

# %% [markdown] tags=["ko"]
# ## 정제는 무엇을 망가뜨릴까요?
#
# 많은 예제의 다음 단계는 정규식입니다. 실제 말뭉치로 KoBERT를 튜닝한 공개 글도 그중 하나입니다. 숫자, 로마자,
# 완성된 음절(`가-힣`), 문장 부호 몇 개만 남기고 나머지는 공백으로 바꿉니다. 그런 정규식 하나를 리뷰 다섯 건에 적용해 봅시다.

# %%
def letters_only(text):
    text = re.sub(r"<[^>]*>", " ", text)
    return " ".join(re.sub(r"[^가-힣a-zA-Z0-9.,!?]", " ", text).split())

reviews = datasets.concatenate_datasets(list(kl.load_reviews().values()))     # the 4,398 clean rows
texts, labels = np.array(reviews["text"][:], dtype=object), np.array(reviews["label"][:])
stripped = np.array([letters_only(text) for text in texts], dtype=object)

SIGNS = re.compile(r"[ㄱ-ㅎㅏ-ㅣ]|\^\^|[\u2600-\u27bf\U0001f300-\U0001faff]")         # jamo, ^^, emoji
signed = np.array([bool(SIGNS.search(text)) for text in texts])
picked = [next(i for i in np.flatnonzero(signed) if sign in texts[i] and len(texts[i]) < 45) for sign in ("ㅋㅋ", "ㅠㅠ", "^^", "👍", "ㅡㅡ")]
pd.DataFrame({"label": [kl.data.POLARITY[labels[i]] for i in picked], "before": texts[picked], "after": stripped[picked]})

# %% [markdown] tags=["en"]
# What went is how people write feeling. Is that signal or noise? Ask the labels: how are they distributed among the reviews
# that carry each sign?

# %% [markdown] tags=["ko"]
# 사라진 것은 사람들이 감정을 적는 방식입니다. 이것은 신호일까요, 잡음일까요? 라벨에게 물어봅시다. 각 표시가 든 리뷰의 라벨은 어떻게
# 분포할까요?

# %%
patterns = {"ㅋㅋ, ㅎㅎ": "[ㅋㅎ]", "ㅠㅠ, ㅜㅜ": "[ㅠㅜ]", "^^": r"\^\^", "emoji": r"[\u2600-\u27bf\U0001f300-\U0001faff]"}
holders = {sign: np.array([bool(re.search(pattern, text)) for text in texts]) for sign, pattern in patterns.items()}
shares = {f"{sign}  ({rows.sum()})": np.bincount(labels[rows], minlength=3) / rows.sum() for sign, rows in holders.items()}
shares[f"all reviews  ({len(texts)})"] = np.bincount(labels) / len(labels)

figure, axes = kl.plots.new(height=2.6)
left = np.zeros(len(shares))
for label, (name, colour) in enumerate(zip(kl.data.POLARITY, (kl.plots.RED, "#BBBBBB", kl.plots.BLUE))):
    part = np.array([share[label] for share in shares.values()])
    axes.barh(list(shares), part, left=left, color=colour, label=name)
    left += part
axes.invert_yaxis()
axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f} %")
axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
figure

# %% [markdown] tags=["en"]
# Signal. A third of all reviews is negative, but two thirds of those with ㅠㅠ are; with ㅋㅋ or an emoji, about nine in ten are positive.
# Only ^^ is two-faced: 16 reviews, five of them negative, because irony smiles too.

# %% [markdown] tags=["ko"]
# 신호입니다. 전체 리뷰의 3분의 1이 부정인데 ㅠㅠ가 든 리뷰는 3분의 2가 부정입니다. ㅋㅋ이나 이모지가 있으면 열에 아홉쯤은 긍정입니다.
# 두 얼굴을 가진 것은 ^^뿐입니다. 16건 가운데 다섯 건이 부정인데, 비꼴 때도 웃기 때문입니다.

# %% [markdown] tags=["en"]
# ### Predict before you run
# A simple classifier (TF-IDF and logistic regression, more on it below) is trained with and without the pattern and scored on reviews it
# has not seen, by macro-F1: the F1 of each class, averaged, so that rare classes count as much as common ones. How many points does the
# pattern cost, over all 4,398 reviews?

# %% [markdown] tags=["ko"]
# ### 돌리기 전에 예상하기
# 간단한 분류기(TF-IDF와 로지스틱 회귀, 아래에서 설명합니다)를 정규식을 쓸 때와 쓰지 않을 때로 나누어 학습하고, 본 적 없는 리뷰에서
# macro-F1을 잽니다. 클래스마다 F1을 구해 평균하므로 드문 클래스도 흔한 클래스만큼 중요합니다. 4,398건 전체에서 정규식 때문에 몇 점을 잃을까요?

# %%
guess = kl.predict("1.a", {"nothing": 0, "half a point": 0.5, "two points": 2, "six points": 6})

# %%
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline, make_union

SEEDS = range(kl.pick(full=3, quick=1))
FOLDS = kl.pick(full=5, quick=2)

def classifier():
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True)
    words = TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    return make_pipeline(make_union(characters, words), LogisticRegression(C=10, solver="newton-cg"))

def cross_validate(texts, seed):
    """Predictions for all texts, each by a model that has not seen it."""
    predicted = np.empty(len(labels), dtype=int)
    for train, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(texts, labels):
        predicted[held_out] = classifier().fit(texts[train], labels[train]).predict(texts[held_out])
    return predicted

def macro_f1(rows, predicted):
    return 100 * f1_score(labels[rows], predicted[rows], average="macro")

predictions = {"as written": [cross_validate(texts, seed) for seed in SEEDS],
               "letters only": [cross_validate(stripped, seed) for seed in SEEDS]}
groups = {"all reviews": np.full(len(labels), True), "with signs": signed, "without signs": ~signed}
scores = pd.DataFrame({(name, cleaning): [macro_f1(rows, p) for p in runs]
                       for name, rows in groups.items() for cleaning, runs in predictions.items()})
loss = scores["all reviews", "as written"].mean() - scores["all reviews", "letters only"].mean()
kl.reveal(guess, measured=loss, unit=" points of macro-F1", digits=2)

# %% [markdown] tags=["en"]
# Half a point. Stop here, and you call the pattern harmless. But only one review in ten carries such a sign, and the other nine cannot
# have lost much. So ask those 444 for themselves:

# %% [markdown] tags=["ko"]
# 0.5점 안팎입니다. 여기서 멈추면 이 정규식은 해롭지 않다고 결론 내리게 됩니다. 하지만 이런 표시가 있는 리뷰는 열에 하나뿐이고, 나머지 아홉은
# 잃을 것이 거의 없습니다. 그 444건만 따로 물어봅시다.

# %%
table = scores.agg(["mean", "min", "max"]).T
table.columns = [f"macro-F1 {how}" for how in table.columns]
table.insert(0, "reviews", [groups[name].sum() for name, _ in table.index])
table["accuracy mean"] = [100 * np.mean([(p == labels)[groups[name]].mean() for p in predictions[cleaning]])
                          for name, cleaning in table.index]
table.round(1)

# %%
figure, axes = kl.plots.new(height=2.2)
for cleaning, colour in (("as written", kl.plots.BLUE), ("letters only", kl.plots.ORANGE)):
    part = scores.xs(cleaning, axis=1, level=1)
    axes.hlines(list(part), part.min(), part.max(), color=colour, linewidth=2)
    axes.plot(part.mean(), list(part), "o", color=colour, label=cleaning)
axes.invert_yaxis()
axes.margins(y=0.2)
axes.set(xlabel="macro-F1 (points): mean, lowest and highest over the seeds")
axes.legend(loc="lower left")
figure

# %% [markdown] tags=["en"]
# Where there are signs, the pattern costs more than six points of macro-F1 and four of accuracy; where there are none, nothing. **An
# average over everybody hides the harm done to a few**, here to those who write as people write to friends.
#
# Mind the width of the bars. Only 12 of the 444 are neutral, so a handful of answers moves their macro-F1 by a point or more. Still, the two ranges do
# not touch.
#
# What does the same pattern make of the file with decomposed Hangul?

# %% [markdown] tags=["ko"]
# 표시가 있는 리뷰에서 정규식은 macro-F1을 6점 넘게, 정확도를 4점 깎습니다. 표시가 없는 리뷰에서는 아무 일도 없습니다. **모두의 평균은 소수가
# 입은 손해를 가립니다.** 여기서는 친구에게 쓰듯 편하게 쓰는 사람들이 손해를 봅니다.
#
# 막대의 폭도 보세요. 444건 가운데 중립은 12건뿐이라 답 몇 개로 macro-F1이 1점 넘게 움직입니다. 그래도 두 범위는 겹치지 않습니다.
#
# 같은 정규식이 자모로 풀린 파일을 만나면 어떻게 될까요?

# %%
decomposed = [finding.value for finding in report.examples("nfd", 100)]
after = [letters_only(text) for text in decomposed]
print(f"{len(after)} reviews; {sum(bool(re.search('[가-힣]', text)) for text in after)} of them hold a syllable afterwards")
pd.DataFrame({"before": decomposed[:3], "after": after[:3]})

# %% [markdown] tags=["en"]
# A whole file is gone, with no error: the pattern knows finished syllables only, and this file has none. Compose first (NFC), then
# clean. And do not compose with NF**K**C, which would turn the ㅋ that people type into another character that merely looks like it.

# %% [markdown] tags=["ko"]
# 오류 하나 없이 파일 하나가 통째로 사라졌습니다. 정규식은 완성된 음절만 아는데 이 파일에는 그런 글자가 없기 때문입니다. 먼저 합치고(NFC), 그다음에
# 정제하세요. 이때 NF**K**C는 쓰지 마세요. 사람들이 치는 ㅋ을 겉모습만 같은 다른 문자로 바꿔 버립니다.

# %% [markdown] tags=["en"]
# ### Exercise 1.2 · A cleaner that keeps the signal
# ●●●○○ · 15 minutes
#
# Write `clean_text(text)`: compose Hangul, turn tags such as `<br>` or `<p>` into a blank, decode entities such as `&nbsp;` and `&amp;`,
# and let runs of white space become one blank, with none at the ends. Everything else stays: ㅋㅋ, ㅠㅠ, ^^, emoji, `<3` and `>_<`.
# Stuck? `kl.hint("1.2")`.

# %% [markdown] tags=["ko"]
# ### 연습 1.2 · 신호를 지키는 정제
# ●●●○○ · 15분
#
# `clean_text(text)`를 작성하세요. 한글을 합치고, `<br>`이나 `<p>` 같은 태그는 공백으로 바꾸고, `&nbsp;`와 `&amp;` 같은 엔티티를 풀고,
# 이어진 공백은 하나로 줄이고 앞뒤 공백은 없앱니다. 나머지는 모두 그대로 둡니다. ㅋㅋ, ㅠㅠ, ^^, 이모지, `<3`, `>_<`까지요.
# 막히면 `kl.hint("1.2")`를 부르세요.

# %% tags=["exercise"]
def clean_text(text):
    ...

# %% tags=["solution"]
import html, unicodedata

def clean_text(text):
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"</?[A-Za-z][^<>]*>", " ", text)  # before unescaping: a decoded '<' is no tag
    text = html.unescape(text)
    return " ".join(text.split())                    # split() knows the no-break space of &nbsp; too

# %% tags=["check"]
kl.check("1.2", clean_text)

# %% [markdown] tags=["en"]
# ## One review on both sides
#
# Now the rows are sound and clean. Cut off ten percent at random for the test, train on the rest, done? Corpora repeat themselves: a review is
# posted twice, or once more with another full stop. If one copy lands in training and the other in the test, the test asks
# a question whose answer was handed out: *leakage* (데이터 누출).
#
# `kl.text.near_key` gives texts the same key when they differ only in spacing, punctuation or case:

# %% [markdown] tags=["ko"]
# ## 양쪽에 걸친 리뷰
#
# 이제 행은 멀쩡하고 글은 깨끗합니다. 무작위로 10 %를 떼어 시험하고 나머지로 학습하면 끝일까요? 말뭉치는 같은 말을 되풀이합니다. 같은 리뷰가
# 두 번 올라오기도 하고 마침표만 바뀌어 또 올라오기도 합니다. 한쪽이 학습에, 다른 쪽이 시험에 들어가면 답을 미리 나눠 준 문제를 내는 셈입니다.
# 이것이 데이터 누출(leakage)입니다.
#
# `kl.text.near_key`는 띄어쓰기, 문장 부호, 대소문자만 다른 글에 같은 키를 줍니다.

# %%
twins = report.examples("near duplicate", 3)
pd.DataFrame([{"text": finding.value, "key": kl.text.near_key(finding.value)} for finding in twins])

# %% [markdown] tags=["en"]
# ### Predict before you run
# The sound rows hold 96 exact and 66 near duplicates, and 20 pairs that contradict each other. Of 100 test reviews of a random
# split, how many have a copy in the training data?

# %% [markdown] tags=["ko"]
# ### 돌리기 전에 예상하기
# 멀쩡한 행 가운데 완전 중복이 96건, 준중복(near duplicate)이 66건, 서로 모순되는 쌍이 20쌍 있습니다. 무작위로 나누면 시험 리뷰 100건 가운데
# 몇 건의 사본이 학습 데이터에 있을까요?

# %%
guess = kl.predict("1.b", {"fewer than one": 0.5, "three or four": 3.5, "seven": 7, "fifteen": 15})

# %%
sound_texts = np.array([kl.clean(text) for text in sound["RawText"]], dtype=object)
sound_labels = np.array([int(polarity) + 1 for polarity in sound["GeneralPolarity"]])
keys = np.array([kl.text.near_key(text) for text in sound_texts])

rounds = []
for seed in range(kl.pick(full=5, quick=2)):
    order = np.random.default_rng(seed).permutation(len(keys))
    test, train = order[: len(order) // 10], order[len(order) // 10 :]
    known = {}                                             # key → the labels it has in training
    for row in train:
        known.setdefault(keys[row], set()).add(sound_labels[row])
    copied = np.array([keys[row] in known for row in test])
    agrees = np.array([sound_labels[row] in known.get(keys[row], ()) for row in test])
    right = classifier().fit(sound_texts[train], sound_labels[train]).predict(sound_texts[test]) == sound_labels[test]
    rounds.append({"test rows with a copy": copied.mean(), "correct: copy, same label": right[copied & agrees].mean(),
                   "correct: copy, other label": right[copied & ~agrees].mean(), "correct: no copy": right[~copied].mean(),
                   "correct: all": right.mean()})
rounds = pd.DataFrame(rounds)
kl.reveal(guess, measured=100 * rounds["test rows with a copy"].mean(), unit=" in a hundred", digits=2)

# %%
(100 * rounds).agg(["mean", "min", "max"]).T.round(1)

# %% [markdown] tags=["en"]
# The classifier repeats every copy as it has learned it: all right where the labels agree, all wrong where they contradict each other. And yet the total
# hardly differs from the score on reviews without a copy: on this corpus few rows leak, and the contradictions eat up the gain.
#
# That is an accident of this mixture. How far can it go? Take the clean reviews, post a share of them twice, and split at random:

# %% [markdown] tags=["ko"]
# 분류기는 사본마다 배운 그대로 답합니다. 라벨이 같으면 모두 맞히고, 라벨이 모순되면 모두 틀립니다. 그런데도 전체 점수는 사본이 없는 리뷰의 점수와
# 거의 같습니다. 이 말뭉치에서는 새는 행이 적고, 모순된 라벨이 이득을 갉아먹었기 때문입니다.
#
# 우연히 그렇게 섞였을 뿐입니다. 어디까지 갈 수 있을까요? 깨끗한 리뷰의 일부를 두 번 올린 것으로 치고 무작위로 나눠 봅시다.

# %%
RATES = kl.pick(full=(0, 0.25, 0.5, 1), quick=(0, 1))
REPEATS = range(kl.pick(full=3, quick=1))

def leaky_score(rate, seed):
    """Macro-F1 of a random 80/20 split of the clean reviews when a share of them is posted twice."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([np.arange(len(texts)), rng.choice(len(texts), int(rate * len(texts)), replace=False)])
    order = rng.permutation(rows)
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    predicted = classifier().fit(texts[train], labels[train]).predict(texts[test])
    return np.isin(test, train).mean(), f1_score(labels[test], predicted, average="macro")

curve = pd.DataFrame([leaky_score(rate, seed) for rate in RATES for seed in REPEATS], columns=["share", "f1"])
figure, axes = kl.plots.new(height=2.8)
axes.plot(100 * curve["share"], 100 * curve["f1"], "o", color=kl.plots.BLUE, alpha=0.6)
means = curve.groupby(np.repeat(range(len(RATES)), len(REPEATS))).mean()
axes.plot(100 * means["share"], 100 * means["f1"], color=kl.plots.BLUE)
axes.set(xlabel="test reviews with a copy in training (%)", ylabel="macro-F1 (points)")
figure

# %% [markdown] tags=["en"]
# A straight line from 84 to 97: each leaked row is a free point. The model on the right is no better than the one on the left; only the exam is
# easier. In a corpus scraped from the web you do not know where on this line you stand, unless you count.
#
# A random split has a second weakness: it shares out the classes by chance. Eight random test splits of 440, and eight of `kl.split`:

# %% [markdown] tags=["ko"]
# 84에서 97까지 곧은 선입니다. 새어 들어온 행 하나하나가 공짜 점수입니다. 오른쪽 모델이 왼쪽 모델보다 나은 것이 아니라 시험이 쉬워졌을 뿐입니다.
# 웹에서 긁어 온 말뭉치라면 이 선의 어디쯤에 서 있는지는 세어 보기 전에는 모릅니다.
#
# 무작위 분할의 약점은 또 있습니다. 클래스가 우연히 나뉩니다. 시험 데이터 440건을 무작위로 여덟 번, `kl.split`으로 여덟 번 뽑아 봅시다.

# %%
splits = {seed: kl.split(reviews, seed=seed) for seed in range(8)}
shuffled = [np.random.default_rng(seed).permutation(labels)[:440] for seed in range(8)]
shares = {"random": [np.bincount(test) for test in shuffled],
          "stratified": [np.bincount(parts["test"]["label"]) for parts in splits.values()]}
pd.concat({how: pd.DataFrame(counts, columns=kl.data.POLARITY).agg(["min", "max"]) for how, counts in shares.items()})

# %% [markdown] tags=["en"]
# At random, the neutral reviews number from 87 to 114, so that two exams differ before any model is trained. *Stratified* (층화) splits keep the
# shares. That published walk-through splits at random without a seed: its exam cannot even be set again.
#
# `kl.split` does three things: it keeps texts of one key together, stratifies, and draws from a seed. Write it yourself.

# %% [markdown] tags=["ko"]
# 무작위로 뽑으면 중립 리뷰가 87건에서 114건까지 오르내립니다. 모델을 학습하기도 전에 시험 문제 구성부터 달라지는 것입니다. *층화*(stratified)
# 분할은 비율을 지킵니다. 앞에서 말한 공개 글은 시드 없이 무작위로 나누어서 같은 시험을 다시 치를 수조차 없습니다.
#
# `kl.split`은 세 가지를 합니다. 키가 같은 글을 함께 두고, 층화하고, 시드로 뽑습니다. 직접 써 보세요.

# %% [markdown] tags=["en"]
# ### Exercise 1.3 · A split that does not leak
# ●●●○○ · 20 minutes
#
# Write `split_rows(texts, labels, seed)`. Return three lists of row numbers, train, validation and test, of about 80, 10 and 10 %:
# every row in exactly one, texts with the same `kl.text.near_key` always together, each label shared out 80/10/10, and the same seed always
# giving the same split. (All rows with one key have one label here.)
# Stuck? `kl.hint("1.3")`.

# %% [markdown] tags=["ko"]
# ### 연습 1.3 · 새지 않는 분할
# ●●●○○ · 20분
#
# `split_rows(texts, labels, seed)`를 작성하세요. 행 번호의 리스트 셋(train, validation, test)을 약 80, 10, 10 %로 돌려줍니다. 모든 행은 정확히
# 한 곳에 들어가고, `kl.text.near_key`가 같은 글은 늘 함께 있고, 라벨마다 80/10/10으로 나뉘고, 같은 시드는 늘 같은 분할을 내야 합니다. (여기서는
# 키가 같으면 라벨도 같습니다.)
# 막히면 `kl.hint("1.3")`을 부르세요.

# %% tags=["exercise"]
def split_rows(texts, labels, seed):
    ...

# %% tags=["solution"]
import random

def split_rows(texts, labels, seed):
    groups = {}                                          # key → its rows
    for row, text in enumerate(texts):
        groups.setdefault(kl.text.near_key(text), []).append(row)
    strata = {}                                          # label → its groups
    for rows in groups.values():
        strata.setdefault(labels[rows[0]], []).append(rows)
    rng = random.Random(seed)
    train, validation, test = [], [], []
    for label in sorted(strata):
        members = strata[label]
        rng.shuffle(members)
        a, b = round(0.8 * len(members)), round(0.9 * len(members))
        for part, chosen in ((train, members[:a]), (validation, members[a:b]), (test, members[b:])):
            part += [row for rows in chosen for row in rows]
    return train, validation, test

# %% tags=["check"]
kl.check("1.3", split_rows)

# %% [markdown] tags=["en"]
# ## What does any model have to beat?
#
# A score means nothing alone. Two baselines (기준선) give it a scale. The *majority* baseline answers with the most common training label, whatever
# it is asked. *TF-IDF with logistic regression* counts pieces of words and weighs them, and knows no word order. What you build in the
# coming lessons has to earn its keep against the second.
#
# Scored on validation. The test split stays closed until the end of lesson 4: every look at it that leads to a choice uses it up.

# %% [markdown] tags=["ko"]
# ## 모델이 넘어야 할 점수는?
#
# 점수는 혼자서는 아무 뜻이 없습니다. 기준선(baseline) 둘이 눈금이 되어 줍니다. *다수결* 기준선은 무엇을 물어도 학습 데이터에서 가장 흔한 라벨로
# 답합니다. *TF-IDF와 로지스틱 회귀*는 단어 조각을 세어 가중치를 줄 뿐 어순을 모릅니다. 앞으로 만들 모델은 두 번째를 넘어야 제값을 합니다.
#
# 점수는 검증(validation) 데이터로 냅니다. 시험(test) 데이터는 4강 끝까지 열지 않습니다. 들여다보고 무언가를 고를 때마다 시험 데이터는 닳습니다.

# %%
def baseline_scores(parts):
    """Macro-F1 in points of both baselines on validation: all reviews, then hard and plain ones apart."""
    train, validation = parts["train"], parts["validation"]
    truth, style = np.array(validation["label"][:]), np.array(validation["style"][:])
    majority = np.full(len(truth), Counter(train["label"]).most_common(1)[0][0])
    tfidf = classifier().fit(train["text"][:], train["label"][:]).predict(validation["text"][:])
    groups = {"all": truth >= 0, "hard": style == "hard", "plain": style == "plain"}
    return {(name, group): 100 * f1_score(truth[rows], predicted[rows], average="macro")
            for name, predicted in (("majority", majority), ("TF-IDF", tfidf)) for group, rows in groups.items()}

baselines_table = pd.DataFrame([baseline_scores(splits[seed]) for seed in range(kl.pick(full=8, quick=1))])
baselines_table.agg(["mean", "min", "max"]).T.round(1)

# %%
averages, lowest, highest = (baselines_table.agg(how) for how in ("mean", "min", "max"))
name_of = {column: f"{column[0]}, {column[1]}" for column in baselines_table.columns}
kl.plots.bars({name_of[c]: averages[c] for c in name_of}, errors={name_of[c]: (lowest[c], highest[c]) for c in name_of},
              digits=1, xlabel="macro-F1 on validation (points): mean, lowest and highest of eight splits")

# %% [markdown] tags=["en"]
# The majority is right for 45 reviews in a hundred, all of them positive, and still gets no more than 21 points of macro-F1: two classes of three
# score zero. TF-IDF reaches 83, no mean opponent. Between *plain* reviews (88) and *hard* ones (77), written to be witty, sarcastic or
# indirect, lies what counting word pieces cannot see.
#
# The black lines say how much luck there is in one split: four points over all reviews, ten on the hard ones. A model that is one point better on one
# split of this size has shown nothing yet. Compare on the same split, on several, or with the interval of lesson 4.

# %% [markdown] tags=["ko"]
# 다수결은 백 건 가운데 45건을 맞힙니다. 모두 긍정입니다. 그런데 macro-F1은 21점뿐입니다. 세 클래스 가운데 둘이 0점이니까요. TF-IDF는 83점에
# 이르니 만만한 상대가 아닙니다. *plain*(평범한 리뷰, 88점)과 *hard*(재치 있거나 비꼬거나 돌려 말한 리뷰, 77점)의 차이가 바로 단어 조각을 세어서는
# 보이지 않는 것입니다.
#
# 검은 선은 분할 하나에 운이 얼마나 섞이는지 보여 줍니다. 전체에서 4점, hard에서는 10점입니다. 이 크기의 분할 하나에서 1점 높다고 해서 더 나은
# 모델이라고 할 수는 없습니다. 같은 분할에서, 여러 분할에서, 또는 4강의 신뢰 구간으로 비교하세요.

# %% [markdown] tags=["en"]
# ### Exercise 1.4 · What every model has to beat
# ●●○○○ · 12 minutes
#
# Write `baselines(train_texts, train_labels, texts, labels)`: learn from the first two, score on the last two, and return
# `{"majority": …, "tfidf": …}`, both macro-F1 from 0 to 1. Any TF-IDF settings will do.
# Stuck? `kl.hint("1.4")`.

# %% [markdown] tags=["ko"]
# ### 연습 1.4 · 모든 모델이 넘어야 할 점수
# ●●○○○ · 12분
#
# `baselines(train_texts, train_labels, texts, labels)`를 작성하세요. 앞의 둘로 배우고 뒤의 둘로 점수를 내어 `{"majority": …, "tfidf": …}`를
# 돌려줍니다. 둘 다 0에서 1 사이의 macro-F1입니다. TF-IDF 설정은 자유입니다.
# 막히면 `kl.hint("1.4")`를 부르세요.

# %% tags=["exercise"]
def baselines(train_texts, train_labels, texts, labels):
    ...

# %% tags=["solution"]
def baselines(train_texts, train_labels, texts, labels):
    from collections import Counter
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline

    common = Counter(train_labels).most_common(1)[0][0]       # from the training labels: the others are not ours to know
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, solver="newton-cg")).fit(train_texts, train_labels)
    return {"majority": f1_score(labels, [common] * len(labels), average="macro"),
            "tfidf": f1_score(labels, model.predict(texts), average="macro")}

# %% tags=["check"]
kl.check("1.4", baselines)

# %% [markdown] tags=["en"]
# ## All of it in one line
#
# `kl.load_reviews()` does what you have just done by hand: it reads, audits, drops, mends and splits, and says in one line what it dropped.
# `kl.load_aihub(path)` does the same for a corpus of your own, a folder or a zip archive. With `strict=True` it stops at the first row that
# it would drop, and names it:

# %% [markdown] tags=["ko"]
# ## 한 줄로
#
# `kl.load_reviews()`는 방금 손으로 한 일을 그대로 합니다. 읽고, 점검하고, 버리고, 고치고, 나누고, 무엇을 버렸는지 한 줄로 알려 줍니다.
# `kl.load_aihub(path)`는 여러분이 가진 말뭉치(폴더나 zip 파일)에 같은 일을 합니다. `strict=True`를 주면 버려야 할 첫 행에서 멈추고 그 행이
# 무엇인지 알려 줍니다.

# %%
splits = kl.load_reviews()
try:
    kl.load_aihub(folder, strict=True)
except kl.errors.DataError as error:
    print(error)

# %% [markdown] tags=["en"]
# ## Take-aways
#
# - Look at bytes and types before you look at values. Say the types yourself.
# - Drop what leaves you guessing, mend what only looks different, and count both.
# - ㅋㅋ, ㅠㅠ and emoji are signal. Losing them cost half a point over all reviews, and more than six on those that carry them: look at the rows that a step
#   touches, not only at the mean.
# - A copy on both sides is answered from memory. Group near duplicates, then split, stratified and seeded.
# - The score to beat is 83 points of macro-F1 (77 on hard reviews, 88 on plain ones), give or take two for the luck of one split.
#
# **Next:** lesson 2 turns these texts into numbers: subwords, padding, and batches that waste little.

# %% [markdown] tags=["ko"]
# ## 정리
#
# - 값을 보기 전에 바이트와 타입을 봅니다. 타입은 직접 적습니다.
# - 짐작해야 하는 것은 버리고, 모양만 다른 것은 고치고, 둘 다 셉니다.
# - ㅋㅋ, ㅠㅠ, 이모지는 신호입니다. 없애면 전체에서는 0.5점, 그것이 든 리뷰에서는 6점 넘게 잃었습니다. 평균만 보지 말고 그 단계가 건드린 행을
#   보세요.
# - 양쪽에 걸친 사본은 외운 대로 답합니다. 준중복을 묶고 나서, 층화해서, 시드로 나눕니다.
# - 넘어야 할 점수는 macro-F1 83점(hard 77점, plain 88점)이고, 분할 하나의 운에 따라 2점쯤 오르내립니다.
#
# **다음:** 2강에서는 이 글들을 숫자로 바꿉니다. 서브워드, 패딩, 그리고 낭비가 적은 배치를 다룹니다.
