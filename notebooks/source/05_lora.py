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
# # 5. LoRA against full fine-tuning
#
# *Full fine-tuning moves millions of weights. You will look at what it did to them, do nearly the same with fewer than one in a hundred,
# count that honestly, and mend two published faults that cost the whole method without a word of complaint.*
#
# | you will be able to | time | you need |
# |---|---|---|
# | write LoRA in thirty lines, and say what rank, alpha and the zero in B are for | 110 min | lesson 4 |
# | use peft, and prove that it computes what you wrote | | CPU is enough |
# | count what trains, save it alone, merge it, and swap it between two tasks | | |
# | compare LoRA with full fine-tuning without fooling yourself | | |

# %% [markdown] tags=["ko"]
# # 5. LoRA 대 전체 미세 조정
#
# *전체 미세 조정은 가중치 수백만 개를 움직입니다. 무엇이 달라졌는지 들여다보고, 백에 하나도 안 되는 가중치로 거의 같은 일을 해 보고, 그 수를 정직하게 세고,
# 아무 말 없이 LoRA를 통째로 날려 버리는 공개 코드의 잘못 두 가지를 고칩니다.*
#
# | 할 수 있게 되는 것 | 시간 | 준비물 |
# |---|---|---|
# | LoRA를 서른 줄로 쓰고, 랭크와 알파와 B의 0이 왜 있는지 말하기 | 110분 | 4강 |
# | peft를 쓰고, 내가 쓴 것과 똑같이 계산한다는 것을 증명하기 | | CPU면 충분 |
# | 학습되는 것을 세고, 그것만 저장하고, 합치고, 두 과제 사이에서 갈아 끼우기 | | |
# | 스스로를 속이지 않고 LoRA와 전체 미세 조정을 견주기 | | |

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
import copy, tempfile
from pathlib import Path
import numpy as np, pandas as pd, torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertModel

ROWS, EPOCHS, RANK, ALPHA, RATE = kl.pick(full=1200, quick=32), kl.pick(full=3, quick=1), 8, 16, 4e-4
reviews = kl.load_reviews()
names = reviews["train"].features["label"].names                       # 부정, 중립, 긍정
some = {"train": reviews["train"].shuffle(seed=0).select(range(ROWS)), "validation": reviews["validation"].select(range(kl.pick(full=320, quick=32)))}
tokenizer = kl.load_encoder("kolab-mini")[1]
loaders = kl.make_loaders(some, tokenizer)

def fresh(seed=0):
    """A new classifier on a new copy of the encoder: whatever was trained before is not in it."""
    return kl.Classifier.build(kl.load_encoder("kolab-mini")[0], names, seed=seed)

def train(model, rate, loaders=loaders):
    history = kl.fit(model, loaders, kl.TrainConfig(epochs=EPOCHS, lr=rate, keep_best=False, progress=False))
    model.cpu()                                                        # a GPU, if there is one, has done its part
    return history

# %% [markdown] tags=["en"]
# ## What does fine-tuning change?
#
# Lesson 4 moved every weight. By how much, and in which directions? We keep a copy of the weights, fine-tune all of them on part of
# the reviews, and subtract. What is left is the **difference** ΔW of each matrix: all that this task has taught it.

# %% [markdown] tags=["ko"]
# ## 미세 조정은 무엇을 바꿀까
#
# 4강에서는 가중치를 모두 움직였습니다. 얼마나, 어느 방향으로 움직였을까요? 가중치를 복사해 두고, 리뷰 일부로 전체를 미세 조정한 다음 빼 봅시다. 남는 것이 행렬마다의
# **차이** ΔW이고, 이 과제가 그 행렬에 가르친 것의 전부예요.

# %%
full = fresh()
start = {name: p.detach().clone() for name, p in full.named_parameters()}
histories = {f"full, rate {RATE:g}": train(full, RATE)}
change = {name: p.detach() - start[name] for name, p in full.named_parameters() if ".layer." in name and p.ndim == 2}
moved = [float(d.norm() / start[name].norm()) for name, d in change.items()]
print(f"{len(change)} matrices in {full.config.encoder.num_hidden_layers} layers. "
      f"Each has moved by {min(moved):.1%} to {max(moved):.1%} of its own length.")

# %% [markdown] tags=["en"]
# A few percent. Now the directions. The singular value decomposition (특잇값 분해) writes any matrix as a sum of simple ones, each of
# rank 1 (랭크 1: one column times one row), the largest first. A matrix of 256 × 256 may need all 256 of them. If a few are enough, the
# difference has a **low rank** (낮은 랭크), and could have been learned with far fewer numbers. That is the idea behind LoRA.
#
# ### Predict before you run
# How many of the 256 does it take to make up nine tenths of the squared length of a difference (the median over our square matrices)?

# %% [markdown] tags=["ko"]
# 몇 퍼센트입니다. 이제 방향을 봅시다. 특잇값 분해(singular value decomposition)는 어떤 행렬이든 랭크 1짜리(열 하나 곱하기 행 하나) 단순한 행렬들의 합으로, 큰 것부터
# 차례로 씁니다. 256 × 256 행렬에는 256개가 다 필요할 수도 있어요. 몇 개로 충분하다면 그 차이는 **랭크가 낮은**(low-rank) 것이고, 훨씬 적은 숫자로도 배울 수
# 있었다는 뜻입니다. LoRA의 바탕이 되는 생각이에요.
#
# ### 실행 전에 예상하기
# 차이의 길이 제곱 가운데 10분의 9를 채우려면 256개 중 몇 개가 필요할까요? (정사각 행렬들의 중앙값)

# %%
guess = kl.predict("5.a", {"8": 8, "32": 32, "100": 100, "200": 200})

# %%
def share_within(matrix):
    """For k = 1, 2, …: the share of the matrix's squared length that its best rank-k part has."""
    squares = torch.linalg.svdvals(matrix).square()
    return (squares.cumsum(0) / squares.sum()).numpy()

shares = {name: share_within(d) for name, d in change.items() if d.shape[0] == d.shape[1]}
noise = share_within(torch.randn(256, 256, generator=torch.Generator().manual_seed(0)))
needed = {name: 1 + int((share < 0.9).sum()) for name, share in shares.items()}
kl.reveal(guess, measured=float(np.median(list(needed.values()))),
          text=f"from {min(needed.values())} to {max(needed.values())} over {len(needed)} matrices; a matrix of pure noise: {1 + int((noise < 0.9).sum())}")

# %% [markdown] tags=["en"]
# Not low rank to the letter: every one of the 256 directions is in use. But the load is very uneven, and noise of the same size would need several times as many. In some
# matrices a handful is enough.
#
# But length is not the point. What counts is what the model *does*. So the second question: put the weights back to where they were,
# add to each matrix only the best rank-k part of its difference, keep the trained head, and ask the model again.

# %% [markdown] tags=["ko"]
# 글자 그대로 랭크가 낮은 것은 아닙니다. 256개 방향이 모두 쓰이긴 했어요. 하지만 짐이 아주 고르지 않게 실려 있고, 같은 크기의 잡음이라면 몇 배는 더 필요합니다. 어떤 행렬은 손에 꼽을 만큼이면
# 충분하고요.
#
# 그런데 중요한 것은 길이가 아니라 모델이 *하는 일*입니다. 그래서 두 번째 질문. 가중치를 처음으로 되돌리고, 행렬마다 차이의 가장 좋은 랭크 k 부분만 더하고, 학습된 헤드는 그대로 둔
# 다음 모델에게 다시 물어봅시다.

# %%
pieces = {name: torch.linalg.svd(d, full_matrices=False) for name, d in change.items()}

@torch.no_grad()
def with_rank(k):
    """The model of before, with the best rank-k part of each difference, and the trained head."""
    model = fresh()
    model.head.load_state_dict(full.head.state_dict())
    for name, parameter in model.named_parameters():
        if name in pieces:
            U, S, V = pieces[name]
            parameter += U[:, :k] * S[:k] @ V[:k]
    return model

ranks = kl.pick(full=[0, 1, 2, 4, 8, 16, 64, 256], quick=[0, 8, 256])
scores = [kl.evaluate(with_rank(k), loaders.validation)["f1"] for k in ranks]
trained_score = kl.evaluate(full, loaders.validation)["f1"]

