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
# # 8. Schedules and regularisation
#
# *A much-read list recommends sixteen techniques for fine-tuning and measures none of them. You will build the ones that matter, find three
# that do not do what they promise the way they are published, and then let all sixteen run against a plain training, in pairs, over seeds.*
#
# | you will be able to | time | you need |
# |---|---|---|
# | write a learning-rate schedule, and say what the library's default does at its end | 110 min | lesson 4 |
# | tell weight decay from L2, and compute how much of it reaches the weights | | CPU is enough |
# | give each layer its own rate, by depth and not by position in a list | | |
# | say what label smoothing tells the model, and measure what it does to its confidence | | |
# | judge a technique by paired differences with an interval | | |

# %% [markdown] tags=["ko"]
# # 8. 스케줄과 정규화
#
# *미세 조정에 좋다는 기법 열여섯 가지를 권하면서 정작 하나도 재 보지 않은 글이 있습니다. 그 가운데 중요한 것을 직접 만들어 보고, 실린 코드대로 하면 약속한 일을 하지 않는 것 세 가지를 찾아내고,
# 마지막에는 열여섯 가지를 모두 평범한 학습과 짝지어 시드를 바꿔 가며 겨뤄 봅니다.*
#
# | 할 수 있게 되는 것 | 시간 | 준비물 |
# |---|---|---|
# | 학습률 스케줄을 쓰고, 라이브러리의 기본값이 끝에서 무엇을 하는지 말하기 | 110분 | 4강 |
# | 가중치 감쇠와 L2를 구별하고, 그것이 가중치에 실제로 얼마나 닿는지 계산하기 | | CPU면 충분 |
# | 목록의 순서가 아니라 깊이에 따라 층마다 다른 학습률 주기 | | |
# | 라벨 스무딩이 모델에게 무엇을 시키는지 말하고, 확신에 어떤 영향을 주는지 재기 | | |
# | 짝지은 차이와 구간으로 기법을 평가하기 | | |

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
import copy, dataclasses, math, re, tempfile
import numpy as np, pandas as pd, torch, transformers
import torch.nn.functional as F
from torch import nn
from kolab import calibration
from kolab.dropout import dropout_rates, set_dropout
from kolab.engine import autocast, resolve_precision
from kolab.optim import make_schedule, parameter_groups, rate_at
from kolab.schedule_widget import schedule_widget
from kolab.studies.encoders import encoder_of
from kolab.techniques import SIXTEEN, differences

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PRECISION = "bf16" if resolve_precision("auto", device) == "bf16" else "fp32"
reviews = kl.load_reviews(seed=0)
names = reviews["train"].features["label"].names
encoder, tokenizer = encoder_of("kolab-mini[:3]", 0)        # its first three layers: half the time, the same questions

few = {"train": reviews["train"].shuffle(seed=0).select(range(kl.pick(full=960, quick=64))),
       "validation": reviews["validation"].select(range(kl.pick(full=440, quick=64)))}
loaders = kl.make_loaders(few, tokenizer, batch_size=16, max_length=64, eval_batch_size=64)

def fresh(seed=0):
    return kl.Classifier.build(encoder_of("kolab-mini[:3]", 0)[0], names, seed=seed).to(device)

# %% [markdown] tags=["en"]
# ## What a schedule does after the warm-up
#
# A **learning-rate schedule** (학습률 스케줄) multiplies the peak rate by a factor that depends on the step. A published guide describes its own
# like this: *steps 1 to 500, the rate climbs from 0 to 2e-5; from step 500 on, 2e-5 is kept.* The training it describes uses the Trainer and sets
# a warm-up (워밍업), nothing else.
#
# ### Predict before you run
# Five thousand steps, a warm-up of 10 %, everything else as the Trainer has it. Which rate does the **last** step get?

# %% [markdown] tags=["ko"]
# ## 워밍업이 끝난 다음의 스케줄
#
# **학습률 스케줄**(learning-rate schedule)은 최고 학습률에 스텝마다 다른 배수를 곱합니다. 어느 공개된 안내서는 자기 스케줄을 이렇게 설명해요. *스텝 1~500: 0에서 2e-5까지 올라감. 스텝 500 이후: 2e-5 유지.*
# 그 학습은 Trainer를 쓰고, 워밍업(warm-up)만 정하고 나머지는 건드리지 않았습니다.
#
# ### 실행하기 전에 예상해 보세요
# 모두 5,000스텝, 워밍업 10 %, 나머지는 Trainer의 기본값입니다. **마지막** 스텝의 학습률은 얼마일까요?

# %%
guess = kl.predict("8.a", {"2e-5, as the guide says": 2e-5, "half of it": 1e-5, "a tenth of it": 2e-6, "nearly nothing": 0.0})

