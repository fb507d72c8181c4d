# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: KoLab
#     language: python
#     name: kolab
# ---

# %% [markdown] tags=["en"]
# # 2. Tokenise and collate
#
# *From a review to a rectangle of numbers. You will see what a Korean word becomes, count what padding costs, and write the
# batches that make it almost vanish, before any model has been trained.*
#
# | you will be able to | time | you need |
# |---|---|---|
# | say what a tokenizer does to your texts, and what it cannot read | 75 min | lesson 1 |
# | choose `max_length` by what it cuts off | | CPU is enough |
# | write a collator and a bucket sampler, and test both | | |
# | tell whether loader workers and pinned memory would help *you* | | a GPU for one cell |

# %% [markdown] tags=["ko"]
# # 2. 토큰화와 배치 만들기
#
# *리뷰 한 줄이 숫자로 된 직사각형이 되기까지. 한국어 단어가 어떻게 쪼개지는지 눈으로 보고, 패딩의 값을 세어 보고,
# 그 값을 거의 없애 주는 배치를 직접 만듭니다. 모델 학습은 그다음 일이에요.*
#
# | 할 수 있게 되는 것 | 시간 | 준비물 |
# |---|---|---|
# | 토크나이저가 내 글을 어떻게 바꾸는지, 무엇을 읽지 못하는지 말하기 | 75분 | 1강 |
# | 잘려 나가는 것을 보고 `max_length` 정하기 | | CPU면 충분 |
# | 콜레이터와 버킷 샘플러를 만들고 시험하기 | | |
# | 로더 워커와 고정 메모리가 *내* 환경에 도움이 되는지 판단하기 | | GPU는 셀 하나에만 |

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
import json, math, random, warnings
from collections import Counter
import numpy as np, pandas as pd, torch
from torch.utils.data import DataLoader, Dataset

encoder, tokenizer = kl.load_encoder("kolab-mini")
reviews = kl.load_reviews()
texts, labels = list(reviews["train"]["text"]), list(reviews["train"]["label"])

# %% [markdown] tags=["en"]
# ## Subwords: what the model reads
#
# An encoder never sees a letter. It has a table with one row of numbers for each entry of its vocabulary, and it looks rows
# up. So before anything else, a text is cut into pieces that the table has: **subwords** (서브워드). The cell below
# shows the cut. `▁` stands for the blank before a word. Put your own sentences in.

# %% [markdown] tags=["ko"]
# ## 서브워드: 모델이 실제로 읽는 것
#
# 인코더는 글자를 보지 않습니다. 어휘(vocabulary) 항목마다 숫자 한 줄이 적힌 표가 있고, 그 표에서 줄을 찾아올 뿐이에요.
# 그래서 글은 맨 먼저 표에 있는 조각, 곧 **서브워드**(subword)로 잘립니다. 아래 셀이 그 결과를 보여 줍니다. `▁`는 단어 앞의
# 빈칸이라는 뜻이에요. 여러분의 문장도 넣어 보세요.

# %%
def pieces(*examples):
    cuts = [tokenizer.tokenize(example) for example in examples]
    return pd.DataFrame({"text": examples, "pieces": ["  ".join(cut) for cut in cuts], "tokens": [len(cut) for cut in cuts]})

print(f"vocabulary: {len(tokenizer):,} entries")
pieces("재미있었어요", "재미없었어요", "재밌었어요", "재밋었어여", "좋아요", "조아요", "않았습니다", "안았습니다", "ㅋㅋㅋ", "ㅋㅋㅋㅋㅋㅋㅋㅋ", "ㅠㅠ")

# %% [markdown] tags=["en"]
# 재미있었어요, stem, tense and ending together, is **one** piece: it was frequent enough to earn a row of its own.
# 재미없었어요 was not, and is cut into 재미없 and 었어요. That is where a grammar book would cut it, too, yet nobody told the
# tokenizer any grammar; it only counted.
#
# Look at the misspelt ones. 좋아요 is one row of the table; 조아요 is two others that have nothing to do with it. Whatever
# the model knows about 좋아요, it has to learn about 조아요 again. And ㅋㅋㅋ is a word like any other, as long as the
# cleaning has left it alone (lesson 1).
#
# How does it choose a cut? Each entry has a score, the logarithm of how probable it is. Of all ways to cut a word, the one
# with the highest sum wins. This is the **unigram** model (유니그램); most Korean encoders use it or a cousin.

# %% [markdown] tags=["ko"]
# 재미있었어요는 어간과 시제와 어미를 합쳐서 **한** 조각입니다. 자주 나온 덕분에 표에 자기 줄을 얻었어요. 재미없었어요는 그만큼
# 자주 나오지 않아서 재미없과 었어요로 잘립니다. 문법책이 나눌 자리와 똑같은데, 토크나이저에게 문법을 알려 준 사람은 없습니다.
# 그저 세었을 뿐이에요.
#
# 맞춤법이 틀린 쪽을 보세요. 좋아요는 표의 한 줄이지만 조아요는 그것과 아무 상관 없는 두 줄입니다. 모델이 좋아요에 대해 아는 것을
# 조아요에 대해서는 처음부터 다시 배워야 해요. 그리고 ㅋㅋㅋ도 어엿한 단어입니다. 정제하다가 지우지만 않았다면요(1강).
#
# 자르는 자리는 어떻게 고를까요? 항목마다 점수, 곧 나올 확률의 로그가 있습니다. 가능한 모든 방법 가운데 점수의 합이 가장 큰 것이
# 이깁니다. 이것이 **유니그램**(unigram) 모델이고, 한국어 인코더는 대부분 이것이나 비슷한 것을 씁니다.

# %%
vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
score = dict(vocabulary)
for cut in (["▁재미없", "었어요"], ["▁재미", "없", "었어요"], ["▁재", "미", "없", "었", "어요"]):
    print(f"{sum(score[piece] for piece in cut):7.2f}  {' + '.join(cut)}")

# %% [markdown] tags=["en"]
# Every further piece costs, so a cut into few pieces wins, unless they are very rare ones. Whatever was frequent in the texts
# the vocabulary was counted on is short, and the rest is long. Those texts were film reviews. It shows:

# %% [markdown] tags=["ko"]
# 조각이 하나 늘 때마다 값을 치르니, 아주 드문 조각만 아니라면 적게 자른 쪽이 이깁니다. 어휘를 만들 때 쓴 글에 자주 나온 말은 짧아지고,
# 나머지는 길어져요. 그 글은 영화 리뷰였습니다. 티가 나죠.

# %%
pieces("영화", "감독", "연기", "화면", "배터리", "충전", "액정", "블루투스", "앱")