# %%
figure, (left, right) = kl.plots.new(2)
for share in shares.values():
    left.plot(range(1, 257), share, color=kl.plots.SKY, alpha=0.5, linewidth=0.8)
left.plot([], [], color=kl.plots.SKY, label="a difference")
left.plot(range(1, 257), noise, color=kl.plots.GREY, linestyle="--", label="noise")
left.set(xlabel="rank k", ylabel="share of the squared length", title="How long the best rank-k part is", ylim=(0, 1.02))
left.legend()
right.plot(range(len(ranks)), scores, color=kl.plots.BLUE, marker="o", label="rank-k part alone")
right.axhline(trained_score, color=kl.plots.RED, linestyle="--", label="all that was trained")
right.set_xticks(range(len(ranks)), ranks)
right.set(xlabel="rank k", ylabel="macro-F1 on validation", title="What it does")
right.legend(loc="lower right")
figure

# %% [markdown] tags=["en"]
# On the right, k = 0 is the old encoder under the new head: useless, since the two have never met. Then a few directions bring the score up, and where the curve
# has gone flat, the other two hundred and some bring nothing that one could tell from chance. The gap that is left to the dashed line has nothing to do with rank: it
# is what the embeddings, the biases and LayerNorm have learned, which we have put back as well.
#
# ## LoRA: learn the low rank from the start
#
# If a few directions do the work, why not allow only a few? LoRA (low-rank adaptation, 저랭크 적응; Hu et al., 2021) leaves W as it is and learns a
# difference that *cannot* have more than rank r:
#
# $$ y = W x + b + \frac{\alpha}{r}\, B A x \qquad A: r \times \text{in}, \quad B: \text{out} \times r $$
#
# Two thin matrices instead of a square one. Only they get gradients, and only they have to be remembered by the optimizer.

# %% [markdown] tags=["ko"]
# 오른쪽에서 k = 0은 새 헤드 밑에 옛 인코더가 있는 경우입니다. 둘이 만난 적이 없으니 쓸모가 없죠. 그러다 방향 몇 개만으로 점수가 올라오고, 곡선이 평평해진 다음부터 나머지 이백몇십 개는 우연과 구별할 수 있는
# 것을 보태지 못합니다. 점선까지 남은 틈은 랭크와는 상관없어요. 함께 되돌려 놓은 임베딩, 편향, LayerNorm이 배웠던 몫입니다.
#
# ## LoRA: 처음부터 낮은 랭크로 배우기
#
# 방향 몇 개가 일을 다 한다면, 처음부터 몇 개만 허락하면 어떨까요? LoRA(low-rank adaptation, 저랭크 적응, Hu et al., 2021)는 W를 그대로 두고, 랭크가 r을 *넘을 수 없는* 차이를
# 배웁니다.
#
# $$ y = W x + b + \frac{\alpha}{r}\, B A x \qquad A: r \times \text{in}, \quad B: \text{out} \times r $$
#
# 정사각 행렬 하나 대신 가느다란 행렬 두 개. 그래디언트를 받는 것도, 옵티마이저가 기억해 둘 것도 이 둘뿐이에요.

# %%
from matplotlib.patches import Rectangle

figure, ax = kl.plots.new(width=8, height=2.9)
parts = [(0, 0, 256, 256, kl.plots.GREY, "W: frozen\n65,536"), (330, 0, RANK, 256, kl.plots.ORANGE, ""), (380, 256 - RANK, 256, RANK, kl.plots.ORANGE, "")]
for x, y, wide, high, colour, text in parts:
    ax.add_patch(Rectangle((x, y), wide, high, facecolor=colour, alpha=0.75))
    ax.text(x + wide / 2, y + high / 2, text, ha="center", va="center")
ax.text(293, 128, "+  α/r ·", ha="center", va="center", fontsize=12)
ax.text(334, -12, "B: 256 × 8", ha="center", va="top")
ax.text(508, 256 - RANK - 10, "A: 8 × 256", ha="center", va="top")
ax.text(508, 128, "A and B together: 4,096,\na sixteenth of W", ha="center", va="center", color=kl.plots.RED)
ax.set(xlim=(-10, 650), ylim=(-45, 265), aspect="equal", title="To scale: a 256 × 256 layer and its LoRA of rank 8")
ax.axis("off")
figure

# %% [markdown] tags=["en"]
# ### Exercise 5.1 · A LoRA layer
# ●●●○○ · 15 minutes
#
# Write the class `LoRA(base, rank, alpha)`, a `nn.Module` around a linear layer `base`. It keeps `self.A` (rank, in) and `self.B` (out, rank)
# as parameters, A random, B zero; freezes `base`; and its `forward(x)` takes (…, in) to (…, out) by the formula above.
# Stuck? `kl.hint("5.1")`, up to three times.

# %% [markdown] tags=["ko"]
# ### 연습 5.1 · LoRA 층
# ●●●○○ · 15분
#
# 클래스 `LoRA(base, rank, alpha)`를 쓰세요. 선형 층 `base`를 감싸는 `nn.Module`입니다. `self.A` (rank, in)과 `self.B` (out, rank)를 파라미터로 갖고, A는 무작위, B는 0에서
# 시작합니다. `base`는 얼리고, `forward(x)`는 위의 식대로 (…, in)을 (…, out)으로 바꿉니다.
# 막히면 `kl.hint("5.1")`, 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
class LoRA(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        ...

    def forward(self, x):
        ...

# %% tags=["solution"]
class LoRA(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base.requires_grad_(False)                                # W and b stay as they were pre-trained
        self.A = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features ** 0.5)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))           # so that the first output is the old one
        self.scale = alpha / rank

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A.T @ self.B.T)          # two thin products; B A itself is never made

# %% tags=["check"]
kl.check("5.1", LoRA)

# %% [markdown] tags=["en"]
# ## Into the encoder
#
# The package's own `kl.lora.LoRALinear` is the same thing. Where to put it? The first paper put it on the **query** and the **value** of each
# attention layer, and so does the published walk-through we compare with; so do we. First everything is frozen, then the layers are replaced, then the head is
# let go again: it is random, and has to learn in any case.

# %% [markdown] tags=["ko"]
# ## 인코더에 넣기
#
# 패키지의 `kl.lora.LoRALinear`가 바로 그것입니다. 어디에 넣을까요? 첫 논문은 어텐션 층마다 **query**와 **value**에 넣었고, 우리가 견줄 공개 글도 그렇게 했으니 우리도 따릅니다. 먼저 전부
# 얼리고, 층을 바꿔 끼우고, 헤드만 다시 풀어 줍니다. 헤드는 무작위라서 어차피 배워야 하니까요.

# %%
def by_hand(rank=RANK, alpha=ALPHA):
    model = fresh().requires_grad_(False)
    kl.lora.replace_linear(model.encoder, ["query", "value"], lambda layer: kl.lora.LoRALinear(layer, rank, alpha))
    model.head.requires_grad_(True)
    return model

model = by_hand()
batch = next(iter(loaders.train))
with torch.no_grad():
    same = torch.equal(model(**batch).logits, fresh()(**batch).logits)
print(f"before training: the same logits as without LoRA, to the last bit: {same}")
kl.model.count_parameters(model).style.format({"parameters": "{:,}", "trainable": "{:,}", "share": "{:.1%}"})

# %% [markdown] tags=["en"]
# (The table counts the adapter with the layers it sits in.) B = 0 makes the start exact: training begins at the pre-trained model. But a
# product with a zero in it has gradients of its own kind.
#
# ### Predict before you run
# One batch, one backward pass, no step yet. Whose gradient is exactly zero?

# %% [markdown] tags=["ko"]
# (표에서는 어댑터가 자기가 들어앉은 층에 함께 세어져 있어요.) B = 0이라서 출발점이 정확합니다. 학습은 사전학습된 모델 그대로에서 시작해요. 그런데 0이 끼어 있는 곱에서는 그래디언트도
# 남다릅니다.
#
# ### 실행 전에 예상하기
# 배치 하나, 역전파 한 번, 아직 스텝은 밟지 않았습니다. 그래디언트가 정확히 0인 것은 어느 쪽일까요?

# %%
guess = kl.predict("5.b", ["neither", "A's", "B's", "both"])

# %%
def norms(model):
    layers = [m for m in model.modules() if isinstance(m, kl.lora.LoRALinear)]
    return [float(torch.stack([getattr(m, name).grad.norm() for m in layers]).norm()) for name in "AB"]

