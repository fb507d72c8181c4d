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
# # 11. Ensemble
#
# *Three encoders, averaged, weighted and given thresholds of their own: a published study reports seven points for it. You will build all of
# it, lock the test set away so that it opens once, and then find out how much of the gain is left.*
#
# | you will be able to | time | you need |
# |---|---|---|
# | train several models one after the other and free the memory in between, and say what `del` does not free | 100 min | lessons 4 and 10 |
# | average probabilities or logits, and fit weights on the simplex | | CPU is enough |
# | guard a test set in code, and measure what happens without a guard | | |
# | put an interval around a *difference*, and tell a gain from luck | | |

# %% [markdown] tags=["ko"]
# # 11. 앙상블
#
# *인코더 셋의 답을 평균 내고, 가중치를 주고, 임곗값까지 따로 맞춥니다. 어느 공개된 연구는 그렇게 해서 7점이 올랐다고 합니다. 그 전부를 직접 만들어 보고, 시험 세트는 한 번만 열리도록 잠가 두었다가,
# 오른 점수가 얼마나 남는지 알아봅시다.*
#
# | 할 수 있게 되는 것 | 시간 | 준비물 |
# |---|---|---|
# | 모델 여럿을 차례로 학습시키면서 사이사이 메모리를 비우고, `del`로는 무엇이 안 비워지는지 말하기 | 100분 | 4강, 10강 |
# | 확률이나 로짓을 평균 내고, 심플렉스 위에서 가중치 맞추기 | | CPU면 충분 |
# | 시험 세트를 코드로 지키고, 지키지 않으면 어떻게 되는지 재기 | | |
# | *차이*에 구간을 붙이고, 실력으로 오른 것과 운으로 오른 것을 가려내기 | | |

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
import gc, math
import numpy as np, pandas as pd, torch
import torch.nn.functional as F
from kolab import ensemble
from kolab.decide import apply_thresholds, cross_fit, fit_thresholds
from kolab.metrics import macro_f1
from kolab.studies.encoders import described, encoder_of
from kolab.train import predict

SEED, LR, EPOCHS, SPLIT = 0, 4e-4, kl.pick(full=4, quick=1), 11
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

aspects = dict(kl.multilabel.load("aspects", seed=SPLIT))     # another corpus: "unsmile", after `kolab fetch unsmile`
names = kl.multilabel.label_names(aspects)
ROWS = {"train": kl.pick(full=2400, quick=160), "validation": kl.pick(full=440, quick=160), "test": kl.pick(full=440, quick=160)}
aspects = {split: part.select(range(min(len(part), ROWS[split]))) for split, part in aspects.items()}
print(f"{len(names)} labels:", ", ".join(names))

# %% [markdown] tags=["en"]
# The task is that of lesson 10: which aspects does a review speak of? One review may carry several labels, or none; each label is a yes-or-no question of its own. But lesson 10 has opened its test reviews already, and what
# you remember of their score would have a say in what you try here. So the reviews are split anew (`SPLIT`).
#
# Before anything else, the labels of the test reviews go into a safe. `SealedTest` keeps them and hands them out once. From the next cell on
# nothing in this notebook looks at them. Python hides nothing from somebody who means to cheat; the safe guards you against yourself. What it looks like inside, you will write further down.

# %% [markdown] tags=["ko"]
# 과제는 10강과 같습니다. 리뷰가 어떤 측면(aspect)을 이야기하는가? 한 리뷰에 라벨이 여러 개일 수도, 하나도 없을 수도 있고, 라벨 하나하나가 따로 묻는 예/아니요 질문입니다. 그런데 10강에서 시험용 리뷰를 이미 열어
# 봤으니, 기억에 남은 그 점수가 여기서 무엇을 해 볼지에 끼어들 수 있어요. 그래서 리뷰를 새로 나눕니다(`SPLIT`).
#
# 무엇보다 먼저, 시험용 리뷰의 라벨을 금고에 넣습니다. `SealedTest`가 맡아 두었다가 딱 한 번 내줍니다. 다음 셀부터 이 노트북은 그 라벨을 보지 않습니다. 작정하고 속이려는 사람 앞에서 파이썬은 아무것도 숨겨 주지
# 못해요. 금고는 스스로에게서 스스로를 지키는 장치입니다. 안이 어떻게 생겼는지는 뒤에서 직접 써 볼 겁니다.

# %%
sealed = ensemble.SealedTest(aspects["test"]["text"][:], aspects["test"]["labels"][:])
aspects["test"] = aspects["test"].remove_columns("labels")
truth = np.array(aspects["validation"]["labels"][:]).astype(int)          # (reviews, labels): these may be used freely
print(sealed, "| columns that are left:", aspects["test"].column_names)

# %% [markdown] tags=["en"]
# ## Why three should know more than one
#
# Three models answer yes-or-no questions, and each is right four times out of five. Their errors have nothing to do with one another. Let the
# majority decide.
#
# ### Predict before you run
# How often is the majority right?

# %% [markdown] tags=["ko"]
# ## 셋이 왜 하나보다 나을까
#
# 모델 셋이 예/아니요 질문에 답하는데, 저마다 다섯 번에 네 번 맞힙니다. 서로의 실수는 아무 관계도 없습니다. 다수결로 정해 봅시다.
#
# ### 실행하기 전에 예상해 보세요
# 다수결은 얼마나 자주 맞을까요?

# %%
guess = kl.predict("11.a", {"80 %, like each of them": 0.80, "83 %": 0.83, "90 %": 0.90, "99 %": 0.99})

# %%
def majority(models, alike, right=0.8):
    """How often the majority of `models` is right, if on a share `alike` of the questions all give one and the same answer."""
    votes = sum(math.comb(models, k) * right**k * (1 - right) ** (models - k) for k in range(models // 2 + 1, models + 1))
    return alike * right + (1 - alike) * votes

kl.reveal(guess, majority(3, alike=0.0), text="all three right, or any two of them: 0.8³ + 3 · 0.8² · 0.2")

# %%
share = np.linspace(0, 1, 11)
kl.plots.lines({f"{count} models" if count > 1 else "one model": [majority(count, s) for s in share] for count in (1, 3, 9)}, x=share, ylabel="majority right",
               xlabel="share of questions on which all answer alike", title="What voting is worth depends on how alike the voters are")

# %% [markdown] tags=["en"]
# Voting (and averaging, its soft form) removes the errors that the models do *not* share. At the right end, where all make the same mistakes, nine models are worth as much as one. So an ensemble
# (앙상블) has one question before all others: **how different are its members' errors?** Good members that err alike are a waste of memory.

# %% [markdown] tags=["ko"]
# 투표(그리고 투표를 부드럽게 한 평균)가 없애 주는 것은 모델이 저마다 *따로* 저지르는 실수입니다. 오른쪽 끝처럼 모두가 같은 데서 틀리면 아홉이나 하나나 똑같아요. 그러니 앙상블(ensemble)을 하려면 먼저 이것부터 물어야
# 합니다. **모델들의 실수가 서로 얼마나 다른가?** 아무리 잘해도 다 같이 틀리는 모델을 모아 봐야 메모리만 낭비됩니다.

# %% [markdown] tags=["en"]
# ## Three encoders
#
# The published study took three base-size encoders by three teams: KcELECTRA, SoongsilBERT, RoBERTa. Here are three that a laptop trains in a minute or two. What differs between them, said plainly:
#
# - **kolab-mini** whole: six layers, pre-trained on film reviews.
# - **kolab-mini[:3]**, its first three layers. Same tokenizer, same pre-training, half the depth: a sibling, so expect it to err where the first errs.
# - **modernbert-small**: another architecture, *random weights*. It has never read a word of Korean before these reviews. Different in everything, and surely worse.
#
# That is less variety than the study's three had, and the weakest is far weaker. Whether it helps nevertheless is the question.

# %% [markdown] tags=["ko"]
# ## 인코더 셋
#
# 공개된 연구는 세 곳에서 만든 base 크기 인코더 셋을 썼습니다. KcELECTRA, SoongsilBERT, RoBERTa. 여기서는 노트북 컴퓨터로 1~2분이면 학습이 끝나는 셋을 씁니다. 무엇이 다른지 솔직하게 적으면 이렇습니다.
#
# - **kolab-mini** 전체: 여섯 층, 영화 리뷰로 사전 학습.
# - **kolab-mini[:3]**: 그 앞쪽 세 층. 토크나이저도 사전 학습도 같고 깊이만 절반입니다. 형제인 셈이니 비슷한 데서 틀릴 거예요.
# - **modernbert-small**: 구조부터 다르고 가중치는 *무작위*입니다. 이 리뷰들을 보기 전에는 한국어를 한 글자도 읽은 적이 없어요. 하나부터 열까지 다르고, 분명 더 못할 겁니다.
#
# 연구에서 쓴 셋보다 덜 다양하고, 가장 약한 것은 훨씬 더 약합니다. 그래도 도움이 되는지 알아봅시다.

# %% [markdown] tags=["en"]
# ## One after the other: what stays alive
#
# Three models do not fit side by side where one just fits. So one is trained, its answers are kept, and it has to go before the next one comes. Usually that is written as `del model`. Let
# us watch the memory: `alive` adds up all tensors that Python can still reach.

# %% [markdown] tags=["ko"]
# ## 하나씩 차례로: 무엇이 살아남나
#
# 하나가 겨우 들어가는 곳에 셋을 나란히 둘 수는 없습니다. 그래서 하나를 학습시켜 답을 받아 두고, 그것을 치운 다음 다음 것을 부릅니다. 보통은 `del model`이라고 쓰죠. 메모리를 지켜봅시다. `alive`는 아직 누군가
# 가리키고 있는 텐서를 모두 더합니다.

# %%
def alive():
    """MiB of all tensors that something still refers to; memory that two of them share counts once."""
    blocks = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), torch.Tensor):
            memory = thing.untyped_storage()
            blocks[memory.data_ptr()] = memory.nbytes()
    return sum(blocks.values()) / 2**20

