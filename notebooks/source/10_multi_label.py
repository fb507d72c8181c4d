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
# # 10. Multi-label
#
# *One review speaks of the screen, the price and the noise, the next of nothing in particular. You will train a model that may say several things or
# none, watch a model that always says no score over 90 %, and take a published gain of 3.8 points apart.*
#
# | you will be able to | time | you need |
# |---|---|---|
# | train with one yes-or-no question a label, and say why softmax cannot do it | 100 min | lesson 4 |
# | read Hamming accuracy, macro-F1 and LRAP, and say what each of them hides | | CPU is enough |
# | weigh rare labels without dividing by zero | | |
# | fit a threshold for each label, and know what it is worth on new texts | | |
# | multiply rare texts by AEDA, and find out whether it helped | | |

# %% [markdown] tags=["ko"]
# # 10. 다중 라벨
#
# *어떤 리뷰는 화면과 가격과 소음을 한꺼번에 말하고, 그다음 리뷰는 딱히 아무것도 말하지 않습니다. 여러 가지를 말할 수도, 아무 말도 안 할 수도 있는 모델을 학습시키고, 늘 '아니요'만 하는
# 모델이 90점을 넘는 것을 지켜보고, 3.8점 올랐다는 공개된 주장을 낱낱이 뜯어봅니다.*
#
# | 할 수 있게 되는 것 | 시간 | 준비물 |
# |---|---|---|
# | 라벨마다 예/아니요 질문을 하나씩 던져 학습시키고, 소프트맥스로는 왜 안 되는지 말하기 | 100분 | 4강 |
# | 해밍 정확도, 매크로 F1, LRAP를 읽고 저마다 무엇을 감추는지 말하기 | | CPU면 충분 |
# | 0으로 나누는 일 없이 드문 라벨에 무게 싣기 | | |
# | 라벨마다 임곗값을 맞추고, 새 글에서 그것이 얼마짜리인지 알아내기 | | |
# | AEDA로 드문 글을 늘리고, 정말 도움이 됐는지 확인하기 | | |

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
import random
import numpy as np, pandas as pd, torch
import torch.nn.functional as F
from kolab import decide, multilabel
from kolab.metrics import macro_f1

DATA = "aspects"                                          # or "unsmile", or "kote": `kolab fetch unsmile` in a terminal first
ENCODER, LR = "kolab-mini", 4e-4                          # on a GPU also "beomi/KcELECTRA-base-v2022", 2e-5
SEED, EPOCHS = 0, kl.pick(full=4, quick=1)
ROWS = kl.pick(full=2400, quick=400)                      # at most so many training texts; 40_000 for all of KOTE on a GPU

