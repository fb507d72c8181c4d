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
# # 9. Imbalance and cross-validation
#
# *Five emotions, and one of them is rare. You will correct the class weights of a published guide, measure what weighting really brings,
# use every text for testing without a leak, mend the model's probabilities with a single number, and find out how many runs a claim of two points takes.*
#
# | you will be able to | time | you need |
# |---|---|---|
# | choose a score that sees the rare class, and compute class weights that add up | 110 min | lesson 4 |
# | cross-validate without a leak, and choose the epoch where it does not flatter you | | CPU is enough |
# | read a calibration curve, and fit a temperature | | |
# | say how many runs it takes before a difference is more than luck | | |

# %% [markdown] tags=["ko"]
# # 9. 클래스 불균형과 교차 검증
#
# *감정이 다섯인데 하나는 드뭅니다. 공개된 안내서의 클래스 가중치를 바로잡고, 가중치가 실제로 얼마를 벌어 주는지 재고, 모든 글을 새는 데 없이 시험에 쓰고, 숫자 하나로 모델의
# 확률을 손보고, 2점 올랐다는 주장에는 실행이 몇 번 필요한지 알아냅니다.*
#
# | 할 수 있게 되는 것 | 시간 | 준비물 |
# |---|---|---|
# | 드문 클래스를 보는 점수를 고르고, 계산이 맞는 클래스 가중치 구하기 | 110분 | 4강 |
# | 새지 않게 교차 검증하고, 스스로를 속이지 않는 자리에서 에폭 고르기 | | CPU면 충분 |
# | 보정 곡선을 읽고 온도 맞추기 | | |
# | 차이가 운이 아니라고 말하려면 몇 번 돌려야 하는지 계산하기 | | |

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
import copy, math
from collections import Counter
import numpy as np, pandas as pd, torch
import torch.nn.functional as F
from datasets import concatenate_datasets
from scipy import stats
from scipy.special import softmax
from kolab import calibration, power, splits
from kolab.studies.encoders import encoder_of

SEED, LR = 0, 7e-4
EPOCHS, K, ROWS = kl.pick(full=3, quick=1), kl.pick(full=5, quick=2), kl.pick(full=1500, quick=160)

emotions = kl.load_emotions(seed=SEED)
names = emotions["train"].features["label"].names
whole = concatenate_datasets([emotions[split] for split in ("train", "validation", "test")]).select(range(ROWS))
texts, labels = np.array(whole["text"][:]), np.array(whole["label"][:])
counts = np.bincount(labels, minlength=len(names))

table = pd.DataFrame({"emotion": [names[i] for i in labels], "text": texts})
table.groupby("emotion").head(2).sort_values("emotion").style.hide(axis="index").set_properties(**{"text-align": "left"})

# %%
kl.plots.bars(dict(zip(names, counts)), highlight="anxiety", title=f"{len(labels):,} utterances", xlabel="texts")

# %% [markdown] tags=["en"]
# Four neutral (neutral) texts for each anxious (anxiety) one. The data is small on purpose: the rare class is rare enough to show every
# difficulty of this lesson.
#
# ## A score that sees the rare class
#
# Suppose that a model never says *anxiety*. It calls every anxious text neutral, and everything else it gets right. F1 is computed for each class, and then there are
# two ways to average: **macro** (매크로 평균) counts every class the same, **weighted** (가중 평균) by its number of texts.
#
# ### Predict before you run
# What is its weighted F1?

# %% [markdown] tags=["ko"]
# 불안(anxiety) 글 하나에 중립(neutral) 글이 넷입니다. 데이터는 일부러 작습니다. 드문 클래스가 충분히 드물어서, 이 강의의 어려움이 모두 드러나거든요.
#
# ## 드문 클래스를 보는 점수
#
# 어떤 모델이 *불안*이라고는 한 번도 말하지 않는다고 해 봅시다. 불안한 글은 모조리 중립이라 하고, 나머지는 전부 맞힙니다. F1은 클래스마다 구한 뒤에 평균을 내는데, 방법이
# 둘입니다. **매크로**(macro) 평균은 모든 클래스를 똑같이 세고, **가중**(weighted) 평균은 글 수만큼 셉니다.
#
# ### 실행하기 전에 예상해 보세요
# 이 모델의 가중 F1은 얼마일까요?

# %%
guess = kl.predict("9.a", {"0.64": 0.64, "0.71": 0.71, "0.78": 0.78, "0.87": 0.87})

# %%
anxiety, neutral = names.index("anxiety"), names.index("neutral")
never = np.where(labels == anxiety, neutral, labels)
found = {average: kl.metrics.classification_metrics(never, labels, average=average) for average in ("weighted", "macro")}
kl.reveal(guess, found["weighted"]["f1"], text=f"accuracy {found['weighted']['accuracy']:.2f}, macro-F1 {found['macro']['f1']:.2f}")

# %%
def of_share(share, total=10_000):
    """The scores of such a model where the rare class has this share of the texts, and four others have the rest."""
    rare = round(share * total)
    truth = np.concatenate([np.zeros(rare, int), 1 + np.arange(total - rare) % 4])
    said = np.where(truth == 0, 1, truth)
    weighted, macro = (kl.metrics.classification_metrics(said, truth, average=a) for a in ("weighted", "macro"))
    return weighted["accuracy"], weighted["f1"], macro["f1"]

shares = np.linspace(0.01, 0.2, 20)
curves = dict(zip(("accuracy", "weighted F1", "macro-F1"), zip(*map(of_share, shares))))
kl.plots.lines(curves, x=100 * shares, xlabel="share of the class that is never predicted, %", ylabel="score", title="Everything right but one class of five")

# %% [markdown] tags=["en"]
# At a share of one in fifteen the weighted F1 still says 0.9, for a model that is no use at all to anybody who looks for that class. The smaller the class,
# the better the score. Macro-F1 stays below 0.8 however rare it is: one class of five is missing.
#
# A widely copied list of tricks for imbalanced data computes `average="weighted"`. So the first question about a published F1 is: **averaged how?** From here on
# everything is macro, and the classes stand beside it one by one.
#
# ## Class weights that add up
#
# The usual cure is to let a rare text count more in the loss: a **class weight** (클래스 가중치). 'Balanced' weights have become the standard. A published guide to five
# emotions in 176,091 texts prints two of its own:

# %% [markdown] tags=["ko"]
# 열다섯 가운데 하나꼴인 클래스를 통째로 놓쳐도 가중 F1은 0.9라고 합니다. 그 클래스를 찾으려는 사람에게는 아무 쓸모가 없는 모델인데도요. 클래스가 드물수록 점수는 오히려 올라갑니다.
# 매크로 F1은 아무리 드물어도 0.8을 넘지 못합니다. 다섯 가운데 하나가 빠졌으니까요.
#
# 불균형 데이터를 다루는, 널리 복사된 기법 모음이 쓰는 것이 바로 `average="weighted"`입니다. 그러니 남이 적은 F1을 보면 먼저 물으세요. **어떻게 평균 냈는가?** 여기서부터는 모두 매크로이고,
# 그 옆에 클래스별 점수를 하나하나 적습니다.
#
# ## 계산이 맞는 클래스 가중치
#
# 흔한 처방은 드문 글이 손실에서 더 크게 세도록 하는 것, 곧 **클래스 가중치**(class weight)입니다. 그중 'balanced'가 표준처럼 쓰여요. 감정 다섯 가지, 글 176,091건을 다룬
# 공개된 안내서는 자기 가중치 두 개를 이렇게 적어 놓았습니다.

# %%
published = pd.DataFrame({"texts": [26_306, 58_436], "published weight": [2.13, 0.76]}, index=["joy", "neutral"])
published["classes that would give it"] = 176_091 / (published["texts"] * published["published weight"])
published["balanced, 5 classes"] = 176_091 / (5 * published["texts"])
print(f"joy's weight over neutral's: {2.13 / 0.76:.2f} as published; the counts allow {58_436 / 26_306:.2f} alone")
published.style.format({"texts": "{:,}", "published weight": "{:.2f}", "classes that would give it": "{:.2f}", "balanced, 5 classes": "{:.2f}"})