# %% [markdown] tags=["en"]
# ### Predict before you run
# A model has been trained by hand for one step, and its logits on a batch were computed once more. Then come `del model` and `gc.collect()`. Which part of the memory is free?

# %% [markdown] tags=["ko"]
# ### 실행하기 전에 예상해 보세요
# 모델 하나를 직접 쓴 코드로 한 걸음 학습시키고, 배치 하나의 로짓을 한 번 더 계산했습니다. 그러고 나서 `del model`, `gc.collect()`를 부릅니다. 메모리는 얼마나 비었을까요?

# %%
guess = kl.predict("11.b", {"nothing": 0.0, "the weights, a quarter": 0.25, "about a half": 0.5, "nearly everything": 0.97})

# %%
begin, steps = alive(), {}

encoder, tokenizer = kl.load_encoder("kolab-mini")
model = kl.Classifier.build(encoder, names, multi_label=True, seed=SEED).to(device).train()
steps["the model"] = alive()
optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
batch = next(iter(kl.make_loaders({"train": aspects["train"].select(range(8))}, tokenizer, batch_size=8).train))
batch = {key: value.to(device) for key, value in batch.items()}
F.binary_cross_entropy_with_logits(model(batch["input_ids"], batch["attention_mask"]).logits, batch["labels"]).backward()
optimizer.step()
steps["one step of training"] = alive()
logits = model(batch["input_ids"], batch["attention_mask"]).logits
steps["logits, once more"] = alive()
del model
steps["del model"] = alive()
gc.collect()
steps["gc.collect()"] = alive()
del encoder
steps["del encoder"] = alive()
del optimizer
steps["del optimizer"] = alive()
del logits
steps["del logits"] = alive()

held = pd.Series(steps) - begin
kl.reveal(guess, 1 - held["gc.collect()"] / held["logits, once more"])

# %%
kl.plots.bars(held, title="MiB of tensors alive after each line", xlabel="MiB", digits=0, highlight=["del model", "gc.collect()"])

# %% [markdown] tags=["en"]
# Nothing. `del` removes a *name*, and other names still lead to the same tensors. `encoder` is the larger part of the model. The optimizer knows every weight it moves, with its
# gradient, and has two numbers of its own for each (lesson 7: four times the weights). And `logits` has a graph behind it, which leads back to the weights too: it alone
# would keep the model in memory. `gc.collect()` did not help either: it finds what nobody refers to except itself, and here somebody does.
#
# So the well-known three lines `del model; gc.collect(); torch.cuda.empty_cache()` free nothing while a single one of these names is left. The same holds for a list of models, for a
# history that knows its trainer, for the traceback of an error in an earlier cell, and in a notebook for the last value shown (`_`).
#
# The cure is not a longer list of `del`. **Do the work in a function.** When it returns, all its names are gone at once, and only what you return is left. Let that be plain numbers.

# %% [markdown] tags=["ko"]
# 하나도 비지 않았습니다. `del`은 *이름*을 지울 뿐이고, 다른 이름들이 여전히 같은 텐서에 닿아 있어요. `encoder`는 모델의 대부분입니다. 옵티마이저는 자기가 움직이는 가중치를 그래디언트까지 모두 알고, 가중치마다 숫자 두 개씩을
# 따로 들고 있습니다(7강: 가중치의 네 배). 그리고 `logits` 뒤에는 그래프가 달려 있고, 그 그래프도 가중치로 이어집니다. 그것 하나만으로도 모델이 메모리에 남아요. `gc.collect()`도 소용없었습니다. 그것이 찾는 것은 자기
# 말고는 아무도 가리키지 않는 것인데, 여기서는 누군가 가리키고 있으니까요.
#
# 그래서 널리 알려진 세 줄 `del model; gc.collect(); torch.cuda.empty_cache()`는 이런 이름이 하나라도 남아 있으면 아무것도 비우지 못합니다. 모델을 담은 리스트, 트레이너를 아는 history, 앞 셀에서 난 오류의 traceback, 노트북이라면
# 마지막으로 보여 준 값(`_`)도 마찬가지예요.
#
# 처방은 `del`을 더 길게 늘어놓는 것이 아닙니다. **함수 안에서 일하세요.** 함수가 끝나면 그 안의 이름이 한꺼번에 사라지고 돌려준 것만 남습니다. 돌려주는 것은 평범한 숫자로 하세요.

# %% tags=["gpu"]
if torch.cuda.is_available():
    torch.cuda.empty_cache()
    held, block = {}, torch.zeros(256, 2**20, device="cuda")            # 1 GiB
    note = lambda line: held.update({line: {"allocated": torch.cuda.memory_allocated() / 2**20, "reserved": torch.cuda.memory_reserved() / 2**20}})
    note("a tensor of 1 GiB")
    del block
    note("del block")
    torch.cuda.empty_cache()
    note("torch.cuda.empty_cache()")
    print(pd.DataFrame(held).T.round().astype(int).to_string())
else:
    print("No CUDA here. On a GPU this cell shows two numbers: what tensors hold, and what torch has reserved. `del` lowers the first;")
    print("empty_cache() then lowers the second. It can only hand back what no tensor holds, so it never frees a model that is still known.")

# %% [markdown] tags=["en"]
# ### Exercise 11.1 · One after another
# ●●●○○ · 15 minutes
#
# Write `train_each(builders, fit, predict)`. `builders` is a list of functions without arguments; each builds a model. `fit(model)` trains it and returns an object that knows the model, as a
# Trainer does. `predict(model)` returns logits (reviews, labels). Return the models' probabilities in the builders' order, as an array or a tensor (models, reviews, labels).
#
# When a builder is called, nothing of any earlier model may be in memory, neither the model nor its weights. These models refer to themselves, as those of some libraries do.
# Stuck? `kl.hint("11.1")`, up to three times.

# %% [markdown] tags=["ko"]
# ### 연습 11.1 · 하나씩 차례로
# ●●●○○ · 15분
#
# `train_each(builders, fit, predict)`를 쓰세요. `builders`는 인자 없는 함수의 리스트이고, 부를 때마다 모델을 하나 만듭니다. `fit(model)`은 모델을 학습시키고, Trainer처럼 모델을 아는 객체를 돌려줍니다. `predict(model)`은 로짓
# (리뷰, 라벨)을 돌려줍니다. 모델들의 확률을 builders의 순서대로 배열이나 텐서(모델, 리뷰, 라벨)로 돌려주세요.
#
# 다음 builder를 부를 때는 앞 모델에 딸린 것이 하나도 메모리에 없어야 합니다. 모델도, 가중치도요. 이 모델들은 몇몇 라이브러리의 모델처럼 자기 자신을 가리키고 있습니다.
# 막히면 `kl.hint("11.1")`을 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def train_each(builders, fit, predict):
    ...

# %% tags=["solution"]
def train_each(builders, fit, predict):
    def one(build):
        model = build()
        fit(model)                                              # what it returns knows the model: it gets no name
        return torch.sigmoid(predict(model)).detach()           # without the graph, which knows the weights

    found = []
    for build in builders:
        found.append(one(build))                                # the names of `one` are gone when it returns
        gc.collect()                                            # and this finds what only refers to itself
    return torch.stack(found)

# %% tags=["check"]
kl.check("11.1", train_each)

# %% [markdown] tags=["en"]
# Now the real thing. `train_one` fine-tunes one encoder as the study did: the epoch with the highest validation F1 is kept, and training ends early when ten epochs in a row bring no
# improvement of 0.001 (with so few epochs it never comes to that); rare labels weigh up to ten times as much (`pos_weight`, lesson 10). It returns numbers. The probabilities on the test reviews are computed as well: they need texts, not labels.

