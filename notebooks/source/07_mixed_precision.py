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
# # 7. Mixed precision on a GPU runtime
#
# *Half the bits, twice the speed, half the memory: so it is said. You will take numbers apart to the bit, lose real gradients
# and get them back, and count every byte of a training step. Then you know which half is true.*
#
# | you will be able to | time | you need |
# |---|---|---|
# | say what fp16 and bf16 can hold, and what falls through | 110 min | lesson 4 |
# | write loss scaling, and put unscale, clip, step and update in the right order | | a CPU is enough; |
# | predict the memory of a training step before it runs, within a tenth or so | | a GPU makes it matter |
# | choose what helps when memory is full, by measurement and not by rumour | | |

# %% [markdown] tags=["ko"]
# # 7. GPU에서 쓰는 혼합 정밀도
#
# *비트는 절반, 속도는 두 배, 메모리는 절반. 흔히 그렇게들 말합니다. 이번 강의에서는 숫자를 비트까지 뜯어보고, 진짜 그래디언트를 잃어버렸다가
# 되찾고, 학습 한 걸음이 쓰는 바이트를 하나하나 셉니다. 그러고 나면 어느 절반이 참인지 알게 돼요.*
#
# | 할 수 있게 되는 것 | 시간 | 준비물 |
# |---|---|---|
# | fp16과 bf16이 무엇을 담을 수 있고 무엇을 흘리는지 말하기 | 110분 | 4강 |
# | 손실 스케일링을 직접 쓰고, unscale·clip·step·update를 바른 순서로 놓기 | | CPU로도 충분 |
# | 학습 한 걸음의 메모리를 돌려 보기 전에 10 % 안팎의 오차로 예측하기 | | (GPU라면 더 실감 나요) |
# | 메모리가 모자랄 때 무엇이 도움이 되는지, 소문이 아니라 측정으로 고르기 | | |

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
import copy
from collections import Counter
import numpy as np, pandas as pd, torch
import torch.nn.functional as F
from torch import nn
from kolab import footprint
from kolab.allocations import held, peak_of, saved_for_backward
from kolab.autocast_table import computed_in
from kolab.benches.precision import build, make_step
from kolab.engine import resolve_precision
from kolab.formats import FORMATS, encode
from kolab.precision_widgets import format_widget, memory_widget

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
print(f"device: {device.type}; precision that kl.fit would take here: {resolve_precision('auto', device)}")

# %% [markdown] tags=["en"]
# ## What a number is made of
#
# A floating-point number (부동소수점 수) has three fields: a sign (부호), an exponent (지수) that says between which two powers of
# two it lies, and a mantissa (가수) that cuts this stretch into equal steps. fp32 has 8 bits for the exponent and 23 for the mantissa.
# With 16 bits somebody has to give: **fp16** keeps 10 bits of mantissa and has 5 left for the exponent; **bf16** keeps
# fp32's exponent and makes do with 7 bits of mantissa.
#
# Type a number, or pick an example. Which of the three formats can hold it, and how far off is the next number they have?

# %% [markdown] tags=["ko"]
# ## 숫자는 무엇으로 되어 있을까
#
# 부동소수점 수(floating-point number)는 세 칸으로 되어 있습니다. 부호(sign), 어느 두 2의 거듭제곱 사이에 있는지 말해 주는 지수(exponent), 그 구간을
# 같은 간격으로 잘게 나누는 가수(mantissa). fp32는 지수에 8비트, 가수에 23비트를 씁니다. 16비트로 줄이려면 어딘가는 양보해야 해요. **fp16**은 가수
# 10비트를 남기고 지수를 5비트로 줄였고, **bf16**은 fp32의 지수를 그대로 두고 가수를 7비트로 줄였습니다.
#
# 숫자를 입력하거나 예를 골라 보세요. 세 형식 가운데 어느 것이 그 수를 담을 수 있고, 바로 다음 수까지는 얼마나 떨어져 있나요?

# %%
format_widget("0.1")

# %%
rows = {name: {"bits": f.bits, "exponent": f.exponent_bits, "mantissa": f.mantissa_bits, "largest": float(f.largest),
               "smallest normal": float(f.smallest_normal), "smallest": float(f.smallest), "gap after 1": float(f.epsilon)}
        for name, f in FORMATS.items()}