trial, rows = by_hand().eval(), []
optimizer = torch.optim.AdamW([p for p in trial.parameters() if p.requires_grad], lr=10 * RATE)
for step in range(4):
    optimizer.zero_grad()
    trial(**{name: value[:8] for name, value in batch.items()}).loss.backward()
    rows.append([step, *norms(trial)])
    optimizer.step()
table = pd.DataFrame(rows, columns=["steps so far", "gradient of all A", "gradient of all B"])
zero = (table.iloc[0, 1] == 0, table.iloc[0, 2] == 0)
kl.reveal(guess, measured={(True, False): "A's", (False, True): "B's", (True, True): "both"}.get(zero, "neither"))
table.style.hide(axis="index").format({"gradient of all A": "{:.4f}", "gradient of all B": "{:.4f}"})

# %% [markdown] tags=["en"]
# The gradient of A is a product with B, and B is zero: so A stands still for one step, B moves, and from then on both do. Had both started
# at zero, each would wait for the other for ever. That is why one is random and one is zero, and not both the one or the other.
#
# ## The same rate?
#
# Full fine-tuning ran at 4e-4. The published walk-through trains in full at 5e-5 and with LoRA at 5e-4, ten times as high, and gives no reason. There is one.
# AdamW moves each number by about the learning rate at its first step, whatever the gradient's size. In full that is each number of W. With LoRA it is
# each number of B, and W feels it only through α/r · B A, with small numbers in A. Let us measure how far one step at the *same* rate moves the query matrices.

# %% [markdown] tags=["ko"]
# A의 그래디언트는 B와의 곱인데 B가 0이에요. 그래서 A는 한 스텝 동안 제자리에 서 있고, B가 먼저 움직이고, 그다음부터 둘 다 움직입니다. 둘 다 0에서 시작했다면 서로를 영원히
# 기다렸을 거예요. 하나는 무작위, 하나는 0인 까닭입니다.
#
# ## 학습률도 똑같이?
#
# 전체 미세 조정은 4e-4로 했습니다. 공개 글은 전체 미세 조정은 5e-5, LoRA는 열 배인 5e-4로 학습시키는데 이유는 적혀 있지 않아요. 이유가 있습니다. AdamW는 첫 스텝에서 그래디언트의
# 크기와 상관없이 숫자마다 학습률만큼 움직입니다. 전체 미세 조정이라면 W의 숫자 하나하나가 그만큼 움직이죠. LoRA에서는 B의 숫자들이 그렇게 움직이고, W는 α/r · B A를 거쳐서만,
# 그것도 A의 작은 숫자들을 곱해서 느낍니다. *같은* 학습률로 한 스텝을 밟으면 query 행렬이 얼마나 움직이는지 재 봅시다.

# %%
def queries(model):
    layers = [m.merged() if isinstance(m, kl.lora.LoRALinear) else m for name, m in model.named_modules() if name.endswith(".query")]
    return torch.stack([layer.weight.detach().clone() for layer in layers])

def first_step(model):
    """How far one step of AdamW at RATE moves the numbers of the query matrices, in units of the rate (root mean square)."""
    before = queries(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE, weight_decay=0.0)
    model(**batch).loss.backward()
    optimizer.step()
    return float((queries(model) - before).square().mean().sqrt()) / RATE

in_full, in_lora = first_step(fresh()), first_step(by_hand())
print(f"full: {in_full:.2f} rates     LoRA: {in_lora:.2f} rates, {in_full / in_lora:.1f} times less")
for width in (256, 768):
    print(f"by formula, width {width}: α/r · √r / √(3 · width) = {ALPHA / RANK * RANK ** 0.5 / (3 * width) ** 0.5:.3f} rates")

# %% [markdown] tags=["en"]
# The formula: A starts as in `nn.Linear`, evenly between ±1/√width, so its numbers have a root mean square of 1/√(3·width); each number of
# B A is a sum of r of them times one rate, so √r of that; then α/r. For KoBERT's width of 768 LoRA takes a step about 8.5 times smaller: the
# published factor of ten, explained. Now train: LoRA at the same rate, and at ten times that.

# %% [markdown] tags=["ko"]
# 식은 이렇게 나옵니다. A는 `nn.Linear`처럼 ±1/√너비 사이에서 고르게 시작하니 제곱평균제곱근이 1/√(3·너비)예요. B A의 숫자 하나는 그런 것 r개에 학습률을 곱해 더한 것이라 √r배가 되고,
# 거기에 α/r를 곱합니다. KoBERT의 너비 768이라면 LoRA의 한 걸음은 8.5배쯤 작아요. 공개 글의 열 배가 이것으로 설명됩니다. 이제 학습시켜 봅시다. LoRA를 같은 학습률로, 그리고 열 배로.

# %%
models = {}
for rate in (RATE, 10 * RATE):
    models[rate] = by_hand()
    histories[f"LoRA, rate {rate:g}"] = train(models[rate], rate)
lora = models[10 * RATE]

figure, (left, right) = kl.plots.new(2)
for ax, column, label in ((left, "train_loss", "training loss"), (right, "f1", "macro-F1 on validation")):
    kl.plots.lines({name: [row[column] for row in history] for name, history in histories.items()}, markers=True,
                   xlabel="epoch", ylabel=label, ax=ax)
    ax.set_xticks(range(1, EPOCHS + 1))
right.get_legend().remove()
left.set_title(f"Learning from {ROWS:,} reviews")
figure

# %% [markdown] tags=["en"]
# Had we compared the two at one rate, LoRA would have looked like a method that hardly learns. At ten times the rate it comes most of the way. "A is better than B" says little when both
# were run at A's rate, and nothing is easier than doing that by accident: one changes the model and leaves the rest of the script alone. (One seed, part of the data, three epochs: this
# figure shows the effect of the rate, and cannot say which of the two methods is better. That comes at the end.)

# %% [markdown] tags=["ko"]
# 둘을 한 학습률로 견주었다면 LoRA는 거의 배우지 못하는 방법처럼 보였을 겁니다. 열 배로 올리자 거의 다 따라옵니다. 둘 다 A에게 맞는 학습률로 돌려 놓고 "A가 B보다 낫다"고 하면 별 의미가 없는데, 실수로 그렇게 하기가 무척
# 쉽습니다. 모델만 바꾸고 스크립트의 나머지는 그대로 두면 되니까요. (시드 하나, 데이터 일부, 세 에폭입니다. 이 그림은 학습률의 효과를 보여 줄 뿐, 두 방법 가운데 어느 쪽이 나은지는 말해 주지 못해요. 그 이야기는
# 마지막에 합니다.)

# %% [markdown] tags=["en"]
# ## The same with peft
#
# In earnest one takes Hugging Face's `peft`. Its `LoraConfig` says what you have just written by hand, field by field. We give it our
# trained A, B and head, and ask both for the logits of the whole validation set.

# %% [markdown] tags=["ko"]
# ## peft로 똑같이
#
# 실전에서는 허깅페이스의 `peft`를 씁니다. `LoraConfig`에는 방금 손으로 쓴 것이 항목 하나하나로 들어 있어요. 우리가 학습시킨 A, B, 헤드를 넘겨주고, 검증 데이터 전체의 로짓을 양쪽에
# 물어봅시다.

# %%
config = LoraConfig(
    r=RANK, lora_alpha=ALPHA, lora_dropout=0.0,
    target_modules=["query", "value"],                                 # every layer whose name ends so
    modules_to_save=["head"],                                          # trains in full, and is saved with the adapter
)
twin = get_peft_model(fresh(), config)

@torch.no_grad()
def hand_over(ours, theirs, adapter="default"):
    """Copy A and B from layers by hand into peft's."""
    pairs = zip([m for m in ours.modules() if isinstance(m, kl.lora.LoRALinear)], [m for m in theirs.modules() if hasattr(m, "lora_A")], strict=True)
    for mine, other in pairs:
        other.lora_A[adapter].weight.copy_(mine.A)
        other.lora_B[adapter].weight.copy_(mine.B)

hand_over(lora, twin)
twin.base_model.model.head.modules_to_save["default"].load_state_dict(lora.head.state_dict())
ours, theirs = (kl.train.predict(m, loaders.validation).logits for m in (lora, twin))
print(f"{tuple(ours.shape)} logits: largest difference {float((ours - theirs).abs().max()):.1e}, equal to the last bit: {torch.equal(ours, theirs)}")
twin.base_model.model.encoder.encoder.layer[0].attention.self.query