data = multilabel.load(DATA, seed=SEED)
names = multilabel.label_names(data)
data = {split: part.select(range(min(len(part), ROWS if split == "train" else ROWS // 4))) for split, part in data.items()}
truth = {split: np.array(part["labels"][:], dtype=int) for split, part in data.items()}
print({split: table.shape for split, table in truth.items()})

# %% [markdown] tags=["en"]
# ## Several answers, or none
#
# So far each text had exactly one class. Now a text may carry several labels (다중 라벨, multi-label) or none at all: the aspects (속성) a review
# speaks of. The label of a text is no longer a number but a row of zeros and ones, one column a label: *multi-hot* (멀티핫).

# %% [markdown] tags=["ko"]
# ## 답이 여러 개, 또는 없음
#
# 지금까지는 글마다 클래스가 꼭 하나였습니다. 이제는 글 하나에 라벨이 여러 개 붙을 수도, 하나도 없을 수도 있어요(다중 라벨, multi-label). 여기서는 리뷰가 이야기하는 속성(aspect)이
# 라벨입니다. 정답은 더 이상 숫자 하나가 아니라, 라벨마다 한 칸씩 0과 1을 늘어놓은 줄입니다. 이것을 멀티핫(multi-hot)이라고 해요.

# %%
def said(row):
    return ", ".join(name for name, yes in zip(names, row) if yes) or "–"

some = data["train"].select(range(8))
pd.DataFrame({"text": some["text"][:], "labels": [said(row) for row in some["labels"]],
              "the row": ["".join(str(int(v)) for v in row) for row in some["labels"]]}).style.hide(axis="index").set_properties(**{"text-align": "left"})

# %%
carried = pd.Series(truth["train"].sum(axis=0), index=names)
several = pd.Series(truth["train"].sum(axis=1)).value_counts().sort_index()
figure, (left, right) = kl.plots.new(2, height=0.9 + 0.23 * len(names))
kl.plots.bars(carried, title=f"Training texts that carry each label, of {len(truth['train']):,}", ax=left)
kl.plots.bars({str(count): number for count, number in several.items()}, title="Labels a text", ax=right)
figure

# %% [markdown] tags=["en"]
# Two things will matter. The rarest labels are several times rarer than the most frequent one. And the table is nearly empty: of all its cells, the ones
# are less than a tenth.

# %% [markdown] tags=["ko"]
# 두 가지를 기억해 두세요. 가장 드문 라벨은 가장 흔한 라벨보다 몇 배나 드뭅니다. 그리고 이 표는 거의 비어 있어요. 모든 칸 가운데 1은 10분의 1도 되지 않습니다.

# %% [markdown] tags=["en"]
# ## Why not softmax
#
# Softmax divides a probability of 1 among the classes. That is right where exactly one of them is true.
#
# ### Predict before you run
# A review speaks of three aspects out of five. Softmax and cross-entropy (교차 엔트로피) train on it for as long as they like. How large do the
# probabilities of the three become?

# %% [markdown] tags=["ko"]
# ## 소프트맥스는 왜 안 될까
#
# 소프트맥스(softmax)는 확률 1을 클래스들에 나누어 줍니다. 그중 딱 하나가 참일 때는 맞는 방법이에요.
#
# ### 실행하기 전에 예상해 보세요
# 속성 다섯 가지 가운데 세 가지를 말하는 리뷰가 있습니다. 소프트맥스와 교차 엔트로피(cross-entropy)로 이 리뷰만 실컷 학습시키면, 그 세 속성의 확률은 얼마까지 커질까요?

# %%
guess = kl.predict("10.a", {"0.2 each": 0.2, "0.33 each": 0.33, "0.5 each": 0.5, "1 each": 1.0})

# %%
targets = {"three aspects": [1.0, 1.0, 1.0, 0.0, 0.0], "no aspect": [0.0, 0.0, 0.0, 0.0, 0.0]}
losses = {"softmax": F.cross_entropy, "sigmoid": F.binary_cross_entropy_with_logits}
learned = {}
for what, target in targets.items():
    for kind, loss_of in losses.items():
        logits = torch.zeros(5, requires_grad=True)
        optimizer = torch.optim.Adam([logits], lr=0.1)
        for _ in range(200):
            optimizer.zero_grad()
            loss_of(logits, torch.tensor(target)).backward()
            optimizer.step()
        learned[what, kind] = (logits.softmax(0) if kind == "softmax" else logits.sigmoid()).tolist()
kl.reveal(guess, measured=learned["three aspects", "softmax"][0])
pd.DataFrame(learned, index=["1st", "2nd", "3rd", "4th", "5th"]).T.style.format("{:.2f}").background_gradient(cmap="Blues", vmin=0, vmax=1)

# %% [markdown] tags=["en"]
# A third each, and never more: under softmax one label's probability can only rise at the others' expense. The review about nothing fares worse. Its cross-entropy
# is a sum over its labels, of which there are none; the loss is 0, whatever the model says, so it learns nothing from it and goes on giving
# each label a fifth.
#
# With a **sigmoid** (시그모이드) each label is a question of its own: yes or no? The loss is the binary cross-entropy (이진 교차 엔트로피, BCE), averaged over all B · C answers
# of a batch. Three may be near 1 together, and all may be near 0.
#
# One thing to know before training, as with ln C in lesson 4: whoever knows nothing says 0.5 to each question, and −ln ½ = 0.693, however many labels there are.

# %% [markdown] tags=["ko"]
# 3분의 1씩이고, 그 이상은 안 됩니다. 소프트맥스에서는 한 라벨의 확률이 오르려면 다른 라벨의 확률이 내려가야 하니까요. 아무 속성도 말하지 않는 리뷰는 더 딱합니다. 교차 엔트로피는 그 글의 라벨에 대한
# 합인데, 라벨이 없으니 모델이 뭐라고 하든 손실이 0입니다. 그래서 배우는 것 없이 언제까지나 라벨마다 5분의 1씩 줍니다.
#
# **시그모이드**(sigmoid)를 쓰면 라벨마다 따로 묻게 됩니다. 예인가요, 아니요인가요? 손실은 이진 교차 엔트로피(binary cross-entropy, BCE)를 배치의 답 B · C개에 대해 평균한 것이에요. 셋이 함께
# 1에 가까워도 되고, 모두 0에 가까워도 됩니다.
#
# 4강의 ln C처럼, 학습하기 전에 알아 둘 숫자가 하나 있습니다. 아무것도 모르면 질문마다 0.5라고 답하고, −ln ½ = 0.693이에요. 라벨이 몇 개든 마찬가지입니다.

# %% [markdown] tags=["en"]
# ### With logits, please
# The formula has a logarithm of a sigmoid, and in float32 the sigmoid of a very negative logit is 0 (lesson 7 is about such numbers). Here is a text that
# carries the label, and a model that is very sure it does not:

# %% [markdown] tags=["ko"]
# ### 로짓을 그대로 넘기세요
# 식에는 시그모이드의 로그가 들어 있는데, 로짓이 아주 작으면 float32에서 시그모이드는 0이 됩니다(7강에서 다루는 이야기예요). 라벨이 붙은 글에 대고 절대 아니라고 확신하는 모델을 하나 봅시다.

# %%
rows = {}
for what, loss_of in {"sigmoid first, then BCE": lambda x, y: F.binary_cross_entropy(x.sigmoid(), y), "BCE with logits": F.binary_cross_entropy_with_logits}.items():
    logit = torch.tensor([-120.0], requires_grad=True)
    loss = loss_of(logit, torch.ones(1))
    loss.backward()
    rows[what] = {"sigmoid(−120)": logit.sigmoid().item(), "loss": loss.item(), "gradient": logit.grad.item()}
pd.DataFrame(rows).T.style.format("{:.0f}")

# %% [markdown] tags=["en"]
# The first has lost both: the logarithm of 0 is cut off at −100, and the gradient is 0, so this error is never mended. `binary_cross_entropy_with_logits` takes
# sigmoid and logarithm together, and the gradient is simply *probability minus truth*. The model therefore ends in logits, and nothing in it calls `sigmoid`.

# %% [markdown] tags=["ko"]
# 첫 번째는 둘 다 잃었습니다. 0의 로그는 −100에서 잘리고, 그래디언트는 0이라 이 잘못은 영영 고쳐지지 않아요. `binary_cross_entropy_with_logits`는 시그모이드와 로그를 한꺼번에 계산하고,
# 그래디언트는 그냥 *확률 빼기 정답*입니다. 그래서 모델은 로짓으로 끝나고, 모델 안 어디에서도 `sigmoid`를 부르지 않습니다.

# %% [markdown] tags=["en"]
# ## Where to begin
#
# Nine answers in ten are *no*, and a fresh head says 0.5 to everything. So the first steps have one message for every label of every text: *less*. They send it through the whole encoder, at the full learning
# rate, and an encoder can obey so well that it gives every text the same answer in the end.
#
# One line prevents it. Let a label that a share π of the training texts carries begin with a bias of ln (π / (1 − π)). Then the model starts by saying how frequent each label is, and the first gradients are about the differences between texts already.
# (It comes from object detection: Lin et al., 2017, *Focal loss for dense object detection*, section 4.1.) Both starts, for three epochs on the shorter texts:

# %% [markdown] tags=["ko"]
# ## 어디서 출발할까
#
# 답 열에 아홉은 '아니요'인데, 갓 만든 헤드는 무엇에든 0.5라고 합니다. 그래서 처음 몇 스텝은 모든 글의 모든 라벨에 똑같은 말만 해요. *줄여라.* 이 말이 학습률 그대로 인코더 전체에 전해지고, 인코더가 너무 고분고분하면 끝내 모든 글에 같은 답을 내놓게 됩니다.
#
# 한 줄이면 막을 수 있어요. 학습 글 가운데 비율 π에 붙는 라벨의 편향(bias)을 ln (π / (1 − π))로 두고 시작하세요. 그러면 모델은 라벨마다 얼마나 흔한지를 말하며 출발하고, 첫 그래디언트부터 글과 글의 차이를 이야기합니다. (물체 검출에서 온 방법입니다. Lin 외, 2017,
# *Focal loss for dense object detection*, 4.1절.) 두 가지 출발을 짧은 글로 세 에폭씩 견주어 봅시다.

# %%
tokenizer = kl.load_encoder(ENCODER)[1]
few = data["train"].filter(lambda row: len(row["text"]) <= 32)
few = few.select(range(min(len(few), kl.pick(full=1200, quick=64))))
brief = kl.make_loaders({"train": few}, tokenizer, batch_size=32, seed=SEED)
rows = {}
for start in ("0.5 for every label", "each label's frequency"):
    beginner = kl.Classifier.build(kl.load_encoder(ENCODER)[0], names, multi_label=True, seed=SEED)
    if start == "each label's frequency":
        multilabel.start_at_prior(beginner, few["labels"][:])
    losses = kl.fit(beginner, brief, kl.TrainConfig(epochs=kl.pick(full=3, quick=1), lr=LR, seed=SEED, keep_best=False, progress=False))
    logits = kl.train.predict(beginner, few["text"][:100], tokenizer=tokenizer).logits
    rows[start] = {f"loss, epoch {row['epoch']}": row["train_loss"] for row in losses} | {"spread of the logits over texts": logits.std(dim=0).mean().item()}
share = np.clip(np.mean(few["labels"][:], axis=0), 1e-6, 1 - 1e-6)
print(f"loss of a model that knows the frequencies and nothing else: {-(share * np.log(share) + (1 - share) * np.log(1 - share)).mean():.3f}")
pd.DataFrame(rows).T.style.format("{:.3f}")

# %% [markdown] tags=["en"]
# Two things to look for. A loss that comes down to that of the frequencies and stays there has learned nothing else. And a spread near 0 means one answer for all texts, which a high Hamming accuracy would never have told you, as you will see. From here on every training begins with the frequencies.

# %% [markdown] tags=["ko"]
# 눈여겨볼 것은 두 가지입니다. 손실이 빈도만 아는 모델의 손실까지 내려와서 거기 머문다면, 그 밖에는 아무것도 배우지 못한 것입니다. 그리고 퍼진 정도(spread)가 0에 가까우면 모든 글에 같은 답을 한다는 뜻이에요. 곧 보겠지만 해밍 정확도는 높게 나와서 이런 일을 알려 주지 않습니다. 이제부터는
# 모든 학습을 빈도에서 출발시킬게요.

# %% [markdown] tags=["en"]
# ## Train
#
# The loop is the one of lesson 4. Labels of shape (B, C) are what tells `kl.fit` to use BCE; `multi_label=True` notes in the saved model that its
# probabilities are sigmoids. After each epoch we keep the validation probabilities: there is more in them than one score.

# %% [markdown] tags=["ko"]
# ## 학습시키기
#
# 루프는 4강의 것 그대로입니다. 라벨의 모양이 (B, C)이면 `kl.fit`이 알아서 BCE를 쓰고, `multi_label=True`는 저장될 모델에 '확률은 시그모이드'라고 적어 둡니다. 에폭이 끝날 때마다 검증 확률을 모아 둘게요.
# 점수 하나보다 훨씬 많은 것이 거기 들어 있습니다.

# %%
loaders = kl.make_loaders(data, tokenizer, batch_size=32, max_length=64, seed=SEED)   # nine reviews in ten are shorter

class Watch:
    """Called by `fit` after each epoch: scores the validation texts and keeps their probabilities."""

    def __init__(self):
        self.probabilities = []

    def __call__(self, model, loader):
        found = kl.train.predict(model, loader)
        total, answers = kl.losses.BinaryCrossEntropy()(found.logits, found.references)
        self.probabilities.append(found.probabilities.numpy())
        return {"loss": float(total / answers)} | multilabel.multilabel_metrics(found.labels, found.references, found.probabilities)

def trained(loss):
    """A model, its history, and its validation probabilities after each epoch (E, N, C)."""
    model = kl.Classifier.build(kl.load_encoder(ENCODER)[0], names, multi_label=True, seed=SEED)
    multilabel.start_at_prior(model, truth["train"], loss.pos_weight)
    watch = Watch()
    config = kl.TrainConfig(epochs=EPOCHS, lr=LR, seed=SEED, keep_best=False, progress=False)
    history = kl.fit(model, loaders, config, loss=loss, evaluator=watch).to_pandas()
    return model, history, np.stack(watch.probabilities)

# %%
fresh = kl.Classifier.build(kl.load_encoder(ENCODER)[0], names, multi_label=True, seed=SEED)
half = kl.evaluate(fresh, loaders.validation)["loss"]
multilabel.start_at_prior(fresh, truth["train"])
print(f"loss before training: {half:.3f} from 0.5, {kl.evaluate(fresh, loaders.validation)['loss']:.3f} from the frequencies")
model, history, epochs = trained(kl.losses.BinaryCrossEntropy())
shown = ["epoch", "train_loss", "validation_loss", "hamming", "accuracy", "micro_f1", "f1", "lrap"]
history[shown].style.hide(axis="index").format(precision=3, subset=shown[1:])

# %% [markdown] tags=["en"]
# ## Five scores, and what each one hides
#
# **Hamming accuracy** (해밍 정확도) is the share of all N · C answers that are right. It is what 'accuracy' becomes when nobody thinks about it.
#
# ### Predict before you run
# A model says no to every question about every validation text. Its Hamming accuracy?

# %% [markdown] tags=["ko"]
# ## 점수 다섯 가지와 저마다 감추는 것
#
# **해밍 정확도**(Hamming accuracy)는 답 N · C개 가운데 맞은 것의 비율입니다. 아무 생각 없이 '정확도'를 재면 이것이 나와요.
#
# ### 실행하기 전에 예상해 보세요
# 어떤 모델이 모든 검증 글의 모든 질문에 '아니요'라고 답합니다. 해밍 정확도는 얼마일까요?

# %%
guess = kl.predict("10.b", {"8 %": 0.08, "50 %": 0.5, "75 %": 0.75, "92 %": 0.92})

# %%
y, p = truth["validation"], epochs[-1]
never, often = np.zeros_like(y), np.tile(carried.to_numpy() / len(truth["train"]), (len(y), 1))
top = np.tile(carried.rank(ascending=False).to_numpy() <= 3, (len(y), 1)).astype(int)
rows = {"no to every question": (never, never), "yes to every question": (1 - never, never),
        "the three most frequent labels, for every text": (top, often), "the model": ((p > 0.5).astype(int), p)}
scores = pd.DataFrame({who: multilabel.multilabel_metrics(decided, y, ranked) for who, (decided, ranked) in rows.items()}).T
kl.reveal(guess, measured=scores.loc["no to every question", "hamming"])
scores[["hamming", "accuracy", "micro_f1", "f1", "lrap"]].rename(columns={"f1": "macro-F1", "accuracy": "all right"}).style.format("{:.3f}")

# %% [markdown] tags=["en"]
# Over 90 % for a model that has read nothing, since more than nine answers in ten are *no*. And look how little the trained model is above it: whoever reports Hamming accuracy has
# nearly all of the scale already used up.
#
# - *All right* (완전 일치): the share of texts with every column right. Strict, and again in favour of silence: whoever says nothing is right about each text that has no label.
# - **Micro-F1** puts all answers into one pot and counts the yeses: frequent labels decide it.
# - **Macro-F1** (매크로 F1) gives every label the same weight, also the rare ones. Of those there are few texts, so it trembles. It is what this lesson goes by.
# - **LRAP** asks for no decision at all, only for the order of the labels: are the true ones on top? A model that ranks well and never dares to say yes has a fine LRAP.

# %% [markdown] tags=["ko"]
# 아무것도 읽지 않은 모델이 90점을 넘습니다. 답 열 개 중 아홉 개 넘게가 '아니요'이기 때문이에요. 학습한 모델이 그보다 얼마나 조금 높은지도 보세요. 해밍 정확도로 보고하면 눈금을 거의 다 써 버린 채
# 시작하는 셈입니다.
#
# - *완전 일치*(all right): 모든 칸을 맞힌 글의 비율. 엄격하지만 이번에도 침묵의 편입니다. 아무 말도 안 하면 라벨이 없는 글은 모두 맞히니까요.
# - **마이크로 F1**: 모든 답을 한데 모아 놓고 '예'를 셉니다. 흔한 라벨이 점수를 좌우해요.
# - **매크로 F1**: 드문 라벨까지 모든 라벨을 같은 무게로 셉니다. 드문 라벨은 글이 몇 개 안 되니 점수가 흔들립니다. 이 강의는 이것을 기준으로 삼을게요.
# - **LRAP**: 결정은 묻지 않고 라벨의 순서만 봅니다. 참인 라벨들이 위에 있나요? 순서는 잘 매기면서 '예'라고는 한 번도 못 하는 모델도 LRAP는 훌륭합니다.

# %%
figure, (left, right) = kl.plots.new(2, height=0.9 + 0.23 * len(names), width=10.5)
series = {name: history[column] for name, column in (("Hamming", "hamming"), ("LRAP", "lrap"), ("micro-F1", "micro_f1"), ("macro-F1", "f1"))}
kl.plots.lines(series, xlabel="epoch", ylabel="score", title="Validation scores by epoch", markers=True, ax=left)
left.xaxis.get_major_locator().set_params(integer=True)
left.set_ylim(0, 1)
each = {f"{name} ({y[:, c].sum()})": macro_f1((p[:, [c]] > 0.5).astype(int), y[:, [c]]) for c, name in enumerate(names)}
kl.plots.bars(each, title="F1 of each label (validation texts that carry it)", digits=2, ax=right)
figure

# %% [markdown] tags=["en"]
# Hamming accuracy is almost a straight line; the others show the learning. And on the right, labels with a dozen or two validation texts: one more found or missed moves such a label by points at a time.
#
# ### Exercise 10.1 · LRAP by hand
# ●●●○○ · 12 minutes
#
# *Label ranking average precision.* Take a text and one of its true labels. Among all labels whose score is **at least as high** as this one's, which share is true? Average that over the text's true
# labels, and then over the texts. A text without any label counts as 1: nothing in it can be ranked wrongly.
#
# Write `lrap(scores, labels)`: arrays (N, C), one number out. Mind equal scores.
# Stuck? `kl.hint("10.1")`, up to three times.

# %% [markdown] tags=["ko"]
# 해밍 정확도는 거의 직선이고, 배우는 과정은 다른 점수에서 보입니다. 오른쪽에는 검증 글이 열몇 개에서 스물몇 개뿐인 라벨들이 있어요. 이런 라벨은 하나를 더 찾거나 놓칠 때마다 몇 점씩 움직입니다.
#
# ### 연습 10.1 · LRAP 직접 구하기
# ●●●○○ · 12분
#
# LRAP는 *label ranking average precision*의 줄임말입니다. 글 하나와 그 글의 참인 라벨 하나를 잡으세요. 점수가 이 라벨과 **같거나 더 높은** 라벨들 가운데 참인 것의 비율은 얼마인가요? 그 값을 글의 참인 라벨들에
# 대해 평균하고, 다시 글들에 대해 평균합니다. 라벨이 하나도 없는 글은 1로 셉니다. 순서를 틀릴 것이 없으니까요.
#
# `lrap(scores, labels)`를 작성하세요. (N, C) 배열 둘을 받아 숫자 하나를 돌려줍니다. 점수가 같은 경우를 조심하세요.
# 막히면 `kl.hint("10.1")`을 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def lrap(scores, labels):
    ...

# %% tags=["solution"]
def lrap(scores, labels):
    rows = []
    for s, y in zip(scores, labels):
        shares = [y[s >= s[c]].mean() for c in np.flatnonzero(y)]     # of those at least as high: how many are true?
        rows.append(np.mean(shares) if shares else 1.0)
    return np.mean(rows)

# %% tags=["check"]
kl.check("10.1", lrap)

# %%
some_label = y.any(axis=1)
free = {"all validation texts": slice(None), f"only the {some_label.sum()} with a label": some_label}
pd.DataFrame({what: {who: multilabel.multilabel_metrics(decided[which], y[which], ranked[which])["lrap"] for who, (decided, ranked) in rows.items()}
              for what, which in free.items()}).style.format("{:.3f}")

# %% [markdown] tags=["en"]
# LRAP has a trap of its own: every text without a label is a point for free. Where many texts are empty, say how many, or leave them out.

# %% [markdown] tags=["ko"]
# LRAP에도 함정이 있습니다. 라벨이 없는 글은 전부 공짜 점수예요. 그런 글이 많다면 몇 개인지 밝히거나 빼고 계산하세요.

# %% [markdown] tags=["en"]
# ## Rare labels: pos_weight
#
# A label that one text in twenty-five carries gives the loss twenty-four chances to learn *no* for each chance to learn *yes*. `pos_weight` multiplies the positive side of each label's loss,
# usually by negatives / positives. Here is how a published walk-through computes it, and what comes of it when a label is carried by nobody, as happens to a rare
# label in a small sample or a cross-validation fold.

# %% [markdown] tags=["ko"]
# ## 드문 라벨: pos_weight
#
# 스물다섯 개에 하나꼴로 붙는 라벨이라면, 손실이 '예'를 배울 기회가 한 번 올 때 '아니요'를 배울 기회는 스물네 번 옵니다. `pos_weight`는 라벨마다 손실의 '예' 쪽에 곱하는 수이고, 보통 음성 수 / 양성 수로
# 정합니다. 공개된 어느 글에서는 이렇게 계산합니다. 작은 표본이나 교차 검증의 한 폴드에서 흔히 그렇듯 어떤 라벨이 하나도 없을 때 무슨 일이 생기는지 보세요.

# %%
def published(labels):
    pos_counts = labels.sum(axis=0)
    neg_counts = len(labels) - pos_counts
    pos_weight = neg_counts / pos_counts
    return torch.clamp(pos_weight, max=10.0)

lacking = truth["train"][truth["train"][:, -1] == 0].astype(np.float32)     # nobody carries the last label
with np.errstate(divide="ignore"):
    try:
        published(lacking)
    except TypeError as error:
        print("TypeError:", str(error).splitlines()[0])
    ratio = torch.from_numpy((len(lacking) - lacking.sum(axis=0)) / lacking.sum(axis=0))   # the same, clamp left out
print("weights of the last three labels:", [round(w, 1) for w in ratio[-3:].tolist()])
print("loss with them:", float(F.binary_cross_entropy_with_logits(torch.zeros(len(lacking), len(names)), torch.from_numpy(lacking), pos_weight=ratio)))

# %% [markdown] tags=["en"]
# Labels are counted in numpy, and `torch.clamp` takes tensors only: the listing as printed does not run. Leave the clamp out to make it run, and the absent label divides by zero. Its weight is
# infinite, infinity times zero positives is not a number, and one nan in a mean makes all of it nan.
#
# ### Exercise 10.2 · A weight that stays finite
# ●●○○○ · 8 minutes
#
# Write `safe_pos_weight(labels, most=10.0)`: a numpy array (N, C) of 0 and 1 in, a float32 tensor (C,) out, negatives / positives for each label, never above `most`, and
# finite also for a label that no row carries.
# Stuck? `kl.hint("10.2")`.

# %% [markdown] tags=["ko"]
# 라벨은 numpy로 세었는데 `torch.clamp`는 텐서만 받습니다. 그래서 실린 그대로는 실행되지 않아요. 돌아가게 하려고 clamp를 빼면, 이번에는 없는 라벨이 0으로 나눕니다. 무게가 무한대가 되고, 무한대에 양성 0개를
# 곱하면 nan, 평균에 nan이 하나라도 섞이면 전체가 nan입니다.
#
# ### 연습 10.2 · 끝까지 유한한 무게
# ●●○○○ · 8분
#
# `safe_pos_weight(labels, most=10.0)`을 작성하세요. 0과 1로 된 numpy 배열 (N, C)를 받아 float32 텐서 (C,)를 돌려줍니다. 값은 라벨마다 음성 수 / 양성 수이고, `most`를 넘지 않으며, 아무 글에도 없는
# 라벨에서도 유한해야 합니다.
# 막히면 `kl.hint("10.2")`.

# %% tags=["exercise"]
def safe_pos_weight(labels, most=10.0):
    ...

# %% tags=["solution"]
def safe_pos_weight(labels, most=10.0):
    positive = labels.sum(axis=0)
    ratio = (len(labels) - positive) / np.maximum(positive, 1)              # an absent label counts as carried once
    return torch.tensor(np.minimum(ratio, most), dtype=torch.float32)

# %% tags=["check"]
kl.check("10.2", safe_pos_weight)

# %% [markdown] tags=["en"]
# What does the weight do to a model? Take a label that a share π of the texts carries, and a model that knows nothing else. Without a weight its loss is smallest at p = π. With a weight w it is smallest at
# p = wπ / (wπ + 1 − π). In logits (로짓) that is a plain shift: **+ ln w**. So a weighted model that says yes from 0.5 on says what the unweighted one would say from **1 / (1 + w)** on: with w = 10, from 0.09.
#
# That holds for a model that fits perfectly. Does it hold for ours? The same training once more, with weights.

# %% [markdown] tags=["ko"]
# 이 무게가 모델에 하는 일은 무엇일까요? 글 가운데 비율 π에 붙는 라벨과, 그 밖에는 아무것도 모르는 모델을 생각해 봅시다. 무게가 없으면 손실은 p = π에서 가장 작습니다. 무게 w를 주면 p = wπ / (wπ + 1 − π)에서 가장 작아요.
# 로짓(logit)으로 보면 그저 **+ ln w**만큼 미는 것입니다. 그러니 무게를 준 모델이 0.5부터 '예'라고 하는 것은, 무게 없는 모델이 **1 / (1 + w)**부터 '예'라고 하는 것과 같습니다. w = 10이면 0.09부터예요.
#
# 이것은 완벽하게 맞춘 모델의 이야기입니다. 우리 모델도 그럴까요? 무게를 주고 똑같이 한 번 더 학습시켜 봅시다.

# %%
weight = multilabel.pos_weight(truth["train"])                             # your safe_pos_weight, and it minds labels that everybody carries too
weighted_model, _, weighted_epochs = trained(kl.losses.BinaryCrossEntropy(pos_weight=weight))
rare = np.argsort(carried.to_numpy(), kind="stable")[:5]                   # the five rarest labels

def summary(probabilities):
    decided = (probabilities > 0.5).astype(int)
    right, predicted, present = (decided * y).sum(0), decided.sum(0), y.sum(0)
    table = {"precision": right / np.maximum(predicted, 1), "recall": right / np.maximum(present, 1), "F1": 2 * right / np.maximum(predicted + present, 1)}
    return {(which, name): values[columns].mean() for which, columns in (("five rarest labels", rare), ("all labels", slice(None))) for name, values in table.items()}

pd.DataFrame({"plain": summary(epochs[-1]), "pos_weight": summary(weighted_epochs[-1])}).T.style.format("{:.3f}")

# %%
plain_logit, weighted_logit = (np.log(q[:, rare] / (1 - q[:, rare])).ravel() for q in (epochs[-1], weighted_epochs[-1]))
yes = y[:, rare].ravel() == 1
shift = np.log(weight[rare].mean().item())
figure, ax = kl.plots.new(height=3.8, width=5.6)
for kind, colour, name in ((~yes, kl.plots.GREY, "the text does not carry it"), (yes, kl.plots.ORANGE, "it does")):
    ax.plot(plain_logit[kind], weighted_logit[kind], ".", color=colour, alpha=0.6, markersize=4, label=name)
ends = np.array([plain_logit.min(), plain_logit.max()])
ax.plot(ends, ends, color="black", linewidth=1, label="no shift")
ax.plot(ends, ends + shift, color=kl.plots.BLUE, linestyle="--", linewidth=1.5, label=f"+ ln w = {shift:.2f}")
ax.set(xlabel="logit, plain", ylabel="logit, pos_weight", title="The five rarest labels on the validation texts")
ax.legend(fontsize=8)
print(f"mean shift {np.mean(weighted_logit - plain_logit):+.2f}, theory {shift:+.2f}")
figure

# %% [markdown] tags=["en"]
# Recall up, precision down: the weighted model says yes more readily. The cloud lies above the diagonal, more or less a shift along it. So `pos_weight` is for the most part a way to *lower the threshold*, chosen before
# training and once for all. The other way is to leave the loss alone and choose the threshold afterwards, for each label, by looking.

# %% [markdown] tags=["ko"]
# 재현율은 오르고 정밀도는 내려갔습니다. 무게를 준 모델은 '예'를 더 쉽게 말해요. 점들은 대각선 위쪽에, 얼추 대각선을 밀어 올린 모양으로 놓여 있습니다. 그러니 `pos_weight`는 대부분 *임곗값을 낮추는* 방법인 셈이에요. 다만 학습하기 전에,
# 한 번에 정해 버리는 방법입니다. 손실은 그대로 두고, 나중에 라벨마다 점수를 보며 임곗값을 고를 수도 있습니다.

# %% [markdown] tags=["en"]
# ## A threshold for each label
#
# 0.5 is a convention. A threshold (임곗값, threshold) matters only by which texts lie above it, so the sorted probabilities hold every candidate there is: try them all, keep the one with the best F1.
# `kl.decide.fit_thresholds` does that for each label.

# %% [markdown] tags=["ko"]
# ## 라벨마다 임곗값 하나씩
#
# 0.5는 관습일 뿐입니다. 임곗값(threshold)은 어떤 글이 그 위에 놓이느냐만 정하니, 확률을 줄 세우면 후보가 모두 나와요. 전부 시험해 보고 F1이 가장 높은 것을 남기면 됩니다. `kl.decide.fit_thresholds`가
# 라벨마다 이 일을 합니다.

# %%
thresholds = decide.fit_thresholds(p, y)                                   # p, y: the plain model on the validation texts
grid = np.linspace(0.01, 0.99, 99)
figure, axes = kl.plots.new(4, height=2.6, width=11, sharey=True)
for ax, c in zip(axes, (0, 1, *rare[:2])):
    ax.plot(grid, [macro_f1((p[:, [c]] > t).astype(int), y[:, [c]]) for t in grid], color=kl.plots.BLUE)
    ax.axvline(0.5, color=kl.plots.GREY, linestyle="--", linewidth=1)
    ax.axvline(thresholds[c], color=kl.plots.ORANGE, linewidth=1.5)
    ax.set(title=f"{names[c]}: {y[:, c].sum()} of {len(y)}", xlabel="threshold", ylim=(0, 1))
axes[0].set_ylabel("F1 (orange: the best)")
figure

# %%
from kolab.threshold_widget import threshold_widget

threshold_widget(p, y, names, threshold=0.3)

# %% [markdown] tags=["en"]
# The curves of frequent labels are smooth, those of rare ones jagged: each tooth is one text. The best threshold of a rare label may well sit on a tooth, where this text happened to lie just above, and that one just below. Other texts
# have other teeth.
#
# ### Predict before you run
# To see how much the teeth alone are worth: a model that knows *nothing*. Its probabilities are random numbers, fifteen labels as rare as ours, 440 texts. By how many points of macro-F1 do fitted thresholds raise its score on these texts?

# %% [markdown] tags=["ko"]
# 흔한 라벨의 곡선은 매끈하고, 드문 라벨의 곡선은 톱니 모양입니다. 톱니 하나가 글 하나예요. 드문 라벨의 가장 좋은 임곗값은 톱니 끝에 걸려 있기 쉽습니다. 마침 이 글은 바로 위에, 저 글은 바로 아래에 있었던 것이죠. 다른 글을 가져오면 톱니도
# 달라집니다.
#
# ### 실행하기 전에 예상해 보세요
# 톱니만으로 얼마나 오르는지 보려면 *아무것도 모르는* 모델을 쓰면 됩니다. 확률은 난수이고, 라벨 열다섯 개는 우리 것만큼 드물고, 글은 440개예요. 임곗값을 맞추면 바로 그 글들에서 매크로 F1이 몇 점이나 오를까요?

# %%
guess = kl.predict("10.c", {"not at all": 0.0, "1 point": 1.0, "4 points": 4.0, "15 points": 15.0})

# %%
share = np.array([641, 562, 367, 347, 313, 301, 273, 242, 197, 197, 188, 185, 172, 130, 125]) / 3519   # of all our training reviews
draw, worth = np.random.default_rng(0), []
for _ in range(kl.pick(full=20, quick=5)):
    luck, answers = draw.random((440, 15)), (draw.random((440, 15)) < share).astype(int)
    tuned = decide.apply_thresholds(luck, decide.fit_thresholds(luck, answers))
    honest = decide.cross_fit(luck, answers, folds=5)                      # every text decided by thresholds that never saw it
    worth.append([100 * macro_f1(d, answers) for d in ((luck > 0.5).astype(int), tuned, honest)])
at_half, in_sample, crossed = np.mean(worth, axis=0)
kl.reveal(guess, measured=in_sample - at_half)
print(f"macro-F1 in points: {at_half:.1f} at 0.5, {in_sample:.1f} tuned and scored on the same texts, {crossed:.1f} on texts the thresholds had not seen")

# %% [markdown] tags=["en"]
# Nearly four points for a model that knows nothing, which is as much as a published study claims for its thresholds. Less than one of them is real (saying yes to *every* text, which a threshold near 0 does, beats a coin), the rest is teeth.
#
# That study tuned its thresholds on the very texts it reported on: its validation set and its test set were one file. Its probabilities can be scored again: macro-F1 0.820 at 0.5, 0.829 tuned on the same texts, and 0.820 to 0.825 when
# every text is decided by thresholds that were fitted without it. The claim was +3.8 points; what is left is between nothing and half a point.

# %% [markdown] tags=["ko"]
# 아무것도 모르는 모델이 4점 가까이 올랐습니다. 공개된 어느 연구가 임곗값 덕분이라고 주장한 만큼이에요. 그중 1점이 채 안 되는 몫은 진짜입니다(임곗값이 0 가까이 가면 *모든* 글에 '예'라고 하는데, 동전 던지기보다는 낫거든요). 나머지는 톱니입니다.
#
# 그 연구는 점수를 보고한 바로 그 글들로 임곗값을 맞췄습니다. 검증 세트와 시험 세트가 같은 파일이었어요. 그 확률을 다시 채점해 보면 매크로 F1은 0.5에서 0.820, 같은 글로 맞추면 0.829, 글마다 그 글 없이 맞춘 임곗값으로 결정하면
# 0.820에서 0.825입니다. 주장은 3.8점이었지만, 남는 것은 0점에서 0.5점 사이입니다.

# %% [markdown] tags=["en"]
# ### Exercise 10.3 · Thresholds without a leak
# ●●●●○ · 15 minutes
#
# Cross-fitting (교차 적합) needs no further texts: cut the ones you have into folds, and decide each fold by thresholds that were fitted on the others.
#
# Write `cross_fitted(probabilities, labels, fit, folds=5, seed=0)`. Both arrays are (N, C); `fit(probabilities, labels)` returns thresholds (C,) for the rows it is given; yes means *above* the threshold. Shuffle the rows by `seed` before you cut. Return
# the decisions, (N, C) of 0 and 1, in the order the rows came in.
# Stuck? `kl.hint("10.3")`.

# %% [markdown] tags=["ko"]
# ### 연습 10.3 · 새지 않는 임곗값
# ●●●●○ · 15분
#
# 교차 적합(cross-fitting)에는 글이 더 필요하지 않습니다. 가진 글을 폴드로 나누고, 폴드마다 나머지 폴드로 맞춘 임곗값으로 결정하면 돼요.
#
# `cross_fitted(probabilities, labels, fit, folds=5, seed=0)`을 작성하세요. 두 배열은 모두 (N, C)이고, `fit(probabilities, labels)`는 건네받은 행들로 임곗값 (C,)를 돌려줍니다. 임곗값보다 *크면* '예'입니다. 나누기 전에 `seed`로 행을
# 섞으세요. 결정을 0과 1로 된 (N, C)로, 행이 들어온 순서대로 돌려줍니다.
# 막히면 `kl.hint("10.3")`.

# %% tags=["exercise"]
def cross_fitted(probabilities, labels, fit, folds=5, seed=0):
    ...

# %% tags=["solution"]
def cross_fitted(probabilities, labels, fit, folds=5, seed=0):
    order = np.random.default_rng(seed).permutation(len(labels))
    decided = np.zeros(labels.shape, dtype=int)
    for held in np.array_split(order, folds):
        rest = np.setdiff1d(order, held)                                   # every row but those that are about to be decided
        thresholds = fit(probabilities[rest], labels[rest])
        decided[held] = probabilities[held] > thresholds                   # back to where they came from
    return decided

# %% tags=["check"]
kl.check("10.3", cross_fitted)

# %% [markdown] tags=["en"]
# `kl.decide.cross_fit` does the same, with one refinement: it deals out each label's folds for itself, so that a label with a dozen texts has some in every fold. Now our two models, scored three ways on the validation texts.

# %% [markdown] tags=["ko"]
# `kl.decide.cross_fit`도 같은 일을 하되 한 가지를 더 챙깁니다. 폴드를 라벨마다 따로 나누어서, 글이 열몇 개뿐인 라벨도 모든 폴드에 조금씩 들어가게 해요. 이제 우리 모델 둘을 검증 글에서 세 가지로 채점해 봅시다.

# %%
DEALINGS = kl.pick(full=10, quick=2)

def three_ways(probabilities):
    """Macro-F1 at 0.5, tuned and scored on the same texts, and cross-fitted (one score for each way of dealing the folds)."""
    tuned = decide.apply_thresholds(probabilities, decide.fit_thresholds(probabilities, y))
    return macro_f1((probabilities > 0.5).astype(int), y), macro_f1(tuned, y), [macro_f1(decide.cross_fit(probabilities, y, seed=seed), y) for seed in range(DEALINGS)]

rows = {}
for name, probabilities in {"plain": epochs[-1], "pos_weight": weighted_epochs[-1]}.items():
    half, tuned, honest = three_ways(probabilities)
    rows[name] = {"at 0.5": half, "tuned, same texts": tuned, "cross-fitted": np.mean(honest), "lowest": min(honest), "highest": max(honest),
                  "claimed gain": 100 * (tuned - half), "gain left": 100 * (np.mean(honest) - half)}
three = pd.DataFrame(rows).T
three.style.format("{:.3f}").format("{:+.1f} points", subset=["claimed gain", "gain left"])

# %%
half, tuned, honest = zip(*(three_ways(probabilities) for probabilities in epochs))
figure, ax = kl.plots.new()
ax.xaxis.get_major_locator().set_params(integer=True)
kl.plots.lines({"tuned, same texts": tuned, "cross-fitted": [np.mean(h) for h in honest], "at 0.5": half}, xlabel="epoch", ylabel="macro-F1", markers=True,
               title="The plain model on the validation texts, epoch by epoch", ax=ax)

# %% [markdown] tags=["en"]
# The gap between the upper two lines is what the teeth are worth; the gap between the lower two is what a new text would gain. In the first epochs the model is shy: its rare labels hardly ever reach 0.5, and any lower threshold is a
# real gain. The longer it trains the surer it gets, its probabilities crowd near 0 and 1, and there is less and less between them for a threshold to choose. The published run had trained for dozens of epochs.
#
# So *do thresholds help?* has no answer by itself. It depends on how far the model leans, to *no* or to *yes*, and on how many texts the thresholds were fitted on. Here is a recorded study of several seeds; `kolab bench multilabel` repeats it.

# %% [markdown] tags=["ko"]
# 위의 두 선 사이가 톱니의 몫이고, 아래 두 선 사이가 새 글에서 얻을 몫입니다. 처음 몇 에폭 동안 모델은 수줍어요. 드문 라벨의 확률이 0.5까지 가는 일이 거의 없어서, 임곗값을 낮추기만 해도 정말로 오릅니다. 오래 학습할수록 확신이 커지고 확률이 0과 1
# 근처로 몰려서, 임곗값이 고를 만한 것이 그 사이에 점점 남지 않아요. 공개된 연구는 수십 에폭을 학습한 모델이었습니다.
#
# 그러니 *임곗값이 도움이 되나요?*라는 물음에는 그것만으로 답할 수 없습니다. 모델이 '아니요'나 '예' 쪽으로 얼마나 기울었는지, 임곗값을 몇 개의 글로 맞췄는지에 달렸어요. 시드 여러 개로 기록해 둔 실험을 봅시다. `kolab bench multilabel`로 다시 해 볼 수 있습니다.

# %%
try:
    study = kl.measure.recorded("multilabel")
    where, meta = study.attrs["machine"], study.attrs["meta"]
    print(f"{where['gpu'] or where['cpu']}, {study.attrs['date']}: {meta['data']}; {meta['seeds']} seeds, {meta['epochs']} epochs")
except kl.errors.DataError:
    study = None
    print("not recorded yet: `kolab bench multilabel`")

figure = None
if study is not None:
    sizes = sorted(int(column.split()[1]) for column in study if column.startswith("gain "))
    mean = study[study["way"] == "plain"].mean(numeric_only=True)
    figure = kl.plots.lines({"on the texts they were fitted on": [100 * mean[f"gain {n}"] for n in sizes], "on all other texts": [100 * mean[f"true {n}"] for n in sizes]},
                            x=sizes, markers=True, xlabel="texts the thresholds were fitted on", ylabel="gain over 0.5, points of macro-F1", title="What fitted thresholds gain")
figure

# %% [markdown] tags=["en"]
# The fewer the texts, the more is claimed and the less is true. From 50 texts the thresholds claim fifteen points and cost nearly four; from 400 they still claim more than five and bring nothing. Fifteen thresholds are fifteen parameters, and deserve the same suspicion as any others.
#
# That is the plain model, trained on all reviews. The one with `pos_weight` says yes too readily at 0.5, and in the table further up it keeps about half of what its thresholds claim: a threshold mends a model that leans to one side. One that stands upright has nothing to gain from it.

# %% [markdown] tags=["ko"]
# 글이 적을수록 주장은 커지고 진짜는 작아집니다. 글 50개로 맞춘 임곗값은 15점이 올랐다고 주장하지만 실제로는 4점 가까이 잃고, 400개로 맞춰도 5점 넘게 주장하지만 얻는 것이 없습니다. 임곗값 열다섯 개는 파라미터 열다섯 개이고, 다른 파라미터와 똑같이 의심해야 해요.
#
# 이것은 리뷰 전부로 학습한, 무게를 주지 않은 모델의 이야기입니다. `pos_weight`로 학습한 모델은 0.5에서 '예'를 너무 쉽게 말하고, 앞의 표에서는 임곗값이 주장하는 점수의 절반쯤이 남았습니다. 임곗값은 한쪽으로 기운 모델을 바로 세워 줍니다. 똑바로 선 모델이라면 얻을 것이 없어요.

# %% [markdown] tags=["en"]
# ## More of what is rare: AEDA
#
# The third way is to have more rare texts. AEDA (*an easier data augmentation*) copies a text and puts punctuation marks between its words, at random: as few as one, as many as a third of the words. The meaning stays, the input is a little different each time.
# *Between* words is the point. A mark inside a word makes other tokens (토큰) of it, and the model learns words that do not exist.

# %% [markdown] tags=["ko"]
# ## 드문 것을 늘리기: AEDA
#
# 세 번째 방법은 드문 글을 늘리는 것입니다. AEDA(*an easier data augmentation*)는 글을 복사해서 단어 사이사이에 문장 부호를 무작위로 끼워 넣어요. 적으면 하나, 많으면 단어 수의 3분의 1쯤. 뜻은 그대로이고, 입력만 매번 조금씩
# 달라집니다. 핵심은 단어 *사이*라는 점입니다. 단어 안에 넣으면 토큰(token)이 달라져서, 모델이 세상에 없는 단어를 배우게 돼요.

# %%
def inside(text, seed):
    """The same number of marks, but between two characters of a word: what not to do."""
    changed, draw = kl.text.aeda(text, seed=seed), random.Random(seed)
    for _ in range(len(changed.split()) - len(text.split())):
        places = [i for i in range(1, len(text)) if not text[i - 1].isspace() and not text[i].isspace()] or [0]
        place = draw.choice(places)
        text = text[:place] + draw.choice(".;?:!,") + text[place:]
    return text

example = next(text for text in data["train"]["text"][:] if 25 <= len(text) <= 45)
for way, text in {"as it is": example, "between words": kl.text.aeda(example, seed=1), "inside words": inside(example, seed=1)}.items():
    print(f"{way:14} {text}\n{'':14} {tokenizer.tokenize(text)}")

def kept(change, texts=data["train"]["text"][:300]):
    """The share of texts all of whose tokens are still there after the change, marks aside."""
    same = 0
    for number, text in enumerate(texts):
        left = tokenizer.tokenize(change(text, seed=number))
        tokens = iter(left)
        same += all(token in tokens for token in tokenizer.tokenize(text))      # in this order
    return same / len(texts)

print(f"\ntexts that keep all their tokens: {kept(kl.text.aeda):.0%} with marks between words, {kept(inside):.0%} with marks inside")

# %% [markdown] tags=["en"]
# ### Exercise 10.4 · Marks between words
# ●●○○○ · 10 minutes
#
# Write `put_marks(text, seed, marks=".;?:!,")`: the same words in the same order, with 1 to `n // 3 + 1` marks among `n` words (draw how many). Each mark is a word of its own, with a blank on either side, and
# stands before a *different* word. The same seed gives the same text.
# Stuck? `kl.hint("10.4")`.

# %% [markdown] tags=["ko"]
# ### 연습 10.4 · 단어 사이의 부호
# ●●○○○ · 10분
#
# `put_marks(text, seed, marks=".;?:!,")`를 작성하세요. 같은 단어를 같은 순서로 두되, 단어가 `n`개면 부호를 1개에서 `n // 3 + 1`개까지 넣습니다(몇 개인지도 뽑으세요). 부호는 양옆을 띄워 한 단어처럼 두고, 서로 *다른* 단어 앞에
# 놓습니다. 시드가 같으면 결과도 같아야 합니다.
# 막히면 `kl.hint("10.4")`.

# %% tags=["exercise"]
def put_marks(text, seed, marks=".;?:!,"):
    ...

# %% tags=["solution"]
def put_marks(text, seed, marks=".;?:!,"):
    words, draw = text.split(), random.Random(seed)
    places = draw.sample(range(len(words)), draw.randint(1, len(words) // 3 + 1))
    changed = []
    for place, word in enumerate(words):
        changed += [draw.choice(marks), word] if place in places else [word]
    return " ".join(changed)

# %% tags=["check"]
kl.check("10.4", put_marks)

# %%
more = multilabel.add_copies(data["train"], [names[c] for c in rare], copies=2, seed=SEED)
after = pd.Series(multilabel.counts(more["labels"][:]), index=names)
figure = kl.plots.bars({f"{name}, {when}": values[name] for name in (names[0], *(names[c] for c in rare)) for when, values in (("before", carried), ("after", after))},
                       highlight=[f"{name}, after" for name in names], title=f"Texts that carry a label: {len(data['train']):,} before, {len(more):,} after")
figure

# %% [markdown] tags=["en"]
# The rare labels are about three times as frequent as before. So is every other label that these texts carry: a copy takes all its labels along, which is why multi-label data cannot simply be balanced.
#
# Does it help? The claim is that AEDA on the minority classes does. To know, we need two comparisons that are usually missing. *Copies without marks*: what they gain is not AEDA's doing. And *the same number of updates*: more rows in the same epochs are also
# a longer training. The recorded study has both, with each training scored on the five rarest labels.

# %% [markdown] tags=["ko"]
# 드문 라벨이 세 배쯤으로 늘었습니다. 그런데 그 글들에 함께 붙어 있던 라벨도 따라 늘었어요. 복사한 글은 라벨을 모두 데리고 다니니까요. 다중 라벨 데이터의 균형을 간단히 맞출 수 없는 까닭입니다.
#
# 그래서 도움이 될까요? 소수 클래스에 AEDA를 쓰면 좋아진다는 것이 주장입니다. 확인하려면 흔히 빠뜨리는 비교 두 가지가 필요해요. 하나는 *부호 없이 복사만 한 것*. 그것만으로 오른다면 AEDA 덕분이 아닙니다. 또 하나는 *업데이트 수를 같게 하는 것*.
# 에폭은 그대로인데 글이 늘면 학습도 길어진 것이니까요. 기록해 둔 실험은 둘 다 갖추었고, 학습마다 가장 드문 라벨 다섯 개에서 채점했습니다.

# %%
columns = ["rare precision", "rare recall", "rare f1", "rare crossed", "f1", "crossed", "lrap"]
table = None
if study is not None:
    table = study.groupby("way", sort=False)[columns].agg(["mean", "std"]).style.format("{:.3f}")
table

# %%
figure = None
if study is not None:
    by_seed = {column: 100 * study.pivot(index="seed", columns="way", values=column) for column in ("rare f1", "rare crossed")}
    pairs = [(a, b, column) for column in by_seed for a, b in (("pos_weight", "plain"), ("copies", "plain"), ("AEDA", "plain"), ("AEDA", "copies"))]
    gaps = {f"{a} − {b}, {'at 0.5' if column == 'rare f1' else 'cross-fitted'}": (by_seed[column][a] - by_seed[column][b]) for a, b, column in pairs}
    figure = kl.plots.bars({name: gap.mean() for name, gap in gaps.items()}, errors={name: (gap.min(), gap.max()) for name, gap in gaps.items()}, digits=1,
                           title=f"F1 of the five rarest labels: difference in points (line: smallest and largest of {len(study['seed'].unique())} seeds)")
    for name, gap in gaps.items():
        print(f"{name:36} {gap.mean():+5.1f} points, {gap.min():+5.1f} to {gap.max():+5.1f}; above zero in {(gap > 0).sum()} of {len(gap)}")
figure

# %% [markdown] tags=["en"]
# Read it in this order. *AEDA − copies* is the method itself: nothing. The marks do no more than the same copies without marks. *Copies − plain* is what showing rare texts more often does, and that did help the rare labels, in all three seeds, at 0.5 and cross-fitted. Whoever compares AEDA with the plain training alone gives the marks the credit for
# the copies. And the table says who paid: over all fifteen labels copies are below plain. (The line is as wide as three seeds lie apart, and three are few: lesson 9 counts how many it takes.)
#
# Then `pos_weight`, *the* answer to imbalance. At 0.5 it stands six points below plain on the very labels that it was to help: their recall rises by more than 20 points, and their precision falls by 30. Cross-fitted, each way has the thresholds that suit it, and what is left is what it has *learned* more: here, for `pos_weight`, nothing that the seeds agree on.

# %% [markdown] tags=["ko"]
# 이 순서로 읽어 보세요. *AEDA − copies*가 방법 그 자체의 효과인데, 없습니다. 부호를 넣은 복사본은 부호 없는 복사본보다 나을 것이 없어요. *copies − plain*은 드문 글을 더 자주 보여 준 효과이고, 이것은 드문 라벨에 정말 도움이 됐습니다. 세 시드 모두에서, 0.5에서도 교차 적합에서도요. AEDA를 평범한 학습하고만 견주면
# 복사의 공을 부호에게 돌리게 됩니다. 대가를 누가 치렀는지는 표에 있습니다. 라벨 열다섯 개를 모두 놓고 보면 복사한 쪽이 plain보다 낮아요. (선의 너비는 시드 셋이 떨어진 만큼이고, 셋은 적습니다. 몇 개면 되는지는 9강에서 셌지요.)
#
# 다음은 불균형의 *정답*이라는 `pos_weight`입니다. 0.5에서는 바로 그 도우려던 드문 라벨에서 plain보다 6점 낮습니다. 재현율은 20점 넘게 올랐지만 정밀도가 30점 내려갔거든요. 교차 적합에서는 저마다 자기에게 맞는 임곗값을 쓰니, 남는 것은 정말로 더 *배운* 만큼입니다. `pos_weight`의 경우, 시드들이 한목소리로 말하는 것은 여기 없어요.

# %% [markdown] tags=["en"]
# ## The test texts, once
#
# Two models, thresholds or none: the cross-fitted validation score chooses. Then the thresholds are fitted on all validation texts, and the test texts are opened, once.

# %% [markdown] tags=["ko"]
# ## 시험 글은 한 번만
#
# 모델 둘에, 임곗값을 쓸지 말지. 검증 글의 교차 적합 점수가 고릅니다. 그다음 검증 글 전체로 임곗값을 맞추고, 시험 글을 딱 한 번 엽니다.

# %%
options = {(name, use): three.loc[name, column] for name in three.index for use, column in (("0.5", "at 0.5"), ("fitted", "cross-fitted"))}
name, use = max(options, key=options.get)
chosen, on_validation = (model, epochs[-1]) if name == "plain" else (weighted_model, weighted_epochs[-1])
fitted = decide.fit_thresholds(on_validation, y) if use == "fitted" else np.full(len(names), 0.5)

found = kl.train.predict(chosen, loaders.test)
decided = decide.apply_thresholds(found.probabilities, fitted)
low, high = kl.metrics.bootstrap_interval(decided, truth["test"], macro_f1, samples=kl.pick(full=500, quick=50))
print(f"chosen: {name}, thresholds {use}")
promised = {"validation, tuned on the same texts": three.loc[name, "tuned, same texts"], "validation, cross-fitted": options[name, use]} if use == "fitted" else {"validation": options[name, use]}
kl.plots.bars(promised | {"test": macro_f1(decided, truth["test"])}, errors={"test": (low, high)}, digits=3, title="Macro-F1, promised and found (line: 95 % interval)")

# %% [markdown] tags=["en"]
# Look at the width of the interval before you look at anything else: with rare labels, a test set of this size cannot tell two decent models apart. The tuned score promised far too much, and the cross-fitted one still more than was found. It is free of the thresholds' flattery, not of luck: 440 other texts would have promised something else.
#
# Try the model on a sentence of your own. Each bar is a question for itself; they need not add up to 1.

# %% [markdown] tags=["ko"]
# 다른 것을 보기 전에 구간의 너비부터 보세요. 드문 라벨이 있으면 이만한 시험 세트로는 쓸 만한 모델 둘을 가려내지 못합니다. 같은 글로 맞춘 점수는 터무니없이 많이 약속했고, 교차 적합한 점수도 실제보다는 높았습니다. 교차 적합은 임곗값이 부풀린 몫을 덜어 줄 뿐, 운까지 덜어 주지는 못해요. 다른 글 440개였다면 다른 점수를 약속했을 겁니다.
#
# 여러분의 문장으로 모델을 시험해 보세요. 막대 하나하나가 따로 묻는 질문이라, 다 더해서 1이 될 필요가 없습니다.

# %%
kl.widgets.classifier_widget(chosen, tokenizer, text="화면은 밝은데 배터리가 반나절도 못 가고 너무 무거워요")

# %% [markdown] tags=["en"]
# ## The same on a real corpus
#
# Change one line at the top: `DATA = "unsmile"` (hateful speech, ten labels, licence for non-commercial use) or `DATA = "kote"` (44 emotions, about eight a text). `kolab fetch unsmile` in a terminal downloads it, after it has shown you the licence. Every cell above
# runs on it, with other labels in the figures. With a GPU also take a larger encoder and all rows.
#
# Two things to watch there. KOTE's texts carry so many labels that always saying no scores only about 82 % in Hamming accuracy. In UnSmile `clean` is a label of its own, which excludes the others: a model of independent questions does
# not know that.

# %% [markdown] tags=["ko"]
# ## 진짜 말뭉치로 똑같이
#
# 맨 위의 한 줄만 바꾸면 됩니다. `DATA = "unsmile"`(혐오 표현, 라벨 열 개, 비상업적 이용만 허용) 또는 `DATA = "kote"`(감정 44가지, 글 하나에 여덟 개쯤). 터미널에서 `kolab fetch unsmile`을 실행하면 라이선스를 보여 준 뒤 내려받습니다. 위의
# 셀은 모두 그대로 돌아가고 그림의 라벨만 바뀌어요. GPU가 있다면 더 큰 인코더와 전체 데이터를 쓰세요.
#
# 거기서 눈여겨볼 것이 두 가지 있습니다. KOTE의 글에는 라벨이 많아서, 늘 '아니요'라고 하는 모델의 해밍 정확도가 82 %쯤에 그칩니다. UnSmile에서는 `clean`도 라벨인데, 다른 라벨과 함께 붙을 수 없습니다. 질문을 따로따로 던지는
# 모델은 그 사실을 모릅니다.

# %% [markdown] tags=["en"]
# ## Take-aways
#
# - Several labels or none: one sigmoid a label, BCE on *logits*. The first loss is near 0.693.
# - Always saying no scores over 90 % in Hamming accuracy. Report macro-F1, and how many texts the rarest label has.
# - Begin with the labels' frequencies in the head's bias, or the first steps teach the whole encoder one thing: *no*.
# - `pos_weight` shifts logits by ln w: a lower threshold, chosen before training. Count with care where a label may be absent.
# - A threshold fitted and scored on the same texts gains points on pure noise. Cross-fit, and report that.
# - AEDA puts marks between words, never inside one. Compare it with plain copies, at the same number of updates, over seeds: here the copies did it, and the marks did nothing.
#
# **Where to go next.** The next lesson puts several encoders together: weights and thresholds fitted on validation, the test set opened once, and a guard in code that makes it so. `kl.progress()` shows what you have done so far.

# %% [markdown] tags=["ko"]
# ## 정리
#
# - 라벨이 여러 개이거나 없을 수 있다면, 라벨마다 시그모이드 하나, *로짓*에 BCE. 첫 손실은 0.693 근처입니다.
# - 늘 '아니요'라고만 해도 해밍 정확도는 90점을 넘습니다. 매크로 F1을 보고하고, 가장 드문 라벨의 글이 몇 개인지도 밝히세요.
# - 라벨의 빈도를 헤드의 편향에 넣고 시작하세요. 그러지 않으면 처음 몇 스텝이 인코더 전체에 '아니요' 하나만 가르칩니다.
# - `pos_weight`는 로짓을 ln w만큼 밉니다. 학습하기 전에 임곗값을 낮춰 두는 셈이에요. 없는 라벨이 있을 수 있다면 조심해서 세세요.
# - 같은 글로 맞추고 채점한 임곗값은 순전한 잡음에서도 점수를 올립니다. 교차 적합하고, 그 점수를 보고하세요.
# - AEDA는 부호를 단어 사이에 넣습니다. 단어 안에는 절대 넣지 않아요. 부호 없는 복사와, 같은 업데이트 수로, 여러 시드에서 견주세요. 여기서는 복사가 한 일이었고, 부호가 한 일은 없었습니다.
#
# **다음으로.** 다음 강의에서는 인코더 여러 개를 모읍니다. 가중치와 임곗값은 검증 글로 맞추고, 시험 세트는 한 번만 열고, 정말 한 번만 열리도록 코드로 막아 둡니다. `kl.progress()`로 지금까지 한 것을 볼 수 있어요.