for name, dtype in {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.items():
    about = torch.finfo(dtype)                            # does torch say the same?
    assert (about.max, about.tiny, about.eps) == tuple(rows[name][k] for k in ("largest", "smallest normal", "gap after 1"))
pd.DataFrame(rows).T.astype({"bits": int, "exponent": int, "mantissa": int}).style.format("{:.4g}", subset=["largest", "smallest normal", "smallest", "gap after 1"])

# %% [markdown] tags=["en"]
# The table says it in one line each. fp16 is fine-grained and narrow: beyond 65,504 there is nothing, and below 6 · 10⁻⁸ there is nothing
# either. bf16 reaches as far as fp32 and is eight times coarser than fp16: it knows two to three decimal digits. (tf32 is what the matrix units of
# newer NVIDIA GPUs make of float32 when they may: fp32's reach with fp16's mantissa. In memory it takes 32 bits.)

# %% [markdown] tags=["ko"]
# 표가 한 줄씩 말해 줍니다. fp16은 촘촘하지만 좁아요. 65,504를 넘으면 아무것도 없고, 6 · 10⁻⁸보다 작아도 아무것도 없습니다. bf16은 fp32만큼 멀리 가지만 fp16보다 여덟 배
# 성깁니다. 십진수로 두세 자리밖에 몰라요. (tf32는 요즘 NVIDIA GPU의 행렬 장치가 허락을 받으면 float32를 바꿔 쓰는 형식입니다. fp32의 범위에 fp16의 가수를 가졌고,
# 메모리에서는 그대로 32비트를 차지해요.)

# %% [markdown] tags=["en"]
# ## Three ways to lose a number
#
# **Overflow** (오버플로): too large, becomes infinite. **Underflow** (언더플로): too small, becomes zero. And the third, which no
# table of ranges shows: **swamping** (작은 수가 묻힘). Both numbers fit, but their sum needs more digits than there are, and the small one
# is gone.
#
# ### Predict before you run
# Count upwards in bf16: 1, 2, 3 … At which number does adding 1 stop changing anything?

# %% [markdown] tags=["ko"]
# ## 숫자를 잃어버리는 세 가지 길
#
# **오버플로**(overflow): 너무 커서 무한대가 됩니다. **언더플로**(underflow): 너무 작아서 0이 됩니다. 그리고 범위를 적은 표에는 안 나오는 세 번째, **묻힘**(swamping).
# 두 수 모두 담을 수 있는데, 더한 값을 적을 자릿수가 모자라서 작은 쪽이 사라지는 일이에요.
#
# ### 실행 전에 예상하기
# bf16으로 1, 2, 3 … 하고 세어 봅시다. 어느 수에서부터 1을 더해도 그대로일까요?

# %%
guess = kl.predict("7.a", {"256": 256, "2,048": 2048, "65,504": 65504, "16,777,216": 2**24})

# %%
def count_up(dtype):
    """The first power of two n at which n + 1 is n again."""
    n = torch.tensor(1, dtype=dtype)
    while n + 1 != n:
        n = n * 2
    return int(n)

kl.reveal(guess, measured=count_up(torch.bfloat16), text=f"fp16: {count_up(torch.float16):,}; fp32: {count_up(torch.float32):,}")

# %%
half = lambda x: torch.tensor(x, dtype=torch.float32).half()
print("overflow   float16(65519), float16(65520)    ", half(65519.).item(), half(65520.).item())
print("underflow  float16(1e-7), float16(1e-8)      ", half(1e-7).item(), half(1e-8).item())
print("swamping   float16(2048) + float16(1)        ", (half(2048.) + half(1.)).item())
print("a mean     of 70,000 ones, summed in float16 ", (torch.ones(70_000).half().cumsum(0)[-1] / 70_000).item())

# %% [markdown] tags=["en"]
# 256. Beyond that, bf16's numbers are 2 apart. Now, is this of any concern to somebody who fine-tunes an encoder? Let us not argue: take
# one, train it for a moment, and look at the numbers that really occur.

# %% [markdown] tags=["ko"]
# 256입니다. 그 너머에서 bf16의 수는 2씩 떨어져 있어요. 그런데 인코더를 미세 조정하는 사람이 이런 걸 신경 써야 할까요? 말로 다투지 말고, 모델을 하나 가져다 잠깐
# 학습시킨 다음 실제로 나타나는 숫자를 봅시다.

# %%
SEED, STEPS = 0, kl.pick(full=30, quick=3)
reviews = kl.load_reviews(seed=SEED)
names = reviews["train"].features["label"].names
encoder, tokenizer = kl.load_encoder("kolab-mini")
loaders = kl.make_loaders({"train": reviews["train"].select(range(800))}, tokenizer, batch_size=16, seed=SEED)
model = kl.Classifier.build(encoder, names, seed=SEED)
kl.fit(model, loaders, kl.TrainConfig(epochs=1, max_steps=STEPS, keep_best=False, progress=False, seed=SEED))
batch = {name: value.to(device) for name, value in next(iter(loaders["train"])).items()}
print(f"{STEPS} steps done; now one batch of {tuple(batch['input_ids'].shape)} token ids, dropout off")

# %% [markdown] tags=["en"]
# ## The gradients of one step, on fp16's number line
#
# A backward pass computes two kinds of gradients. Those **of the weights** end up in `.grad`. Those **of the activations** are handed from
# layer to layer, and everything above them has to pass through them. Most pictures show the first kind. Collect both, in float32.

# %% [markdown] tags=["ko"]
# ## 한 걸음의 그래디언트를 fp16 수직선에 놓기
#
# 역전파는 두 종류의 그래디언트를 계산합니다. **가중치**의 그래디언트는 `.grad`에 담기고, **활성값**(activation)의 그래디언트는 층에서 층으로 건네집니다. 아래층으로 가는 것은
# 모두 이 두 번째를 거쳐야 해요. 흔히 보는 그림은 첫 번째만 보여 줍니다. 둘 다 float32로 모아 봅시다.

# %%
def loss_of(model, batch, dtype=None):
    """The mean loss; the forward pass under autocast if `dtype` is given."""
    with torch.autocast(device.type, dtype=dtype or torch.float16, enabled=dtype is not None):
        logits = model(batch["input_ids"], batch["attention_mask"]).logits
    return F.cross_entropy(logits.float(), batch["labels"])

passing = []
linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
hooks = [m.register_full_backward_hook(lambda m, inward, outward: passing.append(outward[0].detach().flatten())) for m in linear]
model.zero_grad()
loss_of(model, batch).backward()
for hook in hooks:
    hook.remove()
kinds = {"of the weights": torch.cat([p.grad.flatten() for p in model.parameters()]), "of the activations": torch.cat(passing)}
kinds = {name: values[values != 0].abs().cpu() for name, values in kinds.items()}    # rows of unseen words, padding: 0 in any format
print({name: f"{len(values):,} numbers, median {values.median():.1e}" for name, values in kinds.items()})

# %% [markdown] tags=["en"]
# ### Predict before you run
# Which share of the activations' gradients does fp16 turn into zero, as they are?

# %% [markdown] tags=["ko"]
# ### 실행 전에 예상하기
# 활성값의 그래디언트를 있는 그대로 fp16에 담으면, 0이 되어 버리는 것은 몇 퍼센트일까요?

# %%
guess = kl.predict("7.b", {"none": 0.0, "1 %": 0.01, "10 %": 0.1, "a third": 0.33, "nearly all": 0.95})

# %%
def lost(values, scale=1.0):
    """Shares that fp16 makes zero, keeps with a shortened mantissa (subnormal), and makes infinite."""
    stored = (values * scale).half()
    return (stored == 0).float().mean().item(), ((stored != 0) & (stored < 2**-14)).float().mean().item(), stored.isinf().float().mean().item()

kl.reveal(guess, measured=lost(kinds["of the activations"])[0])

# %%
figure, axes = kl.plots.new(2, height=3.3, width=10.5, sharey=True)
for ax, scale in zip(axes, (1, 2**16)):
    ax.axvspan(-55, -25, color=kl.plots.RED, alpha=0.13, label="fp16: zero")
    ax.axvspan(-25, -14, color=kl.plots.ORANGE, alpha=0.18, label="fp16: subnormal")
    ax.axvspan(16, 22, color=kl.plots.PURPLE, alpha=0.25, label="fp16: infinite")
    for (name, values), colour in zip(kinds.items(), (kl.plots.BLUE, kl.plots.GREEN)):
        ax.hist((values * scale).log2().numpy(), bins=np.arange(-55, 22), density=True, histtype="step", linewidth=1.6, color=colour, label=name)
    ax.set(xlim=(-52, 22), xlabel="log₂ of the gradient's size", title="as they are" if scale == 1 else r"the loss multiplied by $2^{16}$ first")
axes[0].set_ylabel("density")
axes[0].legend(fontsize=8, loc="upper left")
figure

# %%
scales = {"1": 1, "2⁸": 2**8, "2¹⁶": 2**16, "2²⁴": 2**24}
rows = {(kind, name): lost(values, scale) for kind, values in kinds.items() for name, scale in scales.items()}
pd.DataFrame(rows, index=["zero", "subnormal", "infinite"]).T.rename_axis(["gradients", "loss × "]).style.format("{:.2%}")

# %% [markdown] tags=["en"]
# Look at the two curves apart. The activations' gradients are smaller than the weights': a weight's gradient is a sum over all tokens of the batch, that of
# an activation belongs to one token alone, and two means, over the text's tokens and over the batch, have divided it. So the part that nobody plots is the part that
# stands at the edge: nearly all of it is subnormal in fp16, with a mantissa cut short, and some of it is zero.
#
# And the right-hand picture: one multiplication moves the whole cloud, without changing its shape. There is plenty of room on the right.

# %% [markdown] tags=["ko"]
# 두 곡선을 따로 보세요. 활성값의 그래디언트가 가중치의 것보다 작습니다. 가중치의 그래디언트는 배치의 모든 토큰에 걸친 합이지만, 활성값의 그래디언트는 토큰 하나의 몫이고, 글의
# 토큰 평균과 배치 평균을 거치며 두 번 나뉘었으니까요. 그러니까 아무도 그려 보지 않는 쪽이 벼랑 끝에 서 있습니다. 거의 전부가 fp16에서는 가수가 잘려 나간 비정규수(subnormal)이고, 일부는 0이 돼요.
#
# 오른쪽 그림도 보세요. 곱셈 하나로 구름 전체가 모양 그대로 옮겨 갑니다. 오른쪽에는 자리가 넉넉해요.

# %% [markdown] tags=["en"]
# ## Loss scaling by hand
#
# The chain rule is linear: multiply the loss by S, and every gradient is multiplied by S. Divide by S at the end, in float32, and all is as
# before, except that nothing was lost on the way. That is **loss scaling** (손실 스케일링; Micikevicius et al., 2018, *Mixed Precision Training*). With a power of
# two it does not even cost a rounding. Does it work? Real fp16 this time: forward and backward under autocast, four reviews, compared with float32; once as the
# model is now, and once when it has learned these four by heart.

# %% [markdown] tags=["ko"]
# ## 손으로 하는 손실 스케일링
#
# 연쇄 법칙은 선형입니다. 손실에 S를 곱하면 모든 그래디언트에 S가 곱해져요. 마지막에 float32에서 S로 나누면 전과 똑같고, 다만 도중에 잃은 것이 없습니다. 이것이
# **손실 스케일링**(loss scaling)입니다(Micikevicius et al., 2018, *Mixed Precision Training*). 2의 거듭제곱을 쓰면 반올림 오차조차 생기지 않아요. 정말 될까요? 이번에는 진짜
# fp16으로, 순전파와 역전파를 autocast 아래에서 리뷰 네 개로 돌려 float32와 견줘 봅시다. 한 번은 지금의 모델로, 한 번은 이 네 개를 다 외운 뒤의 모델로요.

# %%
few = {name: value[:kl.pick(full=4, quick=1)] for name, value in batch.items()}

later = copy.deepcopy(model)                                  # the same model, when it knows these reviews by heart
optimizer = torch.optim.AdamW(later.parameters(), lr=3e-4)
for _ in range(kl.pick(full=25, quick=2)):
    optimizer.zero_grad()
    loss_of(later, few, torch.bfloat16).backward()
    optimizer.step()

def gradient(model, dtype=None, scale=1.0):
    """The whole gradient as one float32 vector, scaled on the way and unscaled at the end."""
    model.zero_grad()
    (loss_of(model, few, dtype) * scale).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()]) / scale