# %% [markdown] tags=["en"]
# The balanced weight of a class is n / (C · n_c): all texts, over the number of classes times the texts of this one. For 2.13 there would have to be 3.1
# classes, for 0.76 four. And without any formula: weights in inverse proportion to the counts have the ratio of the counts, 2.22, and these have 2.80. So
# whatever was trained there, it was not with these numbers. You find such a thing with one division.
#
# Why n / (C · n_c)? Two demands. Each class shall count as much as any other in all, and the average text shall count 1, so that the loss keeps its
# size and the learning rate its meaning.
#
# ### Exercise 9.1 · Balanced weights
# ●●○○○ · 10 minutes
#
# Write `class_weights(labels, classes)`: `labels` is a list of class numbers, `classes` how many classes there are. Return the balanced weights, one for each class (a list, an array or
# a tensor). A fold may happen to hold no text of some class: its weight has to be finite all the same.
# Stuck? `kl.hint("9.1")`, up to three times.

# %% [markdown] tags=["ko"]
# 클래스의 balanced 가중치는 n / (C · n_c)입니다. 전체 글 수를, 클래스 수와 그 클래스의 글 수를 곱한 것으로 나눠요. 2.13이 나오려면 클래스가 3.1개, 0.76이 나오려면 네 개여야
# 합니다. 공식을 몰라도 알 수 있습니다. 글 수에 반비례하는 가중치라면 비율이 글 수의 비율인 2.22여야 하는데, 저 둘의 비율은 2.80이에요. 거기서 무엇을 학습시켰든 이 숫자로 하지는 않은
# 것입니다. 나눗셈 한 번이면 찾아낼 수 있는 잘못이죠.
#
# 왜 n / (C · n_c)일까요? 바라는 것이 두 가지라서입니다. 클래스마다 전부 합친 무게가 같아야 하고, 글 하나의 무게는 평균 1이어야 합니다. 그래야 손실의 크기가 그대로이고 학습률의 뜻도
# 달라지지 않아요.
#
# ### 연습 9.1 · balanced 가중치
# ●●○○○ · 10분
#
# `class_weights(labels, classes)`를 작성하세요. `labels`는 클래스 번호의 리스트, `classes`는 클래스의 개수입니다. 클래스마다 하나씩 balanced 가중치를 돌려주세요(리스트, 배열, 텐서
# 무엇이든). 어떤 폴드에는 어느 클래스의 글이 하나도 없을 수 있습니다. 그래도 그 가중치는 유한한 수여야 해요.
# 막히면 `kl.hint("9.1")`을 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def class_weights(labels, classes):
    ...

# %% tags=["solution"]
def class_weights(labels, classes):
    counts = torch.bincount(torch.as_tensor(labels), minlength=classes)      # minlength: also for a class that is not there
    return len(labels) / (classes * counts.clamp_min(1))

# %% tags=["check"]
kl.check("9.1", class_weights)

# %%
weights = kl.losses.balanced_weights(labels, len(names)).numpy()             # exercise 9.1 grown up
shown = pd.DataFrame({"texts": counts, "weight": weights, "share of the loss, unweighted": counts / len(labels),
                      "share of the loss, weighted": weights * counts / len(labels)}, index=names)
shown.style.format({"weight": "{:.2f}", "share of the loss, unweighted": "{:.0%}", "share of the loss, weighted": "{:.0%}"})

# %% [markdown] tags=["en"]
# At the start, when the model knows nothing and every text costs ln 5, the anxious texts make up 9 % of the loss without weights and a fifth with them. That is all
# that weights do: they say whose errors are dear. They add no text, and nothing about anxiety can be learned that was not there before. Expect the model to say
# *anxiety* more often, rightly and wrongly.
#
# The other way to the same end is **resampling** (재표집): draw the batches so that every class comes equally often. `kolab.sampling` does so within the
# batches of like length.

# %% [markdown] tags=["ko"]
# 처음에는 모델이 아무것도 몰라서 글 하나의 손실이 모두 ln 5입니다. 이때 불안한 글이 손실에서 차지하는 몫은 가중치가 없으면 9 %, 있으면 5분의 1이에요. 가중치가 하는 일은 이것이
# 전부입니다. 누구를 틀렸을 때 더 비싼지를 정할 뿐, 글을 보태 주지 않으니 없던 것을 배울 수는 없어요. 다만 모델이 *불안*이라는 말을 더 자주 하게 됩니다. 맞는 자리에서도, 틀린
# 자리에서도요.
#
# 같은 곳으로 가는 다른 길이 **재표집**(resampling)입니다. 모든 클래스가 똑같이 자주 나오도록 배치를 뽑는 것이죠. `kolab.sampling`은 길이가 비슷한 글끼리 묶는 배치 안에서 이 일을 합니다.

# %%
from kolab.sampling import BalancedBatchSampler

lengths = [len(text) for text in texts]
plain, even = kl.batching.BucketBatchSampler(lengths, 32), BalancedBatchSampler(lengths, labels, 32)
drawn = {name: np.concatenate(list(sampler)) for name, sampler in (("as they are", plain), ("resampled", even))}
pd.DataFrame({name: np.bincount(labels[rows], minlength=len(names)) for name, rows in drawn.items()}
             | {"different texts": np.bincount(labels[np.unique(drawn["resampled"])], minlength=len(names))}, index=names)

# %% [markdown] tags=["en"]
# One epoch each. An anxious text comes two or three times, and some of the neutral ones sit this epoch out and come in another.
#
# ## Test on every text
#
# Whether any of it helps the rare class has to be measured on the rare class. A test split of a tenth holds 13 anxious texts. Say a model finds
# 9 of the 13: what may its true recall be?

# %% [markdown] tags=["ko"]
# 각각 한 에폭입니다. 불안한 글은 두세 번씩 나오고, 중립 글 가운데 일부는 이번 에폭을 쉬었다가 다른 에폭에 나옵니다.
#
# ## 모든 글로 시험하기
#
# 이런 것들이 드문 클래스에 도움이 되는지는 드문 클래스로 재야 합니다. 10분의 1을 떼어 낸 시험 세트에는 불안한 글이 13건 있어요. 어떤 모델이 13건 가운데 9건을 찾았다면, 진짜 재현율(recall)은
# 얼마일까요?

# %%
rows = []
for right, total in ((9, 13), (94, 135)):
    low, high = stats.binomtest(right, total).proportion_ci(method="wilson")
    rows.append({"found": f"{right} of {total}", "recall": right / total, "low": low, "high": high})
pd.DataFrame(rows).set_index("found").style.format("{:.2f}")

# %% [markdown] tags=["en"]
# Anything from four in ten to nine in ten. A gain of 10 points would drown in there. All 135 would tell a good deal more, and we can have them: **k-fold cross-validation** (k겹 교차 검증). Cut the data into five
# *folds* (폴드); train five models, each without one fold, and test each on the fold that it has not seen. Every text is tested once, by a model
# that did not know it.
#
# The folds have to be **stratified** (층화: every class in the same share) and **grouped** (near duplicates on the same side), as in lesson 1.
# The emotions have no near duplicates left, but the most popular cure for imbalance makes some: copy the rare texts until all classes are equally frequent. Do that, then cross-validate, and
# a text and its copy end up in different folds.
#
# ### Predict before you run
# A support vector machine on pairs of characters takes seconds, so we can try it. By how many points does macro-F1 rise if the rare texts are copied *before* the folds are cut?

# %% [markdown] tags=["ko"]
# 열에 넷에서 열에 아홉까지 무엇이든 가능합니다. 여기서 10점쯤 오른 것은 묻혀 버려요. 135건 전부라면 훨씬 많은 것을 알 수 있을 텐데, 방법이 있습니다. **k겹 교차 검증**(k-fold cross-validation)이에요. 데이터를 다섯 *폴드*(fold)로 자르고, 폴드 하나씩을
# 빼놓고 모델 다섯 개를 학습시켜서, 저마다 보지 않은 폴드로 시험합니다. 모든 글이 한 번씩, 그 글을 모르는 모델에게 시험받는 셈이죠.
#
# 폴드는 **층화**(stratified: 클래스의 비율이 모두 같게)하고 **묶어서**(grouped: 거의 같은 글은 같은 쪽에) 나눠야 합니다. 1강에서처럼요. 감정 데이터에는 거의 같은 글이 남아 있지 않지만, 불균형에 가장 흔히
# 쓰는 처방이 그런 글을 만들어 냅니다. 모든 클래스의 수가 같아질 때까지 드문 글을 복사하는 것이죠. 그러고 나서 교차 검증을 하면 글과 그 복사본이 서로 다른 폴드에 들어갑니다.
#
# ### 실행하기 전에 예상해 보세요
# 글자 두 개씩을 보는 서포트 벡터 머신은 몇 초면 되니 시험해 볼 수 있습니다. 폴드를 자르기 *전에* 드문 글을 복사하면 매크로 F1이 몇 점 오를까요?