# %%
words = Counter(word for text in texts for word in text.split())
cost = pd.DataFrame([(word, n, len(tokenizer.tokenize(word))) for word, n in words.items()], columns=["word", "times", "tokens"])
cost["extra tokens"] = cost["times"] * (cost["tokens"] - 1)
print(f"tokens a word: {np.average(cost['tokens'], weights=cost['times']):.2f}; "
      f"words that are one token: {np.average(cost['tokens'] == 1, weights=cost['times']):.0%}")
cost.sort_values("extra tokens", ascending=False).head(8).reset_index(drop=True)

# %% [markdown] tags=["en"]
# 영화 (film) and 감독 (director) are one token, 배터리 (battery) three, and 앱 (app) is **four**: an
# empty `▁` and three bytes. What a phone is about costs this encoder more tokens than what a film is about, and the meaning has to be
# put together from smaller parts. Before you take an encoder, look at *your* words in *its* vocabulary.

# %% [markdown] tags=["ko"]
# 영화와 감독은 토큰 하나인데 배터리는 셋이고, 앱은 **넷**입니다. 빈 `▁` 하나와 바이트 셋이에요. 휴대폰
# 이야기는 영화 이야기보다 토큰을 더 많이 쓰고, 뜻도 더 작은 조각을 모아서 알아내야 해요. 인코더를 고르기 전에 *내* 단어가
# *그* 어휘에서 어떻게 되는지 먼저 보세요.

# %% [markdown] tags=["en"]
# ## What it has never seen
#
# What are these bytes? 앱 is not among the 8,001 entries, not even as a single syllable. There are two ways out. **Byte
# fallback** (바이트 폴백) spells the character as its UTF-8 bytes, and all 256 of these are in the vocabulary. The other
# way is one entry for everything unknown, `[UNK]`. KoBERT's vocabulary works like that. The tokenizer below is ours with the
# fallback switched off.

# %% [markdown] tags=["ko"]
# ## 한 번도 본 적 없는 것
#
# 이 바이트는 무엇일까요? 앱은 8,001개 항목에 없습니다. 음절 하나로도 없어요. 길은 둘입니다. **바이트 폴백**(byte fallback)은 그 글자를
# UTF-8 바이트로 적습니다. 바이트 256가지는 모두 어휘에 들어 있어요. 다른 길은 모르는 것을 전부 `[UNK]` 한 항목으로 바꾸는 것이고,
# KoBERT의 어휘가 그렇습니다. 아래는 우리 토크나이저에서 폴백만 끈 것입니다.

# %%
from tokenizers import Tokenizer

spec = json.loads(tokenizer.backend_tokenizer.to_str())
spec["model"]["byte_fallback"] = False
without_bytes = Tokenizer.from_str(json.dumps(spec))

for text in ("좋네요 👍", "좋네요 👎"):
    plain = [without_bytes.id_to_token(i) for i in without_bytes.encode(text).ids]
    print(f"{text}   without: {' '.join(plain)}\n{'':10}   with:    {' '.join(tokenizer.tokenize(text))}")

# %% [markdown] tags=["en"]
# Without the fallback, thumbs up and thumbs down are the same text, and no training can tell them apart again. With it they
# differ in one byte, and a model can learn that.
#
# ### Predict before you run
# In how many of our training reviews would at least one character be lost as `[UNK]`?

# %% [markdown] tags=["ko"]
# 폴백이 없으면 엄지를 올린 글과 내린 글이 똑같아지고, 아무리 학습해도 다시 가를 수 없습니다. 폴백이 있으면 바이트 하나가 다르고, 모델은
# 그 차이를 배울 수 있어요.
#
# ### 실행하기 전에 맞혀 보세요
# 학습용 리뷰 가운데 글자를 하나라도 `[UNK]`로 잃는 리뷰는 얼마나 될까요?

# %%
guess = kl.predict("2.a", {"1 in 1,000": 0.001, "1 in 100": 0.01, "1 in 10": 0.1, "1 in 3": 0.33})

# %%
lost, hit = Counter(), 0
for text in texts:
    encoded = without_bytes.encode(text)
    unknown = [text[a:b] for (a, b), i in zip(encoded.offsets, encoded.ids) if i == tokenizer.unk_token_id]
    lost.update(unknown)
    hit += bool(unknown)
kl.reveal(guess, measured=hit / len(texts))

# %%
hangul = {c: n for c, n in lost.most_common() if "가" <= c[0] <= "힣"}
kl.plots.bars(dict(list(hangul.items())[:12]), xlabel="times in the training reviews", title="Syllables that are not in the vocabulary")

# %% [markdown] tags=["en"]
# About one review in seven. Nothing warns you: `[UNK]` is an id like any other, and training goes on. The picture explains it:
# people write about apps (앱), thin (얇은) phones and films do not. **The check to make with every new encoder is this one
# line: how often does `unk_token_id` occur in my data?**

# %% [markdown] tags=["ko"]
# 일곱에 하나쯤입니다. 경고는 없어요. `[UNK]`도 그저 번호 하나라서 학습은 아무 일 없이 굴러갑니다. 까닭은 그림에 있습니다. 앱이나
# 얇은 화면은 기기 리뷰에나 나오지 영화 리뷰에는 잘 안 나오니까요. **새 인코더를 쓸 때마다 확인할 것은 한 줄입니다. 내 데이터에
# `unk_token_id`가 몇 번 나오는가?**

# %% [markdown] tags=["en"]
# ## One by one, or many at a time
#
# `Dataset.map` calls your function once a row, or, with `batched=True`, once for 1,000 rows. Published walk-throughs say
# that the second is *much* faster. Fine: how much?
#
# ### Predict before you run

# %% [markdown] tags=["ko"]
# ## 한 줄씩, 아니면 한꺼번에
#
# `Dataset.map`은 여러분의 함수를 줄마다 한 번 부릅니다. `batched=True`라면 1,000줄마다 한 번 불러요. 공개된 글에는 뒤쪽이
# *훨씬* 빠르다고 적혀 있습니다. 좋아요, 얼마나 빠를까요?
#
# ### 실행하기 전에 맞혀 보세요

# %%
guess = kl.predict("2.b", {"no faster": 1, "2 times": 2, "10 times": 10, "50 times": 50})

# %%
some = reviews["train"].select(range(kl.pick(full=1200, quick=200))).select_columns(["text"])

def encode(rows):
    return tokenizer(rows["text"], truncation=True, max_length=128)

def mapped(**how):
    return some.map(encode, keep_in_memory=True, load_from_cache_file=False, **how)

times = kl.measure.compare({
    "one by one": lambda: mapped(),
    "10 at a time": lambda: mapped(batched=True, batch_size=10),
    "100 at a time": lambda: mapped(batched=True, batch_size=100),
    "1,000 at a time": lambda: mapped(batched=True, batch_size=1000),
}, repeats=kl.pick(full=5, quick=1))
kl.reveal(guess, measured=times.loc["1,000 at a time", "times as fast"], unit=" times as fast")