ways = {"bf16": (torch.bfloat16, 1), **{f"fp16, loss × {name}": (torch.float16, scale) for name, scale in scales.items()}}
rows = {}
for state, network in {"early": model, "later": later}.items():
    true = gradient(network)
    for way, settings in ways.items():
        got = gradient(network, *settings)
        finite = bool(got.isfinite().all())
        rows[way, f"{state}: lost"] = ((got == 0) & (true != 0)).sum().item() / (true != 0).sum().item()
        rows[way, f"{state}: relative error"] = ((got - true).norm() / true.norm()).item() if finite else float("nan")
    print(f"{state:6} loss {loss_of(network, few).item():.4f}, norm of the gradient {true.norm().item():.3g}")
pd.Series(rows).unstack(sort=False).style.format({f"{t}: lost": "{:.1%}" for t in ("early", "later")} | {f"{t}: relative error": "{:.4f}" for t in ("early", "later")}, na_rep="overflow")

# %% [markdown] tags=["en"]
# *Lost* are the gradients that are zero and should not be. Read the left half first, since it contradicts what is usually said. Early in fine-tuning fp16 gets along **without** any scaling: what it loses is so
# small that the error of the whole gradient changes little, and it is several times more exact than bf16, which has fewer digits.
#
# Then the right half. The model has learned these reviews, its loss is small, and all its gradients have shrunk with it. Now fp16 alone loses a good part of the gradient and is worse than bf16, and scaling brings it back. That is why everybody scales: not since the
# first step needs it, but since some later one will, and nobody says when. Too large a scale overflows, and the step is worthless. bf16 has no such troubles: coarser, and always the
# same. **fp16 has the better digits, bf16 the peace of mind**; where the hardware has bf16, most people take the peace of mind.

# %% [markdown] tags=["ko"]
# *lost*는 0이 아니어야 하는데 0이 된 그래디언트입니다. 왼쪽 절반부터 보세요. 흔히 하는 말과 어긋나거든요. 미세 조정 초반의 fp16은 스케일링 **없이도** 잘 버팁니다. 잃는 것이 아주 작은 값들이라 그래디언트 전체의 오차는 거의
# 달라지지 않고, 자릿수가 적은 bf16보다 오히려 몇 배 정확해요.
#
# 이제 오른쪽 절반. 모델이 이 리뷰들을 다 배워서 손실이 작고, 그래디언트도 모두 함께 줄었습니다. 이제 fp16은 혼자서는 그래디언트를 상당히 잃어버려 bf16보다도 나빠지고, 스케일링을 하면 되찾아요. 다들 스케일링을 하는 까닭이 이것입니다. 첫 걸음에 필요해서가 아니라
# 나중 어느 걸음에는 필요해지는데, 그게 언제인지 아무도 알려 주지 않기 때문이에요. 스케일이 너무 크면 넘쳐서 그 걸음이 쓸모없어집니다. bf16에는 이런 골칫거리가 없어요. 더 성기지만 언제나 한결같죠.
# **fp16은 숫자가 더 정확하고, bf16은 마음이 편합니다.** 하드웨어에 bf16이 있으면 대개 편한 쪽을 골라요.

# %% [markdown] tags=["en"]
# Which scale is right? Nobody knows beforehand, and it changes during training. So one tries: begin large, and whenever a gradient is infinite or
# not a number, **skip** (건너뛰기) that step and halve the scale (**back-off**, 물러서기). After many clean steps in a row, double it. A skipped step costs one
# batch; a wrong one costs the model.
#
# ### Exercise 7.1 · A loss scaler
# ●●●○○ · 15 minutes
#
# Complete the class. `scaled(loss)` returns what to call `backward()` on. `step(optimizer)` divides all gradients by the scale, lets the
# optimizer step only if every one is finite, adapts `self.scale`, and returns whether it stepped. Growth: doubled after `growth_interval` clean steps in a row.
# Stuck? `kl.hint("7.1")`, up to three times.

# %% [markdown] tags=["ko"]
# 알맞은 스케일은 얼마일까요? 미리 아는 사람은 없고, 학습하는 동안 바뀌기까지 합니다. 그래서 해 보면서 찾습니다. 크게 시작해서, 그래디언트가 무한대이거나 숫자가 아니면 그 걸음을
# **건너뛰고**(skip) 스케일을 절반으로 줄입니다(**물러서기**, back-off). 멀쩡한 걸음이 오래 이어지면 두 배로 키워요. 걸음을 건너뛰면 배치 하나를 잃지만, 잘못 내디디면 모델을 잃습니다.
#
# ### 연습 7.1 · 손실 스케일러
# ●●●○○ · 15분
#
# 클래스를 완성하세요. `scaled(loss)`는 `backward()`를 부를 대상을 돌려줍니다. `step(optimizer)`는 모든 그래디언트를 스케일로 나누고, 하나도 빠짐없이 유한할 때만 옵티마이저가
# 걸음을 내딛게 하고, `self.scale`을 조절한 뒤, 걸음을 내디뎠는지를 돌려줍니다. 멀쩡한 걸음이 `growth_interval`번 이어지면 두 배로 키웁니다.
# 막히면 `kl.hint("7.1")`을 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
class LossScaler:
    def __init__(self, scale=2.0**16, growth_interval=2000):
        self.scale, self.growth_interval, self.clean = scale, growth_interval, 0

    def scaled(self, loss):
        ...

    def step(self, optimizer):
        ...

# %% tags=["solution"]
class LossScaler:
    def __init__(self, scale=2.0**16, growth_interval=2000):
        self.scale, self.growth_interval, self.clean = scale, growth_interval, 0

    def scaled(self, loss):
        return loss * self.scale

    def step(self, optimizer):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        for gradient in gradients:
            gradient /= self.scale
        if not all(gradient.isfinite().all() for gradient in gradients):      # inf, and nan as well
            self.scale, self.clean = self.scale / 2, 0
            return False                                                      # the whole step is left out
        optimizer.step()
        self.clean += 1
        if self.clean == self.growth_interval:
            self.scale, self.clean = self.scale * 2, 0
        return True

# %% tags=["check"]
kl.check("7.1", LossScaler)

# %% [markdown] tags=["en"]
# ## `torch.amp.GradScaler`, watched at work
#
# torch's own scaler does the same. Its defaults: 2¹⁶ to begin with, doubled after 2,000 clean steps. That is far too slow to watch, so here it
# starts at 2²⁴ and doubles after four. It is said to be for CUDA only; that is not so: `GradScaler("cpu")` with fp16 autocast really scales, skips and backs off
# (what a CPU lacks is speed: fp16's backward pass has no fast kernels there). Each point is one step of training.

# %% [markdown] tags=["ko"]
# ## `torch.amp.GradScaler`가 일하는 모습
#
# torch에 들어 있는 스케일러도 똑같은 일을 합니다. 기본값은 2¹⁶에서 시작해 멀쩡한 걸음 2,000번마다 두 배. 지켜보기에는 너무 느리니 여기서는 2²⁴에서 시작해 네 번마다 두 배로 키웁니다.
# CUDA에서만 된다고들 하지만 그렇지 않아요. `GradScaler("cpu")`와 fp16 autocast를 함께 쓰면 정말로 키우고, 건너뛰고, 물러섭니다. (CPU에 없는 것은 속도입니다. fp16 역전파를 빠르게
# 계산하는 커널이 없거든요.) 점 하나가 학습 한 걸음입니다.

# %%
trial = copy.deepcopy(model).train()
optimizer = torch.optim.AdamW(trial.parameters(), lr=1e-4)
scaler = torch.amp.GradScaler(device.type, init_scale=2.0**24, growth_interval=4)
tiny = {name: value[:2] for name, value in batch.items()}
torch.manual_seed(SEED)
trace = []
for step in range(kl.pick(full=26, quick=4)):
    optimizer.zero_grad()
    scale = scaler.get_scale()
    scaler.scale(loss_of(trial, tiny, torch.float16)).backward()
    scaler.step(optimizer)                                  # unscales, looks for inf and nan, steps or skips
    scaler.update()                                         # backs off or grows
    trace.append({"step": step + 1, "scale": scale, "skipped": scaler.get_scale() < scale})