# %% [markdown] tags=["en"]
# The same function. Look at the printed layer, too: `base_layer`, `lora_A`, `lora_B`. The frozen matrix sits *inside* the LoRA layer. Keep that in
# mind for the next question.
#
# ## Counting honestly
#
# A much-read KoBERT walk-through fine-tunes with rank 8 on query and value, adds up what LoRA has brought, and reports 14,469,120 of 92,484,099
# parameters.
#
# ### Predict before you run
# 12 layers, 768 wide, rank 8 on query and value. Which share of the parameters really trains?

# %% [markdown] tags=["ko"]
# 같은 함수입니다. 출력된 층도 눈여겨보세요. `base_layer`, `lora_A`, `lora_B`. 얼린 행렬이 LoRA 층 *안에* 들어 있어요. 다음 질문을 위해 기억해 두세요.
#
# ## 정직하게 세기
#
# 많이 읽히는 어느 KoBERT 글은 query와 value에 랭크 8로 LoRA를 넣고, LoRA로 늘어난 것을 더해서 파라미터 92,484,099개 가운데 14,469,120개라고 적었습니다.
#
# ### 실행 전에 예상하기
# 12층, 너비 768, query와 value에 랭크 8. 실제로 학습되는 것은 전체의 몇 퍼센트일까요?

# %%
guess = kl.predict("5.c", {"0.03 %": 0.03, "0.3 %": 0.3, "3 %": 3.0, "15.64 %, as published": 15.64})

# %%
from peft.tuners.lora import Linear as LoraLayer

with torch.device("meta"):                                             # KoBERT's shape: 92 million parameters in no memory at all
    kobert = get_peft_model(kl.Classifier.build(BertModel(BertConfig(vocab_size=8002), add_pooling_layer=False), names), config)
published = sum(p.numel() for m in kobert.modules() if isinstance(m, LoraLayer) for p in m.parameters())   # as in the walk-through
adapter = sum(p.numel() for name, p in kobert.named_parameters() if "lora_" in name)
trained, used = kl.lora.honest_count(kobert)
kl.reveal(guess, measured=100 * trained / used, unit=" %", digits=2, text=f"{adapter:,} in the adapter + {trained - adapter:,} in the head, of {used:,}")

# %%
first = next(m for m in kobert.modules() if isinstance(m, LoraLayer))
inside = pd.DataFrame([{"inside one lora.Linear": name, "numbers": p.numel(), "trains": p.requires_grad} for name, p in first.named_parameters()])
print(f"the published sum: {published:,} = {published / 92_484_099:.2%} of 92,484,099; of that, frozen: {published - adapter:,}")
inside.style.hide(axis="index").format({"numbers": "{:,}"})

# %% [markdown] tags=["en"]
# To the digit: 14,469,120. The walk-through asked each module whether it is a `lora.Linear` and added up everything inside, and inside sits the frozen layer. 24 layers ×
# 590,592 = 14,174,208 numbers that never move were counted as LoRA's. The truth is 294,912, fifty times fewer: the method is better than its report.

# %% [markdown] tags=["ko"]
# 한 자리까지 똑같은 14,469,120입니다. 그 글은 모듈마다 `lora.Linear`인지 묻고 안에 든 것을 모두 더했는데, 안에는 얼린 층이 들어 있죠. 절대 움직이지 않는 숫자 24층 × 590,592 = 14,174,208개가
# LoRA의 몫으로 세어졌습니다. 실제로는 294,912개, 약 50분의 1이에요. 보고보다 방법이 훨씬 나은 셈입니다.

# %% [markdown] tags=["en"]
# ### Exercise 5.2 · The honest count
# ●●○○○ · 10 minutes
#
# Write `count(model)`: two numbers, how many parameters train (adapter *and* head), and how many the model uses in all. It gets models with
# peft's LoRA and DoRA, and one without any. One trap: with `modules_to_save` peft keeps the head it found beside the copy that it trains, and nobody uses
# the first one.
# Stuck? `kl.hint("5.2")`.

# %% [markdown] tags=["ko"]
# ### 연습 5.2 · 정직한 수
# ●●○○○ · 10분
#
# `count(model)`을 쓰세요. 학습되는 파라미터의 수(어댑터 *와* 헤드), 모델이 쓰는 파라미터 전체의 수, 이렇게 두 숫자를 돌려줍니다. peft의 LoRA와 DoRA를 넣은 모델, 아무것도 넣지 않은 모델이 들어와요.
# 함정이 하나 있습니다. `modules_to_save`를 쓰면 peft는 학습시키는 사본 곁에 원래 헤드도 남겨 두는데, 그 원래 것은 아무도 쓰지 않아요.
# 막히면 `kl.hint("5.2")`.

# %% tags=["exercise"]
def count(model):
    ...

# %% tags=["solution"]
def count(model):
    used = [p for name, p in model.named_parameters() if "original_module" not in name]
    return sum(p.numel() for p in used if p.requires_grad), sum(p.numel() for p in used)

# %% tags=["check"]
kl.check("5.2", count)

# %% [markdown] tags=["en"]
# ## The adapter that was forgotten
#
# The same walk-through has its LoRA block in two places. First it puts the adapter into an encoder and prints the count. Then, further down, the training
# begins with these lines (in our names):
#
# ```python
# encoder = AutoModel.from_pretrained("monologg/kobert")        # again
# model = kl.Classifier.build(encoder, names)
# optimizer = AdamW(model.parameters(), lr=5e-4)
# ```
#
# Which encoder does the classifier hold?

# %% [markdown] tags=["ko"]
# ## 잊힌 어댑터
#
# 같은 글에는 LoRA 코드가 두 군데로 나뉘어 있습니다. 먼저 인코더에 어댑터를 넣고 개수를 출력합니다. 그런데 한참 아래에서 학습은 이렇게 시작해요(우리 이름으로 옮기면).
#
# ```python
# encoder = AutoModel.from_pretrained("monologg/kobert")        # 또 한 번
# model = kl.Classifier.build(encoder, names)
# optimizer = AdamW(model.parameters(), lr=5e-4)
# ```
#
# 분류기가 쥐고 있는 것은 어느 인코더일까요?

# %%
def as_printed(encoder):
    get_peft_model(copy.deepcopy(encoder), config_of_encoder)          # made, counted, and never seen again
    return kl.Classifier.build(encoder, names)

def as_meant(encoder):
    return kl.Classifier.build(get_peft_model(encoder, config_of_encoder), names)

config_of_encoder = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["query", "value"])
rows = []
for make in (as_printed, as_meant):
    with torch.device("meta"):
        trains, of = kl.lora.honest_count(make(BertModel(BertConfig(vocab_size=8002), add_pooling_layer=False)))
    rows.append({"the code": make.__name__, "trains": trains, "of": of, "share": trains / of})
pd.DataFrame(rows).style.hide(axis="index").format({"trains": "{:,}", "of": "{:,}", "share": "{:.2%}"})

# %% [markdown] tags=["en"]
# As printed, there is no LoRA at all: full fine-tuning of all 91.6 million parameters (ours leave out the pooler, which nobody reads), at ten times the rate of full fine-tuning. No error, no warning, and a
# loss that falls. (The published log ran at 5.1 steps a second, against 3.5 in full, so whoever made it seems to have had the adapter: the listing and
# the log do not belong together. A reader who copies the listing gets something else.) The cure is one line, printed before every training: *how many parameters train?*

# %% [markdown] tags=["ko"]
# 적힌 그대로라면 LoRA는 아예 없습니다. 파라미터 9,160만 개(아무도 읽지 않는 pooler는 뺐습니다)의 전체 미세 조정을, 전체 미세 조정의 열 배 학습률로 하는 셈이에요. 오류도 경고도 없고 손실도 내려갑니다. (공개된 로그는 초당 5.1스텝,
# 전체 미세 조정은 3.5스텝이었으니 그 로그를 남긴 사람에게는 어댑터가 있었던 것 같습니다. 코드와 로그가 서로 짝이 아닌 거죠. 코드를 베끼는 독자는 다른 것을 얻습니다.) 처방은 학습 전에 늘 출력하는 한 줄이에요.
# *학습되는 파라미터가 몇 개인가?*