# %%
kl.plots.bars(times["times as fast"], baseline=1, digits=1, xlabel="times as fast as one by one", title=f"map over {len(some):,} reviews")

# %% [markdown] tags=["en"]
# About twice, and batches of ten are no gain at all. Where does the time go? Take the two parts asunder: `map` with a function that
# only hands back zeros, and the tokenizer without `map`.

# %% [markdown] tags=["ko"]
# 두 배쯤입니다. 열 줄씩 묶는 것은 이득이 없고요. 시간은 어디에 쓰였을까요? 둘을 떼어 봅시다. 0만 돌려주는 함수로 `map`만, 그리고
# `map` 없이 토크나이저만.

# %%
some_texts = list(some["text"])
nothing = {name: [0] * 32 for name in tokenizer("가")}  # what the tokenizer would return, without its work
parts = kl.measure.compare({
    "map alone, one by one": lambda: some.map(lambda row: nothing, keep_in_memory=True, load_from_cache_file=False),
    "map alone, 1,000 at a time": lambda: some.map(lambda rows: {name: [zeros] * len(rows["text"]) for name, zeros in nothing.items()}, batched=True, keep_in_memory=True, load_from_cache_file=False),
    "tokenizer alone, one by one": lambda: [tokenizer(text) for text in some_texts],
    "tokenizer alone, all at once": lambda: tokenizer(some_texts),
}, repeats=kl.pick(full=5, quick=1))
kl.plots.bars(1e6 * parts["seconds"] / len(some), digits=0, xlabel="microseconds a review")

# %% [markdown] tags=["en"]
# Batching makes `map` itself about half as dear and spares the tokenizer a call per text, but the cutting, which is most of the
# work, has to be done either way. So the claim stands as 'faster', and the size of it depends on what the function costs: huge for a function that
# does next to nothing, nothing for one that does a lot. (A fast tokenizer can also spread a batch over many cores. `kl.setup()` has
# switched that off, since it does not go together with the worker processes that come later in this lesson: with eight
# cores, set `TOKENIZERS_PARALLELISM=true` and measure again. `num_proc=4`, also seen in print, starts four processes for
# work that is over in a second.)

# %% [markdown] tags=["ko"]
# 배치로 묶으면 `map` 자체의 값은 반쯤으로 떨어지고 토크나이저를 글마다 부르는 값도 줄지만, 일의 대부분인 자르기는 어느 쪽이든 똑같이 해야 합니다. 그러니 '빠르다'는 말은 맞고,
# 얼마나인지는 함수가 하는 일에 달렸습니다. 거의 아무 일도 안 하는 함수라면 엄청나고, 일이 많은 함수라면 없다시피 해요. (빠른 토크나이저는
# 배치를 여러 코어에 나눌 수도 있습니다. 뒤에 나올 워커 프로세스와 같이 쓸 수 없어서 `kl.setup()`이 꺼 두었어요. 코어가 여덟이라면
# `TOKENIZERS_PARALLELISM=true`로 켜고 다시 재 보세요. 역시 흔히 보이는 `num_proc=4`는 1초면 끝날 일에 프로세스를 넷이나 띄웁니다.)

# %% [markdown] tags=["en"]
# ## How long may a text be?
#
# `max_length` is where texts are cut. Published code takes 128 or 256 without a word about it. The lengths know better:

# %% [markdown] tags=["ko"]
# ## 글은 얼마나 길어도 될까?
#
# `max_length`는 글이 잘리는 자리입니다. 공개된 코드는 아무 설명 없이 128이나 256을 씁니다. 답은 길이의 분포에 있어요.

# %%
tokens = kl.batching.tokenize(reviews, tokenizer, max_length=256)
lengths = np.array(tokens["train"]["length"])
kl.plots.lengths(lengths, marks=(32, 64, 128), title="Tokens a review, [CLS] and [SEP] counted")

# %%
pd.DataFrame([{"max_length": limit, "reviews kept whole": f"{np.mean(lengths <= limit):.1%}",
               "tokens kept": f"{np.minimum(lengths, limit).sum() / lengths.sum():.1%}"} for limit in (16, 32, 64, 128, 256)])

# %%
row = int(np.flatnonzero([text.startswith("화면 크고 소리 빵빵하고") for text in texts])[0])
ids = tokens["train"][row]["input_ids"]
print("read: ", tokenizer.decode(ids[1:31]), "\nlost: ", tokenizer.decode(ids[31:-1]), "\nlabel:", kl.data.POLARITY[labels[row]])

# %% [markdown] tags=["en"]
# At 32, more than a third of the reviews lose their end, and in Korean the verdict stands at the end: of the review above,
# 'I am sending it back' is gone. At 128, one review in 400 is touched. And since a good collator pads only to the longest
# text *of the batch*, a generous limit costs nothing where nobody is that long. So: **choose the limit by coverage (포함률), high,
# and leave the saving to the batches.**
#
# ### Exercise 2.1 · The smallest length that is enough
# ●●○○○ · 8 minutes
#
# Write `smallest_max_length(texts, tokenizer, share)`: the smallest `max_length` with which at least `share` of the texts
# (0.9: nine in ten) keep all their tokens. Stuck? `kl.hint("2.1")`, up to three times.

# %% [markdown] tags=["ko"]
# 32에서 자르면 리뷰 셋 가운데 하나 이상이 끝을 잃습니다. 한국어에서는 결론이 바로 그 끝에 오죠. 위의 리뷰에서는 '반품합니다'가 사라졌어요.
# 128이면 400개 가운데 하나만 잘립니다. 게다가 좋은 콜레이터는 *그 배치에서* 가장 긴 글까지만 패딩하니까, 그만큼 긴 글이 없으면 한도를
# 넉넉히 잡아도 드는 것이 없습니다. 그러니 **한도는 포함률(coverage)을 보고 넉넉하게 정하고, 아끼는 일은 배치에 맡기세요.**
#
# ### 연습 2.1 · 충분한 것 가운데 가장 짧은 길이
# ●●○○○ · 8분
#
# `smallest_max_length(texts, tokenizer, share)`를 쓰세요. 글 가운데 적어도 `share`(0.9면 열에 아홉)가 토큰을 하나도 잃지 않는 가장 작은
# `max_length`를 돌려줍니다. 막히면 `kl.hint("2.1")`을 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def smallest_max_length(texts, tokenizer, share):
    ...

# %% tags=["solution"]
def smallest_max_length(texts, tokenizer, share):
    lengths = sorted(len(ids) for ids in tokenizer(list(texts))["input_ids"])  # [CLS] and [SEP] included
    return lengths[math.ceil(share * len(lengths)) - 1]  # the k-th smallest keeps k texts whole