# %% [markdown] tags=["ko"]
# 이제 진짜로 해 봅시다. `train_one`은 그 연구처럼 인코더 하나를 미세 조정합니다. 검증 F1이 가장 높은 에폭을 남기고, 열 에폭 내리 0.001만큼 나아지지 않으면 일찍 멈춥니다(에폭이 이렇게 적으면 그럴 일은 없지만요). 드문 라벨에는 열 배까지 무게를 더 줍니다(`pos_weight`, 10강). 돌려주는 것은
# 숫자뿐입니다. 시험용 리뷰의 확률도 계산해 둡니다. 거기에는 글만 있으면 되고 라벨은 필요 없으니까요.

# %%
def train_one(name, seed=SEED):
    """Fine-tunes one encoder. Returns its probabilities on validation and test reviews, and a row for the table."""
    encoder, tokenizer = encoder_of(name, seed)
    loaders = kl.make_loaders(aspects, tokenizer, batch_size=32, max_length=64, seed=seed)     # nine reviews in ten are shorter
    model = kl.Classifier.build(encoder, names, multi_label=True, seed=seed)
    config = kl.TrainConfig(epochs=EPOCHS, lr=LR, metric="f1", patience=10, min_delta=0.001, seed=seed, progress=False)
    weight = kl.multilabel.pos_weight(aspects["train"]["labels"][:])             # rare labels count more, at most ten times
    history = kl.fit(model, loaders, config, loss=kl.losses.BinaryCrossEntropy(weight))
    found = {split: predict(model, loaders[split]).probabilities.numpy() for split in ("validation", "test")}
    row = {"what it is": described(name), "parameters": sum(p.numel() for p in model.parameters()), "best epoch": history.best["epoch"],
           "validation F1": history.best["f1"], "validation loss": history.best["validation_loss"], "MFLOP a token": kl.measure.flops_per_token(model) / 1e6}
    return found, row

# %%
ENCODERS = ("kolab-mini", "kolab-mini[:3]", "modernbert-small")
probabilities, rows = {}, {}
for name in ENCODERS:
    before = alive()
    probabilities[name], rows[name] = train_one(name)
    gc.collect()
    rows[name] |= {"MiB alive before": before - begin, "MiB alive after": alive() - begin}
    print(f"{name}: best epoch {rows[name]['best epoch']}, validation F1 {rows[name]['validation F1']:.3f}")

# %%
members = pd.DataFrame(rows).T.astype({"parameters": int, "best epoch": int})
members.style.format({"parameters": "{:,}", "validation F1": "{:.3f}", "validation loss": "{:.3f}", "MFLOP a token": "{:.1f}", "MiB alive before": "{:.0f}", "MiB alive after": "{:.0f}"})

# %% [markdown] tags=["en"]
# The last two columns say that each model starts where the one before it started. With three base-size encoders of 110 million parameters that is the difference between 16 bytes · 110 million = 1.8 GB and
# three times as much, before the first activation.
#
# ## Do they err differently?
#
# For each pair: on how many of all answers are both wrong, and on how many would they be if their errors were independent? The last column puts the pair on the axis of the figure above: 0 for independent errors, 1 where the better of the two errs only where the other does.

# %% [markdown] tags=["ko"]
# 마지막 두 열을 보면 모델마다 앞의 것이 시작한 자리에서 다시 시작합니다. 파라미터 1억 1천만 개짜리 base 인코더라면 16바이트 × 1억 1천만 = 1.8 GB와 그 세 배의 차이예요. 활성값은 아직 하나도 계산하지 않았는데도요.
#
# ## 서로 다르게 틀리나?
#
# 둘씩 짝지어, 전체 답 가운데 둘 다 틀린 것이 얼마나 되는지, 실수가 서로 독립이라면 얼마나 될지 셉니다. 마지막 열은 이 짝을 앞 그림의 가로축에 놓은 것입니다. 실수가 독립이면 0, 더 잘하는 쪽이 다른 쪽도 틀린 데서만 틀리면 1이에요.

# %%
validation = np.stack([probabilities[name]["validation"] for name in ENCODERS])        # (models, reviews, labels)
test = np.stack([probabilities[name]["test"] for name in ENCODERS])
wrong = apply_thresholds(validation.reshape(-1, len(names)), 0.5).reshape(validation.shape) != truth
pairs = []
for first, second in ((0, 1), (0, 2), (1, 2)):
    both, alone = (wrong[first] & wrong[second]).mean(), wrong[first].mean() * wrong[second].mean()
    at_most = min(wrong[first].mean(), wrong[second].mean())                           # no two can err together more often than the better one errs
    pairs.append({"pair": f"{ENCODERS[first]} and {ENCODERS[second]}", "both wrong": both, "if independent": alone, "times as often": both / alone,
                  "how far to the right": (both - alone) / (at_most - alone)})
pd.DataFrame(pairs).style.hide(axis="index").format({"both wrong": "{:.2%}", "if independent": "{:.2%}", "times as often": "{:.1f}", "how far to the right": "{:.2f}"})

# %% [markdown] tags=["en"]
# Far from independent, all of them: they have learned from the same reviews, and what is rare or oddly put is hard for all. The siblings stand two thirds of the way to the right, where three voters are worth little more than one. But even the encoder that shares nothing with the
# others except the task stands a third of the way along. Keep that in mind when you expect a gain.

# %% [markdown] tags=["ko"]
# 어느 짝도 독립과는 거리가 멉니다. 모두 같은 리뷰로 배웠고, 드물거나 별나게 쓴 글은 누구에게나 어려우니까요. 형제끼리는 오른쪽으로 3분의 2나 가 있습니다. 셋이 투표해도 혼자보다 나을 것이 별로 없는 자리예요. 과제 말고는 닮은 데가 하나도 없는 인코더조차
# 3분의 1쯤 가 있습니다. 얼마나 오를지 기대할 때 이것을 떠올리세요.

# %% [markdown] tags=["en"]
# ## Average what: probabilities or logits?
#
# A model's answer is a logit (로짓) z, or the probability σ(z). The mean of the probabilities is not the probability of the mean logit.
#
# ### Predict before you run
# One model says 99 %, the other 30 %. The mean of the probabilities is 64.5 %. What does the mean of the *logits* give, as a probability?

# %% [markdown] tags=["ko"]
# ## 무엇을 평균 내나: 확률, 아니면 로짓?
#
# 모델의 답은 로짓(logit) z, 또는 확률 σ(z)입니다. 확률의 평균은 로짓 평균의 확률과 다릅니다.
#
# ### 실행하기 전에 예상해 보세요
# 한 모델은 99 %, 다른 모델은 30 %라고 합니다. 확률의 평균은 64.5 %죠. *로짓*의 평균을 내고 확률로 바꾸면 얼마일까요?

# %%
guess = kl.predict("11.c", {"50 %": 0.50, "64.5 %, the same": 0.645, "87 %": 0.87, "99 %": 0.99})

# %%
def logit(p):
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

kl.reveal(guess, sigmoid((logit(0.99) + logit(0.30)) / 2), text="σ((4.60 − 0.85) / 2) = σ(1.87)")

# %%
p = np.linspace(0.001, 0.999, 200)
figure, axes = kl.plots.new(2)
for ax, other in zip(axes, (0.3, 0.9)):
    kl.plots.lines({"mean of probabilities": (p + other) / 2, "mean of logits": sigmoid((logit(p) + logit(other)) / 2)}, x=p, ax=ax,
                   xlabel="what the first model says", ylabel="what the two say together", title=f"The second model says {other:.0%}")
    ax.axhline(0.5, color=kl.plots.GREY, linestyle="--", linewidth=1)
figure

# %% [markdown] tags=["en"]
# In the middle the two agree. At the ends the logits let the surer model shout: at 0.999 it weighs as much as it likes, whoever contradicts. That is right where confidence is earned, and wrong for models that are too
# sure of themselves when they err (lesson 4 saw such). Which is better is a question for the validation reviews:

# %% [markdown] tags=["ko"]
# 가운데에서는 둘이 같습니다. 양 끝에서는 로짓 쪽이 더 자신 있는 모델의 목소리를 키워 줍니다. 0.999라고 하면 남이 뭐라 하든 제 뜻대로예요. 그럴 만한 자신감이라면 옳은 일이지만, 틀릴 때도 자신만만한 모델이라면 그렇지 않습니다(4강에서
# 그런 모델을 봤지요). 어느 쪽이 나은지는 검증용 리뷰에 물어봅시다.