# %% [markdown] tags=["en"]
# ### Exercise 5.3 · Find it, mend it: the adapter that was forgotten
# ●●●○○ · 12 minutes
#
# ```python
# def prepare(encoder, labels, lr):
#     adapted = get_peft_model(copy.deepcopy(encoder), LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"]))
#     adapted.print_trainable_parameters()
#     model = kl.Classifier.build(encoder, labels)
#     return model, torch.optim.AdamW(model.parameters(), lr=lr)
# ```
#
# Write `prepare` so that it returns a classifier with that LoRA in its encoder, whose adapter and head train and nothing else, and an AdamW that moves them.
# Stuck? `kl.hint("5.3")`.

# %% [markdown] tags=["ko"]
# ### 연습 5.3 · 찾아서 고치기: 잊힌 어댑터
# ●●●○○ · 12분
#
# ```python
# def prepare(encoder, labels, lr):
#     adapted = get_peft_model(copy.deepcopy(encoder), LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"]))
#     adapted.print_trainable_parameters()
#     model = kl.Classifier.build(encoder, labels)
#     return model, torch.optim.AdamW(model.parameters(), lr=lr)
# ```
#
# `prepare`를 고쳐 쓰세요. 인코더에 그 LoRA가 들어 있고 어댑터와 헤드만 학습되는 분류기와, 그것들을 움직이는 AdamW를 돌려줘야 합니다.
# 막히면 `kl.hint("5.3")`.

# %% tags=["exercise"]
def prepare(encoder, labels, lr):
    ...

# %% tags=["solution"]
def prepare(encoder, labels, lr):
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"], modules_to_save=["head"])
    model = get_peft_model(kl.Classifier.build(encoder, labels), config)     # the classifier first: LoRA goes into the one that trains
    return model, torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)

# %% tags=["check"]
kl.check("5.3", prepare)

# %% [markdown] tags=["en"]
# ## The head that was not saved
#
# The second silent fault comes from peft's thrift: it saves what it was told of, and nothing else. Suppose somebody forgot `modules_to_save`, saw that the head
# was frozen, and unfroze it by hand. The training is right. The scores are right. Then the adapter is saved, and a colleague loads it.

# %% [markdown] tags=["ko"]
# ## 저장되지 않은 헤드
#
# 조용한 잘못 두 번째는 peft의 알뜰함에서 나옵니다. peft는 들은 것만 저장해요. 누군가 `modules_to_save`를 빠뜨렸다가, 헤드가 얼어 있는 것을 보고 손으로 풀어 줬다고 해 봅시다. 학습은 제대로 됩니다.
# 점수도 제대로예요. 그러고는 어댑터를 저장하고, 동료가 그것을 불러옵니다.

# %%
careless = get_peft_model(fresh(), config_of_encoder)
careless.base_model.model.head.requires_grad_(True)                    # trains, but peft does not know
hand_over(lora, careless)
careless.base_model.model.head.load_state_dict(lora.head.state_dict()) # as if it had been trained so

folder = Path(tempfile.mkdtemp())
careless.save_pretrained(folder / "careless")
colleague = PeftModel.from_pretrained(fresh(seed=1), folder / "careless")
found = {"where it was trained": careless, "at the colleague's": colleague}
print("in the file:", {name.split(".")[-2] for name in load_file(folder / "careless" / "adapter_model.safetensors")})
pd.DataFrame({name: kl.evaluate(m, loaders.validation) for name, m in found.items()}).loc[["loss", "accuracy", "f1"]].style.format("{:.3f}")

# %% [markdown] tags=["en"]
# The adapter has arrived, on top of it sits a random head, and nobody was told. The test for it costs ten seconds: save, load *into a new model*, and compare
# the logits of one batch.
#
# ### Exercise 5.4 · Find it, mend it: the head that was not saved
# ●●●○○ · 12 minutes
#
# Somebody has trained `model` that way. Write `save_and_reload(model, folder, fresh)`: save into `folder` (a `Path`) all that was trained, and not the frozen
# base; then build from `fresh`, a new classifier with another random head, and from the files alone a model that gives the same logits, and return it.
# Stuck? `kl.hint("5.4")`.

# %% [markdown] tags=["ko"]
# 어댑터는 무사히 도착했는데 그 위에는 무작위 헤드가 얹혀 있고, 아무도 그 사실을 듣지 못했습니다. 이것을 잡는 시험은 10초면 돼요. 저장하고, *새 모델에* 불러와서, 배치 하나의 로짓을 견주는 것.
#
# ### 연습 5.4 · 찾아서 고치기: 저장되지 않은 헤드
# ●●●○○ · 12분
#
# 누군가 `model`을 그렇게 학습시켰습니다. `save_and_reload(model, folder, fresh)`를 쓰세요. 학습된 것은 모두, 얼려 둔 바탕은 빼고 `folder`(`Path`)에 저장합니다. 그런 다음 헤드가 다른 무작위 값인 새 분류기
# `fresh`와 그 파일들만으로, 똑같은 로짓을 내는 모델을 만들어 돌려주세요.
# 막히면 `kl.hint("5.4")`.

# %% tags=["exercise"]
def save_and_reload(model, folder, fresh):
    ...

# %% tags=["solution"]
def save_and_reload(model, folder, fresh):
    model.save_pretrained(folder)                                            # what peft made: the adapter
    save_file(model.base_model.model.head.state_dict(), folder / "head.safetensors")
    again = PeftModel.from_pretrained(fresh, folder)
    again.base_model.model.head.load_state_dict(load_file(folder / "head.safetensors"))
    return again

# %% tags=["check"]
kl.check("5.4", save_and_reload)

# %% [markdown] tags=["en"]
# ## Merging
#
# W x + α/r · B A x = (W + α/r · B A) x. So after training the two thin matrices can be added into the wide one, and what is left is an ordinary layer: no extra
# product, no peft needed to run it.
#
# ### Exercise 5.5 · Merging
# ●●○○○ · 8 minutes
#
# Write `merge(base, A, B, scale)`: a new `nn.Linear` that computes what `base(x) + scale * (x @ A.T @ B.T)` does. `base` itself has to stay as it is, and may have no
# bias.
# Stuck? `kl.hint("5.5")`.

# %% [markdown] tags=["ko"]
# ## 합치기
#
# W x + α/r · B A x = (W + α/r · B A) x. 그러니 학습이 끝나면 가느다란 행렬 두 개를 넓은 행렬에 더해 넣을 수 있고, 남는 것은 평범한 층 하나입니다. 곱셈이 늘지도 않고, 돌리는 데 peft도 필요 없어요.
#
# ### 연습 5.5 · 합치기
# ●●○○○ · 8분
#
# `merge(base, A, B, scale)`을 쓰세요. `base(x) + scale * (x @ A.T @ B.T)`와 같은 것을 계산하는 새 `nn.Linear`를 돌려줍니다. `base` 자체는 그대로 남아 있어야 하고, 편향이 없을 수도 있습니다.
# 막히면 `kl.hint("5.5")`.

# %% tags=["exercise"]
def merge(base, A, B, scale):
    ...

# %% tags=["solution"]
def merge(base, A, B, scale):
    layer = nn.Linear(base.in_features, base.out_features, base.bias is not None).to(base.weight)   # its type and device
    with torch.no_grad():
        layer.weight.copy_(base.weight + scale * B @ A)
        if base.bias is not None:
            layer.bias.copy_(base.bias)
    return layer

# %% tags=["check"]
kl.check("5.5", merge)

# %% [markdown] tags=["en"]
# On paper the two sides are equal. In a computer the sums are done in another order, and how much that matters depends on the numbers' format. And a merge that
# happens twice (somebody saves the merged encoder as "the base" and loads the adapter onto it once more) is no error either. Let us look at both.

# %% [markdown] tags=["ko"]
# 종이 위에서 두 식은 같습니다. 컴퓨터에서는 더하는 순서가 달라지고, 그 차이가 얼마나 되는지는 숫자 형식에 달려 있어요. 그리고 두 번 합치는 일(합친 인코더를 "바탕"으로 저장해 두고 어댑터를 거기에
# 또 얹는 일)도 오류가 아닙니다. 둘 다 봅시다.