# %%
def rates_of(name, total=5000, warm=500, peak=2e-5):
    """The rate of every step, asked of the library itself."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    schedule, rates = transformers.get_scheduler(name, optimizer, num_warmup_steps=warm, num_training_steps=total), []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates

default = transformers.TrainingArguments.__dataclass_fields__["lr_scheduler_type"].default
curves = {"what the guide says": rates_of("constant_with_warmup"), f"what the Trainer does: {default}": rates_of(default), "cosine": rates_of("cosine")}
kl.reveal(guess, measured=curves[f"what the Trainer does: {default}"][-1], text=f"lr_scheduler_type is {default!r} unless you say otherwise")

# %%
figure, (left, right) = kl.plots.new(2, width=10.5)
kl.plots.lines(curves, ax=left, xlabel="step", ylabel="learning rate", title="Warm-up, and then?")
left.legend(fontsize=8, loc="lower center")
kl.plots.bars({name: sum(rates) / (5000 * 2e-5) for name, rates in curves.items()}, ax=right, percent=True, digits=0, title="Mean rate, as a share of the peak")
figure

# %% [markdown] tags=["en"]
# The guide describes one schedule and runs another. Both exist; they are not the same training. The one that decays to zero walks about half as far in all, and its last
# steps are small, so that the weights come to rest instead of jumping about with each batch. (That is why in lesson 4 the last epoch was as good as the best one.)
# Whoever compares a peak rate of 2e-5 under one with 2e-5 under the other compares two things at once.
#
# Turn the knobs. How long a warm-up takes how much of the walk away? When do linear and cosine differ at all?

# %% [markdown] tags=["ko"]
# 안내서는 이 스케줄을 설명하고 저 스케줄로 학습했습니다. 둘 다 있는 스케줄이지만 같은 학습은 아니에요. 0까지 내려가는 쪽은 모두 합쳐 절반쯤만 걷고, 마지막 걸음들이 작아서 가중치가 배치마다 출렁이지 않고
# 가라앉습니다. (4강에서 마지막 에폭이 가장 좋은 에폭만큼 좋았던 까닭이 이것입니다.) 한쪽의 최고 학습률 2e-5와 다른 쪽의 2e-5를 견주는 것은 두 가지를 한꺼번에 견주는 셈이에요.
#
# 손잡이를 돌려 보세요. 워밍업을 늘리면 걷는 거리가 얼마나 줄어드나요? linear와 cosine은 언제 달라지나요?

# %%
schedule_widget("linear", warmup=0.1, steps=180, peak=4e-4)

# %% [markdown] tags=["en"]
# ### Exercise 8.1 · The rate of a step
# ●●○○○ · 12 minutes
#
# Write `rate(step, total, peak, warmup, shape)`. Steps count from 0 to `total` − 1, `warmup` is a number of steps, `shape` is `"linear"`, `"cosine"` or `"constant"`.
# During the warm-up the rate climbs in equal parts and is never 0: `peak / warmup` at step 0, `peak` at step `warmup` − 1. Afterwards it stays (constant), or falls from `peak` at step
# `warmup` to 0 at step `total`, in a line or along half a cosine wave. A warm-up of 0 steps is allowed.
# Stuck? `kl.hint("8.1")`.

# %% [markdown] tags=["ko"]
# ### 연습 8.1 · 스텝마다의 학습률
# ●●○○○ · 12분
#
# `rate(step, total, peak, warmup, shape)`을 작성하세요. 스텝은 0부터 `total` − 1까지 세고, `warmup`은 스텝 수, `shape`은 `"linear"`, `"cosine"`, `"constant"` 가운데 하나입니다.
# 워밍업 동안에는 똑같은 폭으로 올라가고 0인 스텝은 없습니다. 스텝 0에서 `peak / warmup`, 스텝 `warmup` − 1에서 `peak`예요. 그다음에는 그대로 있거나(constant), 스텝 `warmup`의 `peak`에서
# 스텝 `total`의 0까지 직선으로(linear) 또는 코사인 반 주기를 따라(cosine) 내려갑니다. 워밍업이 0스텝일 수도 있어요.
# 막히면 `kl.hint("8.1")`.

# %% tags=["exercise"]
def rate(step, total, peak, warmup, shape):
    ...

# %% tags=["solution"]
def rate(step, total, peak, warmup, shape):
    if step < warmup:
        return peak * (step + 1) / warmup                # the first step already learns
    done = (step - warmup) / (total - warmup)            # 0 where the warm-up ends, 1 where the training does
    if shape == "linear":
        return peak * (1 - done)
    if shape == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    return peak

# %% tags=["check"]
kl.check("8.1", rate)

# %% [markdown] tags=["en"]
# ## Why warm up at all?
#
# *Warm-up of 10 % steadies the start*, says the list. What is unsteady about it? Adam divides each weight's gradient by the gradient's own size, averaged over the steps so far.
# At the first step that average is this one gradient.
#
# ### Predict before you run
# Two weights of the classifier; one has a gradient a thousand times the other's. How many times as far does Adam's **first** step move it?

# %% [markdown] tags=["ko"]
# ## 워밍업은 왜 할까
#
# 그 목록에는 *워밍업 10 %가 학습 초반을 안정시킨다*고 적혀 있습니다. 초반에 무엇이 불안정한 걸까요? Adam은 가중치마다 그래디언트를 그래디언트 자신의 크기로 나눕니다. 그 크기는 지금까지의 스텝에서 평균 낸 것인데,
# 첫 스텝에서는 그 평균이 바로 이 그래디언트 하나예요.
#
# ### 실행하기 전에 예상해 보세요
# 분류기의 가중치 둘을 고릅니다. 한쪽의 그래디언트가 다른 쪽의 천 배입니다. Adam의 **첫** 스텝은 그 가중치를 몇 배 멀리 옮길까요?

# %%
guess = kl.predict("8.b", {"as far": 1, "30 times": 30, "1,000 times": 1000, "a million times": 1e6})

# %%
batch = {name: value.to(device) for name, value in next(iter(loaders.train)).items()}
others = {name: value.to(device) for name, value in next(iter(loaders.validation)).items()}

def loss_on(model, batch):
    return F.cross_entropy(model(batch["input_ids"], batch["attention_mask"]).logits, batch["labels"])

def one_step(rate):
    """One step of Adam on one batch of 16, dropout off: gradients, moves, and the loss on that batch and on others."""
    model = fresh()
    before = [p.detach().clone() for p in model.parameters()]
    loss_on(model, batch).backward()
    torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0).step()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()]).abs()
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(model.parameters(), before)]).abs()
    with torch.no_grad():
        return gradient, moved, float(loss_on(model, batch)), float(loss_on(model, others))

gradient, moved, _, _ = one_step(1e-3)
small = float(np.quantile(gradient[gradient > 0].cpu().numpy(), 0.01))
low, high = int((gradient - small).abs().argmin()), int((gradient - 1000 * small).abs().argmin())
print(f"gradients {gradient[low]:.1e} and {gradient[high]:.1e}; moved by {moved[low]:.2e} and {moved[high]:.2e}, at a rate of 1e-03")
kl.reveal(guess, measured=float(moved[high] / moved[low]))

# %% [markdown] tags=["en"]
# As far. At its first step Adam moves *every* weight that has a gradient by the full learning rate, up or down: sixteen reviews decide the sign, and the size of the gradient plays no part. Only after some
# tens of steps does the average know which weights' gradients keep their sign and which only tremble.
#
# So the danger depends on the rate, and one can ask for it directly. One step at different rates: what does it do to the batch it was taken on, and what to reviews it has not
# seen?

# %% [markdown] tags=["ko"]
# 똑같이 옮깁니다. 첫 스텝에서 Adam은 그래디언트가 있는 가중치를 *하나도 빠짐없이* 학습률만큼 위나 아래로 옮깁니다. 방향을 정하는 것은 리뷰 열여섯 건이고, 그래디언트의 크기는 아무 구실도 하지 못해요. 몇십 스텝이
# 지나야 평균이 제구실을 해서, 어떤 가중치의 그래디언트가 부호를 지키고 어떤 것이 그저 떨고 있는지 알게 됩니다.
#
# 그러니 위험은 학습률에 달렸고, 직접 물어볼 수 있습니다. 학습률을 바꿔 가며 딱 한 스텝을 밟아 봅시다. 그 배치의 손실은 어떻게 되고, 처음 보는 리뷰의 손실은 어떻게 될까요?

# %%
grid = kl.pick(full=[1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2], quick=[1e-4, 1e-2])
after = np.array([one_step(rate)[2:] for rate in grid])
with torch.no_grad():
    start = float(loss_on(fresh(), others))
figure, ax = kl.plots.new(height=3.0)
ax.semilogx(grid, after[:, 0], "o-", color=kl.plots.BLUE, label="the 16 reviews of the step")
ax.semilogx(grid, after[:, 1], "o-", color=kl.plots.ORANGE, label="64 others")
ax.axhline(start, color=kl.plots.GREY, linestyle="--", linewidth=1, label="before the step")
ax.set(xlabel="learning rate of the first step", ylabel="loss after it", title="One step of Adam, without warm-up")
ax.legend(fontsize=8)
figure

# %% [markdown] tags=["en"]
# Read the orange line. At the rates one fine-tunes this encoder with, a few times 1e-4, the first step is harmless, and there is nothing to steady. Ten times higher it still teaches the batch its own labels and
# already harms everybody else; thirty times higher it has wrecked what pre-training had put there. So a warm-up is the price of a high rate, not a charm against bad starts. Does it pay?

# %% [markdown] tags=["ko"]
# 주황색 선을 보세요. 이 인코더를 미세 조정할 때 쓰는 1e-4의 몇 배쯤에서는 첫 스텝이 해롭지 않습니다. 안정시킬 것이 없어요. 그보다 열 배 높으면 그 배치의 답은 가르치지만 나머지에게는 벌써 해롭고, 서른 배
# 높으면 사전학습이 쌓아 둔 것을 허물어 버립니다. 워밍업은 나쁜 출발을 막아 주는 부적이 아니라 높은 학습률을 쓰는 값인 셈이에요. 제값을 할까요?

# %%
STEPS = kl.pick(full=40, quick=3)

def train(rate, warmup=0.0, shape="linear", clip=math.inf, optimizer=torch.optim.AdamW, steps=STEPS, seed=0):
    """Lesson 4's loop for some steps; returns the model, the loss and the gradient's norm of each step."""
    model, losses, norms = fresh().train(), [], []
    optimizer = optimizer(parameter_groups(model, rate, weight_decay=0.0))
    schedule = make_schedule(optimizer, shape, warmup, steps)
    loaders.train.batch_sampler.set_epoch(seed)
    torch.manual_seed(seed)
    for _, batch in zip(range(steps), loaders.train):
        batch = {name: value.to(device) for name, value in batch.items()}
        labels = batch.pop("labels")
        optimizer.zero_grad()
        with autocast(PRECISION, device):
            logits = model(**batch).logits
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), clip)))
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return model.eval(), losses, norms

runs = {(rate, warm): train(rate, warm) for rate in (3e-4, 6e-3) for warm in (0.0, 0.25)}
figure, axes = kl.plots.new(2, width=10, sharey=True)
for ax, rate in zip(axes, (3e-4, 6e-3)):
    kl.plots.lines({"no warm-up": runs[rate, 0.0][1], "warm-up over a quarter": runs[rate, 0.25][1]}, ax=ax, xlabel="step", title=f"peak rate {rate:g}")
axes[0].set_ylabel("training loss of the batch")
figure

# %% [markdown] tags=["en"]
# On the left the two curves run together. On the right the start without a warm-up leaps far above ln 3 ≈ 1.10, which is what knowing nothing costs; with a warm-up the loss strays later and less. These are single short runs; whether a warm-up
# brings points in the end is a question for the study further down, which asks it at the usual rate and at four times that. Warm-up became a habit with large batches (Goyal et al., 2017), which are where high rates come from.

# %% [markdown] tags=["ko"]
# 왼쪽에서는 두 곡선이 함께 갑니다. 오른쪽에서는 워밍업 없는 쪽이 시작하자마자 ln 3 ≈ 1.10, 곧 아무것도 모를 때의 손실보다 훨씬 높이 튀어 오르고, 워밍업을 한 쪽은 더 늦게, 덜 흔들립니다. 짧은 학습 한 번씩일 뿐이니, 워밍업이 끝에 가서
# 점수를 올려 주는지는 뒤에 나올 실험에 묻습니다. 평소 학습률에서 한 번, 그 네 배에서 한 번 물어요. 워밍업이 버릇이 된 것은 큰 배치 때문입니다(Goyal 외, 2017). 학습률을 높이 잡는 것은 대개 배치가 클 때니까요.

# %% [markdown] tags=["en"]
# ## Weight decay, and what L2 makes of it in Adam
#
# Two ways to keep weights small. **L2**: add λ/2 · w² to the loss, so that λ·w is added to each gradient. **Weight decay** (가중치 감쇠): multiply each weight by
# 1 − rate · λ at every step. In plain SGD the two are the same arithmetic. In Adam they are not, since everything that is *in* the gradient is divided by the gradient's size.
#
# A problem in which nothing can be learned makes it visible: 1,000 weights that all begin at 1, whose gradients are pure noise, of five sizes. All that should happen to them is the decay.
#
# ### Predict before you run
# Adam with L2. Which weights stay large?

# %% [markdown] tags=["ko"]
# ## 가중치 감쇠, 그리고 Adam 속의 L2
#
# 가중치를 작게 붙들어 두는 길은 두 가지입니다. **L2**: 손실에 λ/2 · w²를 더합니다. 그러면 그래디언트마다 λ·w가 더해져요. **가중치 감쇠**(weight decay): 스텝마다 가중치에 1 − 학습률 · λ를 곱합니다.
# 보통의 SGD에서는 둘이 같은 산수입니다. Adam에서는 달라요. 그래디언트 *안에* 든 것은 모두 그래디언트의 크기로 나뉘니까요.
#
# 배울 것이 아예 없는 문제를 만들면 눈에 보입니다. 모두 1에서 시작하는 가중치 1,000개에, 크기만 다섯 가지로 다른 순수한 잡음을 그래디언트로 줍니다. 일어날 일이라고는 감쇠뿐이어야 합니다.
#
# ### 실행하기 전에 예상해 보세요
# L2를 쓰는 Adam. 어떤 가중치가 크게 남을까요?

# %%
guess = kl.predict("8.c", ["those with the smallest gradients", "those with the largest gradients", "all shrink alike"])

# %%
sizes = torch.tensor([1e-3, 1e-2, 1e-1, 1.0, 10.0])

def shrunk(optimizer, decay=0.5, rate=1e-3, steps=kl.pick(full=600, quick=300)):
    """The mean weight of each group of 200 after so many steps of noise."""
    generator = torch.Generator().manual_seed(0)
    weights = nn.Parameter(torch.ones(5, 200))
    optimizer = optimizer([weights], lr=rate, weight_decay=decay)
    for _ in range(steps):
        weights.grad = sizes[:, None] * torch.randn(5, 200, generator=generator)
        optimizer.step()
    return weights.detach().mean(dim=1).numpy(), (1 - rate * decay) ** steps

ways = {"SGD (L2 = decay)": torch.optim.SGD, "Adam with L2": torch.optim.Adam, "AdamW": torch.optim.AdamW}
left = {name: shrunk(way)[0] for name, way in ways.items()}
kl.reveal(guess, measured="those with the largest gradients" if left["Adam with L2"].argmax() == 4 else "those with the smallest gradients")

# %%
figure, ax = kl.plots.new(height=3.0)
for (name, values), colour in zip(left.items(), (kl.plots.GREY, kl.plots.ORANGE, kl.plots.BLUE)):
    ax.semilogx(sizes, values, "o--" if name.startswith("SGD") else "o-", color=colour, label=name)
ax.axhline(shrunk(torch.optim.AdamW)[1], color=kl.plots.GREEN, linewidth=0.8, label=r"(1 − rate · $\lambda$) to the power of the steps")
ax.set(xlabel="size of the gradient's noise", ylabel="what is left of a weight of 1", title="Decay by decoupling, and by L2", ylim=(0.4, 1.05))
ax.legend(fontsize=8)
figure

# %% [markdown] tags=["en"]
# AdamW decays everybody alike, by exactly the factor one can write down beforehand. Adam with L2 decays quiet weights too much and leaves the loud ones, those that the data pull at hardest, nearly alone: the pull of
# the decay was divided by the size of the noise. That is the *W* (Loshchilov and Hutter, 2019): the decay is **decoupled** (분리) from the gradient. `torch.optim.Adam(weight_decay=…)` is still L2.
#
# And since the factor can be written down, do so, before you believe in a weight decay of 0.1:

# %% [markdown] tags=["ko"]
# AdamW는 모든 가중치를 똑같이, 미리 적어 둘 수 있는 바로 그 비율로 줄입니다. L2를 쓰는 Adam은 조용한 가중치를 지나치게 줄이고, 데이터가 가장 세게 잡아당기는 시끄러운 가중치는 거의 그대로 둡니다. 감쇠의 힘까지
# 잡음의 크기로 나뉘었으니까요. AdamW의 *W*가 이것입니다(Loshchilov와 Hutter, 2019). 감쇠를 그래디언트에서 **분리**(decoupled)했다는 뜻이에요. `torch.optim.Adam(weight_decay=…)`은 지금도 L2입니다.
#
# 비율을 적어 둘 수 있으니, 가중치 감쇠 0.1의 효과를 믿기 전에 정말 적어 봅시다.

# %%
def kept(rate, decay, steps, shape="linear", warmup=0.1):
    """Which part of a weight the decay alone leaves after a whole training."""
    warm = round(warmup * steps)
    return math.prod(1 - rate * rate_at(s, shape, warm, steps) * decay for s in range(steps))

plans = {"this lesson's study (3e-4, 180 steps)": (3e-4, 180), "the list's rate (1e-5), 5,000 steps": (1e-5, 5000), "pre-training (1e-3), 100,000 steps": (1e-3, 100_000)}
table = pd.DataFrame({name: {f"λ = {decay}": 1 - kept(*plan[:1], decay, plan[1]) for decay in (0.01, 0.1)} for name, plan in plans.items()}).T
table.style.format("{:.2%}").set_caption("By how much weight decay alone shrinks a weight")

# %% [markdown] tags=["en"]
# Less than one percent in fine-tuning, whichever λ you take from a list. Weight decay is made for long trainings at high rates; in a short one at a low rate it can neither help nor hurt much. No run was needed to
# know that.
#
# ## Groups without decay
#
# Biases and the gains of LayerNorm are not decayed: they set where and how wide a layer's outputs lie, and pulling a gain towards 0 switches its feature off. The published list tells them by name, `["bias", "LayerNorm.weight"]`. Names
# depend on the family.

# %% [markdown] tags=["ko"]
# 어느 목록에서 λ를 골라 오든, 미세 조정에서는 1 %도 안 됩니다. 가중치 감쇠는 높은 학습률로 오래 학습할 때 쓰는 도구예요. 낮은 학습률로 짧게 학습할 때는 크게 도움도, 해도 되지 않습니다. 이것을 아는 데는 학습을 한 번도
# 돌릴 필요가 없었어요.
#
# ## 감쇠하지 않는 그룹
#
# 편향(bias)과 LayerNorm의 이득(gain)은 감쇠하지 않습니다. 이 값들은 층의 출력이 어디에 얼마나 넓게 놓일지를 정하는데, 이득을 0으로 끌어당기면 그 특징이 꺼지고 말아요. 공개된 목록은 이름으로 골라냅니다.
# `["bias", "LayerNorm.weight"]`. 그런데 이름은 모델 계열마다 다릅니다.

# %%
def by_name(name):
    return any(piece in name for piece in ("bias", "LayerNorm.weight"))

modern = encoder_of("modernbert-small", 0)[0]
rows = []
for family, model in {"BERT (kolab-mini)": encoder, "ModernBERT": modern}.items():
    vectors = {name: p for name, p in model.named_parameters() if p.ndim < 2}
    missed = [name for name in vectors if not by_name(name)]
    total = sum(p.numel() for p in model.parameters())
    rows.append({"family": family, "vectors": len(vectors), "found by their names": len(vectors) - len(missed), "missed, for example": missed[0] if missed else "–",
                 "share of all parameters": sum(p.numel() for p in vectors.values()) / total})
pd.DataFrame(rows).style.hide(axis="index").format({"share of all parameters": "{:.2%}"})

# %% [markdown] tags=["en"]
# In ModernBERT the norms are called `attn_norm`, `mlp_norm`, `final_norm`, and the list finds none of them. Nothing crashes; they are decayed. What they have in common is not a name but a shape: they are vectors. `p.ndim < 2` finds them in every
# family, and so does `kl.optim.parameter_groups`.

# %% [markdown] tags=["ko"]
# ModernBERT의 정규화 층은 이름이 `attn_norm`, `mlp_norm`, `final_norm`이라서 그 목록으로는 하나도 찾지 못합니다. 오류는 나지 않고, 그냥 감쇠돼요. 이들의 공통점은 이름이 아니라 모양입니다. 모두 벡터예요.
# `p.ndim < 2`라고 하면 어느 계열에서든 찾습니다. `kl.optim.parameter_groups`도 그렇게 합니다.

# %% [markdown] tags=["en"]
# ## Layer-wise decay, by position
#
# The lower layers of an encoder hold what is true of the language, the upper ones what suits the task; so the lower ones should move less. **Layer-wise learning-rate decay** (층별 학습률 감쇠; Howard and Ruder, 2018) gives each layer
# 0.95 times the rate of the one above it. The list does it in one line for each parameter:
#
# ```python
# for i, (name, param) in enumerate(model.named_parameters()):
#     layer_idx = min(i // 2, num_layers - 1)
#     lr = base_lr * (0.95 ** (num_layers - layer_idx))
# ```
#
# ### Predict before you run
# A BERT of 12 layers. How many **different** rates does its lowest layer, layer 0, get?

# %% [markdown] tags=["ko"]
# ## 순서로 정한 층별 감쇠
#
# 인코더의 아래층에는 그 언어에서 두루 통하는 것이, 위층에는 과제에 맞춘 것이 들어 있습니다. 그러니 아래층은 덜 움직여야겠죠. **층별 학습률 감쇠**(layer-wise learning-rate decay; Howard와 Ruder, 2018)는 층마다 바로
# 위층의 0.95배를 줍니다. 그 목록은 파라미터마다 한 줄로 정해요.
#
# ```python
# for i, (name, param) in enumerate(model.named_parameters()):
#     layer_idx = min(i // 2, num_layers - 1)
#     lr = base_lr * (0.95 ** (num_layers - layer_idx))
# ```
#
# ### 실행하기 전에 예상해 보세요
# 12층짜리 BERT입니다. 맨 아래층인 0층은 서로 **다른** 학습률을 몇 가지나 받을까요?

# %%
guess = kl.predict("8.d", {"1, as meant": 1, "2": 2, "9": 9, "16, one a parameter": 16})

# %%
shape = transformers.BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=12, num_attention_heads=2, intermediate_size=16, max_position_embeddings=16)
deep = kl.Classifier.build(transformers.BertModel(shape, add_pooling_layer=False), 5, seed=0)   # twelve layers, tiny ones: only the names matter

def part_of(name):
    found = re.search(r"layer\.(\d+)\.", name)
    return f"layer {found[1]}" if found else "embeddings" if "embed" in name else "head"

by_position = {name: 0.95 ** (12 - min(i // 2, 11)) for i, (name, _) in enumerate(deep.named_parameters())}
groups = {id(p): group["lr"] for group in parameter_groups(deep, 1.0, layer_decay=0.95) for p in group["params"]}
by_depth = {name: groups[id(p)] for name, p in deep.named_parameters()}

rates = pd.DataFrame({"part": [part_of(n) for n in by_position], "by position": list(by_position.values()), "by depth": [by_depth[n] for n in by_position]})
kl.reveal(guess, measured=rates[rates["part"] == "layer 0"]["by position"].round(6).nunique())

# %%
figure, axes = kl.plots.new(2, width=10.5, height=3.4, sharey=True)
order = {part: place for place, part in enumerate(rates["part"].unique())}
for ax, way, colour in zip(axes, ("by position", "by depth"), (kl.plots.ORANGE, kl.plots.BLUE)):
    ax.plot([order[p] for p in rates["part"]], rates[way], ".", color=colour, markersize=8)
    ax.set_xticks(range(len(order)), [p.replace("layer ", "") for p in order], rotation=60, fontsize=8)
    ax.set(title=f"{way}: one dot a parameter", xlabel="part of the model")
axes[0].set_ylabel("rate, as a share of the base rate")
figure

# %% [markdown] tags=["en"]
# Sixteen tensors make a layer, and two of them use up one step of the count. After 22 tensors, hardly into layer 1, the count has reached its end: layers 2 to 11 all get 0.95, and the 'decay by layer' is one rate for nearly everything, a
# mere five percent lower than the base rate. The list promises *deep layers fast, shallow layers slowly* and shows no curve; a figure of ten lines would have shown it.
#
# ### Exercise 8.2 · By depth
# ●●●○○ · 18 minutes
#
# Write `layer_groups(model, lr, decay, weight_decay)` for a `kl.Classifier` on a BERT: a list of groups for `torch.optim.AdamW`, each a dict with `params`, `lr` and `weight_decay`.
# The head, the pooling and the **topmost** layer learn at `lr`, each layer below at `decay` times the rate of the one above it, the embeddings at `decay` times that of layer 0. Vectors (`ndim < 2`) are not decayed.
# Every parameter lands in exactly one group. Print `[name for name, _ in model.named_parameters()]` first.
# Stuck? `kl.hint("8.2")`.

# %% [markdown] tags=["ko"]
# 한 층은 텐서 열여섯 개로 되어 있는데, 이 코드는 텐서 두 개마다 번호를 하나씩 올립니다. 텐서 22개를 지나면, 1층에 막 들어서자마자 번호가 끝에 닿아요. 2층부터 11층까지는 모두 0.95를 받습니다. '층별 감쇠'라더니 거의 전부가 같은
# 학습률이고, 기본값보다 고작 5 % 낮을 뿐입니다. 그 글은 *깊은 층은 빠르게, 얕은 층은 천천히*라고 약속하지만 그림은 없어요. 열 줄짜리 그림 하나면 보였을 텐데요.
#
# ### 연습 8.2 · 깊이에 따라
# ●●●○○ · 18분
#
# BERT 위의 `kl.Classifier`를 위한 `layer_groups(model, lr, decay, weight_decay)`를 작성하세요. `torch.optim.AdamW`에 넘길 그룹의 목록을 돌려주고, 그룹은 저마다 `params`, `lr`, `weight_decay`가 든 dict입니다.
# 헤드와 풀링, 그리고 **맨 위층**은 `lr`로 배우고, 그 아래로는 층마다 바로 위층의 `decay`배, 임베딩은 0층의 `decay`배입니다. 벡터(`ndim < 2`)는 감쇠하지 않습니다.
# 파라미터는 빠짐없이, 정확히 한 그룹에 들어갑니다. 먼저 `[name for name, _ in model.named_parameters()]`를 출력해 보세요.
# 막히면 `kl.hint("8.2")`.

# %% tags=["exercise"]
def layer_groups(model, lr, decay, weight_decay):
    ...

# %% tags=["solution"]
def layer_groups(model, lr, decay, weight_decay):
    layers = model.config.encoder.num_hidden_layers
    groups = []
    for name, parameter in model.named_parameters():
        layer = re.search(r"\.layer\.(\d+)\.", name)     # the whole number: 1 is not 10
        if layer:
            below = layers - 1 - int(layer[1])           # how many layers stand above this one
        else:
            below = layers if "embeddings" in name else 0
        groups.append({"params": [parameter], "lr": lr * decay**below, "weight_decay": weight_decay if parameter.ndim >= 2 else 0.0})
    return groups

# %% tags=["check"]
kl.check("8.2", layer_groups)

# %% [markdown] tags=["en"]
# ## Dropout that comes too late
#
# **Dropout** (드롭아웃; Srivastava et al., 2014) switches each value off with a probability p while training, so that no feature can rely on another being there. The list raises it to 0.3, in two lines on a model that has been loaded:

# %% [markdown] tags=["ko"]
# ## 너무 늦은 드롭아웃
#
# **드롭아웃**(dropout; Srivastava 외, 2014)은 학습하는 동안 값 하나하나를 확률 p로 꺼서, 어떤 특징도 다른 특징이 늘 있으리라 믿지 못하게 합니다. 그 목록은 이미 불러온 모델에 두 줄을 써서 0.3으로 올려요.

# %%
model = fresh()
before = dropout_rates(model)
model.encoder.config.hidden_dropout_prob = 0.3                       # as published
model.encoder.config.attention_probs_dropout_prob = 0.3
as_published = dropout_rates(model)
set_dropout(model, 0.3)                                              # for module in model.modules(): if it is a Dropout, module.p = 0.3
pd.DataFrame({"as loaded": before, "two lines in the config": as_published, "set_dropout(model, 0.3)": dropout_rates(model)}).rename_axis("rate").rename_axis("places that drop with this rate", axis=1).fillna(0).astype(int)

# %% [markdown] tags=["en"]
# Nothing. The layers read the configuration once, when they are made; afterwards it is a note that nobody reads again, except `save_pretrained`, which writes 0.3 into a file that claims it. Either the configuration is changed *before* the model is built, or
# the layers themselves are changed.
#
# What does the rate do? Let us train a classifier properly, four epochs, and have it read one review two hundred times with dropout on. (It will serve once more further down.)

# %% [markdown] tags=["ko"]
# 아무 일도 일어나지 않았습니다. 층은 만들어질 때 설정을 한 번 읽고, 그 뒤로 설정은 아무도 다시 읽지 않는 메모일 뿐이에요. `save_pretrained`만 빼고요. 그 함수는 0.3이라고 적힌 파일을 남깁니다. 모델을 만들기 *전에* 설정을 바꾸든지,
# 층 자체를 바꿔야 합니다.
#
# 이 비율은 무슨 일을 할까요? 분류기 하나를 이번에는 네 에폭 동안 제대로 학습시킨 다음, 드롭아웃을 켜 둔 채 같은 리뷰 하나를 200번 읽혀 봅시다. (이 분류기는 뒤에서 한 번 더 씁니다.)

# %%
def classifier(smoothing=0.0):
    """A classifier after four epochs, and what it says of the validation reviews."""
    model = fresh()
    config = kl.TrainConfig(epochs=kl.pick(full=4, quick=1), lr=4e-4, warmup=0.1, weight_decay=0.0, keep_best=False, progress=False)
    kl.fit(model, {"train": loaders.train}, config, loss=kl.losses.CrossEntropy(smoothing=smoothing))
    return model, kl.train.predict(model, loaders.validation)

plain, plain_found = classifier()

# %%
review = "화면은 큰데 배터리가 생각보다 빨리 닳네요"
ids = tokenizer([review], return_tensors="pt")["input_ids"].to(device).repeat(kl.pick(full=200, quick=20), 1)
model = copy.deepcopy(plain).train()
figure, ax = kl.plots.new(height=2.8)
for rate, colour in zip((0.0, 0.1, 0.3, 0.5), kl.plots.PALETTE):
    set_dropout(model, rate)
    with torch.no_grad():
        shares = model(ids).logits.softmax(-1)[:, 0].cpu().numpy()
    ax.plot(np.sort(shares), np.linspace(0, 1, len(shares)), color=colour, label=f"p = {rate}: from {shares.min():.2f} to {shares.max():.2f}")
ax.set(xlabel=f"probability of {names[0]}", ylabel="share of the 200 readings below", title="One review, read with dropout on")
ax.legend(fontsize=8)
figure

# %% [markdown] tags=["en"]
# Every reading is another thinned network. At 0.1 most of them say roughly what the whole network says; from 0.3 on the same review is anything between *surely not* and *surely*. So the model learns with another part of its features hidden each time. The more is hidden, the more epochs it takes, and a short training does not have
# them. Whether 0.3 helps *here* is a question for the study.

# %% [markdown] tags=["ko"]
# 읽을 때마다 솎아 낸 부분이 다른 네트워크입니다. 0.1에서는 대부분 온전한 네트워크와 비슷하게 말하지만, 0.3부터는 똑같은 리뷰를 두고 *절대 아님*에서 *틀림없음*까지 온갖 말을 다 합니다. 특징을 매번 다르게 가린 채로 배우는 셈이죠. 많이 가릴수록 에폭이 더 필요한데, 짧은 학습에는 그럴 여유가 없습니다. 0.3이 *여기서*
# 도움이 되는지는 실험에 물을 일입니다.

# %% [markdown] tags=["en"]
# ## Label smoothing: what the model is told
#
# **Label smoothing** (라벨 스무딩; Szegedy et al., 2016) with ε = 0.1 no longer tells the model *this class, with certainty*. A published guide writes what it tells it instead, for five classes: `[1, 0, 0, 0, 0]` becomes `[0.9, 0.025, 0.025, 0.025, 0.025]`.
#
# One need not believe that, nor read the library's source. The gradient of a cross-entropy with respect to the logits is *what the model says − what it is told*. So run torch's own loss backwards, and read off what it was told.
#
# ### Predict before you run
# Which share does the right class get?

# %% [markdown] tags=["ko"]
# ## 라벨 스무딩: 모델에게 무엇이라고 말하나
#
# ε = 0.1인 **라벨 스무딩**(label smoothing; Szegedy 외, 2016)은 모델에게 더 이상 *틀림없이 이 클래스*라고 말하지 않습니다. 그럼 뭐라고 말할까요? 어느 공개된 안내서는 클래스가 다섯일 때 `[1, 0, 0, 0, 0]`이
# `[0.9, 0.025, 0.025, 0.025, 0.025]`가 된다고 적었습니다.
#
# 믿을 필요도, 라이브러리 소스를 읽을 필요도 없습니다. 교차 엔트로피를 로짓으로 미분하면 *모델이 말한 것 − 모델이 들은 것*이에요. 그러니 torch의 손실을 거꾸로 돌려서 무엇을 들었는지 읽어 내면 됩니다.
#
# ### 실행하기 전에 예상해 보세요
# 정답 클래스는 얼마를 받을까요?

# %%
guess = kl.predict("8.e", {"0.90, as the guide says": 0.90, "0.92": 0.92, "0.98": 0.98, "1.00": 1.0})

# %%
logits = torch.randn(1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)

def told(**options):
    """What a loss tells a model about one example of class 0: softmax minus the gradient."""
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, torch.tensor([0]), **options), logits)
    return (logits.softmax(-1) - gradient)[0].detach().numpy()

targets = {"ε = 0": told(), "ε = 0.1, the guide": np.array([0.9] + [0.025] * 4), "ε = 0.1, torch": told(label_smoothing=0.1)}
kl.reveal(guess, measured=float(targets["ε = 0.1, torch"][0]))
table = pd.DataFrame(targets, index=[f"class {i}" for i in range(5)]).T
table["lowest possible loss"] = (table * -np.log(table.where(table > 1e-9))).fillna(0).sum(axis=1) + 0.0
table.style.format("{:.3f}")

# %% [markdown] tags=["en"]
# ε is spread over *all* classes, the right one included: 1 − ε + ε/5 = 0.92, and 0.02 for each other. The difference is small with five classes and large with two: there 0.95 and not 0.9.
#
# The last column is worth remembering. A model that says exactly what it is told still pays the entropy of the targets. Beside an unsmoothed run, a smoothed one always looks worse in training loss; below that floor it cannot get. Compare losses without
# smoothing, as `kl.evaluate` does, or not at all.
#
# ### Exercise 8.3 · What the loss tells
# ●●○○○ · 10 minutes
#
# Write `smoothed_targets(labels, classes, epsilon)`: class numbers (N,) in, float targets (N, classes) out, such that `-(targets * logits.log_softmax(-1)).sum(-1).mean()` is `F.cross_entropy(logits, labels, label_smoothing=epsilon)`.
# Stuck? `kl.hint("8.3")`.

# %% [markdown] tags=["ko"]
# ε은 정답까지 포함한 *모든* 클래스에 고루 나뉩니다. 정답은 1 − ε + ε/5 = 0.92, 나머지는 0.02씩이에요. 클래스가 다섯일 때는 차이가 작지만 둘일 때는 커서, 0.9가 아니라 0.95입니다.
#
# 마지막 열은 기억해 둘 만합니다. 들은 그대로 말하는 모델도 타깃의 엔트로피만큼은 손실을 치릅니다. 그래서 스무딩을 쓴 학습은 쓰지 않은 학습보다 늘 훈련 손실이 나빠 보이고, 이 바닥 밑으로는 내려갈 수 없어요. 손실을 견주려면 `kl.evaluate`처럼
# 스무딩 없이 계산하거나, 아예 견주지 마세요.
#
# ### 연습 8.3 · 손실이 말하는 것
# ●●○○○ · 10분
#
# `smoothed_targets(labels, classes, epsilon)`을 작성하세요. 클래스 번호 (N,)을 받아 실수 타깃 (N, classes)를 돌려주고, `-(targets * logits.log_softmax(-1)).sum(-1).mean()`이
# `F.cross_entropy(logits, labels, label_smoothing=epsilon)`과 같아야 합니다.
# 막히면 `kl.hint("8.3")`.

# %% tags=["exercise"]
def smoothed_targets(labels, classes, epsilon):
    ...

# %% tags=["solution"]
def smoothed_targets(labels, classes, epsilon):
    hard = torch.nn.functional.one_hot(labels, classes).float()
    return (1 - epsilon) * hard + epsilon / classes      # a share of ε for every class, the right one too

# %% tags=["check"]
kl.check("8.3", smoothed_targets)

# %% [markdown] tags=["en"]
# ### A setting that nobody reads
#
# The list sets `label_smoothing_factor=0.05` in the Trainer's arguments and, five techniques earlier, overrides `compute_loss` for its class weights. Here are both, on a small BERT: the loss of one batch with the factor at 0 and at 0.1.

# %% [markdown] tags=["ko"]
# ### 아무도 읽지 않는 설정
#
# 그 목록은 Trainer의 인자로 `label_smoothing_factor=0.05`를 주는데, 기법 다섯 개 앞에서는 클래스 가중치 때문에 `compute_loss`를 새로 정의해 두었습니다. 작은 BERT에서 둘을 함께 써 봅시다. 배치 하나의 손실을 배수 0과 0.1에서 잽니다.

# %%
class Published(transformers.Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = nn.CrossEntropyLoss(weight=torch.tensor([1.3, 0.6, 1.1, 0.9, 1.1]))(outputs.logits, labels)
        return (loss, outputs) if return_outputs else loss

torch.manual_seed(0)
bert = transformers.BertForSequenceClassification(transformers.BertConfig(**(shape.to_dict() | {"num_hidden_layers": 1, "num_labels": 5}))).eval()
nn.init.normal_(bert.classifier.weight, std=2.0)                     # opinions, so that smoothing has something to smooth
inputs = {"input_ids": torch.randint(5, 40, (8, 6)), "labels": torch.randint(0, 5, (8,))}
losses = {}
for kind in (transformers.Trainer, Published):
    for factor in (0.0, 0.1):
        arguments = transformers.TrainingArguments(tempfile.mkdtemp(), label_smoothing_factor=factor, use_cpu=True, report_to="none")
        with torch.no_grad():
            loss = kind(model=bert, args=arguments).compute_loss(bert, dict(inputs))
        losses.setdefault({"Trainer": "the Trainer's own loss"}.get(kind.__name__, "compute_loss overridden"), {})[f"factor {factor}"] = float(loss)
pd.DataFrame(losses).T.style.format("{:.4f}")

# %% [markdown] tags=["en"]
# In the second row the two numbers are the same. The Trainer smooths inside its own `compute_loss`; who overrides it has to smooth, too: `CrossEntropyLoss(weight=…, label_smoothing=0.05)`. No warning says so. A setting is not in force because it was accepted: change it to something absurd and see
# whether anything moves.
#
# ## What smoothing does to confidence
#
# A classifier is **calibrated** (보정된) if, of all the answers that it gives with 80 %, eight in ten are right. A reliability diagram (신뢰도 그림) puts the two beside each other; the **expected calibration error** (ECE, 기대 보정 오차) is the mean distance.
# Two trainings that differ in ε alone:

# %% [markdown] tags=["ko"]
# 둘째 줄의 두 숫자가 똑같습니다. Trainer는 자기 `compute_loss` 안에서 스무딩을 합니다. 그것을 새로 정의했다면 스무딩도 직접 해야 해요. `CrossEntropyLoss(weight=…, label_smoothing=0.05)`처럼요. 아무 경고도 나오지 않습니다. 설정이
# 받아들여졌다고 해서 쓰이고 있다는 뜻은 아닙니다. 터무니없는 값으로 바꿔 보고 무언가 움직이는지 보세요.
#
# ## 스무딩이 확신에 하는 일
#
# 80 %라고 말한 답이 열에 여덟 번 맞는다면 그 분류기는 **보정되어**(calibrated) 있습니다. 신뢰도 그림(reliability diagram)은 이 둘을 나란히 놓아 보여 주고, **기대 보정 오차**(expected calibration error, ECE)는 둘 사이의 평균 거리예요. ε만 다른
# 학습 두 번을 봅시다.

# %%
found = {"plain": plain_found, "smoothing 0.1": classifier(smoothing=0.1)[1]}
tables = {name: calibration.reliability(f.probabilities, f.references) for name, f in found.items()}
pd.DataFrame({name: {"accuracy": (f.labels == f.references.numpy()).mean(), "mean confidence": f.probabilities.max(-1).values.mean().item(),
                     "ECE": calibration.ece(f.probabilities, f.references), "loss, without smoothing": F.cross_entropy(f.logits, f.references).item()} for name, f in found.items()}).T.style.format("{:.3f}")

# %%
figure, (left, right) = kl.plots.new(2, width=10, height=4.0)
calibration.draw(tables, ax=left, title="Reliability (dots: share of the reviews)")
for (name, f), colour in zip(found.items(), kl.plots.PALETTE):
    right.hist(f.probabilities.max(-1).values.numpy(), bins=np.linspace(1 / 3, 1, 21), histtype="step", linewidth=1.6, color=colour, label=name)
right.set(xlabel="confidence", ylabel="reviews", title="How sure it is")
right.legend(fontsize=9, loc="upper left")
figure

# %% [markdown] tags=["en"]
# The right-hand picture holds wherever one smooths: the sure answers are taken back, since *certain* is now wrong. The highest confidence that is taught is 0.93 for three classes. Whether this mends the calibration depends on where the model
# stood. This one was much too sure, its dots lie below the dashed line, and smoothing brings them nearer. One that had been about right would be pushed to the other side and would say less than it knows. ECE has no sign, so read the diagram before
# the number. And look at the accuracy: better probabilities are not more right answers.
#
# ## Clipping
#
# **Gradient clipping** (그래디언트 클리핑; Pascanu et al., 2013) shortens a gradient that is longer than a limit. The list lowers the Trainer's limit of 1.0 to 0.5. How long are the gradients? The runs further up have kept their norms.

# %% [markdown] tags=["ko"]
# 오른쪽 그림은 스무딩을 쓰면 어디서나 같습니다. 자신만만한 답이 줄어들어요. 이제는 *틀림없다*는 말이 틀린 답이니까요. 클래스가 셋일 때 배우게 되는 최고 확신은 0.93입니다. 그래서 보정이 나아지는지는 모델이 어디에 서 있었느냐에 달렸습니다. 이 모델은
# 지나치게 자신만만해서 점들이 점선 아래에 있었고, 스무딩을 쓰니 점선에 가까워졌습니다. 처음부터 얼추 맞던 모델이라면 반대쪽으로 밀려나서 아는 것보다 적게 말하게 될 거예요. ECE에는 부호가 없으니 숫자보다 그림을 먼저 보세요. 그리고 정확도도
# 보세요. 확률이 좋아졌다고 해서 더 많이 맞히는 것은 아닙니다.
#
# ## 클리핑
#
# **그래디언트 클리핑**(gradient clipping; Pascanu 외, 2013)은 한계보다 긴 그래디언트를 줄입니다. 그 목록은 Trainer의 한계 1.0을 0.5로 낮춰요. 그래디언트는 실제로 얼마나 길까요? 위의 학습들이 노름을 남겨 두었습니다.

# %%
norms = np.array(runs[3e-4, 0.0][2])
figure, ax = kl.plots.new(height=2.6)
ax.plot(range(1, len(norms) + 1), norms, "o-", color=kl.plots.BLUE, markersize=4, linewidth=1)
for limit, colour in ((1.0, kl.plots.ORANGE), (0.5, kl.plots.RED)):
    ax.axhline(limit, color=colour, linewidth=1.2, label=f"limit {limit}: clips {100 * np.mean(norms > limit):.0f} % of the steps")
ax.set(xlabel="step", ylabel="norm of the gradient", ylim=(0, None), title="Gradients of a fine-tuning")
ax.legend(fontsize=8)
figure

# %% [markdown] tags=["en"]
# A limit meant for accidents, and every single step is one, even under the higher limit. No gradient keeps its length: that is not clipping any more, it is normalising. Does it matter? SGD's step is as long as the gradient. Adam's step is not: it divides the length out again.

# %% [markdown] tags=["ko"]
# 사고에 대비한 한계인데, 높은 쪽 한계로 재도 모든 스텝이 사고인 셈입니다. 제 길이를 지키는 그래디언트가 하나도 없어요. 이쯤 되면 클리핑이 아니라 정규화입니다. 그래서 무엇이 달라질까요? SGD의 걸음은 그래디언트만큼 깁니다. Adam의 걸음은 그렇지 않아요. 길이를 다시 나누어 없애니까요.

# %%
def walked(optimizer, clip):
    """How far ten steps have moved all weights together."""
    model, _, _ = train(3e-4, clip=clip, optimizer=optimizer, steps=kl.pick(full=10, quick=2))
    return math.sqrt(sum(float((p.detach() - q.detach()).square().sum()) for p, q in zip(model.parameters(), fresh().parameters())))

limits = {"none": math.inf, "1.0": 1.0, "0.5": 0.5, "0.01": 0.01}
walks = pd.DataFrame({name: {limit: walked(way, clip) for limit, clip in limits.items()} for name, way in (("SGD", lambda groups: torch.optim.SGD(groups)), ("AdamW", torch.optim.AdamW))})
(walks / walks.loc["none"]).rename_axis("limit").style.format("{:.3f}").set_caption("Distance walked, as a share of the walk without clipping")

# %% [markdown] tags=["en"]
# With a limit of 0.01 SGD all but stands still, while AdamW walks about as far as before. So a limit that always bites does next to nothing to AdamW. What clipping does there is to keep *one* outlier from counting for many steps: from Adam's running averages, which forget a huge gradient only slowly.
#
# ## Early stopping
#
# **Early stopping** (조기 종료): stop when the validation score has not improved for so many epochs (the *patience*, 인내), and keep the best epoch.
#
# ### Exercise 8.4 · When to stop, what to keep
# ●●○○○ · 10 minutes
#
# Write `when_to_stop(scores, patience, min_delta=0.0)`. `scores` holds one validation score an epoch, higher is better. An epoch improves if its score is more than `min_delta` above the best so far. Training stops after the epoch that is the `patience`-th in a row without an
# improvement. Return two epoch numbers, counted from 1: the last one that is trained, and the one to keep, which is the last that improved.
# Stuck? `kl.hint("8.4")`.

# %% [markdown] tags=["ko"]
# 한계가 0.01이면 SGD는 거의 제자리에 서 있지만 AdamW는 전과 다름없이 걷습니다. 늘 걸리는 클리핑은 AdamW에서 하는 일이 거의 없다는 뜻이에요. 여기서 클리핑이 하는 일은 *하나* 튀는 그래디언트가 여러 스텝에 걸쳐 힘을 쓰지 못하게 하는 것입니다. Adam의 이동 평균은 커다란 그래디언트를 아주 천천히
# 잊으니까요.
#
# ## 조기 종료
#
# **조기 종료**(early stopping): 검증 점수가 몇 에폭 동안(*patience*, 인내) 나아지지 않으면 멈추고, 가장 좋았던 에폭을 남깁니다.
#
# ### 연습 8.4 · 언제 멈추고 무엇을 남길까
# ●●○○○ · 10분
#
# `when_to_stop(scores, patience, min_delta=0.0)`을 작성하세요. `scores`에는 에폭마다 검증 점수가 하나씩 들어 있고, 높을수록 좋습니다. 점수가 지금까지의 최고보다 `min_delta`를 넘게 높으면 나아진 것입니다. 나아지지 않은 에폭이 잇달아 `patience`번째가 되면 그 에폭까지만 학습하고 멈춥니다. 1부터 센 에폭 번호
# 두 개를 돌려주세요. 마지막으로 학습한 에폭, 그리고 남길 에폭, 곧 마지막으로 나아진 에폭입니다.
# 막히면 `kl.hint("8.4")`.

# %% tags=["exercise"]
def when_to_stop(scores, patience, min_delta=0.0):
    ...

# %% tags=["solution"]
def when_to_stop(scores, patience, min_delta=0.0):
    best, kept, stale = -math.inf, 0, 0
    for epoch, score in enumerate(scores, 1):
        if score > best + min_delta:
            best, kept, stale = score, epoch, 0
        else:
            stale += 1
            if stale == patience:
                return epoch, kept
    return len(scores), kept

# %% tags=["check"]
kl.check("8.4", when_to_stop)

# %% [markdown] tags=["en"]
# Lesson 4's study has recorded fifteen epochs on three splits, with the test score of each. So patience can be tried on them afterwards. `kl.fit` has the rule built in (`TrainConfig(patience=4, min_delta=0.001)`); here it is applied to the recorded curves, and set beside trainings that were *planned* to be
# shorter.

# %% [markdown] tags=["ko"]
# 4강의 실험에는 세 가지로 나눈 데이터의 15에폭과 에폭마다의 시험 점수가 기록되어 있습니다. 그러니 patience를 나중에라도 시험해 볼 수 있어요. `kl.fit`에는 이 규칙이 들어 있지만(`TrainConfig(patience=4, min_delta=0.001)`), 여기서는 기록된 곡선에 적용해 보고, 처음부터 짧게 *계획한* 학습과
# 나란히 놓습니다.

# %%
def stopped(run, patience):
    """The recorded epochs that a training with this patience would have run, and the one it would have kept."""
    best, kept, stale = -math.inf, None, 0
    for _, row in run.iterrows():
        best, kept, stale = (row["f1"], row, 0) if row["f1"] > best else (best, kept, stale + 1)
        if stale == patience:
            break
    return {"epochs trained": row["epoch"], "epoch kept": kept["epoch"], "validation F1": kept["f1"], "test F1": kept["test_f1"], "test loss": kept["test_loss"]}

epochs = kl.measure.recorded("epochs")
rows = []
for (planned, split), run in epochs.groupby(["planned", "split"]):
    rules = {f"15 planned, patience {p}": p for p in (1, 2, 4)} if planned == 15 else {}
    rows += [{"rule": rule, **stopped(run, patience)} for rule, patience in rules.items()]
    last = run.iloc[-1]
    rows.append({"rule": f"{planned} planned, the last one kept", "epochs trained": last["epoch"], "epoch kept": last["epoch"], "validation F1": last["f1"], "test F1": last["test_f1"], "test loss": last["test_loss"]})
print(f"means over {epochs['split'].nunique()} splits, {epochs.attrs['machine']['cpu']}, {epochs.attrs['date']}: {epochs.attrs['meta']['data']}")
order = ["5 planned, the last one kept", "15 planned, patience 1", "15 planned, patience 2", "15 planned, patience 4", "15 planned, the last one kept"]
pd.DataFrame(rows).groupby("rule").mean().loc[order].style.format("{:.3f}").format("{:.1f}", subset=["epochs trained", "epoch kept"])

# %% [markdown] tags=["en"]
# Put the first row beside those with patience. A training that is stopped has walked on a schedule made for fifteen epochs: when it stops, its rate is still high, and it never gets the quiet steps at the end. A training that was planned short gets them. So early stopping saves time where nobody knows
# how long to train; once you know, plan for that length. And an impatient rule stops at the first tremor: with a validation set of a few hundred reviews, an epoch that is 'worse' by a point is no news (lesson 4).

# %% [markdown] tags=["ko"]
# 첫 줄을 patience가 붙은 줄과 나란히 보세요. 도중에 멈춘 학습은 15에폭에 맞춘 스케줄을 걷고 있었습니다. 멈출 때 학습률이 아직 높아서, 끝에 있는 조용한 걸음들을 얻지 못해요. 짧게 계획한 학습은 그것을 얻습니다. 그러니 조기 종료는 얼마나 학습해야 할지 아무도 모를 때 시간을 아껴 주는 도구이고,
# 알고 나면 그 길이로 계획하는 편이 낫습니다. 그리고 참을성 없는 규칙은 처음 흔들릴 때 멈춰 버립니다. 검증용 리뷰가 몇백 건뿐이면 1점쯤 '나빠진' 에폭은 대수로운 일이 아닙니다(4강).

# %% [markdown] tags=["en"]
# ## All sixteen, measured
#
# Now the whole list. `kolab bench techniques` trains one classifier for each technique and seed: the plain training with one thing changed. A pair shares its seed, so the same head at the start and the same batches in the same order, and what is compared is the **paired difference** (짝지은 차이). Two rows keep everybody honest: *nothing, another seed* is the plain training once more under another
# seed, and *all at once* is the list in full.
#
# ### Predict before you run
# Of the sixteen differences that are left without those two: how many are clear of zero, with a 95 % interval (신뢰구간) that lies on one side?

# %% [markdown] tags=["ko"]
# ## 열여섯 가지를 모두 재다
#
# 이제 목록 전체입니다. `kolab bench techniques`는 기법마다, 시드마다 분류기를 하나씩 학습합니다. 평범한 학습에서 딱 한 가지만 바꿔요. 짝끼리는 시드가 같아서 처음의 헤드도, 배치와 그 순서도 같습니다. 견주는 것은 **짝지은 차이**(paired difference)예요. 결과를 부풀려 읽지 않도록 붙잡아 주는 줄이 두 개 있습니다. *nothing, another seed*는
# 평범한 학습을 시드만 바꿔 한 번 더 한 것이고, *all at once*는 목록을 통째로 켠 것입니다.
#
# ### 실행하기 전에 예상해 보세요
# 이 둘을 뺀 차이 열여섯 개 가운데, 95 % 신뢰구간(confidence interval)이 0의 한쪽에만 놓이는 것은 몇 개일까요?

# %%
guess = kl.predict("8.f", {"none": 0, "two or three": 2.5, "eight": 8, "all sixteen": 16})

# %%
machines = kl.measure.recordings().get("techniques", [])
study = kl.measure.recorded("techniques") if machines else None
if study is None:
    print("Not recorded yet: `kolab bench techniques` (about half an hour on one core) makes it, and the cells below show it then.")
else:
    where = study.attrs["machine"]
    print(f"{where['gpu'] or where['cpu']}, {study.attrs['date']}", *(f"  {key}: {value}" for key, value in study.attrs["meta"].items()), sep="\n")
    points = differences(study)
    asked = points.drop(index=["nothing, another seed", "all at once"], errors="ignore")
    kl.reveal(guess, measured=int(((asked["low"] > 0) | (asked["high"] < 0)).sum()), text=f"{(asked['low'] > 0).sum()} above zero, {(asked['high'] < 0).sum()} below; by chance alone one in twenty would be")

# %%
def forest(table, ax, title, good=1, least=None):
    """Mean paired differences with their 95 % intervals, coloured where they are clear of zero; what lies left of `least` becomes a number at the edge."""
    for place, (name, row) in enumerate(table.iterrows()):
        colour = kl.plots.GREEN if row["low"] * good > 0 and row["high"] * good > 0 else kl.plots.RED if row["low"] * good < 0 and row["high"] * good < 0 else kl.plots.GREY
        if least is not None and row["high"] < least:
            ax.annotate(f"{row['mean']:+.1f}", (least, place), xytext=(26, 0), textcoords="offset points", va="center", color=colour, arrowprops={"arrowstyle": "->", "color": colour})
            continue
        ax.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2)
        ax.plot(row["mean"], place, "o", color=colour, markersize=6)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(title=title, xlabel="points")
    ax.set_xlim(left=least)
    ax.set_yticks(range(len(table)), table.index, fontsize=9)

if study is not None:
    figure, axes = kl.plots.new(2, width=11, height=0.8 + 0.3 * len(points), sharey=True)
    forest(points, axes[0], "Macro-F1 (right is better)", least=-13)
    forest(differences(study, "ece").reindex(points.index), axes[1], "Calibration error (left is better)", good=-1)
    axes[0].invert_yaxis()
figure if study is not None else None

# %% [markdown] tags=["en"]
# Look at the first row before any other. *Nothing* has an interval too: so much two trainings differ that differ in luck alone. A technique whose dot lies inside that width has not shown anything, however good its reasons. Green and red are intervals clear of zero, and with so many of them one may well be
# coloured by chance.
#
# On the left nothing is green. None of the sixteen brings points that one could tell from luck, and three cost some. Dropout of 0.3 costs six to seven: three epochs are too few for a model that is half blindfolded. Layer-wise decay of 0.8 costs two, since the lower layers hardly move in so short a training. And accumulation over 8
# costs thirty. Not because its gradient is wrong (lesson 6: it is that of a batch of 128), but because the same three epochs now hold 24 updates and not 180.
#
# On the right there is green, above all for label smoothing: this model too was surer than it was right. (Layer-wise decay of 0.8 does it too, by learning less, and pays for it on the left.) The red ones are as instructive. A constant rate scores as well as a falling one and leaves a model that is far too sure: the quiet last steps of a schedule show in the probabilities first.
#
# Paired intervals are narrow where the change is small (weight decay, clipping at 0.5: the same batches, nearly the same path) and wide where it sends the training elsewhere. That is the gain from pairing; lesson 9 counts how many seeds a claim of two points needs.
#
# Here is the list itself, each with its line of code and what it did.

# %% [markdown] tags=["ko"]
# 다른 것보다 첫 줄을 먼저 보세요. *아무것도 바꾸지 않은 것*에도 구간이 있습니다. 운만 다른 두 학습이 그만큼 달라요. 점이 그 폭 안에 있는 기법은 아무리 그럴듯한 이유가 있어도 아직 보여 준 것이 없습니다. 초록과 빨강은 구간이 0에서 벗어난 것인데, 이렇게 많이 재면
# 하나쯤은 우연히 색이 칠해질 만합니다.
#
# 왼쪽에는 초록이 없습니다. 운과 구별할 만큼 점수를 올려 준 것은 열여섯 가지 가운데 하나도 없고, 세 가지는 점수를 깎았습니다. 드롭아웃 0.3은 6~7점을 잃습니다. 눈을 반쯤 가린 채 배우기에 세 에폭은 너무 짧거든요. 층별 감쇠 0.8은 2점을 잃습니다. 이렇게 짧은 학습에서는 아래층이 거의 움직이지
# 못하니까요. 그리고 여덟 번 누적은 30점을 잃습니다. 그래디언트가 틀려서가 아니라(6강에서 보았듯 배치 128의 그래디언트 그대로입니다), 똑같은 세 에폭에 든 업데이트가 180번에서 24번으로 줄었기 때문입니다.
#
# 오른쪽에는 초록이 있는데, 무엇보다 라벨 스무딩이 그렇습니다. 이 모델도 맞히는 것보다 더 자신만만했거든요. (층별 감쇠 0.8도 초록이지만, 덜 배운 덕분이고 그 값은 왼쪽에서 치릅니다.) 빨강도 배울 것이 많습니다. 학습률을 끝까지 그대로 두어도 점수는 내려가는 스케줄 못지않은데, 남는 것은 지나치게 자신만만한 모델입니다. 스케줄 끝의 조용한 걸음들은 점수보다 확률에 먼저 나타나요.
#
# 짝지은 구간은 변화가 작으면(가중치 감쇠, 0.5로 클리핑: 같은 배치, 거의 같은 길) 좁고, 학습을 다른 곳으로 보내는 변화라면 넓습니다. 짝을 지어서 얻는 것이 이것이에요. 2점을 주장하려면 시드가 몇 개 필요한지는 9강에서 셉니다.
#
# 이제 목록 자체를 봅시다. 기법마다 코드 한 줄과, 그것이 여기서 한 일을 적었습니다.

# %%
positions = sum(batch["input_ids"].numel() for batch in loaders.train)
counted = {13: f"; {128 * len(few['train']) / positions:.1f} times as many positions to compute, counted on this lesson's batches"}
if study is not None:
    means = study.groupby("variant")[["macro_f1", "weighted_f1", "seconds"]].mean()
    counted[8] = f"; {means.loc['float32', 'seconds'] / means.loc['plain', 'seconds']:.1f} times as fast"
    counted[14] = f"; weighted {means.loc['plain', 'weighted_f1']:.3f} against macro {means.loc['plain', 'macro_f1']:.3f} for the same plain runs"

def verdict(technique):
    """What a technique did, in points of macro-F1, or why no score can say."""
    if not technique.comparisons:
        return technique.otherwise + counted.get(technique.number, "")
    if study is None:
        return "not recorded yet"
    found = [points.loc[name] for name in technique.comparisons if name in points.index]
    return "; ".join(f"{row.name}: {row['mean']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f}), better in {row['better']:.0f} of {row['seeds']:.0f}" for row in found) + counted.get(technique.number, "")

rows = [{"": t.number, "technique": f"{t.name} · {t.korean}", "one line": t.line, "what it did here": verdict(t)} for t in SIXTEEN]
pd.DataFrame(rows).style.hide(axis="index").set_properties(**{"text-align": "left", "vertical-align": "top"}).set_properties(subset=["one line"], **{"font-family": "monospace"}).set_properties(subset=["what it did here"], **{"max-width": "34em", "white-space": "normal"})

# %% [markdown] tags=["en"]
# And the promises that were made, each beside its measurement:

# %% [markdown] tags=["ko"]
# 그리고 약속들을 하나하나 측정값과 나란히 놓습니다.

# %%
claims = [("label smoothing of 0.1 brings 2 to 3 points", "smoothing 0.1", "macro_f1", +1, 2), ("… and better probabilities", "smoothing 0.1", "ece", -1),
          ("a warm-up of 10 % steadies the start: loss of epoch 1", "warm-up 10 %", "first_loss", -1), ("… at four times the rate", "warm-up 10 % at 4 × the rate", "first_loss", -1),
          ("… and brings points in the end", "warm-up 10 %", "macro_f1", +1), ("layer-wise decay of 0.95 helps", "layer-wise decay 0.95", "macro_f1", +1),
          ("dropout of 0.3 helps", "dropout 0.3, not 0.1", "macro_f1", +1), ("weight decay of 0.1 helps", "weight decay 0.1", "macro_f1", +1),
          ("clipping at 0.5 helps", "clipping at 0.5, not 1", "macro_f1", +1), ("all of it together: 'the score comes out extremely well'", "all at once", "macro_f1", +1)]

def judged(claim, comparison, score, good, promised=0):
    scale, unit = (1, "") if score == "first_loss" else (100, " points")
    row = differences(study, score, scale=scale).loc[comparison]
    least, most = sorted((good * row["low"], good * row["high"]))
    says = "the opposite" if most < 0 else "less than promised" if most < promised else "yes" if least > 0 else "not shown"
    better = row["better"] if good > 0 else row["seeds"] - row["better"]
    number = "{:+.2f}" if scale == 1 else "{:+.1f}"
    return {"the claim": claim, "measured": number.format(row["mean"]) + unit, "95 % interval": f"{number.format(row['low'])} to {number.format(row['high'])}", "seeds in favour": f"{better:.0f} of {row['seeds']:.0f}", "so": says}

pd.DataFrame([judged(*claim) for claim in claims]).style.hide(axis="index").set_properties(**{"text-align": "left"}) if study is not None else print("Not recorded yet: `kolab bench techniques`.")

# %% [markdown] tags=["en"]
# Of ten promises one is kept: smoothing makes better probabilities. The points that were promised with it are not there; even the favourable end of the interval is below one. The warm-up does not steady a start that was steady already, it only delays it: the first epoch's loss is *higher* with it. And the whole list at once, which is to come
# out 'extremely well', comes out nearly ten points below a plain training.
#
# *Not shown* is not *useless*: read the interval. That of weight decay is a few tenths of a point wide, so whatever it does here is smaller than that; that of layer-wise decay still allows a small loss or a tiny gain. And none of it speaks of your data: three layers of a small encoder, a thousand reviews and three epochs are one place among
# many, and dropout or decay may earn their keep in a longer training. What carries over is the method. `kolab train --config techniques.yaml --study.encoders "[kolab-mini]" --data.rows null` asks again with all six layers and all reviews.
#
# Some rows could be known without a run. Weight decay: the factor, computed above. Clipping under AdamW: the walk, above. Layer-wise decay as published: one rate for everything. Dropout and smoothing as published: nothing at all, since neither reached the model. Reading the code, plotting one curve and computing one product came before any training.

# %% [markdown] tags=["ko"]
# 약속 열 가지 가운데 지켜진 것은 하나, 스무딩을 쓰면 확률이 좋아진다는 것입니다. 함께 약속한 점수는 오르지 않았어요. 구간에서 가장 유리한 끝을 보아도 1점이 안 됩니다. 워밍업은 이미 안정된 출발을 더 안정시키지는 못하고 늦출 뿐이라, 첫 에폭의 손실이 오히려 *높습니다*. 그리고 '대단히 잘 나온다'던 목록을
# 통째로 켜면 평범한 학습보다 10점 가까이 낮게 나옵니다.
#
# *not shown*(보이지 않음)은 *쓸모없음*이 아닙니다. 구간을 읽으세요. 가중치 감쇠의 구간은 폭이 영점 몇 점뿐이니, 여기서 하는 일이 있더라도 그보다 작습니다. 층별 감쇠의 구간에는 조금 잃을 가능성도, 아주 조금 얻을 가능성도 남아 있어요. 그리고 이 결과는 여러분의 데이터에 대해서는 아무 말도 하지 않습니다. 작은
# 인코더의 세 층과 리뷰 천 건과 세 에폭은 수많은 경우 가운데 하나일 뿐이고, 더 오래 학습한다면 드롭아웃이나 감쇠가 제값을 할지도 모르죠. 가져갈 것은 방법이에요. `kolab train --config techniques.yaml --study.encoders "[kolab-mini]" --data.rows null`로 여섯 층 전부와 리뷰 전부로 다시 물을 수 있습니다.
#
# 어떤 줄은 학습을 돌리지 않고도 알 수 있었습니다. 가중치 감쇠는 위에서 계산한 비율로. AdamW 아래의 클리핑은 위에서 잰 걸음으로. 공개된 그대로의 층별 감쇠는 거의 모두 같은 학습률. 공개된 그대로의 드롭아웃과 스무딩은 모델에 닿지도 못했으니 효과 없음. 코드를 읽고, 곡선 하나를 그리고, 곱셈 하나를 하는 일이
# 어떤 학습보다 먼저입니다.

# %% [markdown] tags=["en"]
# ## Take-aways
#
# - Plot the schedule that runs, not the one you meant. The Trainer's default falls to zero.
# - Adam's first step moves every weight by the full rate. A warm-up pays for a high rate; at a low one there is little to steady.
# - AdamW's decay can be computed beforehand: rate × λ × steps. In a short fine-tuning it is a fraction of a percent.
# - Layers by their name, vectors by their shape, every parameter in one group. Then draw it.
# - Smoothing of ε tells the right class 1 − ε + ε/C, and takes confidence away. Whether that is an improvement the reliability diagram says, not the word 'calibration'.
# - A setting that was accepted is not a setting in force: dropout after loading, smoothing under an own loss.
# - Clipping that always bites does little under Adam. Early stopping is for those who do not know how long.
# - One change, the same seed, several seeds, an interval, and *nothing* beside it. Asked in this way, none of sixteen recommended techniques brought points here, and three cost some.
#
# **Where to go next.** Lesson 9: classes that are rare, and how many seeds and folds a claim needs. `kl.progress()` shows what you have done so far.

# %% [markdown] tags=["ko"]
# ## 정리
#
# - 뜻한 스케줄이 아니라 실제로 도는 스케줄을 그려 보세요. Trainer의 기본값은 0까지 내려갑니다.
# - Adam의 첫 스텝은 모든 가중치를 학습률만큼 옮깁니다. 워밍업은 높은 학습률의 값이고, 낮은 학습률에서는 안정시킬 것이 별로 없습니다.
# - AdamW의 감쇠는 미리 계산할 수 있습니다. 학습률 × λ × 스텝. 짧은 미세 조정에서는 1 %에도 못 미칩니다.
# - 층은 이름으로, 벡터는 모양으로, 파라미터는 빠짐없이 한 그룹에. 그런 다음 그려 보세요.
# - ε만큼의 스무딩은 정답에 1 − ε + ε/C를 말하고, 확신을 거두어 갑니다. 그것이 나아진 것인지는 '보정'이라는 말이 아니라 신뢰도 그림이 말해 줍니다.
# - 받아들여진 설정이라고 쓰이고 있는 것은 아닙니다. 불러온 뒤의 드롭아웃, 손실을 새로 정의한 뒤의 스무딩.
# - 늘 걸리는 클리핑은 Adam 아래에서 하는 일이 거의 없습니다. 조기 종료는 얼마나 학습해야 할지 모를 때 씁니다.
# - 한 가지만 바꾸고, 같은 시드로, 여러 시드에서, 구간과 함께, 그리고 *아무것도 안 한 것*을 나란히. 이렇게 물어보니 추천받은 열여섯 가지 가운데 여기서 점수를 올려 준 것은 하나도 없고, 세 가지는 점수를 깎았습니다.
#
# **다음으로.** 9강은 드문 클래스, 그리고 주장 하나에 시드와 폴드(fold)가 몇 개 필요한지를 다룹니다. `kl.progress()`로 지금까지 한 것을 볼 수 있어요.