# %%
def log_loss(p):
    """The mean cost of all answers on the validation reviews."""
    return float(-np.log(np.where(truth == 1, p, 1 - p).clip(1e-7)).mean())

def f1_at_half(p):
    return macro_f1(apply_thresholds(p, 0.5), truth)

blends = {name: validation[number] for number, name in enumerate(ENCODERS)}
blends |= {"mean of probabilities": ensemble.blend(validation), "mean of logits": sigmoid(ensemble.blend(logit(validation)))}
pd.DataFrame({name: {"log loss": log_loss(p), "macro-F1 at 0.5": f1_at_half(p)} for name, p in blends.items()}).T.style.format("{:.3f}").highlight_min(subset=["log loss"], props="font-weight:bold").highlight_max(subset=["macro-F1 at 0.5"], props="font-weight:bold")

# %% [markdown] tags=["en"]
# Two rulers, and here they disagree: by log loss (로그 손실) both blends are worse than the best model alone, by macro-F1 both are better. Log loss judges the probabilities themselves, and the vague ones of the weakest member blur the blend. Macro-F1 at 0.5 only asks on which side of one half
# they lie, and there three opinions err less often than one. Between the two means there is little to choose, and logits are ahead on both rulers.
#
# ## Weights
#
# Why should the weakest count as much as the best? Give each model a weight, none below 0 and together 1: a point on the **simplex** (심플렉스), for three models a triangle. On this triangle the blend's log loss is
# *convex* (볼록): one valley, no luck needed. Its macro-F1 is a landscape of steps and plateaus. Look at both, on the validation reviews.

# %% [markdown] tags=["ko"]
# 자가 두 개인데, 둘의 판정이 엇갈립니다. 로그 손실(log loss)로는 섞은 것이 둘 다 가장 좋은 모델 하나보다 못하고, 매크로 F1으로는 둘 다 낫습니다. 로그 손실은 확률 자체를 평가하는데, 가장 약한 모델의 어정쩡한 확률이 섞이면 전체가 흐려져요. 0.5에서의 매크로 F1은 확률이
# 절반의 어느 쪽에 있는지만 묻고, 그것만이라면 셋의 의견이 하나보다 덜 틀립니다. 두 평균끼리는 차이가 작고, 두 자 모두에서 로짓이 조금 앞섭니다.
#
# ## 가중치
#
# 가장 약한 모델이 왜 가장 좋은 모델만큼 세야 할까요? 모델마다 가중치를 줍시다. 0보다 작지 않고 모두 더하면 1이 되게. 그런 가중치는 **심플렉스**(simplex) 위의 한 점이고, 모델이 셋이면 심플렉스는 삼각형입니다. 이 삼각형 위에서
# 섞은 확률의 로그 손실은 *볼록*(convex)합니다. 골짜기가 하나뿐이라 운이 필요 없어요. 매크로 F1은 계단과 고원이 이어지는 지형입니다. 검증용 리뷰에서 둘 다 봅시다.

# %%
points = np.array(list(ensemble.simplex_grid(3, kl.pick(full=0.05, quick=0.2))))
heights = {"log loss": [log_loss(ensemble.blend(validation, w)) for w in points], "macro-F1 at 0.5": [f1_at_half(ensemble.blend(validation, w)) for w in points]}
by_loss = ensemble.fit_weights(validation, truth)
by_search, highest = ensemble.search_weights(validation, f1_at_half, step=kl.pick(full=0.05, quick=0.2))

# %%
figure, axes = kl.plots.new(2, height=3.9)
corners = np.array([[0, 0], [1, 0], [0.5, 0.75]])                                     # each model has a corner of its own
for ax, (title, values) in zip(axes, heights.items()):
    spread = max(values) > min(values)
    shades = ax.tricontourf(*(points @ corners).T, values, levels=14 if spread else [values[0] - 1, values[0] + 1], cmap="viridis_r" if "loss" in title else "viridis")
    figure.colorbar(shades, ax=ax, shrink=0.7)
    for w, sign, label in ((by_loss, "o", "lowest log loss"), (by_search, "D", "highest F1"), (np.full(3, 1 / 3), "+", "equal weights")):
        ax.plot(*(w @ corners), sign, color=kl.plots.RED, markersize=8, fillstyle="none", markeredgewidth=1.8, label=label, linestyle="none")
    for corner, name, side in zip(corners, ENCODERS, ("right", "left", "center")):
        ax.annotate(name, corner, (0, -14 if side != "center" else 6), textcoords="offset points", ha={"right": "left", "left": "right"}.get(side, "center"), fontsize=9)
    ax.set(title=title, xlim=(-0.05, 1.05), ylim=(-0.12, 0.85))
    ax.set_axis_off()
axes[0].legend(fontsize=8, loc="upper left")
figure

# %%
alone = np.array([f1_at_half(p) for p in validation])
shown = {"equal": np.full(3, 1 / 3), "by F1 (F1 / sum of all F1)": alone / alone.sum() if alone.sum() else np.full(3, 1 / 3), "lowest log loss": by_loss, "highest F1 on the grid": by_search}
pd.DataFrame({name: {**dict(zip(ENCODERS, w)), "log loss": log_loss(ensemble.blend(validation, w)), "macro-F1 at 0.5": f1_at_half(ensemble.blend(validation, w))} for name, w in shown.items()}).T.style.format("{:.3f}")

# %% [markdown] tags=["en"]
# Compare the second row with the first. 'Weights by validation F1' is what the published study describes; its three were 0.35, 0.33 and 0.32. Divide scores that lie near one another by their sum, and you get thirds; even our weakest, which is far behind, still gets nearly a quarter. Such
# weights hardly leave the middle of the triangle. That is not weighting; it is equal weights with decimals.
#
# The fitted ones move, and each in its own direction: log loss throws the weakest out altogether, the search for F1 gives it a third. But look how flat the two landscapes are around their best points: many weights are almost as good, and which of them wins is decided by a few reviews.
#
# ### Exercise 11.2 · Weights without the test set
# ●●●○○ · 15 minutes
#
# Write `weigh(stack, labels, testing)`. `stack` (models, reviews, labels) holds the probabilities of three models, `labels` (reviews, labels) zeros and ones, `testing` (reviews,) is True where a review belongs to the test set.
# Return a pair: the weights (models,) on the simplex whose blend has the lowest log loss where reviews may have a say, and the blend's log loss on the test reviews. To two digits is good enough.
# Stuck? `kl.hint("11.2")`, up to three times.

# %% [markdown] tags=["ko"]
# 둘째 줄을 첫째 줄과 견주어 보세요. '검증 F1에 따른 가중치'는 공개된 연구가 쓴 방법이고, 그 셋은 0.35, 0.33, 0.32였습니다. 서로 비슷비슷한 점수를 그 합으로 나누면 3분의 1쯤이 나옵니다. 한참 뒤처진 우리의 가장 약한 모델도 4분의 1 가까이 받았어요. 이런 가중치는 삼각형 한가운데를
# 거의 벗어나지 못합니다. 가중치를 준 것이 아니라, 똑같은 가중치에 소수점을 붙인 것입니다.
#
# 맞춘 가중치는 움직이는데, 저마다 다른 쪽으로 갑니다. 로그 손실은 가장 약한 모델을 아예 빼 버리고, F1을 찾아 나선 쪽은 3분의 1을 줍니다. 하지만 가장 좋은 점 둘레가 두 지형 모두 얼마나 평평한지 보세요. 거의 똑같이 좋은 가중치가 수두룩하고, 그중 어느 것이 이길지는 리뷰 몇 건이 정합니다.
#
# ### 연습 11.2 · 시험 세트 없이 가중치 맞추기
# ●●●○○ · 15분
#
# `weigh(stack, labels, testing)`을 쓰세요. `stack`(모델, 리뷰, 라벨)은 세 모델의 확률, `labels`(리뷰, 라벨)는 0과 1, `testing`(리뷰,)은 시험 세트에 속한 리뷰에서 True입니다. 둘을 짝으로 돌려줍니다. 가중치를 정하는 데 끼어도 되는
# 리뷰에서 섞은 확률의 로그 손실이 가장 낮은 심플렉스 위의 가중치(모델,), 그리고 그렇게 섞은 확률이 시험용 리뷰에서 얻는 로그 손실. 소수 둘째 자리까지 맞으면 충분합니다.
# 막히면 `kl.hint("11.2")`를 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def weigh(stack, labels, testing):
    ...

# %% tags=["solution"]
def weigh(stack, labels, testing):
    def loss(weights, rows):
        p = np.tensordot(weights, stack[:, rows], axes=1)
        return float(-np.log(np.where(labels[rows] == 1, p, 1 - p)).mean())

    grid = kl.ensemble.simplex_grid(len(stack), 0.02)                 # or scipy.optimize.minimize: the loss is convex
    weights = min(grid, key=lambda weights: loss(weights, ~testing))  # the validation reviews decide
    return weights, loss(weights, testing)                            # the test reviews report