# %%
def apart(kind):
    """The largest difference of the logits, merged against unmerged, relative to the largest logit."""
    unmerged = copy.deepcopy(lora).to(kind).eval()
    merged = copy.deepcopy(unmerged)
    kl.lora.merge_all(merged)
    with torch.no_grad():
        one, other = (m(batch["input_ids"], batch["attention_mask"]).logits.double() for m in (unmerged, merged))
    return float((one - other).abs().max() / one.abs().max())

kinds = (torch.float64, torch.float32, torch.bfloat16)
pd.DataFrame({"merged against unmerged": [apart(kind) for kind in kinds]}, index=[str(k).removeprefix("torch.") for k in kinds]).style.format("{:.0e}")

# %%
def scaled(times):
    """The trained model with `times` times its difference in the weights: 0 is the base, 1 is merged, 2 is merged twice."""
    model = copy.deepcopy(lora).eval()
    for layer in model.modules():
        if isinstance(layer, kl.lora.LoRALinear):
            layer.scale *= times
    kl.lora.merge_all(model)
    return model

merges = {"not merged: the base": 0, "merged once": 1, "merged twice": 2, "three times": 3}
kl.plots.bars({name: kl.evaluate(scaled(times), loaders.validation)["f1"] for name, times in merges.items()}, highlight="merged once", digits=3,
              title="Macro-F1 on validation, the trained head on top")

# %% [markdown] tags=["en"]
# In float32 the merged model differs in the last digits only. In bfloat16, with its two to three decimal digits, the differences are ten thousand times larger: partly the format's own rounding, partly
# the lower digits of ΔW, which are lost where it is added to a larger W. Merge in float32, convert afterwards, and never compare with `==`. The bars show the other mistake: nothing crashes, and each
# further merge takes the weights one more step past where the training stopped, and the score goes down. A fall of a few points is easily taken for a bad seed.

# %% [markdown] tags=["ko"]
# float32에서는 합친 모델이 마지막 몇 자리에서만 다릅니다. 십진수로 두세 자리뿐인 bfloat16에서는 차이가 만 배쯤 커져요. 형식 자체의 반올림도 있고, ΔW의 아래 자리가 더 큰 W에 더해지면서 사라지는 탓도 있습니다. 합치기는 float32에서 하고, 변환은
# 그다음에 하고, `==`로 견주지 마세요. 막대그림은 다른 잘못을 보여 줍니다. 오류는 나지 않고, 한 번 더 합칠 때마다 가중치가 학습이 멈춘 자리에서 한 걸음씩 더 지나쳐 가고,
# 점수는 내려갑니다. 몇 점쯤 떨어진 것은 운 나쁜 시드로 여기고 넘기기 쉽죠.

# %% [markdown] tags=["en"]
# ## Two tasks on one base
#
# Because the base has not moved, it can serve many. Here is one encoder with two adapters: the polarity of reviews, trained above, and five emotions in
# everyday utterances, trained now. `set_adapter` says which one computes, and which one trains.

# %% [markdown] tags=["ko"]
# ## 바탕 하나에 과제 둘
#
# 바탕이 움직이지 않았으니 여럿이 함께 쓸 수 있습니다. 인코더 하나에 어댑터 둘을 달아 봅시다. 하나는 위에서 학습시킨 리뷰의 긍정·부정, 하나는 지금 학습시킬 일상 발화의 다섯 가지 감정.
# 어느 것이 계산하고 어느 것이 학습될지는 `set_adapter`가 정합니다.

# %%
emotions = kl.load_emotions()
feelings = emotions["train"].features["label"].names
if kl.pick(full=False, quick=True):
    emotions = {name: part.select(range(32)) for name, part in emotions.items()}
of_task = {"polarity": loaders, "emotions": kl.make_loaders(emotions, tokenizer)}

desk = get_peft_model(kl.load_encoder("kolab-mini")[0], config_of_encoder, adapter_name="polarity")    # one base,
desk.add_adapter("emotions", config_of_encoder)                                                        # two adapters,
tasks = {"polarity": kl.Classifier.build(desk, names), "emotions": kl.Classifier.build(desk, feelings)}    # two heads
hand_over(lora, desk, "polarity")
tasks["polarity"].head.load_state_dict(lora.head.state_dict())

def logits_of(task):
    desk.set_adapter(task)
    return kl.train.predict(tasks[task], of_task[task].validation).logits

polarity_before = logits_of("polarity")
desk.set_adapter("emotions")
history = train(tasks["emotions"], 10 * RATE, of_task["emotions"])
print(f"emotions: macro-F1 {history[-1]['f1']:.3f} on validation")
print(f"polarity, before and after emotions were trained: equal to the last bit: {torch.equal(polarity_before, logits_of('polarity'))}")

# %% [markdown] tags=["en"]
# ### Predict before you run
# Somebody forgets to switch: the head of the emotions on the adapter of polarity. What is left of its macro-F1?

# %% [markdown] tags=["ko"]
# ### 실행 전에 예상하기
# 누가 갈아 끼우는 것을 잊었습니다. 감정의 헤드가 긍정·부정의 어댑터 위에 얹혔어요. 매크로 F1은 얼마나 남을까요?

# %%
guess = kl.predict("5.d", ["all of it: the head decides", "part of it, more than without any adapter", "no more than without any adapter"])

# %%
table = {}
for task, model in tasks.items():
    for active in (*tasks, None):
        desk.set_adapter(active or task)
        with desk.disable_adapter() if active is None else torch.no_grad():
            table[f"adapter: {active or 'none'}", f"task: {task}"] = kl.evaluate(model, of_task[task].validation)["f1"]
table = pd.Series(table).unstack(sort=False)
right, wrong, none = table["task: emotions"][["adapter: emotions", "adapter: polarity", "adapter: none"]]
kl.reveal(guess, measured=f"{wrong:.3f} with the wrong adapter, {none:.3f} with none, {right:.3f} with its own",
          answer=0 if wrong > right - 0.02 else 1 if wrong > none + 0.02 else 2)
table.style.format("{:.3f}")

# %% [markdown] tags=["en"]
# Read the columns. The head was trained on what its own adapter makes of a text, and on anything else it makes guesses. A wrong adapter need not be worse than none, since
# both tasks ask how somebody feels; but nothing warns, and the answers look like answers.

# %% [markdown] tags=["ko"]
# 열을 따라 읽어 보세요. 헤드는 자기 어댑터가 만들어 준 벡터로 학습했고, 다른 것 위에서는 짐작만 할 뿐입니다. 틀린 어댑터가 없는 것보다 꼭 나쁘지는 않아요. 두 과제 모두 사람이 어떻게 느끼는지를 묻는 것이니까요.
# 그래도 경고는 어디에도 없고, 답은 그럴듯해 보입니다.

# %%
desk.save_pretrained(folder)                                           # one folder an adapter
for task, model in tasks.items():
    save_file(model.head.state_dict(), folder / task / "head.safetensors")
full.save_pretrained(folder / "full")

again = PeftModel.from_pretrained(kl.load_encoder("kolab-mini")[0], folder / "polarity", adapter_name="polarity")
again.load_adapter(folder / "emotions", adapter_name="emotions")
for task, labels in (("polarity", names), ("emotions", feelings)):
    model = kl.Classifier.build(again, labels)
    model.head.load_state_dict(load_file(folder / task / "head.safetensors"))
    again.set_adapter(task)
    found = kl.train.predict(model, of_task[task].validation).logits
    print(f"{task}, from the files: the same logits: {torch.equal(found, logits_of(task))}")

def megabytes(path):
    return sum(file.stat().st_size for file in path.glob("*.safetensors")) / 1e6

kobert_mb = 4 * used / 1e6, 4 * trained / 1e6
pd.DataFrame({"kolab-mini, measured": {"a model, fully fine-tuned": megabytes(folder / "full"), "an adapter and its head": megabytes(folder / "polarity")},
              "KoBERT, 4 bytes a number": {"a model, fully fine-tuned": kobert_mb[0], "an adapter and its head": kobert_mb[1]}}).style.format("{:,.2f} MB")

# %% [markdown] tags=["en"]
# A hundred tasks in full are a hundred models. With LoRA they are one model and a hundred files, each smaller than a photo. The price stands in the table before:
# an adapter belongs to its head and to its base, and nothing but your own care keeps them together.

# %% [markdown] tags=["ko"]
# 과제가 백 개면 전체 미세 조정은 모델이 백 개입니다. LoRA라면 모델 하나와 사진 한 장보다 작은 파일 백 개예요. 대신 치러야 할 값은 바로 앞 표에 있습니다. 어댑터에는 자기 헤드와 자기 바탕이 있고, 그 짝을
# 지켜 주는 것은 여러분의 주의뿐이에요.