# %%
guess = kl.predict("9.b", {"0, it is the same texts": 0, "3": 3, "10": 10, "over 20": 22})

# %%
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

random = np.random.default_rng(SEED)

def copied(rows):
    """The rows, those of the rarer classes again and again, until all classes are as frequent as the most frequent."""
    own = [rows[labels[rows] == c] for c in range(len(names))]
    most = max(map(len, own))
    return random.permutation(np.concatenate([part for c in own for part in (c, random.choice(c, most - len(c)))]))

def svm_score(pairs):
    """Macro-F1 over all held-out parts together; pairs: (rows to train on, rows held out)."""
    said, true = [], []
    for train, held_out in pairs:
        svm = make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True), LinearSVC())
        said.append(svm.fit(texts[train], labels[train]).predict(texts[held_out]))
        true.append(labels[held_out])
    return kl.metrics.macro_f1(np.concatenate(said), np.concatenate(true))

parts = [np.array(part) for part in splits.folds(whole, K, seed=SEED)]
honest = [(np.setdiff1d(np.arange(len(whole)), part), part) for part in parts]
pieces = np.array_split(copied(np.arange(len(whole))), K)
leaky = [(np.concatenate(pieces[:i] + pieces[i + 1:]), piece) for i, piece in enumerate(pieces)]
svm = {"no copies": svm_score(honest), "copies made inside each training part": svm_score([(copied(train), part) for train, part in honest]),
       "copies made before the folds are cut": svm_score(leaky)}
kl.reveal(guess, 100 * (svm["copies made before the folds are cut"] - svm["no copies"]), unit=" points")
kl.plots.bars(svm, highlight="copies made before the folds are cut", title="Macro-F1 of one and the same classifier, cross-validated", digits=3)

# %% [markdown] tags=["en"]
# More than twenty points, for nothing: the model recognises texts that it was trained on. Copied inside the training part, they bring what they are worth, which is little. The rule has no exception:
# **first cut, then copy, weight, clean, fit.** Whatever learns from data, a vocabulary, a threshold or a temperature, may only see the training part of its fold. (And keep the first bar in mind: it will be the score to beat.)
#
# ### Exercise 9.2 · Folds without a leak
# ●●●○○ · 15 minutes
#
# Write `make_folds(labels, groups, k, seed=0)`: two arrays (rows,) in, the class and the group of each row (near duplicates have the same group, and the same class). Return a list of k folds, each the
# numbers of the rows it holds out. Every row in exactly one fold; a group never in two; each class in equal shares, give or take a few rows; and the seed alone decides.
# Stuck? `kl.hint("9.2")`, up to three times.

# %% [markdown] tags=["ko"]
# 공짜로 스무 점이 넘게 올랐습니다. 모델이 학습 때 본 글을 알아보는 것뿐인데요. 학습용 안에서 복사하면 제값만큼만 오르는데, 그 값은 얼마 되지 않습니다. 규칙에는 예외가 없어요.
# **먼저 자르고, 그다음에 복사하고, 가중치를 주고, 정제하고, 맞춘다.** 데이터에서 무언가를 배우는 것은, 어휘든 임곗값이든 온도든, 자기 폴드의 학습용만 볼 수 있습니다. (그리고 첫 번째 막대를 기억해 두세요. 이따가 넘어야 할 점수입니다.)
#
# ### 연습 9.2 · 새지 않는 폴드
# ●●●○○ · 15분
#
# `make_folds(labels, groups, k, seed=0)`을 작성하세요. 배열 (행,) 두 개로 행마다 클래스와 그룹을 받습니다(거의 같은 글은 그룹이 같고 클래스도 같아요). 폴드 k개의 리스트를 돌려주되, 폴드 하나는
# 떼어 둘 행 번호들입니다. 모든 행은 정확히 한 폴드에, 한 그룹은 결코 두 폴드에 들어가지 않게, 클래스는 (몇 행쯤의 차이 안에서) 고르게, 그리고 결과는 오로지 시드로 정해지게 하세요.
# 막히면 `kl.hint("9.2")`를 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def make_folds(labels, groups, k, seed=0):
    ...

# %% tags=["solution"]
def make_folds(labels, groups, k, seed=0):
    random = np.random.default_rng(seed)
    members = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    folds = [[] for _ in range(k)]
    for one in np.unique(labels):                                            # one class after the other: stratified
        own = [rows for rows in members.values() if labels[rows[0]] == one]
        random.shuffle(own)
        here = [0] * k                                                       # rows of this class in each fold
        for rows in sorted(own, key=len, reverse=True):                      # large groups first, while there is room
            at = min(range(k), key=lambda f: (here[f], len(folds[f])))
            folds[at] += rows                                                # the whole group: no leak
            here[at] += len(rows)
    return folds

# %% tags=["check"]
kl.check("9.2", make_folds)

# %% [markdown] tags=["en"]
# scikit-learn's `StratifiedGroupKFold` does the same job, and passes this check.
#
# ## Five models, twice
#
# Now the encoder: five folds without class weights, five with. And one more thing is at stake in each fold. Somebody has to choose the epoch. If the fold that reports also chooses, its score is the best of
# several tries (lesson 4). So an eighth of each training part is set aside to choose, and the fold itself only reports. To see the difference, keep the logits of *every* epoch on both.

# %% [markdown] tags=["ko"]
# scikit-learn의 `StratifiedGroupKFold`도 같은 일을 하고, 이 검사를 통과합니다.
#
# ## 모델 다섯 개, 두 번
#
# 이제 인코더 차례입니다. 클래스 가중치 없이 다섯 폴드, 가중치를 주고 다섯 폴드. 폴드마다 걸린 일이 하나 더 있어요. 누군가는 에폭을 골라야 합니다. 보고할 폴드가 고르기까지 하면 그 점수는 여러 번 시도해서 가장
# 좋은 것이 됩니다(4강). 그래서 학습용의 8분의 1을 떼어 고르는 일을 맡기고, 폴드는 보고만 합니다. 차이를 볼 수 있게, 양쪽 모두에 대해 *모든* 에폭의 로짓을 남겨 둡니다.

# %%
encoder, tokenizer = encoder_of("kolab-mini[:3]", SEED)                      # its first three layers: ten trainings in a few minutes

class Watch:
    """Called by kl.fit after each epoch: keeps the logits on the part that may choose and on the fold that may only report."""
    def __init__(self, fold):
        self.fold, self.inner, self.outer = fold, [], []
    def __call__(self, model, inner):
        held_out, found = kl.train.predict(model, self.fold), kl.train.predict(model, inner)
        self.outer.append(held_out.logits.numpy())
        self.inner.append(found.logits.numpy())
        self.truth = found.references.numpy()                                # of the inner part
        return {"f1": kl.metrics.macro_f1(found.labels, self.truth)}

def cross_validate(weighted):
    """Logits of every text, (epochs, texts, classes), each from the model that had not seen it; and the five watches."""
    held_out, watches = np.zeros((EPOCHS, len(whole), len(names))), []
    for part in parts:
        rest = whole.select(np.setdiff1d(np.arange(len(whole)), part))
        inside = kl.split(rest, sizes=(0.875, 0.125, 0.0), seed=SEED)        # the fold is not in here
        loaders = kl.make_loaders({"train": inside["train"], "validation": inside["validation"], "fold": whole.select(part)}, tokenizer, seed=SEED)
        watch = Watch(loaders.fold)
        loss = kl.losses.CrossEntropy(kl.losses.balanced_weights(inside["train"]["label"][:], len(names)) if weighted else None)
        model = kl.Classifier.build(copy.deepcopy(encoder), names, seed=SEED)
        config = kl.TrainConfig(epochs=EPOCHS, lr=LR, seed=SEED, keep_best=False, progress=False)
        kl.fit(model, loaders, config, loss=loss, evaluator=watch)
        held_out[:, part] = watch.outer
        watches.append(watch)
    return held_out, watches