# %% tags=["check"]
kl.check("2.1", smallest_max_length)

# %% [markdown] tags=["en"]
# ## What a DataLoader asks of a dataset
#
# Two questions: *how many are you?* and *what is number i?* That is `__len__` and `__getitem__`, and anything that answers them
# is a dataset. A `datasets.Dataset` does, and so does this:

# %% [markdown] tags=["ko"]
# ## DataLoader가 데이터셋에 묻는 것
#
# 딱 두 가지입니다. *몇 개인가?* 그리고 *i번째는 무엇인가?* 각각 `__len__`과 `__getitem__`이고, 이 둘에 답하면 무엇이든 데이터셋이에요.
# `datasets.Dataset`도 답하고, 다음 클래스도 답합니다.

# %%
class Tiny(Dataset):
    def __len__(self):
        return len(lengths)
    def __getitem__(self, i):
        return {"input_ids": torch.tensor(tokens["train"][i]["input_ids"]), "label": labels[i]}

try:
    next(iter(DataLoader(Tiny(), batch_size=4)))
except RuntimeError as error:
    print(f"RuntimeError: {error}")

# %% [markdown] tags=["en"]
# The dataset is fine. What fails is the next step: four texts of different lengths do not stack into a tensor. The function
# that makes one batch out of a list of examples is the **collator** (콜레이터), and the default one only stacks.
#
# ## A collator and all its options
#
# `transformers` brings `DataCollatorWithPadding`. Four reviews, the longest has 22 tokens:

# %% [markdown] tags=["ko"]
# 데이터셋은 멀쩡합니다. 실패한 것은 다음 단계예요. 길이가 서로 다른 글 넷은 텐서 하나로 쌓이지 않습니다. 예시의 목록을 배치 하나로 만드는
# 함수가 **콜레이터**(collator)이고, 기본 콜레이터는 쌓기만 합니다.
#
# ## 콜레이터와 그 모든 옵션
#
# `transformers`에는 `DataCollatorWithPadding`이 있습니다. 리뷰 넷, 가장 긴 것이 22토큰입니다.

# %%
from transformers import DataCollatorWithPadding

chosen = [int(np.flatnonzero(lengths == n)[0]) for n in (9, 14, 18, 22)]
examples = [{"input_ids": tokens["train"][i]["input_ids"], "label": labels[i]} for i in chosen]
def outcome(options):
    try:
        with warnings.catch_warnings(record=True) as said:
            ids = DataCollatorWithPadding(tokenizer, **options)(examples)["input_ids"]
        return f"{type(ids).__name__} {tuple(ids.shape)}" + (f", and a warning: {str(said[0].message)[:23]}…" if said else "")
    except ValueError as error:
        return f"ValueError: {str(error)[:46]}…"

tried = ({}, {"padding": "longest"}, {"padding": "max_length", "max_length": 32}, {"padding": "max_length"}, {"max_length": 16},
         {"pad_to_multiple_of": 8}, {"return_tensors": "np"}, {"return_tensors": "tf"}, {"padding": False})
pd.DataFrame({", ".join(f"{k}={v!r}" for k, v in options.items()) or "none": {"input_ids": outcome(options)} for options in tried}).T

# %% [markdown] tags=["en"]
# Row by row:
#
# - *None*, `padding=True` and `"longest"` are the same: up to the longest of **this batch**. This is what you want.
# - `"max_length"` pads to the number given, and without a number to the longest the encoder can read, 256 here. Every batch.
# - `max_length=16` alone does **nothing**: the collator pads, it never cuts. Cutting was the tokenizer's job.
# - `pad_to_multiple_of=8` rounds the width up, 22 to 24. The tensor cores of a GPU like multiples of 8 in half
#   precision. On a CPU it is only padding.
# - `return_tensors="pt"` is the default and `"np"` gives numpy; `"tf"`, which you will still see in print, is gone.
# - `padding=False` leaves the lengths as they are, and so the tensor cannot be made.
#
# Now one by hand. It will hold no surprises for you afterwards.
#
# ### Exercise 2.2 · A collator by hand
# ●●○○○ · 12 minutes
#
# Write `collate(examples, pad_id)`. `examples` is a list of `{"input_ids": [...], "label": 2}`; return a dict of three int64
# tensors: `input_ids` (batch, longest), filled up **on the right** with `pad_id`; `attention_mask` of the same shape, 1 for each
# token of a text whatever its id, 0 for padding; `labels` (batch,). Stuck? `kl.hint("2.2")`

# %% [markdown] tags=["ko"]
# 한 줄씩 봅시다.
#
# - *none*, `padding=True`, `"longest"`는 모두 같습니다. **이 배치에서** 가장 긴 글까지 채워요. 우리가 원하는 것입니다.
# - `"max_length"`는 주어진 수까지 채우고, 수가 없으면 인코더가 읽을 수 있는 최대 길이(여기서는 256)까지 채웁니다. 배치마다요.
# - `max_length=16`만 주면 **아무 일도** 일어나지 않습니다. 콜레이터는 채울 뿐 자르지 않아요. 자르는 것은 토크나이저의 몫이었습니다.
# - `pad_to_multiple_of=8`은 너비를 올림합니다. 22가 24가 되죠. GPU의 텐서 코어는 반정밀도에서 8의 배수를 좋아합니다. CPU에서는
#   패딩만 늘어요.
# - `return_tensors="pt"`가 기본값이고 `"np"`는 넘파이를 줍니다. 글에서 아직 보이는 `"tf"`는 없어졌습니다.
# - `padding=False`는 길이를 그대로 두니 텐서를 만들 수 없습니다.
#
# 이제 직접 하나 만들어 봅시다. 그러고 나면 콜레이터에 놀랄 일은 없을 거예요.
#
# ### 연습 2.2 · 손으로 만드는 콜레이터
# ●●○○○ · 12분
#
# `collate(examples, pad_id)`를 쓰세요. `examples`는 `{"input_ids": [...], "label": 2}`의 목록입니다. int64 텐서 셋이 든 dict를 돌려주세요.
# `input_ids` (배치, 가장 긴 길이)는 **오른쪽**을 `pad_id`로 채우고, `attention_mask`는 같은 모양으로 글의 토큰이면 번호가 무엇이든 1,
# 패딩이면 0, `labels`는 (배치,)입니다. 막히면 `kl.hint("2.2")`.

# %% tags=["exercise"]
def collate(examples, pad_id):
    ...