# %% tags=["check"]
kl.check("11.2", weigh)

# %% [markdown] tags=["en"]
# ## Thresholds
#
# A label counts as *yes* from its threshold (임곗값) on. Fit one for each label on the validation reviews, as in lesson 10; the score on these same reviews is then too high, and `cross_fit` gives the one to believe.

# %% [markdown] tags=["ko"]
# ## 임곗값
#
# 라벨은 임곗값(threshold)부터 *예*로 칩니다. 10강에서처럼 검증용 리뷰로 라벨마다 하나씩 맞춥시다. 바로 그 리뷰에서 잰 점수는 실제보다 높고, 믿을 만한 점수는 `cross_fit`이 알려 줍니다.

# %%
settled = {"mean of probabilities": ensemble.blend(validation), "weights by log loss": ensemble.blend(validation, by_loss), "kolab-mini alone": validation[0]}
table = {name: {"at 0.5": f1_at_half(p), "fitted, on the same reviews": macro_f1(apply_thresholds(p, fit_thresholds(p, truth)), truth),
                "fitted, cross-fitted": np.mean([macro_f1(cross_fit(p, truth, seed=fold), truth) for fold in range(kl.pick(full=5, quick=1))])} for name, p in settled.items()}
thresholds = fit_thresholds(settled["weights by log loss"], truth)
print("thresholds of the weighted blend:", ", ".join(f"{name} {value:.2f}" for name, value in zip(names, thresholds)))
pd.DataFrame(table).T.style.format("{:.3f}")

# %% [markdown] tags=["en"]
# Read a row from left to right: at 0.5; what tuning seems to bring; what it brings on reviews that had no say. The gain of the second column is real only as far as the third one follows.
#
# ## What one look costs
#
# Why not fit weights and thresholds where they are needed, on the test reviews? Nobody would write it that way. It happens by looking: one tries a few weights, keeps the ones with the best test score, and reports that score. Let us measure what
# such a look adds, without touching the test set: half of the validation reviews plays the test set and chooses for itself, the other half, which had no say, tells the truth. Then again with other halves.

# %% [markdown] tags=["ko"]
# 한 줄씩 왼쪽에서 오른쪽으로 읽으세요. 0.5일 때의 점수, 임곗값을 맞춰서 오른 것처럼 보이는 점수, 맞추는 데 끼지 않은 리뷰에서 잰 점수입니다. 둘째 열에서 오른 점수는 셋째 열이 따라오는 만큼만 진짜예요.
#
# ## 한 번 들여다보는 대가
#
# 가중치와 임곗값을 정작 필요한 곳, 시험용 리뷰에서 맞추면 왜 안 될까요? 대놓고 그렇게 쓰는 사람은 없습니다. 들여다보다가 그렇게 되는 거예요. 가중치 몇 가지를 해 보고, 시험 점수가 가장 좋은 것을 남기고, 그 점수를 보고합니다. 그렇게
# 한 번 들여다볼 때마다 점수가 얼마나 얹히는지 재 봅시다. 시험 세트는 건드리지 않고요. 검증용 리뷰의 절반이 시험 세트인 양 스스로 고르고, 고르는 데 끼지 않은 나머지 절반이 사실을 말합니다. 그리고 절반을 바꿔 가며 되풀이합니다.

# %%
grid = np.array(list(ensemble.simplex_grid(3, 0.1)))
answers = np.array([apply_thresholds(ensemble.blend(validation, w), 0.5) for w in grid])     # (weights, reviews, labels): once is enough
middle, random, gaps = ensemble.blend(validation), np.random.default_rng(SEED), []
for _ in range(kl.pick(full=100, quick=5)):
    half = random.permutation(len(truth)) < len(truth) // 2
    scores = np.array([[macro_f1(found[rows], truth[rows]) for rows in (half, ~half)] for found in answers])
    best = scores[:, 0].argmax()
    tuned = fit_thresholds(middle[half], truth[half])
    tuned_scores = [macro_f1(apply_thresholds(middle[rows], tuned), truth[rows]) for rows in (half, ~half)]
    level = [macro_f1(apply_thresholds(middle[rows], 0.5), truth[rows]) for rows in (half, ~half)]
    gaps.append({"nothing chosen": level[0] - level[1], "weights chosen": scores[best, 0] - scores[best, 1], "thresholds chosen": tuned_scores[0] - tuned_scores[1]})
gaps = 100 * pd.DataFrame(gaps)

# %%
figure, axes = kl.plots.new()
axes.boxplot([gaps[name] for name in gaps], tick_labels=list(gaps), orientation="horizontal", showmeans=True, widths=0.5)
axes.axvline(0, color=kl.plots.GREY, linestyle="--", linewidth=1)
axes.invert_yaxis()
axes.set(title="What choosing adds on the reviews that chose (triangle: mean)", xlabel="macro-F1 where it was chosen, minus elsewhere (points)")
figure

# %%
pd.DataFrame({"mean": gaps.mean(), "standard error": gaps.std() / np.sqrt(len(gaps))}).style.format("{:+.1f}")

# %% [markdown] tags=["en"]
# Where nothing was chosen the halves differ by luck alone, and the mean is near zero. Where something was chosen, the half that chose is ahead *on average*: the optimism (낙관 편향) of lesson 4 again. One number for each of fifteen
# labels costs much more than two free weights: it is the number of things that you fit, and how few reviews each of them is fitted on. (With all 439 test reviews instead of half as many it would be less, and on average
# still in your favour.)
#
# ## A test set that opens once
#
# Good intentions do not keep a test set shut; too many cells, too many evenings. Code does. The rules:
#
# - It opens **once**, for a whole *plan*: every candidate that you want to hear about, with its predictions. After that it refuses, with an error that stops the cell.
# - All is checked before the labels are touched. A slip (a wrong shape) must not spend the only look.
# - What comes back is a score for *every* candidate. Whatever you leave out, you will never know.
#
# ### Exercise 11.3 · A test set that opens once
# ●●○○○ · 12 minutes
#
# Write a class `Sealed` with `__init__(self, labels)` and `open(self, plan)`. `labels` (reviews, labels) are zeros and ones; `plan` maps names to predictions of the same shape. The first `open` returns a dict: name → macro-F1. Predictions
# of another shape raise an error and leave the seal whole. Every later `open` raises an error, whatever it brings; `kl.ensemble.SealError` is there for it.
# Stuck? `kl.hint("11.3")`, up to three times.

# %% [markdown] tags=["ko"]
# 아무것도 고르지 않았을 때 두 절반의 차이는 운뿐이고, 평균은 0 언저리입니다. 무엇인가 골랐다면 고른 쪽이 *평균으로* 앞섭니다. 4강의 낙관 편향(optimism)이 다시 나왔습니다. 라벨 열다섯 개에 숫자를 하나씩 맞추는 쪽이 자유로운
# 가중치 두 개보다 훨씬 비쌉니다. 몇 가지를 맞추는지, 그 하나하나를 리뷰 몇 건으로 맞추는지에 달렸거든요. (절반이 아니라 시험용 리뷰 439건 전부라면 덜하겠지만, 평균으로 여러분에게 유리한 쪽으로 틀린다는 점은 같습니다.)
#
# ## 한 번만 열리는 시험 세트
#
# 다짐만으로는 시험 세트가 잠겨 있지 않습니다. 셀은 많고 밤은 길거든요. 코드로 잠급시다. 규칙은 이렇습니다.
#
# - **한 번** 열리고, 그때 *계획* 전체를 채점합니다. 알고 싶은 후보를 예측과 함께 모두 적은 것이 계획이에요. 그다음부터는 셀을 멈춰 세우는 오류를 내며 거절합니다.
# - 라벨을 건드리기 전에 모두 확인합니다. 실수(모양이 다른 배열)로 하나뿐인 기회를 날리면 안 되니까요.
# - 돌려주는 것은 후보 *전부*의 점수입니다. 빠뜨린 것은 영영 알 수 없습니다.
#
# ### 연습 11.3 · 한 번만 열리는 시험 세트
# ●●○○○ · 12분
#
# `__init__(self, labels)`와 `open(self, plan)`을 가진 클래스 `Sealed`를 쓰세요. `labels`(리뷰, 라벨)는 0과 1이고, `plan`은 이름에서 같은 모양의 예측으로 가는 dict입니다. 첫 번째 `open`은 이름 → 매크로 F1 dict를 돌려줍니다. 모양이 다른
# 예측이 오면 오류를 내되 봉인은 그대로 둡니다. 그다음 `open`은 무엇을 가져오든 오류를 냅니다. `kl.ensemble.SealError`를 쓰면 됩니다.
# 막히면 `kl.hint("11.3")`을 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
class Sealed:
    def __init__(self, labels):
        ...

    def open(self, plan):
        ...