runs = {"plain": cross_validate(weighted=False)}

# %%
runs["weights"] = cross_validate(weighted=True)                              # the same folds, the same seed, the same start

# %%
def f1_of(logits, rows):
    return kl.metrics.macro_f1(logits[rows].argmax(1), labels[rows], labels=len(names))

chosen, per_fold = {}, []
for name, (held_out, watches) in runs.items():
    logits = np.zeros(held_out.shape[1:])                                    # of each text, at the epoch that its fold's inner part chose
    for number, (part, watch) in enumerate(zip(parts, watches)):
        inner = [kl.metrics.macro_f1(one.argmax(1), watch.truth, labels=len(names)) for one in watch.inner]
        outer = [f1_of(one, part) for one in held_out]
        epoch = int(np.argmax(inner))
        logits[part] = held_out[epoch, part]
        per_fold.append({"variant": name, "fold": number, "epoch": epoch + 1, "macro-F1": outer[epoch], "epoch chosen by the fold": int(np.argmax(outer)) + 1,
                         "macro-F1, so chosen": max(outer)})
    chosen[name] = logits
per_fold = pd.DataFrame(per_fold).set_index(["variant", "fold"])
per_fold["flattery"] = 100 * (per_fold["macro-F1, so chosen"] - per_fold["macro-F1"])
per_fold.style.format({"macro-F1": "{:.3f}", "macro-F1, so chosen": "{:.3f}", "flattery": "{:+.1f} points"})

# %% [markdown] tags=["en"]
# Three things to see. **The folds differ** among themselves by several points, though it is the same model, the same settings and
# 300 texts each: that is what a single split would have hidden. **The flattery** is never negative, because the best of three is at least as good as any one of them. Mostly it is nothing, where the last epoch is the best for everybody, and once it is more than three points; how large it gets depends on how much the epochs differ, and on how many there are
# (in the recorded study further down one variant has fifteen). And compare fold with fold: the two variants share the folds, so part of their luck is the same. What that is worth comes further down.
#
# Put together, the folds give one prediction for each of the 1,500 texts. Now the classes, each with its bootstrap interval (부트스트랩 구간, lesson 4):

# %% [markdown] tags=["ko"]
# 볼 것이 세 가지 있습니다. 같은 모델, 같은 설정에 글도 똑같이 300건인데 **폴드끼리** 몇 점씩 다릅니다. 한 번만 나누었다면 보이지 않았을 차이예요. **부풀림**(flattery 열)은 결코 음수가 아닙니다. 셋 가운데 가장 좋은 것은 어느 하나보다
# 나쁠 수 없으니까요. 누가 골라도 마지막 에폭이면 0이지만, 한 번은 3점이 넘었습니다. 얼마나 커지는지는 에폭끼리 얼마나 다른지, 에폭이 몇 개인지에 달렸습니다(아래에 기록해 둔 실험에는 열다섯 에폭짜리 변형도 있습니다). 그리고 폴드끼리 견주어 보세요. 두 변형은 같은 폴드를 쓰므로
# 운의 일부도 같습니다. 이것이 얼마나 값진지는 뒤에서 따져 봅니다.
#
# 폴드를 모두 이어 붙이면 글 1,500건마다 예측이 하나씩 생깁니다. 이제 클래스별로, 부트스트랩 구간(bootstrap interval, 4강)과 함께 봅시다.

# %%
def class_f1(number):
    def score(said, true):
        both = np.count_nonzero(said == number) + np.count_nonzero(true == number)
        return 2 * np.count_nonzero((said == number) & (true == number)) / max(both, 1)
    return score

figure, ax = kl.plots.new(width=7.5, height=3.8)
for shift, colour, (name, logits) in zip((-0.14, 0.14), kl.plots.PALETTE, chosen.items()):
    said = logits.argmax(1)
    for row, emotion in enumerate(names):
        low, high = kl.metrics.bootstrap_interval(said, labels, metric=class_f1(row), samples=kl.pick(full=1000, quick=100))
        ax.plot([low, high], [row + shift] * 2, color=colour, linewidth=2)
        ax.plot(class_f1(row)(said, labels), row + shift, "o", color=colour, label=name if row == 0 else None)
ax.set_yticks(range(len(names)), [f"{emotion} ({count})" for emotion, count in zip(names, counts)])
ax.invert_yaxis()
ax.set(xlabel="F1, with its 95 % interval", title="Each class, over all folds")
ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
figure

# %%
from sklearn.metrics import precision_recall_fscore_support

scores = {name: precision_recall_fscore_support(labels, logits.argmax(1), labels=range(len(names)), zero_division=0.0) for name, logits in chosen.items()}
columns = {(score, name): scores[name][place] for place, score in enumerate(("precision", "recall", "F1")) for name in chosen}
columns |= {("times said", name): np.bincount(logits.argmax(1), minlength=len(names)) for name, logits in chosen.items()}
pd.DataFrame(columns, index=names).style.format("{:.2f}", subset=["precision", "recall", "F1"])

# %% [markdown] tags=["en"]
# Read *times said* first, then recall (재현율: of the anxious texts, how many were found) and precision (정밀도: of those called anxious, how many are). Weights make rare answers cheaper to give: *anxiety* is said half as often again, and so more of the anxious texts are found.
# *Neutral* pays, it is said less often and found less often. If a missed anxious text costs you more than a false alarm, the exchange may be just what you want: then say so, and report recall. It is not the same as a better model.
#
# Anxiety's F1 has risen by seven points. That looks like a finding, and it is one seed.
#
# And the score to beat, the first bar of the support vector machine? It was 0.69 on the same folds, and neither variant reaches it. On 1,200 short texts a bag of character pairs is hard to beat. It takes seconds, so run one before you report any encoder.
#
# ## What the techniques bring, over seeds
#
# Two variants, one seed: that is a look, not a finding. The recorded study (`kolab bench kfold` repeats it) has five folds and several seeds for each variant, all paired: same folds, same seed. Its claims come from the guide with the
# weights: balanced weights bring 10 to 15 points on the minority classes; label smoothing (라벨 스무딩) of 0.1 brings 2 to 3, and better probabilities; and there is *all*, the seven techniques of the guide at once, with 15 epochs instead of 5.
#
# ### Predict before you run
# How many points of F1 do balanced weights bring to the rarest class, anxiety?

# %% [markdown] tags=["ko"]
# *times said*(그렇게 말한 횟수)를 먼저 보고, 재현율(recall: 불안한 글 가운데 찾아낸 비율)과 정밀도(precision: 불안하다고 한 글 가운데 맞은 비율)를 보세요. 가중치를 주면 드문 답을 내놓기가
# 쉬워집니다. *불안*이라고 말한 횟수가 절반쯤 늘었고, 그만큼 불안한 글을 더 많이 찾았어요. 대가는 *중립*이 치릅니다. 덜 말하고 덜 찾았으니까요. 불안한 글을 놓치는 것이 헛짚는 것보다 더 아프다면 그 맞바꿈이 바로 원하는 것일 수
# 있습니다. 그렇다면 그렇게 말하고 재현율을 보고하세요. 하지만 더 좋은 모델이 된 것과는 다릅니다.
#
# 불안의 F1은 7점 올랐습니다. 발견처럼 보이지만, 시드 하나입니다.
#
# 그런데 넘어야 할 점수라던 서포트 벡터 머신의 첫 번째 막대는요? 같은 폴드에서 0.69였고, 두 변형 모두 거기에 못 미칩니다. 짧은 글 1,200건으로는 글자 쌍을 세는 방법을 이기기가 쉽지 않아요. 몇 초면 되니, 어떤 인코더의 점수든 보고하기 전에 먼저 돌려 보세요.
#
# ## 시드 여럿으로 본 기법들의 값
#
# 변형 둘에 시드 하나는 한번 들여다본 것이지 발견이 아닙니다. 기록해 둔 실험(`kolab bench kfold`로 다시 할 수 있어요)은 변형마다 다섯 폴드에 시드가 여럿이고, 모두 짝을 이룹니다. 폴드도 시드도 같아요. 주장은 그 가중치를 적어 둔
# 안내서에서 가져왔습니다. balanced 가중치는 소수 클래스를 10~15점 올린다. 라벨 스무딩(label smoothing) 0.1은 2~3점을 올리고 확률도 좋아진다. 그리고 *all*은 안내서의 일곱 기법을 한꺼번에 쓴 것으로, 5에폭이 아니라
# 15에폭입니다.
#
# ### 실행하기 전에 예상해 보세요
# balanced 가중치는 가장 드문 클래스인 불안의 F1을 몇 점 올릴까요?