# %% [markdown] tags=["en"]
# ## What does it save?
#
# ### Predict before you run
# LoRA trains less than a hundredth of the parameters. How much faster is a training step?

# %% [markdown] tags=["ko"]
# ## 무엇이 절약될까
#
# ### 실행 전에 예상하기
# LoRA는 파라미터의 백분의 일도 학습시키지 않습니다. 학습 한 스텝은 얼마나 빨라질까요?

# %%
guess = kl.predict("5.e", {"1.5 times as fast": 1.5, "3 times": 3.0, "10 times": 10.0, "100 times": 100.0})

# %%
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
few = kl.pick(full=32, quick=4)
on_device = {name: value[:few].to(device) for name, value in batch.items()}

def one_step(model):
    model.to(device).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    def step():
        model(**on_device).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return step

ways = {method: kl.lora.adapt(fresh(), method) for method in kl.lora.METHODS if method != "rsLoRA"}   # rsLoRA computes what LoRA does
times = kl.measure.compare({method: one_step(model) for method, model in ways.items()}, repeats=kl.pick(full=5, quick=1))
kl.reveal(guess, measured=times.loc["LoRA", "times as fast"], unit=" times", digits=2)
costs = pd.DataFrame({"trains": {m: kl.lora.honest_count(model)[0] for m, model in ways.items()}})
costs["gradients and AdamW, MB"] = 12 * costs["trains"] / 1e6           # 4 bytes of gradient and 8 of AdamW's two means for each number
costs["a step, ms"], costs["times as fast"] = 1000 * times["seconds"], times["times as fast"]
costs.style.format({"trains": "{:,}", "gradients and AdamW, MB": "{:.1f}", "a step, ms": "{:.0f}", "times as fast": "{:.2f}"})

# %% [markdown] tags=["en"]
# A step has three parts of about equal size: the forward pass, the gradients of what flows, the gradients of the weights. LoRA saves most of the third. The second is still
# needed: to reach the adapter of the lowest layer, the error has to travel through all the frozen layers above it. So one and a half is about the most there
# can be, and it is just what the published log says: 5.1 steps a second against 3.5. Only "head only" may skip the second part as well.
#
# What does shrink by a factor of a hundred is the memory for gradients and for AdamW's two running means. The activations (활성값), which the backward pass needs, stay nearly
# as large as they were; lesson 7 is about them.

# %% [markdown] tags=["ko"]
# 한 스텝은 크기가 비슷한 세 부분으로 되어 있습니다. 순전파, 흐르는 값의 그래디언트, 가중치의 그래디언트. LoRA는 셋째를 거의 다 아낍니다. 둘째는 여전히 필요해요. 맨 아래층의 어댑터까지 가려면 오차가 그 위의 얼린 층을
# 모두 거쳐 내려가야 하니까요. 그래서 1.5배쯤이 한계이고, 공개된 로그도 바로 그렇습니다. 초당 5.1스텝 대 3.5스텝. 둘째 부분까지 건너뛸 수 있는 것은 헤드만 학습시키는 쪽(head only)뿐이에요.
#
# 정말로 백분의 일로 줄어드는 것은 그래디언트와 AdamW의 이동 평균 두 벌이 쓰는 메모리입니다. 역전파에 필요한 활성값(activation)은 거의 그대로 남아요. 그 이야기는 7과에서 합니다.

# %% [markdown] tags=["en"]
# ## And how well does it do?
#
# First the published figures, with the eyes that lesson 4 has given you. The walk-through says: LoRA's best macro-F1 is 0.7369, full fine-tuning's 0.7380, "almost the same".

# %% [markdown] tags=["ko"]
# ## 그래서 얼마나 잘할까
#
# 먼저 공개된 수치를, 4강에서 얻은 눈으로 봅시다. 그 글은 이렇게 말합니다. LoRA의 최고 매크로 F1은 0.7369, 전체 미세 조정은 0.7380, "거의 비슷하다".

# %%
logs = {"full, 5e-5": kl.measure.recorded("published_004"), "LoRA, 5e-4": kl.measure.recorded("published_004_lora")}
summary = pd.DataFrame({name: {"best epoch": log.loc[log["f1"].idxmax(), "epoch"], "F1 there": log["f1"].max(), "mean of the last ten": log["f1"][-10:].mean(),
                               "their spread": log["f1"][-10:].std(), "lowest loss": log["validation_loss"].min(), "steps a second": log.attrs["meta"]["steps_per_second"]}
                        for name, log in logs.items()}).T
figure = kl.plots.lines({name: log["f1"] for name, log in logs.items()}, markers=True, xlabel="epoch", ylabel="macro-F1 on validation", title="Published: KoBERT on 3,526 device reviews")
display(figure)
summary.style.format({"best epoch": "{:.0f}", "F1 there": "{:.4f}", "mean of the last ten": "{:.3f}", "their spread": "{:.3f}", "lowest loss": "{:.3f}", "steps a second": "{:.1f}"})

# %% [markdown] tags=["en"]
# "Almost the same" compares two lucky epochs. A difference of 0.0011 is about one review out of 882. Look at the whole curves instead: over the last ten epochs LoRA
# stands clearly higher, and wanders far less. The full run never lowers its rate and never settles; a single seed, one rate each, and a split that chose the
# epoch it was reported on. So what does the log say of LoRA against full fine-tuning? That one has to measure it again, with several seeds, and with each at a rate that suits it.

# %% [markdown] tags=["ko"]
# "거의 비슷하다"는 운 좋은 두 에폭을 견준 말입니다. 0.0011은 882건 가운데 리뷰 한 건쯤이에요. 대신 곡선 전체를 보세요. 마지막 열 에폭에서 LoRA는 뚜렷이 높고, 훨씬 덜 흔들립니다. 전체 미세 조정은 학습률을 끝까지
# 낮추지 않아서 자리를 잡지 못했어요. 시드는 하나, 학습률도 하나씩, 게다가 보고한 데이터로 에폭을 골랐습니다. 그러니 이 로그가 LoRA와 전체 미세 조정에 대해 말해 주는 것은 하나예요. 시드를 여러 개 쓰고, 각자에게 맞는
# 학습률로 다시 재야 한다는 것.

# %% [markdown] tags=["en"]
# `kolab bench lora` does that on 2,400 of the bundled reviews: full fine-tuning and LoRA over several seeds and rates, LoRA over ranks, and five relatives beside them. It takes half an hour,
# so here is what was recorded.
#
# | method | what trains |
# |---|---|
# | DoRA (Liu et al., 2024) | LoRA for the direction of each row of W, and a number for its length |
# | rsLoRA (Kalajdzievski, 2023) | LoRA with α/√r in place of α/r, so that high ranks are not damped |
# | IA3 (Liu et al., 2022) | one factor for each number of the keys, the values and the feed-forward part |
# | prefix (Li and Liang, 2021) | eight made-up positions in each layer, to which every text may attend |
# | head only | the linear head on a frozen encoder |

# %% [markdown] tags=["ko"]
# `kolab bench lora`가 강좌에 든 리뷰 2,400건으로 그 일을 합니다. 전체 미세 조정과 LoRA를 여러 시드와 여러 학습률로, LoRA를 여러 랭크로, 그리고 친척 다섯을 그 곁에 놓고 잽니다. 반 시간쯤 걸리니 기록해 둔 결과를 봅시다.
#
# | 방법 | 학습되는 것 |
# |---|---|
# | DoRA (Liu et al., 2024) | W의 행마다 방향은 LoRA로, 길이는 숫자 하나로 |
# | rsLoRA (Kalajdzievski, 2023) | α/r 대신 α/√r를 쓴 LoRA. 랭크가 높아도 힘이 빠지지 않게 |
# | IA3 (Liu et al., 2022) | 키, 값, 피드포워드의 숫자마다 곱하는 인수 하나씩 |
# | prefix (Li and Liang, 2021) | 층마다 지어낸 위치 여덟 개. 모든 글이 거기에 주의를 줄 수 있어요 |
# | head only | 얼린 인코더 위의 선형 헤드 |