# %% tags=["solution"]
class Sealed:
    def __init__(self, labels):
        self._labels, self._opened = labels.copy(), False

    def open(self, plan):
        if self._opened:
            raise kl.ensemble.SealError("this test set has been opened; decide on validation data")
        for name, found in plan.items():
            if found.shape != self._labels.shape:                       # nobody has seen a score yet
                raise ValueError(f"{name} has the shape {found.shape}, the labels {self._labels.shape}")
        scores = {name: kl.metrics.macro_f1(found, self._labels) for name, found in plan.items()}
        self._opened = True
        return scores

# %% tags=["check"]
kl.check("11.3", Sealed)

# %% [markdown] tags=["en"]
# ## Open it
#
# Everything is settled: three models, their blends, the weights, the thresholds. The plan holds every decision worth hearing about, each made without a single test label. Ours may also leave a receipt in a file, so that a restarted kernel
# cannot look again; here one notebook is enough.

# %% [markdown] tags=["ko"]
# ## 열어 봅시다
#
# 이제 모두 정해졌습니다. 모델 셋, 섞는 방법, 가중치, 임곗값. 계획에는 알고 싶은 결정을 모두 적는데, 하나같이 시험용 라벨 없이 내린 결정입니다. 강의의 금고는 열었다는 영수증을 파일로 남길 수도 있어서, 커널을 다시 켜도 두 번 볼 수
# 없습니다. 여기서는 노트북 하나로 충분하니 쓰지 않을게요.

# %%
best = int(np.argmax([f1_at_half(p) for p in validation]))                 # chosen by the validation reviews
ways = {f"best alone ({ENCODERS[best]})": lambda stack: stack[best], "equal weights": lambda stack: ensemble.blend(stack),
        "equal weights, of logits": lambda stack: sigmoid(ensemble.blend(logit(stack))), "weights by log loss": lambda stack: ensemble.blend(stack, by_loss),
        "weights by F1 search": lambda stack: ensemble.blend(stack, by_search)}
plan = {}
for name, way in ways.items():
    plan[f"{name}, 0.5"] = apply_thresholds(way(test), 0.5)
    plan[f"{name}, fitted"] = apply_thresholds(way(test), fit_thresholds(way(validation), truth))   # fitted on validation, applied to test
base = next(iter(plan))

opened = sealed.open(plan)
result = opened.table(base, samples=kl.pick(full=2000, quick=200))
kl.plots.bars(result["macro_f1"], errors={name: (row["low"], row["high"]) for name, row in result.iterrows()}, highlight=base, digits=3,
              title="Macro-F1 on the test reviews, with its 95 % interval", xlabel="macro-F1")

# %%
try:
    sealed.open({"one more idea": apply_thresholds(test[0], 0.45)})
except ensemble.SealError as error:
    print(error)

# %% [markdown] tags=["en"]
# The intervals are wide, several points to either side, and they overlap, nearly all of them. So nothing can be said?
#
# ### Predict before you run
# Two models have overlapping intervals. Can the *difference* of the two nevertheless be safely above zero?

# %% [markdown] tags=["ko"]
# 구간은 위아래로 몇 점씩이나 되고, 거의 모두 서로 겹칩니다. 그러면 아무 말도 할 수 없는 걸까요?
#
# ### 실행하기 전에 예상해 보세요
# 두 모델의 구간이 겹칩니다. 그래도 둘의 *차이*는 확실히 0보다 클 수 있을까요?

# %%
guess = kl.predict("11.d", ["no: they overlap", "yes: both met the same reviews", "only with more than 1,000 reviews"])

# %% [markdown] tags=["en"]
# ### Exercise 11.4 · A paired bootstrap
# ●●●○○ · 12 minutes
#
# Write `paired(first, second, references, samples=1000, level=0.95, seed=0)`: three arrays (reviews, labels) of zeros and ones in; macro-F1 of `first` minus that of `second`, and the low and the high end of the middle `level` of this
# difference over drawn test sets out. `kl.metrics.macro_f1` is there.
# Stuck? `kl.hint("11.4")`, up to three times.

# %% [markdown] tags=["ko"]
# ### 연습 11.4 · 짝지은 부트스트랩
# ●●●○○ · 12분
#
# `paired(first, second, references, samples=1000, level=0.95, seed=0)`를 쓰세요. 0과 1로 된 배열(리뷰, 라벨) 세 개를 받아, `first`의 매크로 F1에서 `second`의 것을 뺀 값, 그리고 다시 뽑은 시험 세트들에서 그 차이의 가운데 `level`만큼을
# 감싸는 아래 끝과 위 끝을 돌려줍니다. `kl.metrics.macro_f1`을 쓰면 됩니다.
# 막히면 `kl.hint("11.4")`를 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def paired(first, second, references, samples=1000, level=0.95, seed=0):
    ...

# %% tags=["solution"]
def paired(first, second, references, samples=1000, level=0.95, seed=0):
    score, random, count = kl.metrics.macro_f1, np.random.default_rng(seed), len(references)
    differences = []
    for _ in range(samples):
        rows = random.integers(count, size=count)               # one draw for both: what it holds of luck, both get
        differences.append(score(first[rows], references[rows]) - score(second[rows], references[rows]))
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    return score(first, references) - score(second, references), low, high

# %% tags=["check"]
kl.check("11.4", paired)

# %%
name = "equal weights, fitted"
difference, low, high = ensemble.paired_interval(opened.predictions[name], opened.predictions[base], opened.references)
draws = [ensemble.bootstrap_scores([opened.predictions[k]], opened.references, seed=seed)[:, 0] for seed, k in enumerate((name, base))]
apart = np.quantile(draws[0] - draws[1], [0.025, 0.975])
print(f"{name} − {base}: {100 * difference:+.1f} points")
print(f"  scored on the same draws: {100 * low:+.1f} to {100 * high:+.1f};  each on draws of its own: {100 * apart[0]:+.1f} to {100 * apart[1]:+.1f}")
kl.reveal(guess, f"paired, the interval is {(high - low) / (apart[1] - apart[0]):.0%} as wide", answer="yes: both met the same reviews")

# %% [markdown] tags=["en"]
# A draw of easy reviews flatters both models. In the difference on the *same* draw that luck cancels; in two separate intervals it counts twice. So never judge a difference by whether two intervals overlap. Here are all differences from the best
# single model at 0.5, paired:

# %% [markdown] tags=["ko"]
# 쉬운 리뷰가 뽑히면 두 모델 다 점수가 오릅니다. *같은* 표본에서 잰 차이라면 그런 운은 지워지고, 따로 낸 두 구간에서는 두 번 셉니다. 그러니 구간이 겹치는지로 차이를 판단하지 마세요. 가장 좋은 모델 하나(0.5)와의 차이를 모두 짝지어 재면
# 이렇습니다.

# %%
def verdict(low, high):
    return "above zero" if low > 0 else "below zero" if high < 0 else "the same" if low == high else "not told from zero"

def gains(table, low="difference_low", high="difference_high", middle="difference"):
    """Differences in points, with their intervals and what can be said of them."""
    return pd.DataFrame({"difference": 100 * table[middle], "from": 100 * table[low], "to": 100 * table[high],
                         "so it is": [verdict(a, b) for a, b in zip(table[low], table[high])]}).style.format({c: "{:+.1f}" for c in ("difference", "from", "to")})

gains(result.drop(base).astype(float))

# %%
def dots(table, title, ax):
    """A difference a row: a dot, and a line from end to end of its interval."""
    for row, (name, entry) in enumerate(table.iterrows()):
        ax.plot([100 * entry["difference_low"], 100 * entry["difference_high"]], [row, row], color=kl.plots.BLUE, linewidth=2)
        ax.plot(100 * entry["difference"], row, "o", color=kl.plots.ORANGE)
    ax.set_yticks(range(len(table)), table.index)
    ax.axvline(0, color=kl.plots.GREY, linestyle="--", linewidth=1)
    ax.invert_yaxis()
    ax.set(title=title, xlabel="points of macro-F1")

figure, ax = kl.plots.new(width=8.4, height=3.6)
dots(result.drop(base).astype(float), f"Minus {base}", ax)
figure