# %%
guess = kl.predict("9.c", {"none, or it loses some": 0, "2 or 3": 2.5, "6": 6, "12, as the guide says": 12})

# %%
from kolab.studies import kfold

try:
    study = kl.measure.recorded("kfold")
except kl.errors.DataError:
    study = None
    print("not recorded yet: `kolab bench kfold` does it. Below stand the live folds alone.")
if study is not None:
    where, meta = study.attrs["machine"], study.attrs["meta"]
    print(f"{where['gpu'] or where['cpu']}, {study.attrs['date']}: {meta['data']}, {meta['seeds']} seed(s); {meta['encoder']}")
    print(f"plain: {meta['plain']}\nall: {meta['all']}")
    single = kfold.by_class(study, meta["classes"])
    flat = pd.concat([study[["variant", "seed", "fold", "f1", "accuracy", "f1_flattered", "ece", "ece_scaled", "temperature"]], single], axis=1)
else:                                                                        # the same columns, from the folds above
    flat = pd.DataFrame([{"variant": name, "seed": SEED, "fold": fold, "f1": f1_of(logits, part), "accuracy": np.mean(logits[part].argmax(1) == labels[part]),
                          "f1_flattered": per_fold.loc[(name, fold), "macro-F1, so chosen"], "ece": calibration.ece(softmax(logits[part], axis=1), labels[part])}
                         | {emotion: class_f1(c)(logits[part].argmax(1), labels[part]) for c, emotion in enumerate(names)}
                         for name, logits in chosen.items() for fold, part in enumerate(parts)])
wide = flat.set_index(["variant", "seed", "fold"])
wide.groupby("variant", sort=False)[["f1", "accuracy", *names]].agg(["mean", "std"]).style.format("{:.3f}")

# %%
gaps = {variant: 100 * (wide.xs(variant)[["f1", *names]] - wide.xs("plain")[["f1", *names]]).rename(columns={"f1": "macro"})
        for variant in wide.index.unique("variant") if variant != "plain"}
found = {variant: {column: power.paired(gap[column].dropna(), folds=wide.index.unique("fold").size) for column in gap} for variant, gap in gaps.items()}
rarest, wins = found["weights"]["anxiety"], gaps["weights"]["anxiety"] > 0
kl.reveal(guess, rarest.mean, unit=" points", text=f"95 % interval {rarest.low:+.1f} to {rarest.high:+.1f}; better in {wins.sum()} of {len(wins)} pairs")
means = pd.DataFrame({variant: {column: one.mean for column, one in row.items()} for variant, row in found.items()}).T
means.style.format("{:+.1f}").set_caption("points of F1 more than plain, mean over folds and seeds")

# %%
order = ["macro", *sorted(names, key=lambda emotion: counts[names.index(emotion)])]   # the rarest first
figure, axes = kl.plots.new(len(gaps), width=max(5, 2 * len(gaps) + 1.2), height=4.2, sharex=True, sharey=True, squeeze=False)
for ax, (variant, gap) in zip(axes[0], gaps.items()):
    if "weights" in variant or variant == "all":
        ax.axvspan(10, 15, ymin=0.5, ymax=5 / 6, color=kl.plots.ORANGE, alpha=0.3)   # the claim: rows of the two rarest
    for row, column in enumerate(order):
        one = found[variant][column]
        ax.plot(gap[column], [row] * len(gap), ".", color=kl.plots.GREY, alpha=0.8)
        ax.plot([one.low, one.high], [row, row], color=kl.plots.BLUE, linewidth=2)
        ax.plot(one.mean, row, "o", color=kl.plots.BLUE)
    ax.axvline(0, color=kl.plots.GREY, linewidth=1)
    ax.set(title=variant.replace("+", "\n+ "), xlabel="points")
axes[0][0].set_yticks(range(len(order)), order)
axes[0][0].set_ylim(len(order) - 0.5, -0.5)
figure

# %% [markdown] tags=["en"]
# A dot is one fold of one seed against *plain* on the same fold and seed; the bar is the 95 % interval of the mean; the orange field is the claim, 10 to 15 points for the two rarest classes, which stand right below the macro mean.
#
# How to read it. A bar across zero is no finding, whatever its middle. A bar that ends left of the orange field refutes the claim *for these data and this encoder*: whoever has other data measures again. A bar that reaches from zero into the field decides
# nothing: 135 texts were too few for the question, and saying so is a result.
#
# So read. Weights bring anxiety about half a point, joy loses two to three, and both bars end left of the field: 10 to 15 points on the minority classes are not here. Weights with smoothing look best, three points for anxiety, and that bar reaches into the field: undecided. Smoothing alone was to bring 2 to 3 points; measured is about one
# *less*, not told from zero. And all seven techniques at once, with up to three times the epochs, end a point below the plain training, not told from zero either. Of all these bars there is not one that clears it.
#
# And look how far the dots lie apart: a single fold can show almost any claim, in either direction. An author who tried once and liked what came out has published one dot.
#
# Two more things that the study knows. First, the flattery where there are more epochs to choose from:

# %% [markdown] tags=["ko"]
# 점 하나는 어떤 시드의 어떤 폴드를, 같은 시드 같은 폴드의 *plain*과 견준 것입니다. 막대는 평균의 95 % 구간이고, 주황색 칸은 주장, 곧 매크로 평균 바로 아래에 있는 가장 드문 두 클래스가 10~15점 오른다는 것입니다.
#
# 읽는 법은 이렇습니다. 막대가 0을 걸치면, 가운데가 어디든 발견이 아닙니다. 막대가 주황색 칸의 왼쪽에서 끝나면 *이 데이터와 이 인코더에서는* 그 주장이 틀린 것이에요. 다른 데이터를 가진 사람은 다시 재야 합니다. 막대가 0에서 주황색 칸까지
# 걸쳐 있으면 아무것도 판가름 나지 않은 것입니다. 135건으로는 모자란 질문이었고, 그렇게 말하는 것도 결과예요.
#
# 그럼 읽어 봅시다. 가중치를 주니 불안은 0.5점쯤 오르고 기쁨(joy)은 2~3점 내렸는데, 두 막대 모두 주황색 칸 왼쪽에서 끝납니다. 소수 클래스가 10~15점 오른다는 말은 여기서는 맞지 않아요. 가중치에 스무딩을 더한 것이 불안에서 3점으로 가장 좋아 보이지만, 막대가 0에서 주황색 칸까지 걸쳐 있으니 판가름 나지 않았습니다. 스무딩만 쓰면
# 2~3점 오른다더니 잰 값은 1점쯤 *낮고*, 0과 구별되지 않습니다. 일곱 기법을 한꺼번에, 에폭까지 세 배로 쓴 것도 평범한 학습보다 1점 낮고, 이것도 0과 구별되지 않아요. 이 많은 막대 가운데 0을 벗어난 것은 하나도 없습니다.
#
# 그리고 점들이 얼마나 흩어져 있는지 보세요. 폴드 하나로는 어느 쪽이든 거의 아무 주장이나 보여 줄 수 있습니다. 한 번 해 보고 마음에 들어서 적은 사람은 점 하나를 발표한 것입니다.
#
# 실험이 알려 주는 것이 두 가지 더 있습니다. 먼저, 고를 에폭이 더 많을 때의 부풀림입니다.

# %%
flattery = 100 * (wide["f1_flattered"] - wide["f1"])
kl.plots.bars(flattery.groupby("variant", sort=False).mean(), digits=1, xlabel="points of macro-F1",
              title="What choosing the epoch on the reported fold would have added")