# %% tags=["solution"]
def collate(examples, pad_id):
    rows = [example["input_ids"] for example in examples]
    width = max(len(row) for row in rows)
    return {
        "input_ids": torch.tensor([list(row) + [pad_id] * (width - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows]),
        "labels": torch.tensor([example["label"] for example in examples]),
    }

# %% tags=["check"]
kl.check("2.2", collate)

# %% [markdown] tags=["en"]
# ## What padding costs
#
# A published class, like many others, pads every text to 128 as it is tokenised. The model multiplies the padding through all its layers
# like text; only the attention mask (어텐션 마스크) keeps it from having a say.
#
# ### Predict before you run
# Our reviews, all padded to 128. Which share of the positions that the model computes is padding?

# %% [markdown] tags=["ko"]
# ## 패딩의 값
#
# 공개된 어느 클래스는, 다른 많은 코드처럼, 토큰화하면서 모든 글을 128까지 채웁니다. 모델은 패딩도 글과 똑같이 모든 층에서 곱합니다.
# 어텐션 마스크(attention mask)가 결과에 끼어들지 못하게 막을 뿐이에요.
#
# ### 실행하기 전에 맞혀 보세요
# 우리 리뷰를 모두 128까지 채우면, 모델이 계산하는 자리 가운데 패딩은 얼마나 될까요?

# %%
guess = kl.predict("2.c", {"10 %": 0.1, "25 %": 0.25, "50 %": 0.5, "75 %": 0.75})

# %%
cut = np.minimum(lengths, 128)
kl.reveal(guess, measured=1 - cut.sum() / (128 * len(cut)))

# %% [markdown] tags=["en"]
# Three quarters of the work, for nothing. Does padding to the longest of each batch mend it? Count it yourself.
#
# ### Exercise 2.3 · Padding, counted
# ●●○○○ · 8 minutes
#
# Write `padding_share(lengths, batches)`: `lengths[i]` is the number of tokens of text i, `batches` a list of lists of indices. Each
# batch is padded to its own longest text. Return which share of all positions is padding, from 0 to 1. Stuck? `kl.hint("2.3")`

# %% [markdown] tags=["ko"]
# 계산의 4분의 3이 헛일입니다. 배치마다 가장 긴 글까지만 채우면 나아질까요? 직접 세어 보세요.
#
# ### 연습 2.3 · 패딩 세기
# ●●○○○ · 8분
#
# `padding_share(lengths, batches)`를 쓰세요. `lengths[i]`는 i번째 글의 토큰 수이고 `batches`는 번호 목록의 목록입니다. 배치는 저마다
# 자기 안에서 가장 긴 글까지 채웁니다. 모든 자리 가운데 패딩의 비율을 0과 1 사이의 수로 돌려주세요. 막히면 `kl.hint("2.3")`.

# %% tags=["exercise"]
def padding_share(lengths, batches):
    ...

# %% tags=["solution"]
def padding_share(lengths, batches):
    text = sum(lengths[i] for batch in batches for i in batch)
    positions = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    return 1 - text / positions  # one division, at the very end

# %% tags=["check"]
kl.check("2.3", padding_share)

# %% [markdown] tags=["en"]
# ## Batches of like length
#
# In random order, one long text makes 31 short ones wide. The cure is to let texts of like length meet: **bucketing** (버킷팅).
# It is easily done badly. Sort the data once, and the model sees short texts first and long ones last, in every epoch, with the same
# neighbours. What we want is four things together: each text exactly once an epoch, hardly any padding, other neighbours in
# each epoch, and an order that the seed and the epoch decide and nothing else (or a resumed run could not repeat it).
#
# ### Exercise 2.4 · Batches of like length
# ●●●○○ · 20 minutes
#
# Write `bucket_batches(lengths, batch_size, seed, epoch)`: return the batches of one epoch, a list of lists of indices.
# Stuck? `kl.hint("2.4")`

# %% [markdown] tags=["ko"]
# ## 길이가 비슷한 글끼리
#
# 순서가 무작위면 긴 글 하나 때문에 짧은 글 서른한 개가 넓어집니다. 길이가 비슷한 글끼리 만나게 하면 됩니다. **버킷팅**(bucketing)이라고
# 해요. 잘못하기도 쉽습니다. 데이터를 한 번 정렬해 두면 모델은 에폭마다 짧은 글부터 긴 글까지, 늘 같은 이웃과 함께 보게 됩니다. 우리가 바라는
# 것은 네 가지입니다. 글마다 에폭에 꼭 한 번, 패딩은 거의 없이, 에폭마다 다른 이웃과, 그리고 순서는 오로지 시드와 에폭이 정할 것(그래야
# 멈췄다 이어 간 학습이 똑같이 되풀이됩니다).
#
# ### 연습 2.4 · 길이가 비슷한 배치
# ●●●○○ · 20분
#
# `bucket_batches(lengths, batch_size, seed, epoch)`를 쓰세요. 한 에폭의 배치를 번호 목록의 목록으로 돌려줍니다.
# 막히면 `kl.hint("2.4")`.

# %% tags=["exercise"]
def bucket_batches(lengths, batch_size, seed, epoch):
    ...

# %% tags=["solution"]
def bucket_batches(lengths, batch_size, seed, epoch):
    rng, lengths = np.random.default_rng([seed, epoch]), np.asarray(lengths)
    order, batches = rng.permutation(len(lengths)), []
    for start in range(0, len(order), 32 * batch_size):  # pools of 32 batches: sorted inside, random between
        pool = order[start:start + 32 * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i:i + batch_size].tolist() for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]

# %% tags=["check"]
kl.check("2.4", bucket_batches)

# %% [markdown] tags=["en"]
# The package's own is `kl.batching.BucketBatchSampler`. Three epochs of the same reviews, and three batches of each, drawn: a row is a
# text, dark is text, light is padding.

# %% [markdown] tags=["ko"]
# 패키지에도 `kl.batching.BucketBatchSampler`가 있습니다. 같은 리뷰를 세 가지 방식으로 묶고, 배치 셋씩 그려 보았습니다. 한 줄이 글
# 하나이고, 짙은 곳이 글, 옅은 곳이 패딩입니다.

# %%
from kolab.batching import BucketBatchSampler, Collator, TokenDataset

limited = kl.batching.tokenize(reviews["train"], tokenizer, max_length=128)
dataset, collator = TokenDataset.of(limited), Collator(tokenizer.pad_token_id)
schemes = {
    "all to 128": BucketBatchSampler(dataset.lengths, 32, pool=1),  # pool=1 sorts nothing: random order
    "random order": BucketBatchSampler(dataset.lengths, 32, pool=1),
    "bucketed": BucketBatchSampler(dataset.lengths, 32),
}