trace = pd.DataFrame(trace)
print(f"{trace['skipped'].sum()} of {len(trace)} steps were skipped; scaler for {device.type}, torch {torch.__version__.split('+')[0]}")

# %%
figure, ax = kl.plots.new(height=2.9)
ax.step(trace["step"], np.log2(trace["scale"]), where="mid", color=kl.plots.GREY)
for skipped, colour, label in ((False, kl.plots.BLUE, "stepped"), (True, kl.plots.RED, "skipped: the scale is halved")):
    part = trace[trace["skipped"] == skipped]
    ax.plot(part["step"], np.log2(part["scale"]), "o", color=colour, label=label)
ax.set(xlabel="step", ylabel="log₂ of the scale", title="GradScaler finds the largest scale that just does not overflow")
ax.xaxis.get_major_locator().set_params(integer=True)
ax.yaxis.get_major_locator().set_params(integer=True)
ax.legend(fontsize=9)
figure

# %% [markdown] tags=["en"]
# It walks down until nothing overflows, climbs again after four clean steps, bumps its head and is set back: for ever, by design. A skipped step
# now and then is no fault. Only when *every* step is skipped has something broken: the scale then falls towards zero, and the cause is a `nan` in the
# forward pass, which no scale can mend.
#
# One more word on silence. Who asks for fp16 where it cannot be had should be told:

# %% [markdown] tags=["ko"]
# 넘치지 않을 때까지 내려갔다가, 멀쩡한 걸음 네 번 뒤에 다시 올라가고, 머리를 부딪히고 물러납니다. 일부러 그렇게 만든 거예요. 가끔 걸음을 건너뛰는 것은 고장이 아닙니다.
# *모든* 걸음을 건너뛸 때만 무언가가 망가진 것이고, 그때는 스케일이 0을 향해 떨어집니다. 원인은 순전파 안의 `nan`이고, 그것은 어떤 스케일로도 못 고쳐요.
#
# 조용한 실패에 대해 한마디 더. fp16을 쓸 수 없는 곳에서 fp16을 달라고 한 사람은 그 사실을 들어야 합니다.

# %%
try:
    kl.fit(copy.deepcopy(model), loaders, kl.TrainConfig(precision="fp16", device="cpu", progress=False))
except kl.errors.ConfigError as error:
    print("kl.fit:    ", error)

if device.type == "cpu":                                    # and a library that says nothing
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    AcceleratorState._reset_state()
    accelerator = Accelerator(mixed_precision="fp16", cpu=True)
    with accelerator.autocast():
        result = F.linear(torch.ones(2, 2), torch.ones(2, 2))
    print(f"Accelerate: says it is in {accelerator.mixed_precision!r}, computes in {result.dtype}, scaler: {accelerator.scaler}")
    AcceleratorState._reset_state()

# %% [markdown] tags=["en"]
# ## The order: unscale, clip, step, update
#
# Between `backward()` and `step()` many loops clip the gradient's norm. A published loop for an ensemble of classifiers does it like this: scale, backward, clip, step. It runs without a
# word. What does `clip_grad_norm_(…, 1.0)` see there? The same batch in both orders; the third row is the step the optimizer should have taken.

# %% [markdown] tags=["ko"]
# ## 순서: unscale, clip, step, update
#
# `backward()`와 `step()` 사이에 그래디언트의 노름을 클리핑(clipping)하는 루프가 많습니다. 분류기 앙상블을 학습한 어느 공개 코드는 스케일, 역전파, 클리핑, 걸음 순서로 해요. 아무 말 없이
# 잘 돌아갑니다. 거기서 `clip_grad_norm_(…, 1.0)`은 무엇을 보고 있을까요? 같은 배치를 두 순서로 돌려 봅니다. 세 번째 줄이 옵티마이저가 원래 내디뎌야 했던 걸음이에요.

# %%
def one_step(make_optimizer, scale, unscale_first):
    """(the norm that clipping sees, the norm that the optimizer gets, how far the weights move)"""
    trial = copy.deepcopy(model)
    parameters = list(trial.parameters())
    before = [p.detach().clone() for p in parameters]
    optimizer, scaler = make_optimizer(parameters), torch.amp.GradScaler(device.type, init_scale=scale)
    scaler.scale(loss_of(trial, batch)).backward()              # in float32: the order is at fault, not the format
    if unscale_first:
        scaler.unscale_(optimizer)
    seen = nn.utils.clip_grad_norm_(parameters, 1.0).item()
    scaler.step(optimizer)                                      # unscales, if nobody has
    gets = torch.stack([p.grad.norm() for p in parameters]).norm().item()
    return seen, gets, torch.stack([(p.detach() - b).norm() for p, b in zip(parameters, before)]).norm().item()

optimizers = {"SGD": lambda p: torch.optim.SGD(p, lr=0.1), "AdamW": lambda p: torch.optim.AdamW(p, lr=1e-4, weight_decay=0.0)}
orders = {"clip, then step": (2.0**16, False), "unscale, clip, step": (2.0**16, True), "no scaling at all": (1.0, True)}
rows = {}
for order, (scale, first) in orders.items():
    for name, make in optimizers.items():
        seen, gets, moved = one_step(make, scale, first)
        rows.setdefault(order, {"clipping sees a norm of": seen, "the optimizer gets": gets})[f"{name} moves the weights by"] = moved
pd.DataFrame(rows).T.style.format("{:,.3g}")

# %% [markdown] tags=["en"]
# Clipping sees a norm 65,536 times too large and cuts it to 1; then the division by the scale leaves a 65,536th of what was meant. SGD stands still. AdamW
# divides by the gradient's own size and hides much of the damage: it still moves, by a fraction of what was meant, because its ε = 10⁻⁸ is now of the size of the gradients themselves. The loss falls, more slowly, and nobody looks.
# And *every* gradient is made equally long, also the small ones that were never to be clipped. A fault that a forgiving optimizer hides is still a fault.

# %% [markdown] tags=["ko"]
# 클리핑은 65,536배로 부푼 노름을 보고 1로 잘라 냅니다. 그다음 스케일로 나누니 뜻했던 것의 65,536분의 1만 남아요. SGD는 제자리에 멈춰 섭니다. AdamW는 그래디언트를 자기 크기로 나누기
# 때문에 피해를 상당히 가려 줍니다. 움직이기는 하지만 뜻했던 것의 일부만 움직여요. ε = 10⁻⁸이 이제 그래디언트와 맞먹는 크기가 됐거든요. 손실은 더디게나마 줄어드니 아무도 들여다보지 않습니다. 게다가 클리핑할 일이
# 없던 작은 그래디언트까지 *모두* 똑같은 길이로 맞춰져요. 너그러운 옵티마이저가 가려 준다고 해서 잘못이 아닌 것은 아닙니다.

# %% [markdown] tags=["en"]
# ### Exercise 7.2 · The right order
# ●●○○○ · 10 minutes
#
# Write `train_step(model, batch, optimizer, scaler, max_norm=1.0)`: one step of training on `model(**batch).loss` with `scaler`, a `torch.amp.GradScaler`, the true gradient
# clipped to `max_norm`. It returns the true gradient's norm before clipping. A step that overflows has to leave the weights alone and
# lower the scale. Stuck? `kl.hint("7.2")`.

# %% [markdown] tags=["ko"]
# ### 연습 7.2 · 바른 순서
# ●●○○○ · 10분
#
# `train_step(model, batch, optimizer, scaler, max_norm=1.0)`을 쓰세요. `model(**batch).loss`로 학습 한 걸음을 내딛는데, `scaler`는 `torch.amp.GradScaler`이고 진짜 그래디언트를
# `max_norm`으로 클리핑합니다. 클리핑하기 전 진짜 그래디언트의 노름을 돌려주세요. 넘친 걸음은 가중치를 건드리지 말고 스케일을 낮춰야 합니다.
# 막히면 `kl.hint("7.2")`.

# %% tags=["exercise"]
def train_step(model, batch, optimizer, scaler, max_norm=1.0):
    ...

# %% tags=["solution"]
def train_step(model, batch, optimizer, scaler, max_norm=1.0):
    optimizer.zero_grad()
    scaler.scale(model(**batch).loss).backward()
    scaler.unscale_(optimizer)                                   # now .grad is the true gradient
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)                                       # or skips
    scaler.update()                                              # backs off or grows
    return norm