# %% [markdown] tags=["en"]
# As far as the guide says, it stops early, and keeps an epoch, by the score of the very fold that it reports. A bar like these has to be taken off before such figures are compared with anybody's.
#
# ## How sure, and how right?
#
# The second is about probabilities. A model that says *joy, 90 %* should be right nine times in ten. Then it is **calibrated** (보정된). Sort the 1,500 texts into bins by the probability of the chosen class, the *confidence*
# (확신도), and see how many of each bin are right:

# %% [markdown] tags=["ko"]
# 안내서에 적힌 대로라면, 그 실험은 보고할 바로 그 폴드의 점수를 보고 일찍 멈추고 에폭을 골랐습니다. 그런 숫자를 다른 것과 견주려면 먼저 이런 막대만큼을 빼야 해요.
#
# ## 얼마나 확신하고, 얼마나 맞나
#
# 두 번째는 확률에 관한 것입니다. 모델이 *기쁨, 90 %*라고 한다면 열 번 가운데 아홉 번은 맞아야 합니다. 그럴 때 모델이 **보정되었다**(calibrated)고 합니다. 글 1,500건을, 고른 클래스의 확률인 *확신도*(confidence)에 따라
# 칸으로 나누고 칸마다 몇이나 맞았는지 봅시다.

# %%
before = softmax(chosen["plain"], axis=1)
temperatures, after = [], np.zeros_like(before)
for number, (part, watch) in enumerate(zip(parts, runs["plain"][1])):
    epoch = per_fold.loc[("plain", number), "epoch"] - 1
    temperature = calibration.fit_temperature(watch.inner[epoch], watch.truth)    # on the part that chose the epoch, not on the fold
    after[part] = softmax(chosen["plain"][part] / temperature, axis=1)
    temperatures.append(temperature)

figure, (left, right) = kl.plots.new(2, width=9.4, height=4.2)
calibration.draw({"as trained": calibration.reliability(before, labels), "with a temperature": calibration.reliability(after, labels)}, ax=left, title="All folds, each text held out")
right.hist([before.max(1), after.max(1)], bins=20, color=kl.plots.PALETTE[:2], label=["as trained", "with a temperature"])
right.set(xlabel="confidence", ylabel="texts", title="How sure it is")
right.legend(fontsize=9)
print("temperatures of the folds:", ", ".join(f"{t:.2f}" for t in temperatures))
figure

# %% [markdown] tags=["en"]
# Below the dashed line the model is surer than it is right, above it less sure. The mean distance, each bin weighted by its texts, is the **expected calibration error** (기대 보정 오차, ECE).
#
# The cure is a single number, the **temperature** (온도; Guo et al., 2017): divide all logits by T before the softmax. T above 1 makes every probability more modest, T below 1 bolder. The largest logit stays the largest, so no answer changes, and no F1.
# T is fitted by likelihood, on texts that were not trained on; here on each fold's inner part, an eighth of its training texts.

# %% [markdown] tags=["ko"]
# 점선 아래는 맞는 것보다 더 자신만만하고, 위는 덜 자신합니다. 점선까지의 거리를 칸마다 글 수로 가중해 평균 낸 것이 **기대 보정 오차**(expected calibration error, ECE)입니다.
#
# 처방은 숫자 하나, **온도**(temperature; Guo 외, 2017)입니다. 소프트맥스 전에 모든 로짓을 T로 나눕니다. T가 1보다 크면 확률이 모두 겸손해지고, 1보다 작으면 대담해져요. 가장 큰 로짓은 그대로 가장 크니 답도 F1도 달라지지 않습니다. T는 학습에 쓰지
# 않은 글에서 가능도(likelihood)로 맞춥니다. 여기서는 폴드마다 떼어 둔, 학습용의 8분의 1에서 맞췄어요.

# %% [markdown] tags=["en"]
# ### Exercise 9.3 · One number for all probabilities
# ●●●○○ · 12 minutes
#
# Write `temperature(logits, labels)`: tensors (texts, classes) and (texts,) in; the T above 0 with the smallest negative log-likelihood (음의 로그 가능도, which is the cross-entropy) of `softmax(logits / T)` out. The model may be too sure *or* too unsure. Leave
# the search to a library's optimiser.
# Stuck? `kl.hint("9.3")`, up to three times.

# %% [markdown] tags=["ko"]
# ### 연습 9.3 · 모든 확률을 위한 숫자 하나
# ●●●○○ · 12분
#
# `temperature(logits, labels)`를 작성하세요. 텐서 (글, 클래스)와 (글,)을 받아, `softmax(logits / T)`의 음의 로그 가능도(negative log-likelihood, 곧 교차 엔트로피)가 가장 작은 0보다 큰 T를 돌려줍니다. 모델은 지나치게 자신만만할 수도,
# *지나치게 소심할* 수도 있습니다. 찾는 일은 라이브러리의 최적화 함수에 맡기세요.
# 막히면 `kl.hint("9.3")`을 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def temperature(logits, labels):
    ...

# %% tags=["solution"]
def temperature(logits, labels):
    from scipy.optimize import minimize_scalar

    def loss(log_t):                                                         # over log T: T stays above 0
        return F.cross_entropy(logits / math.exp(log_t), labels).item()
    return math.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x)

# %% tags=["check"]
kl.check("9.3", temperature)

# %% [markdown] tags=["en"]
# Weights have a price here as well. A model that was trained as if all emotions were equally frequent gives probabilities for a world in which they are. Compare its mean probabilities with the true shares. The repair is as simple: take the weights off again,
# by subtracting their logarithm from the logits (Elkan, 2001; Menon et al., 2021).

# %% [markdown] tags=["ko"]
# 가중치는 여기서도 값을 치릅니다. 모든 감정이 똑같이 흔한 것처럼 학습한 모델은, 그런 세상의 확률을 내놓거든요. 확률의 평균을 실제 비율과 견주어 보세요. 고치는 법도 간단합니다. 로짓에서 가중치의 로그를 빼서 가중치를 도로
# 벗기면 됩니다(Elkan, 2001; Menon 외, 2021).

# %%
bare = chosen["weights"] - np.log(weights)
means = {"true share": counts / len(labels), "plain": before.mean(0), "weights": softmax(chosen["weights"], axis=1).mean(0), "weights, taken off again": softmax(bare, axis=1).mean(0)}
pd.DataFrame(means, index=names).style.format("{:.1%}").set_caption("mean probability of each emotion")

# %%
kinds = {"plain": chosen["plain"], "plain, with a temperature": np.log(np.clip(after, 1e-12, 1)), "weights": chosen["weights"], "weights, taken off again": bare}
quality = pd.DataFrame({name: {"macro-F1": f1_of(logits, slice(None)), "negative log-likelihood": calibration.nll(logits, labels),
                               "ECE": calibration.ece(softmax(logits, axis=1), labels)} for name, logits in kinds.items()}).T
quality.style.format("{:.3f}")

# %%
if study is not None:
    print("recorded study, mean over folds and seeds:")
    display(wide.groupby("variant", sort=False)[["ece", "ece_scaled", "temperature"]].mean().style.format("{:.3f}"))

# %% [markdown] tags=["en"]
# First the live folds. The temperature has brought the calibration error down by nearly half, and no F1 moved. Taking the weights off brings the mean probabilities of anxiety and neutral back near their true shares, and the likelihood gains; ECE, which knows the chosen class alone, shows nothing of that.
#
# In the recorded table look at *smoothing*. It trains the model to give no answer more than 0.92 with five classes (ε = 0.1 puts 0.02 on each class and the rest on the true one; not 0.025 and 0.9, as the guide writes). The guide's claim of better probabilities holds: after five epochs the plain model is far too sure of itself, and smoothing takes
# four tenths of its calibration error (*ece*) away. But look one column further, at *ece_scaled*: a temperature, fitted afterwards, does more for the plain model than smoothing did, without touching the training, and beside a temperature the smoothing hardly adds anything. ε is chosen beforehand; a temperature is fitted to how sure the model has
# really become.
#
# ## How many runs for two points?
#
# Now the question behind every table of this kind. You have two settings; one is two points better. Is it? What counts is the scatter of the *differences* between paired runs: same fold, same seed. First the two live variants, fold by fold:

# %% [markdown] tags=["ko"]
# 먼저 위에서 돌린 폴드입니다. 온도는 보정 오차를 절반 가까이 줄였고, F1은 하나도 움직이지 않았어요. 가중치를 도로 벗기면 불안과 중립의 평균 확률이 실제 비율 가까이 돌아오고 가능도도 좋아집니다. 고른 클래스만 보는 ECE에는 그것이 나타나지 않아요.
#
# 기록된 표에서 *smoothing*을 보세요. 클래스가 다섯이면 어떤 답에도 0.92보다 큰 확률을 주지 않도록 학습시킵니다(ε = 0.1이면 클래스마다 0.02씩, 나머지는 모두 정답에 줍니다. 안내서에 적힌 0.025와 0.9가 아니에요). 확률이 좋아진다는 안내서의 주장은 맞습니다. 다섯 에폭을 학습한 plain 모델은 지나치게 자신만만한데, 스무딩은
# 그 보정 오차(*ece*)를 4할쯤 줄여 줍니다. 그런데 한 열 옆의 *ece_scaled*를 보세요. 학습이 끝난 뒤에 맞춘 온도 하나가, 학습은 건드리지도 않고 plain 모델에 스무딩보다 더 많은 일을 해 줍니다. 온도까지 맞추고 나면 스무딩이 보태는 것은 거의 없어요. ε은 미리 정하지만, 온도는 모델이 실제로 얼마나 자신만만해졌는지에 맞추어
# 정합니다.
#
# ## 2점을 말하려면 몇 번 돌려야 할까
#
# 이제 이런 표 뒤에 늘 숨어 있는 질문입니다. 설정이 둘 있는데 하나가 2점 높습니다. 정말일까요? 중요한 것은 짝지은 실행 사이의 *차이*가 얼마나 흩어지는가입니다. 폴드도 시드도 같은 것끼리 짝을 짓습니다. 먼저 위에서 돌린 두
# 변형을 폴드별로 봅시다.

# %%
live = 100 * per_fold["macro-F1"].unstack("variant")
difference = live["weights"] - live["plain"]
figure, ax = kl.plots.new(width=6.4, height=3.2)
for fold, row in live.iterrows():
    ax.plot(["plain", "weights"], [row["plain"], row["weights"]], "o-", color=kl.plots.BLUE, alpha=0.6)
ax.set(ylabel="macro-F1, points", title=f"{K} folds: sd of the scores {live.stack().std():.1f}, of the differences {difference.std():.1f}")
ax.margins(x=0.4)
figure

# %%
careless, careful = power.paired(difference), power.paired(difference, folds=K)
print(f"weights - plain: {careless.mean:+.1f} points; 95 % interval {careless.low:+.1f} to {careless.high:+.1f} if the folds were independent, "
      f"{careful.low:+.1f} to {careful.high:+.1f} since they are not")

# %% [markdown] tags=["en"]
# Two warnings in one line. A t interval of five differences is wide. And it should be wider still: any two of the five models share three quarters of their training texts, so their luck is partly the same luck. Nadeau and Bengio (2003) replace 1/n by 1/n + 1/(k−1) in
# the variance. That is what the bars of the large figure were drawn with. More *seeds* of the folds shorten the first part only.
#
# ### Predict before you run
# Take the scatter that was measured here, for runs that are independent of one another, and a true difference of two points. How many pairs of runs does it take to find it four times in five (a *power*, 검정력, of 80 %)?

# %% [markdown] tags=["ko"]
# 한 줄에 경고가 둘 들어 있습니다. 차이 다섯 개로 만든 t 구간은 넓습니다. 그런데 더 넓어야 해요. 다섯 모델 가운데 어느 둘도 학습용 글의 4분의 3을 함께 쓰니, 운도 얼마쯤은 같은 운입니다. Nadeau와 Bengio(2003)는 분산의 1/n을
# 1/n + 1/(k−1)로 바꿉니다. 위의 큰 그림에 있는 막대도 그렇게 그린 것이에요. 폴드의 *시드*를 늘려도 줄어드는 것은 앞의 항뿐입니다.
#
# ### 실행하기 전에 예상해 보세요
# 여기서 잰 흩어짐을 서로 독립인 실행의 것으로 치고, 진짜 차이가 2점이라고 합시다. 다섯 번에 네 번은 그 차이를 찾아내려면(*검정력*(power) 80 %) 짝지은 실행이 몇 쌍 필요할까요?

# %%
guess = kl.predict("9.d", {"3": 3, "8": 8, "15": 15, "30": 30, "60": 60})

# %%
spread = max(float(gaps["weights"]["macro"].std(ddof=1)), 0.3)                   # of the recorded study where there is one
needed = power.runs_needed(2.0, spread)
kl.reveal(guess, needed, unit=" pairs", text=f"sd of the paired differences: {spread:.1f} points, from {len(gaps['weights'])} pairs")

# %%
pairs = np.unique(np.round(np.geomspace(2, 200, 60)).astype(int))
figure, (left, right) = kl.plots.new(2, width=9.6)
kl.plots.lines({f"{points} point{'s' * (points > 1)}": [power.power_of(int(n), points, spread) for n in pairs] for points in (1, 2, 5)}, x=pairs, xlabel="pairs of runs", ylabel="power", ax=left,
               title=f"How likely a true difference is found (sd {spread:.1f})")
left.set_xscale("log")
left.set_xticks([2, 5, 10, 20, 50, 100, 200], ["2", "5", "10", "20", "50", "100", "200"])
left.minorticks_off()
left.axhline(0.8, color=kl.plots.GREY, linestyle="--", linewidth=1)
points = np.linspace(0.75, 6, 40)
unpaired = float(np.hypot(*(100 * wide.xs(v)["f1"].std(ddof=1) for v in ("plain", "weights")))) or spread
kl.plots.lines({"paired: same fold, same seed": [power.runs_needed(p, spread) for p in points], "unpaired": [power.runs_needed(p, max(unpaired, 0.3)) for p in points]}, x=points,
               xlabel="true difference, points", ylabel="runs of each setting", ax=right, title="Runs for a power of 80 %")
right.set_yscale("log")
right.set_yticks([2, 5, 10, 20, 50, 100, 200, 500, 1000], ["2", "5", "10", "20", "50", "100", "200", "500", "1,000"])
right.minorticks_off()
figure

# %% [markdown] tags=["en"]
# Left: what you may hope for. Half the difference takes four times as many runs, since the scatter of a mean shrinks with the root of their number. Right: what pairing is worth. Give both settings the same folds and seeds, and what they share cancels out, here the difficulty of a fold; compare one author's
# run with another's, and nothing cancels. The gap between the two curves is as large as the share that the runs have in common.
#
# So, a published *+2 points* from one run each: at this scatter it is little better than a coin toss. That does not make it false. It makes it unknown.
#
# ### Exercise 9.4 · How many runs?
# ●●●●○ · 15 minutes
#
# Write `runs_needed(difference, sd, power=0.8, level=0.05)`: the smallest number of paired runs, at least 2, in which a two-sided paired t-test (양측 대응표본 t 검정) at this level finds a true difference with at least this power. `sd` is that of the
# differences.
# Stuck? `kl.hint("9.4")`, up to three times.

# %% [markdown] tags=["ko"]
# 왼쪽은 무엇을 기대할 수 있는지입니다. 차이가 절반이면 실행은 네 배 필요해요. 평균의 흩어짐은 횟수의 제곱근으로만 줄어들거든요. 오른쪽은 짝짓기의 값입니다. 두 설정에 같은 폴드와 시드를 주면 함께 겪는 것, 여기서는 폴드의 난이도가 지워집니다. 어떤 사람의 실행을 다른 사람의 실행과
# 견주면 아무것도 지워지지 않아요. 두 실행에 공통된 몫이 클수록 두 곡선의 사이가 벌어집니다.
#
# 그러니 한 번씩 돌려 보고 적은 *+2점*은, 이만큼 흩어진다면 동전 던지기나 다름없습니다. 거짓이라는 말이 아니라, 모른다는 말이에요.
#
# ### 연습 9.4 · 몇 번 돌려야 할까
# ●●●●○ · 15분
#
# `runs_needed(difference, sd, power=0.8, level=0.05)`를 작성하세요. 이 유의 수준의 양측 대응표본 t 검정(two-sided paired t-test)이 진짜 차이를 적어도 이 검정력으로 찾아내는, 가장 적은 실행 쌍의 수(2 이상)를 돌려줍니다. `sd`는 차이의
# 표준편차입니다.
# 막히면 `kl.hint("9.4")`를 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def runs_needed(difference, sd, power=0.8, level=0.05):
    ...