def batch_of(name, indices):
    batch = collator(dataset.__getitems__(indices))
    if name == "all to 128":
        room = 128 - batch["input_ids"].shape[1]
        batch |= {k: torch.nn.functional.pad(batch[k], (0, room)) for k in ("input_ids", "attention_mask")}
    return batch

waste = {name: kl.batching.padding_share(batch_of(name, b) for b in sampler) for name, sampler in schemes.items()}
kl.plots.bars(waste, percent=True, title="Padding, of all positions of an epoch (batches of 32)")

# %%
kl.plots.padding({name: [batch_of(name, b)["attention_mask"] for b in list(sampler)[:3]] for name, sampler in schemes.items()})

# %% [markdown] tags=["en"]
# Random order saves little: in almost every 32 reviews there is a long one, and it sets the width. Bucketed, the padding is
# gone but for a few percent. Does the model notice? The same 320 reviews, grouped in the three ways: how long does a forward pass take, and do
# the results differ?

# %% [markdown] tags=["ko"]
# 무작위 순서로는 별로 아끼지 못해요. 리뷰 서른두 개에는 긴 것이 거의 늘 하나쯤 있고, 그것이 너비를 정하니까요. 버킷으로 묶으면 패딩은 몇
# 퍼센트만 남습니다. 모델에는 어떤 차이가 있을까요? 같은 리뷰 320개를 세 방식으로 묶어서, 순전파에 걸리는 시간과 결과를 견줘 봅시다.

# %%
def sample(count):  # every so-many-th batch by width, so that a few stand for the epoch
    batches = sorted(schemes["bucketed"], key=lambda b: dataset.lengths[b].max())
    return [batches[int((k + 0.5) * len(batches) / count)] for k in range(count)]

bucketed = sample(kl.pick(full=10, quick=2))
mixed = np.random.default_rng(0).permutation(np.concatenate(bucketed))
mixed = [mixed[i:i + 32].tolist() for i in range(0, len(mixed), 32)]
groups = {"all to 128": mixed, "random order": mixed, "bucketed": bucketed}
ready = {name: [batch_of(name, b) for b in batches] for name, batches in groups.items()}

@torch.inference_mode()
def forward(name):
    encoder.eval()
    out = {}
    for indices, batch in zip(groups[name], ready[name]):
        states = encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        out |= dict(zip(indices, states[:, 0]))  # the [CLS] vector of each review
    return out

speed = kl.measure.compare({name: lambda name=name: forward(name) for name in groups}, repeats=kl.pick(full=3, quick=1), warmup=kl.pick(full=1, quick=0))
results = {name: forward(name) for name in ("all to 128", "bucketed")}
difference = max((results["bucketed"][i] - vector).abs().max().item() for i, vector in results["all to 128"].items())
positions = {name: sum(b["input_ids"].numel() for b in ready[name]) for name in groups}
speed["fewer positions"] = [positions["all to 128"] / positions[name] for name in speed.index]
print(f"largest difference between two [CLS] vectors of the same review: {difference:.1e}")
speed[["seconds", "times as fast", "fewer positions"]].round(2)

# %% [markdown] tags=["en"]
# The same vectors, to rounding, in about a quarter of the time; the time follows the number of positions. **Nothing that is
# computed changes: no parameter, no precision, no result.**
#
# What it costs is some chance. Within a pool (풀) of batches, who meets whom is decided by length. `pool` says how many batches are sorted
# together: small pools leave more to chance and more padding. `kl.make_loaders` takes 64.

# %% [markdown] tags=["ko"]
# 벡터는 반올림 오차를 빼면 같고 시간은 4분의 1쯤입니다. 시간은 자리의 수를 따라가요. **계산되는 것은 아무것도 바뀌지
# 않습니다. 파라미터도, 정밀도도, 결과도요.**
#
# 대신 우연을 조금 내줍니다. 한 풀(pool) 안에서는 누가 누구와 만날지를 길이가 정하니까요. `pool`은 함께 정렬할 배치의 수입니다. 풀이 작으면
# 우연이 더 남고 패딩도 더 남습니다. `kl.make_loaders`는 64를 씁니다.

# %%
pools = (1, 2, 4, 8, 16, 32, 64, 128)
shares = [padding for pool in pools for padding in [kl.batching.padding_share(
    batch_of("bucketed", b) for b in BucketBatchSampler(dataset.lengths, 32, pool=pool))]]
kl.plots.bars({str(pool): share for pool, share in zip(pools, shares)}, percent=True, highlight="64", title="Padding by pool size, in batches of 32")

# %% [markdown] tags=["en"]
# ## Do loader workers help?
#
# `num_workers=4` has four helpers make batches ahead of time. A published guide calls them threads, and promises loading 2–3 times
# as fast and training a quarter shorter. First: threads?

# %% [markdown] tags=["ko"]
# ## 로더 워커가 도움이 될까?
#
# `num_workers=4`는 도우미 넷이 배치를 미리 만들게 합니다. 공개된 어느 안내서는 이것을 스레드라고 부르면서, 로딩이 2–3배 빨라지고 학습
# 시간이 4분의 1 줄어든다고 합니다. 먼저, 스레드가 맞을까요?

# %%
FORK = {"multiprocessing_context": "fork"} if hasattr(os, "fork") else {}  # workers see the classes of this notebook

class WhoAmI(Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, i):
        return os.getpid()

if FORK:
    seen = {int(pid) for batch in DataLoader(WhoAmI(), batch_size=2, num_workers=2, **FORK) for pid in batch}
    print(f"{len(seen)} process ids, this notebook's among them: {os.getpid() in seen}")

# %% [markdown] tags=["en"]
# Processes. Each has its own copy of the dataset, has to be started, and sends its batches back through shared memory. That pays
# when making a batch is a lot of work. So measure two cases: our dataset, whose ids are ready, and one that tokenises each
# text whenever it is asked (much published code does).

# %% [markdown] tags=["ko"]
# 프로세스입니다. 저마다 데이터셋의 사본을 갖고, 새로 띄워야 하고, 만든 배치를 공유 메모리로 돌려보냅니다. 배치를 만드는 일이 무거울 때나
# 수지가 맞아요. 그러니 두 경우를 재 봅시다. 토큰 번호가 이미 준비된 우리 데이터셋, 그리고 물어볼 때마다 글을 토큰화하는 데이터셋(공개된 코드에
# 많습니다).

# %%
class EachTime(Dataset):
    def __len__(self):
        return len(some_texts)
    def __getitem__(self, i):
        return {"input_ids": tokenizer(some_texts[i], truncation=True, max_length=128)["input_ids"], "label": labels[i]}