# %% tags=["check"]
kl.check("7.2", train_step)

# %% [markdown] tags=["en"]
# ## What autocast leaves in float32
#
# "Mixed" precision: not everything is 16 bits. Autocast (오토캐스트) decides operation by operation. Let hooks write down what comes in and what goes
# out, module by module, on this machine.

# %% [markdown] tags=["ko"]
# ## autocast가 float32로 남겨 두는 것
#
# '혼합' 정밀도라는 말은 전부 16비트는 아니라는 뜻입니다. 오토캐스트(autocast)가 연산마다 정해요. 이 컴퓨터에서 모듈마다 무엇이 들어가고 무엇이 나오는지 훅으로 적어 봅시다.

# %%
sixteen = torch.float16 if device.type == "cuda" else torch.bfloat16       # fp16's speed is for GPUs
short = lambda dtype: str(dtype).removeprefix("torch.")
found = Counter()

def note(module, inputs, output):
    if torch.is_tensor(output) and inputs and torch.is_tensor(inputs[0]):
        weight = next(module.parameters(recurse=False), None)
        found[type(module).__name__, short(inputs[0].dtype), "" if weight is None else short(weight.dtype), short(output.dtype)] += 1

hooks = [m.register_forward_hook(note) for m in model.modules() if not list(m.children())]
with torch.no_grad(), torch.autocast(device.type, dtype=sixteen):
    model(few["input_ids"], few["attention_mask"])
for hook in hooks:
    hook.remove()
pd.DataFrame([(*kind, times) for kind, times in found.items()], columns=["module", "comes in", "its weights", "goes out", "times"]).style.hide(axis="index")

# %% [markdown] tags=["en"]
# No weight has changed its type: it is the *operations* that run in 16 bits, on copies. Linear layers do, and are nearly all of the work. The sums between the layers stay float32,
# because 16-bit plus float32 is float32, and so does the LayerNorm behind them.
#
# Modules are not all, though: softmax and the loss are functions. And the lists differ by device. With a fake tensor, which has a device but no
# memory, torch can be asked what it *would* do on CUDA, without a GPU in the house.

# %% [markdown] tags=["ko"]
# 타입이 바뀐 가중치는 하나도 없습니다. 16비트로 도는 것은 *연산*이고, 복사본 위에서 돌아요. 계산의 거의 전부인 선형층이 그렇습니다. 층 사이의 덧셈은 float32로 남습니다. 16비트 더하기
# float32는 float32니까요. 그 뒤의 LayerNorm도 마찬가지입니다.
#
# 그런데 모듈이 전부는 아니죠. 소프트맥스와 손실은 함수입니다. 게다가 목록이 장치마다 달라요. 장치는 있는데 메모리는 없는 가짜 텐서(fake tensor)를 쓰면, GPU가 없어도 torch에게 CUDA에서라면 어떻게
# *할지* 물어볼 수 있습니다.

# %%
table = pd.DataFrame({"CPU, bfloat16": computed_in("cpu", torch.bfloat16), "CUDA, float16": computed_in("cuda", torch.float16),
                      "CUDA, bfloat16": computed_in("cuda", torch.bfloat16)}).map(short)
table.rename_axis("its result under autocast").style.map(lambda text: "font-weight: bold" if text == "float32" else "")

# %% [markdown] tags=["en"]
# "Autocast keeps softmax and LayerNorm in float32" is what tutorials say. On CUDA it is so. On a CPU it is not: there both are computed in whatever comes in. Of the functions in this table only the loss is computed in float32 on
# both, and that is the one that matters most: a cross-entropy computed in 16 bits has two or three digits. If your loss is not on the list, call `.float()` on the logits.

# %% [markdown] tags=["ko"]
# 'autocast는 소프트맥스와 LayerNorm을 float32로 계산한다'는 말을 튜토리얼에서 자주 봅니다. CUDA에서는 맞아요. CPU에서는 아닙니다. 거기서는 둘 다 들어온 타입 그대로 계산해요. 이 표의 함수 가운데 양쪽 모두 float32로
# 계산하는 것은 손실뿐이고, 가장 중요한 것도 그것입니다. 16비트로 계산한 교차 엔트로피는 두세 자리밖에 믿을 수 없으니까요. 쓰는 손실이 목록에 없다면 로짓에 `.float()`를 붙이세요.

# %% [markdown] tags=["en"]
# ### Why the weights stay in float32
#
# One could simply write `model.to(torch.bfloat16)` and save half. Here is the swamping from the beginning, in real weights: one step of AdamW at
# three learning rates. Which share of the weights is exactly the same afterwards?

# %% [markdown] tags=["ko"]
# ### 가중치를 float32로 두는 까닭
#
# 그냥 `model.to(torch.bfloat16)`이라고 쓰면 절반이 절약됩니다. 그러면 처음에 본 '묻힘'이 진짜 가중치에서 일어나요. 세 가지 학습률로 AdamW를 한 걸음씩 내디뎌 봅시다. 걸음 뒤에도 똑같은
# 값으로 남은 가중치는 몇 퍼센트일까요?

# %%
rows = {}
for rate in (4e-4, 1e-4, 2e-5):
    for dtype in (torch.float32, torch.bfloat16):
        trial = copy.deepcopy(model).to(dtype)
        trial.zero_grad()
        optimizer = torch.optim.AdamW(trial.parameters(), lr=rate, weight_decay=0.0, fused=True)
        before = [p.detach().clone() for p in trial.parameters()]
        loss_of(trial, few).backward()
        optimizer.step()
        same = [((p == b) & (p.grad != 0)).sum() for p, b in zip(trial.parameters(), before)]
        moving = sum((p.grad != 0).sum() for p in trial.parameters())
        rows.setdefault(f"{rate:g}", {})[f"weights in {short(dtype)}"] = (sum(same) / moving).item()
pd.DataFrame(rows).T.rename_axis("learning rate").style.format("{:.1%}")

# %% [markdown] tags=["en"]
# Each of these weights had a gradient, and AdamW wanted to move it by about the learning rate. In bfloat16 the next number lies farther away than twice that step, so the sum is rounded
# back to where it was. The smaller the rate, the more of the model stands still: at 2e-5, the usual rate for a big BERT, most of it. The loss falls all the same for a while, on what is left. Hence the
# **master weights** in float32, and the copies in 16 bits.

# %% [markdown] tags=["ko"]
# 여기 센 가중치에는 모두 그래디언트가 있었고, AdamW는 저마다 학습률만큼 움직이려 했습니다. 그런데 bfloat16에서는 바로 다음 수가 그 걸음의 두 배보다 멀리 있어서, 더한 값이 제자리로 반올림돼요. 학습률이
# 작을수록 모델의 더 많은 부분이 멈춰 섭니다. 큰 BERT에 흔히 쓰는 2e-5에서는 대부분이요. 그래도 손실은 움직이는 나머지 덕에 한동안 줄어듭니다. 그래서 **마스터 가중치**(master weights)는 float32로 두고,
# 16비트 복사본을 만드는 거예요.

# %% [markdown] tags=["en"]
# ### Does it learn the same?
#
# "Accuracy nearly the same", the claim goes on. With float32 weights kept, rounding is a small noise. How small? The same start, the same batches, no dropout, only the precision differs; and for a yardstick float32
# once more, from another random head.

# %% [markdown] tags=["ko"]
# ### 똑같이 배울까?
#
# '정확도는 거의 같다'는 주장이 이어집니다. 가중치를 float32로 지키면 반올림은 작은 잡음일 뿐이에요. 얼마나 작을까요? 시작도 같고 배치도 같고 드롭아웃은 없이 정밀도만 바꿉니다. 그리고 견줄 잣대로, 무작위 헤드만 바꿔서
# float32로 한 번 더 돌립니다.

# %%
def learn(dtype=None, seed=SEED, steps=kl.pick(full=25, quick=2)):
    """The losses of the first steps of training; `seed` draws the head."""
    network = kl.Classifier.build(kl.load_encoder("kolab-mini")[0], names, seed=seed).to(device)    # in evaluation mode: no dropout
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-4, fused=True)
    losses = []
    for _, part in zip(range(steps), loaders["train"]):
        optimizer.zero_grad()
        loss = loss_of(network, {name: value.to(device) for name, value in part.items()}, dtype)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses

curves = {"float32": learn(), "bfloat16 autocast": learn(torch.bfloat16), "float32, another head": learn(seed=SEED + 1)}
for name, losses in list(curves.items())[1:]:
    print(f"{name:22} differs from float32 by {np.abs(np.subtract(losses, curves['float32'])).mean():.4f} on average")
kl.plots.lines(curves, xlabel="step", ylabel="training loss", title="Rounding against chance")

# %% [markdown] tags=["en"]
# What the precision changes is small beside what chance changes anyway. That is the honest form of "the same": not the same numbers, but a difference that drowns in the one between two seeds. Whether it stays so over a
# whole training is for you to measure, over seeds, as lesson 4 did.

# %% [markdown] tags=["ko"]
# 정밀도가 바꾸는 것은 어차피 우연이 바꾸는 것에 견주면 작습니다. '같다'를 정직하게 말하면 이렇습니다. 숫자가 같은 것이 아니라, 차이가 시드 두 개의 차이에 묻힐 만큼 작다는 뜻이에요. 학습이 끝날 때까지도 그런지는
# 4강에서처럼 시드를 여러 개 써서 직접 재 보세요.

# %% [markdown] tags=["en"]
# ## Where the memory goes
#
# So autocast does not halve the model. What does it halve? Four things fill the memory in training:
#
# | what | how much | goes with |
# |---|---|---|
# | weights (가중치) | 4 bytes a parameter | the model |
# | gradients (그래디언트) | 4 bytes a parameter *that learns* | the model |
# | AdamW's two running means | 8 bytes a parameter that learns | the model |
# | activations (활성값): what the backward pass will need again | per layer, some dozens of bytes for each token and unit of width | batch × length |
#
# ### Exercise 7.3 · The memory of a model, before it runs
# ●●○○○ · 12 minutes
#
# Write `estimate(model)`: a dict with `weights`, `gradients` and `optimizer` in bytes, for training with AdamW under autocast. The check runs a real step on this
# machine and counts; you may be off by 15 %. Some of its models have frozen weights, some a table that is used twice, some weights that are 16-bit themselves.
# Stuck? `kl.hint("7.3")`.

# %% [markdown] tags=["ko"]
# ## 메모리는 어디로 갈까
#
# 그러니까 autocast는 모델을 절반으로 줄이지 않습니다. 그럼 무엇을 줄일까요? 학습할 때 메모리를 채우는 것은 네 가지입니다.
#
# | 무엇 | 얼마나 | 무엇을 따라가나 |
# |---|---|---|
# | 가중치(weights) | 파라미터마다 4바이트 | 모델 |
# | 그래디언트(gradients) | *학습하는* 파라미터마다 4바이트 | 모델 |
# | AdamW의 이동 평균 두 개 | 학습하는 파라미터마다 8바이트 | 모델 |
# | 활성값(activations): 역전파 때 다시 쓸 값 | 층마다, 토큰과 너비 하나에 수십 바이트 | 배치 × 길이 |
#
# ### 연습 7.3 · 돌리기 전에 알아내는 모델의 메모리
# ●●○○○ · 12분
#
# `estimate(model)`을 쓰세요. autocast 아래에서 AdamW로 학습할 때의 `weights`, `gradients`, `optimizer`를 바이트로 담은 dict입니다. 검사는 이 컴퓨터에서 실제로 한 걸음을 돌려 세어 보고, 15 %까지는
# 틀려도 됩니다. 어떤 모델은 일부가 얼어 있고, 어떤 모델은 표 하나를 두 번 쓰고, 어떤 모델은 가중치 자체가 16비트예요.
# 막히면 `kl.hint("7.3")`.

# %% tags=["exercise"]
def estimate(model):
    ...

# %% tags=["solution"]
def estimate(model):
    def size(parameters):
        return sum(p.numel() * p.element_size() for p in parameters)

    learning = [p for p in model.parameters() if p.requires_grad]
    return {"weights": size(model.parameters()), "gradients": size(learning), "optimizer": 2 * size(learning)}

# %% tags=["check"]
kl.check("7.3", estimate)

# %% [markdown] tags=["en"]
# Now counted on a network of kolab-mini's shape, after one real step each: what stays in memory between two steps.

# %% [markdown] tags=["ko"]
# 이번에는 kolab-mini와 같은 모양의 네트워크로 실제 한 걸음씩 내디딘 뒤, 걸음과 걸음 사이에 메모리에 남는 것을 세어 봅시다.

# %%
MIB = 2**20
rows = {}
for name, precision, lora, dtype in [("float32", "fp32", False, None), ("bf16 autocast", "bf16", False, None),
                                     ("bf16 autocast, LoRA of rank 8", "bf16", True, None), ("weights in bfloat16", "fp32", False, torch.bfloat16)]:
    network = build(footprint.MINI, lora=lora).to(device=device, dtype=dtype)
    step, optimizer = make_step(network, footprint.MINI, precision, batch=2, length=16)
    step()
    parts = held(network, optimizer)
    rows[name] = {k: v / MIB for k, v in parts.items()} | {"bytes a parameter": sum(parts.values()) / sum(p.numel() for p in network.parameters())}
print("MiB, counted tensor by tensor")
pd.DataFrame(rows).T.style.format("{:.1f}")

# %% [markdown] tags=["en"]
# The first two rows are the same, to the byte: 16 bytes a parameter, autocast or not. LoRA saves nearly all of the gradients and of the optimizer. The last row halves
# everything, at the price you have seen above.
#
# ## The activations, predicted and measured
#
# `saved_for_backward` counts what autograd really keeps of a forward pass. `footprint.predict` computes it from the shape alone; its source lists a layer's tensors one by one. Lines are predictions, points
# are measurements.

# %% [markdown] tags=["ko"]
# 첫 두 줄은 바이트까지 같습니다. autocast를 쓰든 안 쓰든 파라미터마다 16바이트예요. LoRA는 그래디언트와 옵티마이저를 거의 다 아낍니다. 마지막 줄은 모두를 절반으로 줄이지만, 그 값은 위에서 본
# 그대로고요.
#
# ## 활성값: 예측과 측정
#
# `saved_for_backward`는 autograd가 순전파에서 실제로 붙들어 두는 것을 셉니다. `footprint.predict`는 모양만 보고 계산하고, 그 소스에는 한 층의 텐서가 하나하나 적혀 있어요. 선이 예측, 점이
# 측정입니다.

# %%
attention = "sdpa" if device.type == "cuda" else "eager"
network = build(footprint.MINI).to(device)
lengths, measured = kl.pick(full=[16, 32, 64, 128], quick=[16, 32]), {"fp32": [], "bf16": []}
for precision in measured:
    for length in lengths:
        ids = torch.randint(5, 8000, (8, length), device=device)
        with saved_for_backward(network) as saved, torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits = network(ids, torch.ones_like(ids)).logits
        del logits                                            # lets go of the graph
        measured[precision].append(saved.mib)

figure, ax = kl.plots.new(height=3.1)
grid = range(8, lengths[-1] + 1, 8)
for (precision, points), colour in zip(measured.items(), (kl.plots.BLUE, kl.plots.ORANGE)):
    guesses = [footprint.predict(footprint.MINI, batch=8, length=n, precision=precision, device=device.type, attention=attention) for n in grid]
    ax.plot(grid, [(g.activations + g.copies) / MIB for g in guesses], color=colour, label=f"{precision}, predicted")
    ax.plot(lengths, points, "o", color=colour, label=f"{precision}, measured")
ax.set(xlabel="length of the texts in tokens (batch of 8)", ylabel="MiB kept for the backward pass", title=f"Activations of kolab-mini's shape ({attention} attention)", ylim=(0, None))
ax.legend(fontsize=9)
figure

# %% [markdown] tags=["en"]
# Points on lines. What bf16 saves is activations, and not quite half of them: the sums between layers stay float32, autocast copies an input once for each
# layer that reads it, and a 16-bit copy of every linear weight has to be kept too. With few tokens in a batch these copies weigh more than all that is saved. (Where the lines bend upwards, attention keeps a table of length × length for each head; the fused attention that GPUs use
# does not.)
#
# ### Predict before you run
# "FP16 takes 40 to 50 % less memory", says a published study of KoBERT with batches of 32. By how much does the peak of a step really fall, with 128 tokens a text?