# %% [markdown] tags=["en"]
# Two questions to this figure. Do the ways of weighting differ from *each other*? Their dots lie within two points, and overlapping bars do not answer that, as you now know: it takes the paired differences *between them*, and the study below has them over seeds. And how much comes from averaging (the rows at 0.5), how much from the thresholds? Both bring points, and together they bring about the seven of the published study. But look at the first row: most
# of that the thresholds bring to the single model too, without any ensemble. (A model trained with `pos_weight` says yes too readily at 0.5, lesson 10; so there was something to mend.)
#
# What the intervals do not know: another seed would have trained three other models. One training of each is one throw of the dice, however many reviews it is scored on.
#
# ## How much of the gain is noise?
#
# `kolab bench ensemble` trains each encoder with five seeds, settles every decision for each seed on the validation reviews, and opens the test set once, for all of them together. Two opponents are new: **three seeds of one encoder**, the cheapest ensemble there is; and,
# for the record, what somebody would have reported who had chosen on the test reviews. It takes about twenty minutes of a processor, so here is what was recorded.

# %% [markdown] tags=["ko"]
# 이 그림에 물어볼 것이 두 가지 있습니다. 가중치를 주는 방법들은 *서로* 다른가요? 점들은 2점 안에 모여 있는데, 막대가 겹친다고 해서 답이 나오지는 않는다는 것을 이제 알고 있죠. *서로 간의* 짝지은 차이를 재야 하고, 아래 실험이 시드를 바꿔 가며 그렇게 합니다. 그럼 평균에서 온 몫(0.5 줄)은 얼마이고 임곗값에서 온 몫은 얼마일까요? 둘 다 점수를 올려 주고, 합치면 공개된 연구의 7점쯤 됩니다. 그런데 첫 줄을 보세요. 그중
# 대부분은 임곗값이 앙상블 없이 모델 하나에도 올려 주는 점수입니다. (`pos_weight`로 학습한 모델은 0.5에서 '예'를 너무 쉽게 말하니(10강), 고칠 것이 있었던 셈이죠.)
#
# 이 구간이 모르는 것도 있습니다. 시드가 달랐다면 다른 모델 셋이 나왔을 겁니다. 한 번씩 학습시킨 것은 주사위를 한 번 던진 것이고, 리뷰를 아무리 많이 채점해도 그 점은 달라지지 않아요.
#
# ## 오른 점수에서 운은 얼마인가
#
# `kolab bench ensemble`은 인코더마다 시드 다섯 개로 학습시키고, 시드마다 모든 결정을 검증용 리뷰에서 내린 다음, 시험 세트를 모두를 위해 딱 한 번 엽니다. 새 상대가 둘 있습니다. 세상에서 가장 싼 앙상블인 **한 인코더의 시드 셋**, 그리고
# 참고로, 시험용 리뷰에서 골랐다면 보고했을 점수입니다. 프로세서 하나로 20분쯤 걸리므로 여기서는 기록해 둔 결과를 봅니다.

# %%
study = kl.measure.recorded("ensemble") if "ensemble" in kl.measure.recordings() else None
if study is None:
    print("Not recorded yet: `kolab bench ensemble` measures it on your machine, in about twenty minutes.")
else:
    meta = study.attrs["meta"]
    print(f"{study.attrs['machine']['cpu']}, {study.attrs['date']}: {meta['data']}; {meta['seeds']} seeds; {meta['base']}")
    everything = study[study["seed"] == "all"].set_index(["way", "thresholds"])
    honest = everything.dropna(subset=["gain"]).drop(("best alone", "0.5"))
    display(gains(honest, "both_low", "both_high", "gain"))

# %%
if study is not None:
    figure, ax = kl.plots.new(width=9.4, height=0.9 + 0.3 * len(honest))
    for row, ((way, thresholds), entry) in enumerate(honest.iterrows()):
        each = study[(study["way"] == way) & (study["thresholds"] == thresholds) & (study["seed"] != "all")]
        ax.plot([100 * entry["both_low"], 100 * entry["both_high"]], [row, row], color=kl.plots.SKY, linewidth=1.5)
        ax.plot([100 * entry["gain_low"], 100 * entry["gain_high"]], [row, row], color=kl.plots.BLUE, linewidth=3.5)
        ax.plot(100 * each["gain"], [row] * len(each), ".", color=kl.plots.GREY, markersize=7)
        ax.plot(100 * entry["gain"], row, "o", color=kl.plots.ORANGE)
    ax.set_yticks(range(len(honest)), [f"{way}, {thresholds}" for way, thresholds in honest.index])
    ax.axvline(0, color=kl.plots.GREY, linestyle="--", linewidth=1)
    ax.invert_yaxis()
    ax.set(title="Minus the best model alone at 0.5. Grey: each seed; thick: test reviews; thin: reviews and seeds", xlabel="points of macro-F1")
    display(figure)

# %% [markdown] tags=["en"]
# Ask the table four questions, one after the other. They are the parts of the claim 'weighting three encoders and tuning thresholds helps':

# %% [markdown] tags=["ko"]
# 이 표에 네 가지를 차례로 물어봅시다. '인코더 셋에 가중치를 주고 임곗값을 맞추면 좋아진다'는 주장을 네 조각으로 나눈 것입니다.

# %%
def between(first, second):
    """Mean difference in points over the seeds, the smallest and the largest, and in how many seeds the first was ahead."""
    part = study[study["seed"] != "all"].pivot_table(index="seed", columns=["way", "thresholds"], values="test_f1")
    d = 100 * (part[first] - part[second])
    return {"mean": d.mean(), "smallest": d.min(), "largest": d.max(), "ahead in": f"{(d > 0).sum()} of {len(d)} seeds"}

if study is not None:
    questions = {"Does averaging help?  equal weights − best alone": (("equal weights", "0.5"), ("best alone", "0.5")),
                 "Do fitted weights help more than equal ones?  (log loss)": (("weights fitted by log loss", "0.5"), ("equal weights", "0.5")),
                 "… searched for F1 instead": (("weights searched for F1", "0.5"), ("equal weights", "0.5")),
                 "Do three encoders help more than three seeds of one?": (("equal weights", "0.5"), ("kolab-mini, three seeds", "0.5")),
                 "Do thresholds help?  best alone, fitted − 0.5": (("best alone", "fitted"), ("best alone", "0.5")),
                 "… and in the ensemble?  equal weights, fitted − 0.5": (("equal weights", "fitted"), ("equal weights", "0.5")),
                 "… fitted weights and thresholds together − equal weights, fitted": (("weights fitted by log loss", "fitted"), ("equal weights", "fitted"))}
    display(pd.DataFrame({question: between(*pair) for question, pair in questions.items()}).T.style.format({c: "{:+.1f}" for c in ("mean", "smallest", "largest")}))

# %% [markdown] tags=["en"]
# A row whose *smallest* and *largest* have different signs has seen luck of both kinds; then the mean of five seeds proves nothing yet. With that in mind, piece by piece:
#
# - **Averaging** helps: two points, in every seed.
# - **Weighting** does not. Weights fitted by log loss are behind equal ones in every seed, and the search for F1 is not ahead of them.
# - **Three encoders** are worth a point less than **three seeds of the best one**, and in no seed more. Variety is dear when a weak member brings it.
# - **Thresholds** brought the single model of this notebook five points. To the better trained ones of the study they bring less than one, and from the ensemble they *take* nearly two, in four seeds of five.
#
# So one part of the claim stands, and it needs neither weights nor thresholds, nor a second architecture.
#
# And what would have been reported by somebody who had looked?

# %% [markdown] tags=["ko"]
# *smallest*와 *largest*의 부호가 다른 줄은 운이 양쪽으로 다 작용한 것이고, 그렇다면 시드 다섯 개의 평균은 아직 아무것도 증명하지 못합니다. 그 점을 생각하면서 한 조각씩 봅시다.
#
# - **평균**은 도움이 됩니다. 모든 시드에서 올랐고, 평균 2점입니다.
# - **가중치**는 도움이 되지 않습니다. 로그 손실로 맞춘 가중치는 모든 시드에서 똑같은 가중치보다 못하고, F1을 찾아 나선 쪽도 앞서지 못합니다.
# - **인코더 셋**은 **가장 좋은 인코더의 시드 셋**보다 1점 낮고, 더 나은 시드는 하나도 없습니다. 약한 모델로 다양성을 사면 비쌉니다.
# - **임곗값**은 이 노트북의 모델 하나에 5점을 올려 주었습니다. 더 잘 학습한 실험의 모델에는 1점이 안 되고, 앙상블에서는 다섯 시드 가운데 넷에서 점수를 *깎아* 평균 2점 가까이 잃습니다.
#
# 그러니 주장 가운데 한 조각은 맞습니다. 다만 거기에는 가중치도, 임곗값도, 두 번째 구조도 필요 없어요.
#
# 그럼 들여다본 사람이라면 얼마라고 보고했을까요?