def loading(data, workers):
    """Milliseconds a batch, in the epoch that starts the workers and in the one after it."""
    extra = {"num_workers": workers, "persistent_workers": True, **FORK} if workers else {}
    loader, rounds = DataLoader(data, batch_size=32, shuffle=True, collate_fn=collator, **extra), []
    for _ in range(2):
        with kl.measure.stopwatch() as watch:
            for batch in loader:
                pass
        rounds.append(1000 * watch.seconds / len(loader))
    return rounds

warnings.filterwarnings("ignore", message="This DataLoader will create")  # torch advises against more workers than cores
rows = []
for name, data in {"ids ready": dataset, "tokenised each time": EachTime()}.items():
    for workers in (kl.pick(full=(0, 1, 2, 4), quick=(0, 2)) if FORK else (0,)):
        first, second = loading(data, workers)
        rows.append({"dataset": name, "workers": workers, "first epoch": first, "second epoch": second})
loads = pd.DataFrame(rows).set_index(["dataset", "workers"])
loads.round(2).rename_axis(columns="ms a batch")

# %% [markdown] tags=["en"]
# With the ids ready, one process makes a batch in a fraction of a millisecond, and **with workers it only gets slower**: starting them
# and passing tensors between processes costs far more than the work. Where each text is tokenised anew, a batch is dear, and workers
# can gain something if cores are idle (here two, and busy); but the better cure is not to do that work again in each epoch.
#
# And the promised quarter of the training time? Workers can at best make loading free. So the question is what share
# of a training step loading has:

# %% [markdown] tags=["ko"]
# 토큰 번호가 준비되어 있으면 프로세스 하나가 배치를 1밀리초도 안 되는 사이에 만들고, **워커를 쓰면 느려지기만 합니다.** 띄우고 텐서를
# 주고받는 값이 하는 일보다 훨씬 크니까요. 글을 매번 토큰화하면 배치가 비싸지니까, 노는 코어가 있다면 워커로 얻는 것이 있습니다(여기는
# 코어가 둘이고 바쁩니다). 하지만 더 나은 처방은 그 일을 에폭마다 되풀이하지 않는 것이에요.
#
# 그러면 약속했던 학습 시간의 4분의 1은요? 워커가 할 수 있는 최선은 로딩을 공짜로 만드는 것입니다. 그러니 물을 것은, 학습 한 스텝에서
# 로딩이 차지하는 몫이 얼마인가입니다.

# %%
model = kl.Classifier.build(encoder, list(kl.data.POLARITY))
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4)

def step(batch):
    model.train()
    loss = torch.nn.functional.cross_entropy(model(batch["input_ids"], batch["attention_mask"]).logits, batch["labels"])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()

step(ready["bucketed"][0])  # the first one is slower: memory has to be found
with kl.measure.stopwatch() as watch:
    for batch in ready["bucketed"]:
        step(batch)
step_ms, load_ms = 1000 * watch.seconds / len(ready["bucketed"]), loads.loc[("ids ready", 0), "second epoch"]
share = load_ms / (load_ms + step_ms)
print(f"a step: {step_ms:,.0f} ms; loading its batch: {load_ms:.2f} ms, {share:.2%} of both")
print(f"even if loading were free, training would take {1 - share:.2%} of the time it takes now")

# %% [markdown] tags=["en"]
# On a CPU the claim has nothing to stand on. On a fast GPU a step may take 10 ms instead, and half a millisecond of loading is then 5 %
# of it: still no quarter. A quarter is possible only where loading takes at least a quarter, as with images that have to
# be decoded, or with tokenising in `__getitem__`. **Measure the share first; it is the most that workers can give you.** That is why
# `kl.make_loaders` has `workers=0`.

# %% [markdown] tags=["ko"]
# CPU에서는 그 주장이 설 자리가 없습니다. 빠른 GPU라면 한 스텝이 10밀리초일 수도 있고, 그때 로딩 0.5밀리초는 5 %가 됩니다. 그래도 4분의
# 1은 아니에요. 4분의 1이 가능하려면 로딩이 적어도 4분의 1을 차지해야 합니다. 압축을 풀어야 하는 이미지라든가, `__getitem__`에서 토큰화할 때처럼요.
# **몫부터 재세요. 워커가 줄 수 있는 최대가 바로 그만큼입니다.** `kl.make_loaders`의 기본값이 `workers=0`인 까닭이에요.

# %% [markdown] tags=["en"]
# ## The dataset that lives on the GPU
#
# Here is a class in the manner of a published one, which 'uses GPU memory efficiently'. Three things are wrong with it. You know one of them
# already.

# %% [markdown] tags=["ko"]
# ## GPU에 사는 데이터셋
#
# 'GPU 메모리를 효율적으로 쓴다'는 어느 공개 클래스를 본떠 쓴 것입니다. 잘못된 곳이 셋인데, 하나는 이미 아시죠.

# %%
class OnDevice(Dataset):
    def __init__(self, texts, labels, device):
        table = tokenizer(texts, padding="max_length", truncation=True, max_length=128, return_tensors="pt")
        self.columns = {name: column.to(device) for name, column in table.items()}
        self.labels, self.device = labels, device
    def __len__(self):
        return len(self.labels)
    def __getitem__(self, i):
        item = {name: column[i].clone() for name, column in self.columns.items()}
        return item | {"labels": torch.tensor(self.labels[i]).to(self.device)}

# %% [markdown] tags=["en"]
# The second fault shows without a GPU. Whatever touches a tensor on a GPU is a command sent to it, and takes some
# microseconds to send, however little there is to do. Count the commands that one batch of 32 takes:

# %% [markdown] tags=["ko"]
# 두 번째 잘못은 GPU가 없어도 보입니다. GPU에 있는 텐서를 건드리는 일은 하나하나가 GPU에 보내는 명령이고, 할 일이 아무리 적어도 보내는 데만
# 몇 마이크로초가 걸립니다. 32개짜리 배치 하나를 만드는 데 드는 명령을 세어 봅시다.

# %%
from torch.utils._python_dispatch import TorchDispatchMode

class CountCommands(TorchDispatchMode):
    total = 0
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.total += 1
        return function(*args, **(kwargs or {}))

on_device = OnDevice(texts[:320], labels[:320], "cpu")
with CountCommands() as published:
    next(iter(DataLoader(on_device, batch_size=32)))
with CountCommands() as ours:
    batch = next(iter(DataLoader(dataset, batch_size=32, collate_fn=collator)))
    batch = {name: tensor.clone() for name, tensor in batch.items()}  # stands for the three copies to the GPU
print(f"tensor commands for a batch of 32: {published.total} in the published manner, {ours.total} with ids in numpy and one copy a batch")

# %% [markdown] tags=["en"]
# The third fault shows only where there is CUDA: a forked worker process cannot use it. The next cell tries, and then compares the
# epoch's transfer with batches made on the CPU, plain and from **pinned memory** (고정 메모리), which the GPU can fetch by itself
# while Python goes on.