# %% [markdown] tags=["ko"]
# 점들이 선 위에 있습니다. bf16이 아끼는 것은 활성값이고, 그것도 꼭 절반은 아니에요. 층 사이의 덧셈은 float32로 남고, autocast는 입력을 읽는 층마다 복사본을 하나씩 만들고, 모든 선형 가중치의
# 16비트 복사본까지 붙들고 있어야 하니까요. 배치에 토큰이 적으면 이 복사본이 아낀 것보다 더 무겁습니다. (선이 위로 휘는 것은 어텐션이 헤드마다 길이 × 길이 크기의 표를 남기기 때문입니다. GPU가 쓰는 융합 어텐션은 남기지 않아요.)
#
# ### 실행 전에 예상하기
# 배치 32로 KoBERT를 학습한 어느 공개된 글은 'FP16을 쓰면 메모리가 40~50 % 줄어든다'고 합니다. 글 하나가 128토큰일 때, 한 걸음의 최대 메모리는 실제로 얼마나 줄어들까요?

# %%
guess = kl.predict("7.c", {"by 5 %": 0.05, "by 20 %": 0.2, "by 35 %": 0.35, "by 50 %": 0.5})

# %%
def peaks(batch, **settings):
    return [footprint.predict(footprint.KOBERT, batch=batch, length=128, precision=p, **settings).peak for p in ("fp32", "fp16")]

saving = {batch: 1 - peaks(batch)[1] / peaks(batch)[0] for batch in (1, 4, 8, 16, 32, 64, 128, 256)}
kl.reveal(guess, measured=saving[32], text="predicted by the formula whose lines you have just seen, for a GPU")

# %%
figure, ax = kl.plots.new(height=2.7)
ax.axhspan(0.4, 0.5, color=kl.plots.ORANGE, alpha=0.25, label="the claim")
ax.plot(list(saving), list(saving.values()), "o-", color=kl.plots.BLUE, label="predicted, KoBERT, 128 tokens")
ax.set_xscale("log", base=2)
ax.set_xticks(list(saving), [str(b) for b in saving])
ax.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f} %")
ax.set(xlabel="batch", ylabel="less memory at the peak", title="What 16 bits save depends on the batch", ylim=(min(0, *saving.values()) - 0.02, 0.55))
ax.legend(fontsize=9, loc="lower right")
figure

# %% [markdown] tags=["en"]
# There is no one number. With small batches the model's own 16 bytes a parameter fill the memory, and 16 bits save nothing at all; with large ones the saving grows, towards a limit of
# about a third. One half would take a network in which *everything* is 16 bits, and that is not what autocast makes. Try it yourself: what does it take to fit KoBERT into 2 GiB?

# %% [markdown] tags=["ko"]
# 정해진 숫자는 없습니다. 배치가 작으면 파라미터마다 붙는 16바이트가 메모리를 채우고 있어서 16비트로 아끼는 것이 아예 없어요. 배치가 클수록 많이 아끼지만 3분의 1쯤 되는 한계로
# 다가갑니다. 절반이 되려면 네트워크의 *모든 것*이 16비트여야 하는데, autocast가 만드는 것은 그런 네트워크가 아니에요. 직접 만져 보세요. KoBERT를 2 GiB에 넣으려면 무엇이 필요할까요?

# %%
memory_widget("KoBERT", batch=32, length=128, precision="bf16")

# %% [markdown] tags=["en"]
# ## Out of memory: which advice helps?
#
# *CUDA out of memory.* What to do? The usual advice is to halve the batch and accumulate twice as long, as a published study puts it: 16 × 4 instead of 32 × 2. Others say bf16, LoRA, gradient checkpointing (그래디언트 체크포인팅: keep
# only each layer's input, and compute the layer again when the backward pass needs it), shorter texts, `empty_cache()`. So: each one by itself, the true peak of a step and the time it takes, on this machine.

# %% [markdown] tags=["ko"]
# ## 메모리 부족: 어떤 조언이 도움이 될까
#
# *CUDA out of memory.* 어떻게 할까요? 흔한 조언은 배치를 절반으로 줄이고 누적을 두 배로 늘리라는 것입니다. 어느 공개된 글은 32 × 2 대신 16 × 4를 권해요. bf16, LoRA, 그래디언트 체크포인팅(gradient
# checkpointing: 층의 입력만 남겨 두고, 역전파 때 그 층을 다시 계산하기), 더 짧은 글, `empty_cache()`를 말하는 사람도 있죠. 그래서 하나씩 따로, 한 걸음의 진짜 최대 메모리와 걸리는 시간을 이 컴퓨터에서
# 재 봅니다.