# %%
try:
    study = kl.measure.recorded("lora")
    where, meta = study.attrs["machine"], study.attrs["meta"]
    print(f"{where['gpu'] or where['cpu']}, {where['cores']} cores, {study.attrs['date']}: {meta['data']}; {meta['epochs']} epochs, rank {meta['rank']}")
except kl.errors.DataError:
    study = None
    print("Nothing is recorded yet. `kolab bench lora` measures it here in about half an hour, and goes on where it was if you stop it.")

# %%
def methods(study):
    """One row a method: macro-F1 over the seeds, and what it costs."""
    scores = study[study["part"] == "methods"].groupby("method", sort=False)
    table = scores.agg(rate=("lr", "first"), seeds=("seed", "size"), mean=("macro_f1", "mean"), lowest=("macro_f1", "min"), highest=("macro_f1", "max"))
    costs = study[study["part"] == "cost"].set_index("method")
    if len(costs):
        table = table.join(costs[["trained", "seconds_a_step", "times_as_fast", "peak_mib", "bytes"]])
        table["bytes"] = table["bytes"] / 1e6
    table = table.rename(columns={"seconds_a_step": "s a step", "times_as_fast": "times as fast", "peak_mib": "peak MiB", "bytes": "MB on disk"})
    return table.style.format({"rate": "{:g}", "mean": "{:.3f}", "lowest": "{:.3f}", "highest": "{:.3f}", "trained": "{:,.0f}", "s a step": "{:.2f}",
                               "times as fast": "{:.2f}", "peak MiB": "{:.0f}", "MB on disk": "{:.2f}"})

methods(study) if study is not None else None

# %%
def sweeps(study):
    """Macro-F1 by learning rate, and by rank."""
    figure, (left, right) = kl.plots.new(2)
    first = study[(study["part"] == "methods") & (study["seed"] == 0)]
    for method, colour in (("full", kl.plots.BLUE), ("LoRA", kl.plots.ORANGE)):
        rates = pd.concat([study[study["part"] == "rates"], first]).query("method == @method").sort_values("lr")
        left.plot(rates["lr"], rates["macro_f1"], marker="o", color=colour, label=method)
    left.set(xscale="log", xlabel="learning rate", ylabel="macro-F1, held-out reviews", title="The rate (one seed)")
    left.legend()
    by_rank = pd.concat([study[study["part"] == "ranks"], first]).query("method in ['LoRA', 'rsLoRA'] and part == 'ranks' or method == 'LoRA'").sort_values("rank")
    usual, fixed = by_rank[by_rank["alpha"] == 2 * by_rank["rank"]], by_rank[(by_rank["alpha"] != 2 * by_rank["rank"])]
    right.plot(usual["rank"], usual["macro_f1"], marker="o", color=kl.plots.ORANGE, label="LoRA, α = 2 r")
    for (_, row), marker in zip(fixed.iterrows(), "sD"):
        right.plot(row["rank"], row["macro_f1"], marker, color=kl.plots.RED, fillstyle="none", label=f"{row['method']}, α = {row['alpha']:.0f}")
    right.set_xscale("log", base=2)
    right.set(xlabel="rank r", ylabel="macro-F1, held-out reviews", title="The rank (one seed)")
    right.legend()
    return figure

sweeps(study) if study is not None else None

# %% [markdown] tags=["en"]
# Here LoRA does *not* match full fine-tuning. Its best seed lies below full fine-tuning's worst, and no rate or rank that was tried closes the gap. Note also how narrow
# its road is: at rank 64 with α = 128, or with rsLoRA's larger scale, the rate that suits rank 8 throws the training off altogether. What the study does not say
# is what more epochs, or adapters in all layers, would bring.
#
# How to read such a study, whoever made it:
#
# - In the left figure compare the tops of the two curves. A point of one above a point of the other at the same rate says only that the rate suited one of them.
# - In the table, `lowest` and `highest` are over the seeds. Where two methods' ranges overlap, their order is a matter of the seed.
# - Each relative ran at a single rate that nobody tuned. A low score there may be the rate's, as the left figure shows for LoRA.
# - rsLoRA's case is the pair of open marks: rank 64 at a fixed α. With α = 2 r, as we have it, LoRA's scale does not shrink with the rank, and there is nothing to cure.
# - One encoder of seven million parameters and a few thousand reviews. Large models on large data may order the methods in another way.

# %% [markdown] tags=["ko"]
# 여기서 LoRA는 전체 미세 조정을 *따라잡지 못합니다*. LoRA의 가장 좋은 시드가 전체 미세 조정의 가장 나쁜 시드보다 낮고, 시도한 어떤 학습률과 랭크도 그 틈을 메우지 못했어요. 갈 수 있는 길도
# 좁습니다. α = 128인 랭크 64나 배율이 더 큰 rsLoRA에서는, 랭크 8에 맞던 학습률이 학습을 아예 무너뜨립니다. 에폭을 늘리거나 모든 층에 어댑터를 넣으면 어떻게 되는지는 이 연구가 말해 주지 않아요.
#
# 누가 한 연구든 이렇게 읽습니다.
#
# - 왼쪽 그림에서는 두 곡선의 꼭대기끼리 견주세요. 같은 학습률에서 한쪽 점이 더 높다는 것은 그 학습률이 그쪽에 맞았다는 말일 뿐입니다.
# - 표의 `lowest`와 `highest`는 시드들 가운데 가장 낮은 값과 높은 값입니다. 두 방법의 범위가 겹치면 순서는 시드에 달린 문제예요.
# - 친척들은 저마다 아무도 다듬지 않은 학습률 하나로만 돌렸습니다. 점수가 낮다면 학습률 탓일 수 있어요. 왼쪽 그림이 LoRA에서 보여 주듯이요.
# - rsLoRA의 주장은 속이 빈 표식 두 개에서 봅니다. α를 고정한 랭크 64예요. 우리처럼 α = 2 r로 두면 랭크가 커져도 LoRA의 배율이 줄지 않으니 고칠 것도 없습니다.
# - 파라미터 700만 개짜리 인코더 하나, 리뷰 몇천 건입니다. 큰 모델과 큰 데이터에서는 순서가 다를 수 있어요.

# %% [markdown] tags=["en"]
# ## Take-aways
#
# - LoRA adds α/r · B A to a frozen matrix. B starts at zero, so training starts at the pre-trained model; A must not, or nothing ever moves.
# - It takes smaller steps than full fine-tuning at the same rate, and the formula says by how much. Compare each at a rate of its own.
# - Before training print how many parameters train. 0.32 %, 15.64 % and 100 % look alike in a loss curve.
# - After saving load into a *new* model and compare logits. A head that peft was not told of is not in the file.
# - Merge once, in a precise format. Keep adapter, head and base together.
# - A step gets about one and a half times as fast, not a hundred times. What shrinks a hundredfold is the optimizer's memory and the file.
#
# ## Where to go next
#
# The code of this lesson, grown up, is in `kolab/lora.py`; `kl.lora.add_lora(model)` is all you need from here on. The next lesson
# returns to the batch: what if it does not fit into memory?

# %% [markdown] tags=["ko"]
# ## 정리
#
# - LoRA는 얼린 행렬에 α/r · B A를 더합니다. B가 0에서 시작하니 학습은 사전학습된 모델에서 출발합니다. A까지 0이면 아무것도 움직이지 않아요.
# - 같은 학습률이라면 전체 미세 조정보다 걸음이 작고, 얼마나 작은지는 식이 말해 줍니다. 각자에게 맞는 학습률로 견주세요.
# - 학습하기 전에 학습되는 파라미터 수를 출력하세요. 0.32 %도 15.64 %도 100 %도 손실 곡선에서는 똑같아 보입니다.
# - 저장한 뒤에는 *새* 모델에 불러와 로짓을 견주세요. peft가 듣지 못한 헤드는 파일에 없습니다.
# - 합치기는 한 번만, 정밀한 형식으로. 어댑터와 헤드와 바탕은 늘 짝을 맞추세요.
# - 한 스텝은 백 배가 아니라 1.5배쯤 빨라집니다. 백분의 일로 줄어드는 것은 옵티마이저의 메모리와 파일이에요.
#
# ## 다음으로
#
# 이 과의 코드를 다듬은 것이 `kolab/lora.py`에 있습니다. 앞으로는 `kl.lora.add_lora(model)` 한 줄이면 돼요. 다음 과는 다시 배치로 돌아갑니다. 메모리에 들어가지 않으면 어떻게 할까요?