# %% [markdown] tags=["ko"]
# 세 번째 잘못은 CUDA가 있어야 보입니다. fork로 갈라져 나온 워커 프로세스는 CUDA를 쓸 수 없어요. 다음 셀은 그것을 시험해 보고, CPU에서 만든
# 배치를 그냥 보낼 때와 **고정 메모리**(pinned memory)에서 보낼 때를 견줍니다. 고정 메모리에 있으면 파이썬이 다음 일을 하는 동안 GPU가
# 스스로 가져갑니다.

# %% tags=["gpu"]
def transfer(loader, device, **how):
    for batch in loader:
        batch = {name: tensor.to(device, **how) for name, tensor in batch.items()}

def gpu_loading(device):
    on_gpu = OnDevice(texts, labels, device)
    try:
        next(iter(DataLoader(on_gpu, batch_size=32, num_workers=2, **FORK)))
        print("two workers on tensors of the GPU: no error on this system")
    except RuntimeError as error:
        print(f"two workers on tensors of the GPU: {str(error).strip().splitlines()[-1]}")
    sampler = BucketBatchSampler(dataset.lengths, 32)
    plain, pinned = (DataLoader(dataset, batch_sampler=sampler, collate_fn=collator, pin_memory=pin) for pin in (False, device != "cpu"))
    return kl.measure.compare({
        "all on the GPU, fetched one by one": lambda: transfer(DataLoader(on_gpu, batch_size=32), device),
        "batches from the CPU": lambda: transfer(plain, device),
        "batches from pinned memory": lambda: transfer(pinned, device, non_blocking=True),
    }, repeats=3)

if torch.cuda.is_available():
    loading_gpu = gpu_loading("cuda")
else:
    print("No CUDA here. On Colab: Runtime → Change runtime type → GPU. Below, what `kolab bench loading` recorded elsewhere.")
    gpus = [machine for machine in kl.measure.recordings().get("loading", []) if not machine.endswith("cores")]
    loading_gpu = kl.measure.recorded("loading", machine=gpus[0]) if gpus else "No run on a GPU is recorded yet."
loading_gpu

# %% [markdown] tags=["en"]
# ### Exercise 2.5 · Find it, mend it
# ●●○○○ · 12 minutes
#
# Write the class anew as `Reviews(texts, labels, tokenizer, max_length)`. An item is `{"input_ids": …, "label": …}`, as long as its text
# is (at most `max_length`); all tokenising happens once; nothing in it knows of a device. It has to work with workers and with
# the collator. Stuck? `kl.hint("2.5")`

# %% [markdown] tags=["ko"]
# ### 연습 2.5 · 찾아서 고치기
# ●●○○○ · 12분
#
# 이 클래스를 `Reviews(texts, labels, tokenizer, max_length)`로 다시 쓰세요. 항목은 `{"input_ids": …, "label": …}`이고 길이는 글의 길이
# 그대로입니다(길어야 `max_length`). 토큰화는 모두 한 번에 끝내고, 장치(device)는 전혀 몰라야 합니다. 워커와도, 콜레이터와도
# 함께 쓸 수 있어야 해요. 막히면 `kl.hint("2.5")`.

# %% tags=["exercise"]
class Reviews(Dataset):
    def __init__(self, texts, labels, tokenizer, max_length):
        ...
    def __len__(self):
        ...
    def __getitem__(self, index):
        ...

# %% tags=["solution"]
class Reviews(torch.utils.data.Dataset):
    def __init__(self, texts, labels, tokenizer, max_length):
        self.ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]  # once; no padding yet
        self.labels = labels
    def __len__(self):
        return len(self.ids)
    def __getitem__(self, index):
        return {"input_ids": self.ids[index], "label": self.labels[index]}  # plain lists: the loop moves whole batches

# %% tags=["check"]
kl.check("2.5", Reviews)

# %% [markdown] tags=["en"]
# ## All of it in one line
#
# From here on the lessons use `kl.make_loaders`. There is nothing in it that you have not seen: `map(batched=True)`, ids in one flat array,
# a collator, and the bucket sampler.

# %% [markdown] tags=["ko"]
# ## 한 줄로
#
# 이제부터는 `kl.make_loaders`를 씁니다. 여러분이 보지 못한 것은 하나도 들어 있지 않아요. `map(batched=True)`, 납작한 배열 하나에 담은
# 번호, 콜레이터, 그리고 버킷 샘플러입니다.

# %%
loaders = kl.make_loaders(reviews, tokenizer, batch_size=32, max_length=128, seed=0)
batch = next(iter(loaders.train))
for name, tensor in batch.items():
    print(f"{name:15} {tuple(tensor.shape)}  {tensor.dtype}")
print(f"padding in an epoch: {kl.batching.padding_share(loaders.train):.1%}")

# %% [markdown] tags=["en"]
# ## Take-aways
#
# - A tokenizer cuts by what was frequent where it was made. Look at your own words in it, and count `[UNK]`.
# - `map(batched=True)` saves what is spent around your function, not inside it.
# - `max_length` by coverage, high; the collator pads to the longest of the batch, never to a constant.
# - Texts of like length in one batch: about a quarter of the time that padding to 128 takes, and the same numbers.
# - Workers can give back at most the share of time that loading takes. Measure the share.
#
# ## Where to go next
#
# [Lesson 3](03_classifier_on_an_encoder.ipynb) puts a head on the encoder and sends these batches through it. The code of this
# lesson, grown up, is in `kolab/batching.py` and `kolab/bucket.py`; how a vocabulary is made is lesson 13.

# %% [markdown] tags=["ko"]
# ## 정리
#
# - 토크나이저는 자기가 만들어진 글에서 자주 나온 대로 자릅니다. 내 단어를 넣어 보고 `[UNK]`를 세세요.
# - `map(batched=True)`는 함수 둘레에서 드는 것을 아낍니다. 함수 안에서 드는 것은 그대로예요.
# - `max_length`는 포함률을 보고 넉넉하게. 콜레이터는 배치에서 가장 긴 글까지만 채우고, 정해진 수까지 채우지 않습니다.
# - 길이가 비슷한 글을 한 배치에. 시간은 128까지 채울 때의 4분의 1쯤, 숫자는 그대로.
# - 워커가 돌려줄 수 있는 것은 많아야 로딩이 차지하는 몫입니다. 그 몫부터 재세요.
#
# ## 다음으로
#
# [3강](03_classifier_on_an_encoder.ipynb)에서는 인코더 위에 헤드를 얹고 이 배치를 흘려보냅니다. 이 과의 코드를 다듬은 것이
# `kolab/batching.py`와 `kolab/bucket.py`에 있고, 어휘를 만드는 법은 13강에서 다룹니다.