# %%
BATCH, LENGTH = kl.pick(full=16, quick=4), kl.pick(full=64, quick=16)
advice = {"as it is": {}, "half the batch, twice": {"batch": BATCH // 2, "accumulate": 2}, "half the length": {"length": LENGTH // 2}, "bf16": {"precision": "bf16"},
          "LoRA, rank 8": {"rank": 8}, "checkpointing": {"checkpointing": True}, "bf16 + LoRA + checkpointing": {"precision": "bf16", "rank": 8, "checkpointing": True}}
rows, steps = {}, {}
for name, changed in advice.items():
    settings = {"batch": BATCH, "length": LENGTH, "precision": "fp32", "rank": None, "checkpointing": False, "accumulate": 1} | changed
    network = build(footprint.MINI, lora=settings["rank"] is not None, checkpointing=settings["checkpointing"]).to(device)
    step, optimizer = make_step(network, footprint.MINI, settings["precision"], settings["batch"], settings["length"], settings["accumulate"])
    step()
    optimizer.zero_grad()
    stays = held(network, optimizer)
    small = footprint.predict(footprint.MINI, **settings, device=device.type, attention=attention)
    big = footprint.predict(footprint.KOBERT, **(settings | {"batch": 32 // settings["accumulate"], "length": 128 * settings["length"] // LENGTH}))
    rows[name] = {"peak, measured": (peak_of(step) + stays["weights"] + stays["optimizer"]) / MIB, "peak, predicted": small.peak / MIB, "KoBERT 32 × 128 on a GPU, predicted": big.peak / MIB}
    steps[name] = step
times = kl.measure.compare(steps, repeats=kl.pick(full=3, quick=1), warmup=0)
helped = pd.DataFrame(rows).T.assign(**{"time a step": times["seconds"] / times["seconds"].iloc[0]})
helped.style.format("{:,.0f} MiB").format("× {:.2f}", subset=["time a step"])

# %%
figure, (left, right) = kl.plots.new(2, width=10.5, height=3.2, sharey=True)
place = np.arange(len(helped))
left.barh(place - 0.19, helped["peak, measured"], height=0.36, color=kl.plots.BLUE, label="measured")
left.barh(place + 0.19, helped["peak, predicted"], height=0.36, color=kl.plots.SKY, label="predicted")
left.set(yticks=place, yticklabels=helped.index, xlabel="MiB at the peak of a step", title="Memory, kolab-mini's shape")
left.legend(fontsize=8, loc="lower right")
right.barh(place, helped["time a step"], height=0.55, color=kl.plots.ORANGE)
right.axvline(1, color=kl.plots.GREY, linestyle="--", linewidth=1)
right.set(xlabel="as it is = 1", title=f"Time of a step, {device.type}")
left.invert_yaxis()
figure

# %% [markdown] tags=["en"]
# What to read from it:
#
# - **Half the batch, twice** helps with the activations and with nothing else. It does not halve the memory, since weights and optimizer stay, and the gradients of the first half now lie beside the activations of the
#   second. Effective batch and result stay the same (lesson 6).
# - **Half the length** saves more than half the activations where attention keeps its table, *and* it saves time. So first look at your padding: lesson 2 found most of it for nothing.
# - **bf16** saves part of the activations. Its gain is time, where the hardware multiplies bf16; elsewhere measure before you believe in it.
# - **LoRA** takes away gradients and optimizer, and a third of the activations: of a frozen weight the backward pass needs no input. For a big model that is much, for a mini little.
# - **Checkpointing** takes away most activations for about a third more arithmetic: one more forward pass. (A forward pass is a third of a step.)
# - `empty_cache()` is not in the table, since it frees nothing that a step needs: it hands back what torch holds in reserve, and torch will ask for it again.
#
# An order that has proved itself: padding, bf16, accumulation, checkpointing, LoRA, a smaller model. The first two make the step faster as well.

# %% [markdown] tags=["ko"]
# 읽어 낼 것은 이렇습니다.
#
# - **배치 절반, 두 번**은 활성값에만 도움이 되고 나머지에는 아무것도 못 합니다. 가중치와 옵티마이저가 그대로 남는 데다 앞 절반의 그래디언트가 뒤 절반의 활성값 옆에 놓이기 때문에 메모리가 절반이 되지는 않아요.
#   실질 배치 크기와 결과는 그대로입니다(6강).
# - **길이 절반**은 어텐션이 표를 남기는 곳에서는 활성값을 절반보다 더 아끼고 *시간까지* 아낍니다. 그러니 먼저 패딩부터 보세요. 2강에서는 패딩 대부분을 공짜로 없앴습니다.
# - **bf16**은 활성값의 일부를 아낍니다. 얻는 것은 시간이에요. bf16 곱셈을 하는 하드웨어라면요. 아니라면 믿기 전에 재 보세요.
# - **LoRA**는 그래디언트와 옵티마이저를 없애고 활성값도 3분의 1쯤 줄입니다. 얼린 가중치라면 역전파에 그 입력이 필요 없거든요. 큰 모델에서는 많이, 작은 모델에서는 조금 아낍니다.
# - **체크포인팅**은 활성값 대부분을 없애는 대신 계산을 3분의 1쯤 더 합니다. 순전파를 한 번 더 하는 셈이고, 순전파는 한 걸음의 3분의 1이니까요.
# - `empty_cache()`는 표에 없습니다. 한 걸음에 필요한 것은 아무것도 비우지 않거든요. torch가 예비로 쥐고 있던 것을 돌려줄 뿐이고, torch는 그것을 곧 다시 달라고 합니다.
#
# 손이 가는 순서는 패딩, bf16, 누적, 체크포인팅, LoRA, 더 작은 모델. 앞의 두 가지는 걸음까지 빨라집니다.

# %% [markdown] tags=["en"]
# ## And on a GPU?
#
# Speed is what mixed precision is sold for: "2 to 3 times", "1.5 times". That depends on the chip, so measure on yours. With CUDA the next cell runs all of it on kolab-mini's shape, in a minute or two; `kolab bench precision` does so for KoBERT's
# size too and records the result. Elsewhere it shows what was recorded, and on which machine.

# %% [markdown] tags=["ko"]
# ## GPU에서는?
#
# 혼합 정밀도를 쓰는 가장 큰 이유는 속도입니다. '2~3배', '1.5배'. 칩에 따라 다르니 여러분의 칩에서 재 보세요. CUDA가 있으면 다음 셀이 kolab-mini 크기로 전부 재 보는데 1~2분쯤 걸립니다. `kolab bench precision`은
# KoBERT 크기까지 재서 기록해 둡니다. CUDA가 없으면 어떤 컴퓨터에서 기록한 결과인지와 함께 그것을 보여 줍니다.

# %% tags=["gpu"]
from kolab.benches import precision as bench

machines = kl.measure.recordings().get("precision", [])
records = [kl.measure.recorded("precision", machine=name) for name in machines]
if torch.cuda.is_available():
    study, where = pd.DataFrame(bench.rows(["kolab-mini"])), kl.measure.machine()
else:
    gpus = [record for record in records if record.attrs["machine"]["gpu"]]
    if not gpus:
        print("No CUDA here, and no run on a CUDA GPU has been recorded yet: `kolab bench precision` on a GPU machine makes one.")
    study = (gpus or records)[0] if records else pd.DataFrame()
    where = study.attrs.get("machine", kl.measure.machine())
print("measured on:", where["gpu"] or where["cpu"], f"({where['cores']} cores)" if not where["gpu"] else "", study.attrs.get("date", "today"))

# %%
def side_by_side(study):
    """Seconds and peak of each setting, and both as multiples of plain float32 of the same encoder."""
    study = study.copy()
    plain = study[(study["precision"] == "fp32") & (study["learns"] == "all") & ~study["checkpointing"]].set_index("encoder")
    study["times as fast"] = study["encoder"].map(plain["seconds"]) / study["seconds"]
    study["memory"] = study["peak_mib"] / study["encoder"].map(plain["peak_mib"])
    study["predicted / measured"] = study["predicted_mib"] / study["peak_mib"]
    order = ["encoder", "precision", "learns", "checkpointing"]
    return study[[*order, "seconds", "times as fast", "peak_mib", "memory", "predicted / measured"]].sort_values(order[:1], kind="stable")

form = {"seconds": "{:.3f}", "times as fast": "{:.2f}", "peak_mib": "{:,.0f}", "memory": "{:.0%}", "predicted / measured": "{:.2f}"}
side_by_side(study).style.hide(axis="index").format(form, na_rep="–") if len(study) else print("Nothing has been recorded yet.")

# %% [markdown] tags=["en"]
# Read the columns against the claims. *Times as fast* is the speed-up over plain float32 of the same encoder, *memory* the share of its peak. On a CPU that multiplies bf16 in hardware, as
# the one this page was made on does, the speed-up is real. fp16 on a CPU is the warning: computed faithfully, and slower than float32. Memory does not halve anywhere by precision
# alone. And the last column is the test of the formula you have used all along.

# %% [markdown] tags=["ko"]
# 각 열을 앞의 주장과 나란히 놓고 읽어 보세요. *times as fast*는 같은 인코더의 float32에 견준 속도, *memory*는 그 최대 메모리에 견준 비율입니다. bf16 곱셈을 하드웨어로 하는 CPU(이 페이지를 만든 컴퓨터가 그렇습니다)에서는
# 속도가 정말 빨라집니다. CPU의 fp16은 조심하라는 본보기입니다. 계산은 제대로 하지만 float32보다 느립니다. 정밀도만으로 메모리가 절반이 되는 곳은 어디에도 없습니다. 마지막 열은
# 지금까지 써 온 공식의 성적표예요.

# %% [markdown] tags=["en"]
# ## Take-aways
#
# - fp16: fine and narrow. bf16: wide and coarse. With bf16 no scaling. With fp16 always: the first steps may not need it, a later one will.
# - What underflows first are the gradients of the activations, which nobody looks at.
# - scale → backward → **unscale → clip → step → update**. AdamW hides the wrong order; it does not mend it.
# - Autocast casts operations, not weights. Which ones depends on the device; ask it.
# - 16 bytes a parameter that learns, whatever the precision. 16 bits save activations, so they save with large batches.
# - Predict the peak before you rent the GPU. When memory is full: padding, bf16, accumulation, checkpointing, LoRA.
#
# **Where to go next.** You can now train what fits and make fit what does not. What the loss should *say* when classes are rare and labels are soft is a question of its own, and comes
# later in the course. `kl.progress()` shows what you have done so far.

# %% [markdown] tags=["ko"]
# ## 정리
#
# - fp16은 촘촘하고 좁습니다. bf16은 넓고 성깁니다. bf16에는 스케일링이 필요 없고, fp16에는 늘 합니다. 처음 몇 걸음에는 없어도 되지만 나중에 필요해지니까요.
# - 가장 먼저 언더플로하는 것은 아무도 들여다보지 않는 활성값의 그래디언트입니다.
# - 스케일 → 역전파 → **unscale → clip → step → update**. 순서가 틀려도 AdamW가 가려 줍니다. 고쳐 주지는 않아요.
# - autocast는 가중치가 아니라 연산의 타입을 바꿉니다. 어떤 연산인지는 장치마다 다르니 물어보세요.
# - 정밀도가 무엇이든 학습하는 파라미터마다 16바이트. 16비트가 아끼는 것은 활성값이고, 그래서 배치가 클 때 아낍니다.
# - GPU를 빌리기 전에 최대 메모리를 예측하세요. 모자라면 패딩, bf16, 누적, 체크포인팅, LoRA.
#
# **다음으로.** 이제 들어가는 것은 학습시킬 수 있고, 안 들어가는 것은 들어가게 만들 수 있습니다. 클래스가 드물고 라벨이 무를 때 손실이 무엇을 *말해야* 하는지는 또 다른 질문이고, 뒤의 강의에서 다룹니다.
# `kl.progress()`로 지금까지 한 것을 볼 수 있어요.