# %% tags=["solution"]
def runs_needed(difference, sd, power=0.8, level=0.05):
    from scipy import stats

    runs = 2
    while True:
        limit = stats.t.ppf(1 - level / 2, runs - 1)                         # two-sided: half the level on either side
        shift = abs(difference) / sd * math.sqrt(runs)
        if stats.nct.sf(limit, runs - 1, shift) >= power:                    # t's distribution if the difference is real
            return runs
        runs += 1

# %% tags=["check"]
kl.check("9.4", runs_needed)

# %% [markdown] tags=["en"]
# ## Two sentences to look at in passing
#
# The same guide says two more things that one can look up. Its '4 threads' that load the data are processes: lesson 2 has asked them for their process ids. And gradient accumulation is to have a 'batch-norm effect'. Is there anything in the model that
# could have one?

# %% [markdown] tags=["ko"]
# ## 지나는 길에 확인해 볼 두 문장
#
# 같은 안내서에는 찾아보면 바로 알 수 있는 말이 두 개 더 있습니다. 데이터를 읽는 '4개 스레드'는 프로세스예요. 2강에서 프로세스 번호를 물어보았죠. 그리고 그래디언트 누적에는 '배치 노멀라이제이션 효과'가 있다고 합니다. 모델 안에 그런 효과를 낼 것이 있기는
# 할까요?

# %%
kinds = Counter(type(module).__name__ for module in encoder.modules())
print({name: kinds[name] for name in ("LayerNorm", "BatchNorm1d", "BatchNorm2d")})
encoder.eval()
with torch.no_grad():
    alone = encoder(**tokenizer([texts[0]], return_tensors="pt")).last_hidden_state[0]
    company = encoder(**tokenizer(list(texts[:16]), padding=True, return_tensors="pt")).last_hidden_state[0, :len(alone)]
print(f"the same text, alone and among fifteen others: largest difference {float((alone - company).abs().max()):.0e}")

# %% [markdown] tags=["en"]
# LayerNorm normalises each token by itself; who else is in the batch makes no difference beyond rounding. And where there is BatchNorm, accumulation does not have the effect either: each micro-batch is normalised by its own statistics.
#
# ## The guide's study, from the command line
#
# The seven techniques are one recipe. *plain* has none of them, *all* has all seven:

# %% [markdown] tags=["ko"]
# LayerNorm은 토큰 하나를 그 자신의 값만으로 정규화합니다. 배치에 누가 함께 있든 반올림 오차 말고는 달라지는 것이 없어요. BatchNorm이 있는 모델이라 해도 누적에는 그런 효과가 없습니다. 마이크로배치마다 자기 통계로 정규화하니까요.
#
# ## 명령 한 줄로 안내서의 실험을
#
# 일곱 기법은 레시피 하나에 들어 있습니다. *plain*은 하나도 켜지 않은 것, *all*은 일곱 가지를 모두 켠 것입니다.

# %%
from kolab.recipe_file import parse_recipe

recipe, _ = parse_recipe(["--config", "emotions_kfold.yaml"])
without = kfold.varied(recipe, "plain")
pd.DataFrame([{"technique": name, "field": f"--{part}.{field}", "plain": str(getattr(getattr(without, part), field)), "all": str(getattr(getattr(recipe, part), field))}
              for name, (part, field, _) in kfold.TECHNIQUES.items()]).style.hide(axis="index").set_properties(**{"text-align": "left"})

# %% [markdown] tags=["en"]
# ```
# kolab train --config emotions_kfold.yaml                                                          # five folds with plain, five with all: minutes
# kolab train --config emotions_kfold.yaml --study.variants "[plain, weights, smoothing, weights+smoothing]"   # one or two at a time
# kolab train --config emotions_kfold.yaml --model.encoder monologg/kobert --train.lr 2e-5          # the guide's encoder: a GPU and a network
# ```
#
# Its report has a row a fold, with the epoch that was kept and the epoch at which early stopping ended the training, macro-F1, the F1 of each emotion, and the calibration error before and after a temperature; below them stand the paired differences with their intervals.
#
# ## Take-aways
#
# - Ask of every F1 how it was averaged. Weighted F1 forgives a class that is never predicted, the more so the rarer it is.
# - Balanced weights are n / (C · n_c): every class the same in all, the average text 1. One division shows whether printed ones can be right.
# - First cut, then copy, weight, fit. Copies made before the folds are worth twenty points of nothing.
# - Three parts in every fold: one trains, one chooses, one reports.
# - Weights and resampling trade precision for recall, and bend the probabilities. Know which of these you want. Over folds and seeds, F1 had nothing from them here that could be told from luck.
# - A temperature mends how sure a model is, and changes no answer.
# - Pair the runs, count the pairs, give the interval. At a scatter of a few points, *+2* takes many more than one.
#
# ## Where to go next
#
# Lesson 10 lets a text carry several labels at once: there every class has a threshold of its own to be fitted, and to be fooled by. `kolab/studies/kfold.py` is the study, `kolab/power.py` exercise 9.4 grown up. `kl.progress()` shows what you have done so far.

# %% [markdown] tags=["ko"]
# ```
# kolab train --config emotions_kfold.yaml                                                          # plain으로 다섯 폴드, all로 다섯 폴드: 몇 분
# kolab train --config emotions_kfold.yaml --study.variants "[plain, weights, smoothing, weights+smoothing]"   # 한두 가지씩만 켜서
# kolab train --config emotions_kfold.yaml --model.encoder monologg/kobert --train.lr 2e-5          # 안내서의 인코더: GPU와 네트워크 필요
# ```
#
# 보고서에는 폴드마다 한 줄씩, 남긴 에폭과 조기 종료로 멈춘 에폭, 매크로 F1, 감정별 F1, 온도를 맞추기 전과 후의 보정 오차가 나옵니다. 그 아래에는 짝지은 차이와 구간이 있어요.
#
# ## 정리
#
# - F1을 보면 어떻게 평균 냈는지 물으세요. 가중 F1은 한 번도 예측하지 않은 클래스를 눈감아 줍니다. 드문 클래스일수록 더요.
# - balanced 가중치는 n / (C · n_c)입니다. 클래스마다 합친 무게가 같고, 글 하나의 무게는 평균 1이에요. 적힌 가중치가 맞을 수 있는지는 나눗셈 한 번이면 압니다.
# - 먼저 자르고, 그다음에 복사하고 가중치를 주고 맞춥니다. 폴드보다 먼저 만든 복사본은 속이 빈 스무 점을 줍니다.
# - 폴드마다 세 부분이 필요합니다. 배우는 쪽, 고르는 쪽, 보고하는 쪽.
# - 가중치와 재표집은 정밀도를 내주고 재현율을 얻으며, 확률을 왜곡합니다. 어느 쪽을 원하는지 알고 쓰세요. 폴드와 시드를 바꿔 가며 재 보니, F1에서는 운과 구별할 만한 것을 얻지 못했습니다.
# - 온도는 모델이 얼마나 확신하는지를 고치고, 답은 하나도 바꾸지 않습니다.
# - 짝을 지어 돌리고, 몇 쌍인지 세고, 구간을 적으세요. 몇 점씩 흩어진다면 *+2점*에는 한 번보다 훨씬 많이 필요합니다.
#
# ## 다음으로
#
# 10강에서는 글 하나에 라벨이 여럿 붙습니다. 클래스마다 임곗값을 따로 맞춰야 하고, 거기에 속을 수도 있어요. 위의 실험이 `kolab/studies/kfold.py`이고, 연습 9.4를 다듬은 것이 `kolab/power.py`입니다. `kl.progress()`로 지금까지 한 것을 볼 수 있어요.