# %%
if study is not None:
    peeped = everything[everything["gain"].isna()]["test_f1"]
    rows = {f"{way}, {kind}": (value, everything.loc[(way.replace(" on test", ""), kind.replace(" on test", "")), "test_f1"]) for (way, kind), value in peeped.items()}
    table = pd.DataFrame(rows, index=["chosen on test", "chosen on validation"]).T
    table["flattered by (points)"] = 100 * (table["chosen on test"] - table["chosen on validation"])
    display(table.style.format({"chosen on test": "{:.3f}", "chosen on validation": "{:.3f}", "flattered by (points)": "{:+.1f}"}))

# %% [markdown] tags=["en"]
# The same models, the same blends, the same reviews. The last column is what looking adds to a report, and to nothing else: the next reviews will not give it back. Two free weights add less than a point, fifteen thresholds more than five. That is over twice what averaging has really brought. Whoever had looked would have reported
# six points more than the best model alone, for a plan that brings half a point when validation reviews decide.
#
# ## Two ways to count a gain
#
# The published study reports +3.4 points for the ensemble: 82.9 against 79.5, *the mean of its three models*. But nobody would have used the mean model; the alternative to an ensemble is its best member. On ours:

# %% [markdown] tags=["ko"]
# 같은 모델, 같은 방법, 같은 리뷰입니다. 마지막 열은 들여다본 덕에 보고서에 얹힌 점수이고, 보고서 말고는 어디에도 없는 점수예요. 다음 리뷰에서는 나오지 않습니다. 자유로운 가중치 두 개로는 1점이 안 되지만 임곗값 열다섯 개로는 5점이 넘습니다. 평균을 내서 실제로 오른 것의 두 배가 넘어요. 들여다본 사람이라면
# 가장 좋은 모델 하나보다 6점 높다고 보고했을 텐데, 검증용 리뷰로 정하면 같은 계획이 올려 주는 것은 0.5점쯤입니다.
#
# ## 오른 점수를 세는 두 가지 방법
#
# 공개된 연구는 앙상블로 3.4점이 올랐다고 합니다. *세 모델의 평균* 79.5점에서 82.9점으로요. 그런데 평균 모델을 쓸 사람은 없습니다. 앙상블 대신 쓸 것은 그중 가장 좋은 모델이지요. 우리 것으로 세어 봅시다.

# %%
truth_of_test = opened.references                                   # open by now; nothing is chosen any more
members_alone = {name: macro_f1(apply_thresholds(p, 0.5), truth_of_test) for name, p in zip(ENCODERS, test)}
together = opened.scores()["equal weights, 0.5"]
print("alone:", ", ".join(f"{name} {value:.3f}" for name, value in members_alone.items()), f"| equal weights: {together:.3f}")
print(f"gain over the mean of the members: {100 * (together - np.mean(list(members_alone.values()))):+.1f} points")
print(f"gain over {ENCODERS[best]}, the one that validation chose: {100 * (together - members_alone[ENCODERS[best]]):+.1f} points")

# %% [markdown] tags=["en"]
# The weaker the weakest member, the larger the first number. One can raise it by adding bad models.
#
# ## What it costs
#
# Training costs what all members cost together, once. So does answering, every time. Counted in operations, which no busy machine can falsify (`kl.measure.flops_per_token`: two for each weight that a token meets, and those of the attention over 128 tokens):

# %% [markdown] tags=["ko"]
# 가장 약한 구성원이 약할수록 첫 번째 숫자가 커집니다. 나쁜 모델을 넣어서 키울 수도 있는 숫자예요.
#
# ## 비용
#
# 학습에는 모델 셋을 합친 만큼 들지만 한 번뿐입니다. 답할 때는 매번 셋을 합친 만큼 듭니다. 기계가 바쁘든 한가하든 달라지지 않는 연산 수로 셉시다(`kl.measure.flops_per_token`: 토큰이 만나는 가중치마다 두 번, 거기에 토큰 128개에 대한 어텐션의 연산).

# %%
cost = members[["parameters", "MFLOP a token"]].astype(float)
cost.loc["all three"] = cost.sum()
cost["times kolab-mini"] = cost["MFLOP a token"] / cost.loc["kolab-mini", "MFLOP a token"]
cost.style.format({"parameters": "{:,.0f}", "MFLOP a token": "{:.1f}", "times kolab-mini": "{:.2f}"})

# %% [markdown] tags=["en"]
# ## The whole study, from the command line
#
# The same as a recipe: models one after another with their checkpoints and logs, the best epoch kept, early stopping with patience 10 and min_delta 0.001, a plan written to disk, *then* the test set, with a receipt that keeps it shut for the next process as well.
#
# ```
# kolab train --config unsmile_ensemble.yaml                                        # three small encoders, aspects: minutes
# kolab train --config unsmile_ensemble.yaml --model kcelectra --epochs 100 --lr 3e-5   # one of the published three (network)
# kolab fetch unsmile && kolab train --config unsmile_ensemble.yaml --data.name unsmile --data.batch_size 16 \
#     --study.encoders "[kcelectra, soongsilbert, roberta]" --study.variants "[pos_weight, aeda]" --epochs 80 --lr 2e-5   # as published: a GPU, hours
# ```

# %% [markdown] tags=["ko"]
# ## 명령 한 줄로 연구 전체를
#
# 같은 것을 레시피로도 돌릴 수 있습니다. 모델을 차례로 학습시키며 체크포인트와 로그를 남기고, 가장 좋은 에폭을 지키고, patience 10과 min_delta 0.001로 일찍 멈추고, 계획을 디스크에 적은 *다음에야* 시험 세트를 엽니다. 영수증이 남아서 다음
# 프로세스에서도 다시 열리지 않아요.
#
# ```
# kolab train --config unsmile_ensemble.yaml                                        # 작은 인코더 셋, 측면: 몇 분
# kolab train --config unsmile_ensemble.yaml --model kcelectra --epochs 100 --lr 3e-5   # 공개된 셋 가운데 하나 (네트워크 필요)
# kolab fetch unsmile && kolab train --config unsmile_ensemble.yaml --data.name unsmile --data.batch_size 16 \
#     --study.encoders "[kcelectra, soongsilbert, roberta]" --study.variants "[pos_weight, aeda]" --epochs 80 --lr 2e-5   # 공개된 그대로: GPU로 몇 시간
# ```

# %%
from kolab.recipe_file import parse_recipe

recipe, _ = parse_recipe("--config unsmile_ensemble.yaml --model kcelectra --epochs 100 --lr 3e-5".split())
print(recipe.study.encoders, "|", recipe.train.epochs, "epochs,", recipe.train.lr, "| patience", recipe.train.patience, "| min_delta", recipe.train.min_delta)

# %% [markdown] tags=["en"]
# ## Take-aways
#
# - An ensemble removes the errors that its members do not share. Ask first how different they are.
# - `del` removes a name. Train each model in a function that returns numbers; a collector and `empty_cache()` help with what is left, and with nothing that still has a name.
# - Probabilities or logits: a mean, or the surer model shouts. Weights in proportion to F1 are equal weights with decimals.
# - Fitted on validation, reported on test, opened once, guarded by code. A look costs more the more you fit.
# - Compare with the *best* member, on the same draws, over several seeds. And compare with three seeds of one model before you maintain three models: here the three seeds won.
#
# **Where to go next.** You have trained, tuned, averaged and guarded models that others had pre-trained. Lesson 13 pre-trains one. `kl.progress()` shows what you have done so far.

# %% [markdown] tags=["ko"]
# ## 정리
#
# - 앙상블은 구성원들이 저마다 따로 저지르는 실수를 없앱니다. 먼저 서로 얼마나 다른지 물어보세요.
# - `del`은 이름을 지웁니다. 모델은 숫자만 돌려주는 함수 안에서 학습시키세요. 가비지 컬렉터와 `empty_cache()`는 그러고도 남은 것을 치울 뿐, 아직 이름이 있는 것은 치우지 못합니다.
# - 확률의 평균이냐 로짓의 평균이냐: 그냥 평균을 내느냐, 더 자신 있는 모델의 목소리를 키우느냐입니다. F1에 비례하는 가중치는 똑같은 가중치에 소수점을 붙인 것입니다.
# - 검증에서 맞추고, 시험에서 보고하고, 한 번만 열고, 코드로 지킵니다. 맞추는 것이 많을수록 들여다보는 값이 비쌉니다.
# - *가장 좋은* 구성원과, 같은 표본에서, 시드 여럿으로 비교하세요. 모델 셋을 꾸려 가기 전에 모델 하나의 시드 셋과도 견주어 보고요. 여기서는 시드 셋이 이겼습니다.
#
# **다음으로.** 지금까지는 남이 사전 학습해 둔 모델을 학습시키고, 다듬고, 평균 내고, 지켰습니다. 13강에서는 사전 학습을 직접 합니다. `kl.progress()`로 지금까지 한 것을 볼 수 있어요.
