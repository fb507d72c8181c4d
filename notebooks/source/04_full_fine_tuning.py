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
# # 4. Full fine-tuning
#
# *Seven lines train a model. You will write them, watch them learn and then learn too much, and find out how much of a
# published score is the model and how much is the luck of having tried often.*
#
# | you will be able to | time | you need |
# |---|---|---|
# | write a training and an evaluation loop, and say what each line is for | 120 min | lesson 3 |
# | read over-fitting from a pair of curves | | CPU is enough |
# | choose an epoch without flattering yourself, and put an interval around a score | | |
# | save a model that a stranger can use | | |

# %% [markdown] tags=["ko"]
# # 4. 전체 미세 조정
#
# *모델은 일곱 줄로 학습합니다. 그 일곱 줄을 직접 쓰고, 모델이 배우다가 지나치게 배우는 모습을 지켜보고, 논문이나 블로그에 실린 점수에서 얼마가
# 모델의 실력이고 얼마가 여러 번 시도한 덕분인지 알아냅니다.*
#
# | 할 수 있게 되는 것 | 시간 | 준비물 |
# |---|---|---|
# | 학습 루프와 평가 루프를 쓰고, 한 줄 한 줄이 왜 있는지 말하기 | 120분 | 3강 |
# | 곡선 두 개에서 과적합 읽어 내기 | | CPU면 충분 |
# | 스스로를 속이지 않고 에폭을 고르고, 점수에 구간을 붙이기 | | |
# | 남이 바로 쓸 수 있는 모델로 저장하기 | | |

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
import copy, inspect, tempfile
import numpy as np, pandas as pd, torch
import torch.nn.functional as F
from kolab.engine import autocast, resolve_precision

SEED, LR, EPOCHS = 0, 4e-4, kl.pick(full=6, quick=2)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PRECISION = "bf16" if resolve_precision("auto", device) == "bf16" else "fp32"  # bf16 is faster where the hardware has it

reviews = kl.load_reviews(seed=SEED)
names = reviews["train"].features["label"].names
if kl.pick(full=False, quick=True):
    reviews = {split: part.select(range(160)) for split, part in reviews.items()}

# %% [markdown] tags=["en"]
# The parts are those of the lessons before: an encoder (인코더), batches of texts of like length, mean pooling and a head.
# *Full* fine-tuning (전체 미세 조정) means that every one of the encoder's weights may move, and not the head alone.

# %% [markdown] tags=["ko"]
# 재료는 앞 강의에서 만든 그대로입니다. 인코더(encoder), 길이가 비슷한 글끼리 묶은 배치, 평균 풀링, 그리고 헤드. *전체* 미세 조정(full
# fine-tuning)이란 헤드만이 아니라 인코더의 가중치까지 하나도 빠짐없이 움직이게 둔다는 뜻이에요.

# %%
encoder, tokenizer = kl.load_encoder("kolab-mini")
loaders = kl.make_loaders(reviews, tokenizer, batch_size=32, seed=SEED)
model = kl.Classifier.build(encoder, names, seed=SEED).to(device)
kl.model.count_parameters(model).style.format({"share": "{:.1%}", "parameters": "{:,}", "trainable": "{:,}"})

# %% [markdown] tags=["en"]
# ## A number to know before training
#
# ### Predict before you run
# The head is random, so the classifier knows nothing. There are three classes. How large is its mean cross-entropy loss
# (교차 엔트로피 손실)?

# %% [markdown] tags=["ko"]
# ## 학습하기 전에 알아야 할 숫자 하나
#
# ### 실행하기 전에 예상해 보세요
# 헤드는 무작위이니 분류기는 아직 아무것도 모릅니다. 클래스는 셋이에요. 교차 엔트로피 손실(cross-entropy loss)의 평균은 얼마일까요?

# %%
guess = kl.predict("4.a", {"0.33, a third": 0.33, "0.69": 0.69, "1.10": 1.10, "3, one a class": 3.0})

# %%
batch = {name: value.to(device) for name, value in next(iter(loaders.train)).items()}
with torch.no_grad():
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
kl.reveal(guess, F.cross_entropy(logits, batch["labels"]), text=f"ln 3 = {np.log(3):.4f}")

# %% [markdown] tags=["en"]
# Who knows nothing gives each class a third, and −ln ⅓ = ln 3. So the first loss of any classifier of C classes has to be near
# ln C. If yours begins at 4, a label is off by one or the head's weights are too large, and you know it after one batch and
# not after a night.

# %% [markdown] tags=["ko"]
# 아무것도 모르면 세 클래스에 똑같이 ⅓씩 줄 수밖에 없고, −ln ⅓ = ln 3입니다. 그러니 클래스가 C개인 분류기는 어떤 것이든 첫 손실이 ln C 근처여야
# 합니다. 4에서 시작한다면 라벨 번호가 하나씩 밀렸거나 헤드의 가중치가 너무 큰 거예요. 밤새 돌린 뒤가 아니라 배치 하나 만에 알 수 있습니다.

# %% [markdown] tags=["en"]
# ## One step, slowly
#
# Seven things happen to each batch. Here they are one by one, on a copy of the model; after each line a row is noted. Read
# the table downwards: which line changes which column?

# %% [markdown] tags=["ko"]
# ## 한 걸음을 천천히
#
# 배치 하나마다 일곱 가지 일이 일어납니다. 모델의 복사본으로 한 줄씩 실행하면서 줄마다 표에 한 행을 적어 봅시다. 표를 위에서 아래로 읽어 보세요. 어느
# 줄이 어느 열을 바꾸나요?

# %%
trial = copy.deepcopy(model).train()                     # dropout on; the real training begins further down
parameters = list(trial.parameters())
before = torch.cat([p.detach().flatten() for p in parameters])
optimizer = torch.optim.AdamW(parameters, lr=LR)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / 10)  # warm-up over ten steps
rows = []

def note(line):
    norms = [p.grad.norm() for p in parameters if p.grad is not None]
    moved = torch.cat([p.detach().flatten() for p in parameters]) - before
    rows.append({"after the line": line, "norm of all .grad": float(torch.stack(norms).norm()) if norms else 0.0,
                 "weights moved by": float(moved.norm()), "learning rate": optimizer.param_groups[0]["lr"]})

optimizer.zero_grad();                                                    note("optimizer.zero_grad()")
logits = trial(batch["input_ids"], batch["attention_mask"]).logits;       note("logits = model(…).logits")
loss = F.cross_entropy(logits, batch["labels"]);                          note("loss = cross_entropy(logits, labels)")
loss.backward(retain_graph=True);                                         note("loss.backward()")  # retain_graph: only because of the next line
loss.backward();                                                          note("loss.backward() a second time, no zero_grad()")
torch.nn.utils.clip_grad_norm_(parameters, 1.0);                          note("clip_grad_norm_(parameters, 1.0)")
optimizer.step();                                                         note("optimizer.step()")
schedule.step();                                                          note("schedule.step()")
pd.DataFrame(rows).style.hide(axis="index").format(precision=4).set_properties(subset=["after the line"], **{"text-align": "left"})

# %% [markdown] tags=["en"]
# - `backward()` *adds* to `.grad`. The second call doubled it: that is what happens in every step when `zero_grad()`
#   (그래디언트 초기화) is forgotten.
# - Clipping (그래디언트 클리핑) shortens the gradient to a norm of 1 and keeps its direction. After `step()` it would be too
#   late.
# - Only `step()` moves the weights. The optimizer (옵티마이저) moves what it was given and nothing else: lesson 3 showed a
#   published run whose head it was never given.
# - The schedule (학습률 스케줄) counts *optimizer steps*. Here the rate climbs a tenth at each: the warm-up (워밍업). One call an
#   epoch instead of one a step, and the warm-up would outlast the training.

# %% [markdown] tags=["ko"]
# - `backward()`는 `.grad`에 *더합니다*. 두 번째 호출에서 두 배가 됐죠. 그래디언트 초기화(`zero_grad()`)를 잊으면 걸음마다 이런 일이 벌어집니다.
# - 그래디언트 클리핑(clipping)은 방향은 그대로 두고 길이만 1로 줄입니다. `step()` 다음에 하면 이미 늦어요.
# - 가중치를 움직이는 것은 `step()`뿐입니다. 옵티마이저(optimizer)는 건네받은 것만 움직입니다. 3강에서 본 공개된 코드는 헤드를 건네지 않았지요.
# - 학습률 스케줄(learning-rate schedule)은 *옵티마이저 걸음* 수를 셉니다. 여기서는 한 걸음에 10분의 1씩 올라가는데, 이것이 워밍업(warm-up)입니다. 걸음마다가 아니라
#   에폭마다 부르면 학습이 다 끝나도록 워밍업이 끝나지 않아요.

# %% [markdown] tags=["en"]
# ### Exercise 4.1 · One epoch of training
# ●●○○○ · 15 minutes
#
# Write `train_epoch(model, loader, optimizer, schedule, max_norm=1.0)`. It goes through the loader once, with the seven lines
# for each batch (a dict of `input_ids`, `attention_mask`, `labels`), the gradient clipped to `max_norm`, and returns the mean
# loss over all *examples*, a plain number. The last batch may be shorter than the others.
# Stuck? `kl.hint("4.1")`, up to three times.

# %% [markdown] tags=["ko"]
# ### 연습 4.1 · 한 에폭 학습하기
# ●●○○○ · 15분
#
# `train_epoch(model, loader, optimizer, schedule, max_norm=1.0)`을 작성하세요. 로더를 한 번 돌면서 배치(`input_ids`,
# `attention_mask`, `labels`가 든 dict)마다 위의 일곱 줄을 실행하고, 그래디언트는 `max_norm`으로 클리핑합니다. *예시* 전체에 대한 평균 손실을 보통
# 숫자로 돌려주세요. 마지막 배치는 다른 배치보다 짧을 수 있습니다.
# 막히면 `kl.hint("4.1")`을 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def train_epoch(model, loader, optimizer, schedule, max_norm=1.0):
    ...

# %% tags=["solution"]
def train_epoch(model, loader, optimizer, schedule, max_norm=1.0):
    model.train()                                        # an evaluation may have switched dropout off
    total = count = 0
    for batch in loader:
        optimizer.zero_grad()
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = torch.nn.functional.cross_entropy(logits, batch["labels"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        schedule.step()
        total += loss.item() * len(batch["labels"])      # .item(): a number, without the graph behind it
        count += len(batch["labels"])
    return total / count                                 # the mean of the batches' means would favour a short last batch

# %% tags=["check"]
kl.check("4.1", train_epoch)

# %% [markdown] tags=["en"]
# The lesson goes on with its own version, so that everything below runs whether or not yours is done. It adds two things: the
# batch travels to the model's device, and the forward pass may run in bfloat16 (a later lesson is about that; without the line
# everything works, only more slowly). AdamW decays matrices and leaves biases and the gains of LayerNorm alone; the rate
# rises over the first tenth of all steps and then falls in a line to zero.

# %% [markdown] tags=["ko"]
# 여러분의 답과 상관없이 아래가 모두 실행되도록, 강의는 자기 코드로 이어 갑니다. 두 가지만 더 들어 있어요. 배치를 모델이 있는 장치로 옮기고, 순전파를
# bfloat16으로 계산할 수 있게 합니다(뒤의 강의에서 다룹니다. 그 줄이 없어도 느려질 뿐 똑같이 돌아가요). AdamW의 가중치 감쇠(weight decay)는 행렬에만
# 걸고 편향과 LayerNorm의 이득에는 걸지 않습니다. 학습률은 전체 걸음의 첫 10분의 1 동안 올라갔다가, 그다음부터 0까지 일직선으로 내려갑니다.

# %%
def make_optimizer(model):
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LR, fused=True)

def make_schedule(optimizer, total):
    warm = round(0.1 * total)
    def factor(step):
        return (step + 1) / warm if step < warm else 1 - (step - warm) / (total - warm)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

def train_one_epoch(model, loader, optimizer, schedule, precision="fp32"):
    device = next(model.parameters()).device
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    total = count = 0
    model.train()
    for batch in loader:
        batch = {name: value.to(device) for name, value in batch.items()}
        labels = batch.pop("labels")
        optimizer.zero_grad()
        with autocast(precision, device):
            logits = model(**batch).logits
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        total, count = total + loss.item() * len(labels), count + len(labels)
    return total / count

# %% [markdown] tags=["en"]
# ## Evaluation: everything off, everything counted
#
# Three rules. Dropout off, on the *whole* classifier: `model.eval()`. No graph: `torch.no_grad()`. And every example counts
# the same, once: losses are added up and divided at the end, predictions are collected and scored at the end, because F1 is
# not a mean over examples.
#
# The scores come from Hugging Face's `evaluate`. Its `evaluate.load("f1")` downloads a script; the metrics in `kl.metrics` are
# subclasses of the same class that need no network, and `evaluate.combine` takes them. All average over the classes
# with equal weight (macro, 매크로 평균).

# %% [markdown] tags=["ko"]
# ## 평가: 모두 끄고, 모두 센다
#
# 규칙은 세 가지입니다. 드롭아웃은 분류기 *전체*에서 끕니다: `model.eval()`. 그래프는 만들지 않습니다: `torch.no_grad()`. 그리고 모든 예시를 똑같이 한 번씩
# 셉니다. 손실은 더해 두었다가 끝에서 나누고, 예측은 모아 두었다가 끝에서 한 번에 채점해요. F1은 예시별 값의 평균이 아니기 때문입니다.
#
# 점수는 허깅페이스의 `evaluate`로 계산합니다. `evaluate.load("f1")`은 스크립트를 내려받지만, `kl.metrics`의 지표는 같은 클래스를 상속하면서도 네트워크가
# 필요 없고 `evaluate.combine`에 그대로 들어갑니다. 모두 클래스마다 같은 무게로 평균을 냅니다(매크로 평균, macro).

# %%
import evaluate

scores = evaluate.combine([kl.metrics.Accuracy(), kl.metrics.Precision(), kl.metrics.Recall(), kl.metrics.F1()])
scores.compute(predictions=[2, 2, 2, 2, 0, 0], references=[2, 2, 2, 1, 0, 2])

# %% [markdown] tags=["en"]
# Four of six are right, and yet macro-F1 is below a half: class 1 occurred and was never predicted, so its F1 is 0. Accuracy
# forgives that, the more readily the rarer the class.

# %% [markdown] tags=["ko"]
# 여섯 개 가운데 네 개를 맞혔는데도 매크로 F1은 절반이 안 됩니다. 클래스 1이 있는데 한 번도 예측하지 않아서 그 클래스의 F1이 0이거든요. 정확도(accuracy)는 이런
# 일을 눈감아 줍니다. 드문 클래스일수록 더요.

# %% [markdown] tags=["en"]
# ### Exercise 4.2 · An evaluation
# ●●●○○ · 15 minutes
#
# Write `evaluate_model(model, loader)`: a dict with `loss` (the mean over all examples), `precision`, `recall` and `f1`
# (macro). `kl.metrics.combine([kl.metrics.Precision, …])` is `evaluate.combine` that also takes the classes themselves.
#
# A published loop collects `torch.max(logits, dim=1)`. Print what that is before you copy it.
# Stuck? `kl.hint("4.2")`, up to three times.

# %% [markdown] tags=["ko"]
# ### 연습 4.2 · 평가하기
# ●●●○○ · 15분
#
# `evaluate_model(model, loader)`을 작성하세요. 전체 예시의 평균 `loss`와 매크로 `precision`, `recall`, `f1`이 든 dict를 돌려줍니다.
# `kl.metrics.combine([kl.metrics.Precision, …])`은 클래스를 그대로 넣어도 되는 `evaluate.combine`이에요.
#
# 공개된 어느 루프는 `torch.max(logits, dim=1)`을 예측으로 모읍니다. 따라 쓰기 전에 그것이 무엇인지 출력해 보세요.
# 막히면 `kl.hint("4.2")`를 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def evaluate_model(model, loader):
    ...

# %% tags=["solution"]
def evaluate_model(model, loader):
    scores = kl.metrics.combine([kl.metrics.Precision, kl.metrics.Recall, kl.metrics.F1])
    total, predictions, references = 0.0, [], []
    model.eval()                                         # the classifier, not only its encoder
    with torch.no_grad():
        for batch in loader:
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            total += torch.nn.functional.cross_entropy(logits, batch["labels"], reduction="sum").item()
            predictions += logits.argmax(dim=1).tolist() # torch.max(logits, dim=1) is a pair: (values, places)
            references += batch["labels"].tolist()
    return {"loss": total / len(references), **scores.compute(predictions=predictions, references=references)}

# %% tags=["check"]
kl.check("4.2", evaluate_model)

# %% [markdown] tags=["en"]
# The lesson's own version comes in two halves, since we shall want the logits (로짓) themselves: one collects them, the other
# scores them. Both compute in float32, whatever the training does, so that a score does not depend on the hardware's shortcuts.

# %% [markdown] tags=["ko"]
# 강의의 코드는 둘로 나뉩니다. 로짓(logits) 자체도 나중에 쓸 것이라, 하나는 로짓을 모으고 하나는 채점합니다. 학습을 어떤 정밀도로 하든 둘 다 float32로 계산해요. 그래야 점수가 하드웨어에 따라 달라지지 않습니다.

# %%
@torch.no_grad()
def collect(model, loader):
    device = next(model.parameters()).device
    logits, labels = [], []
    model.eval()
    for batch in loader:
        logits.append(model(batch["input_ids"].to(device), batch["attention_mask"].to(device)).logits.cpu())
        labels.append(batch["labels"])
    return torch.cat(logits), torch.cat(labels)

def score(logits, labels):
    found = scores.compute(predictions=logits.argmax(dim=1).tolist(), references=labels.tolist())
    return {"validation_loss": F.cross_entropy(logits, labels).item(), **found}

# %% [markdown] tags=["en"]
# ## Train
#
# Each epoch (에폭) has its own order of batches and its own dropout, both from the seed, so that the run can be repeated. After
# each epoch three things are kept: a row of the history, the weights, and the logits on the held-out reviews. Those of the test
# split stay under lock and key: nothing is decided by them, and they are opened only when the question is how far the
# validation score can be trusted.

# %% [markdown] tags=["ko"]
# ## 학습
#
# 에폭(epoch)마다 배치의 순서와 드롭아웃이 달라지지만, 모두 시드에서 나오므로 똑같이 되풀이할 수 있습니다. 에폭이 끝날 때마다 세 가지를 남깁니다. 기록 한 줄, 가중치,
# 그리고 따로 떼어 둔 리뷰에 대한 로짓. 시험용 리뷰의 로짓은 봉해 둡니다. 그것으로는 아무것도 결정하지 않고, 검증 점수를 얼마나 믿을 수 있는지 물을
# 때에만 열어 봅니다.

# %%
def train_by_hand(model, loaders, epochs, precision, after_epoch):
    optimizer = make_optimizer(model)
    schedule = make_schedule(optimizer, total=epochs * len(loaders.train))
    for epoch in range(epochs):
        loaders.train.batch_sampler.set_epoch(epoch)                        # a new order of the batches
        torch.manual_seed(int(np.random.SeedSequence((SEED, epoch, 0)).generate_state(1)[0]))  # dropout's seed
        train_loss = train_one_epoch(model, loaders.train, optimizer, schedule, precision)
        after_epoch(epoch + 1, train_loss)

history, weights, held_out = [], [], {"validation": [], "test": []}

def after_epoch(epoch, train_loss):
    for split in held_out:
        logits, labels = collect(model, loaders[split])
        held_out[split].append(logits)
        if split == "validation":
            history.append({"epoch": epoch, "train_loss": train_loss, **score(logits, labels)})
    weights.append(copy.deepcopy(model.state_dict()))
    print("epoch {epoch}: training loss {train_loss:.3f}, validation loss {validation_loss:.3f}, macro-F1 {f1:.3f}".format(**history[-1]))

train_by_hand(model, loaders, EPOCHS, PRECISION, after_epoch)

# %%
history = pd.DataFrame(history)
labels = {split: torch.cat([batch["labels"] for batch in loaders[split]]).numpy() for split in held_out}
kl.plots.history(history)

# %% [markdown] tags=["en"]
# ## Read the curves
#
# The training loss falls and falls. The validation loss falls, turns, and rises: from there on the model learns these 3,519
# reviews and no longer the task. That is over-fitting (과적합), and the textbook says: stop at the turn.
#
# But look at the right. While the loss rises, macro-F1 rises too. How can a model get worse and better at once?

# %% [markdown] tags=["ko"]
# ## 곡선 읽기
#
# 학습 손실은 계속 내려갑니다. 검증 손실은 내려가다가 돌아서서 올라가요. 거기서부터 모델은 과제가 아니라 이 리뷰 3,519건을 외웁니다. 이것이
# 과적합(over-fitting)이고, 교과서는 돌아서는 지점에서 멈추라고 합니다.
#
# 그런데 오른쪽 그림을 보세요. 손실이 올라가는데 매크로 F1도 함께 올라갑니다. 어떻게 더 나빠지면서 동시에 더 좋아질 수 있을까요?

# %%
rows = []
for epoch, logits in enumerate(held_out["validation"], 1):
    chance, chosen = logits.softmax(dim=1).max(dim=1)
    right = (chosen == torch.as_tensor(labels["validation"])).numpy()
    losses = F.cross_entropy(logits, torch.as_tensor(labels["validation"]), reduction="none").numpy()
    rows.append({"epoch": epoch, "right": right.mean(), "sure of itself when right": chance[right].mean().item(),
                 "sure of itself when wrong": chance[~right].mean().item(), "loss when right": losses[right].mean(),
                 "loss when wrong": losses[~right].mean()})
pd.DataFrame(rows).style.hide(axis="index").format({"right": "{:.1%}", "sure of itself when right": "{:.2f}", "sure of itself when wrong": "{:.2f}", "loss when right": "{:.2f}", "loss when wrong": "{:.2f}"})

# %% [markdown] tags=["en"]
# Because the two measure different things. F1 asks which class has the highest probability, the loss asks how high. With every
# epoch the model grows surer of itself, also where it is wrong, and a wrong answer given with 95 % costs −ln 0.05 ≈ 3 or
# more. Fewer answers are wrong than at the turn, but a wrong one costs three times as much. Whether that matters depends on what you do with the
# probabilities: if you only take the highest, it does not.

# %% [markdown] tags=["ko"]
# 둘이 재는 것이 다르기 때문입니다. F1은 어느 클래스의 확률이 가장 높은지만 묻고, 손실은 그 확률이 얼마나 높은지까지 묻습니다. 에폭이 지날수록 모델은 점점 더
# 자신만만해지는데, 틀릴 때도 그렇습니다. 95 % 확신하고 틀리면 벌점이 −ln 0.05 ≈ 3이 넘어요. 틀리는 개수는 돌아서던 때보다 오히려 줄었는데, 하나하나가 세 배나 비싸진 겁니다. 이것이
# 문제인지는 확률을 어디에 쓰느냐에 달렸습니다. 가장 높은 것만 고른다면 문제가 되지 않아요.

# %% [markdown] tags=["en"]
# ## A published history beside yours
#
# A published KoBERT walk-through fine-tuned a model of 92 million parameters on 3,526 device reviews for 25 epochs, and
# printed every epoch. Its reviews are others than ours, so do not compare the heights; compare the shapes.

# %% [markdown] tags=["ko"]
# ## 공개된 기록과 나란히
#
# KoBERT를 다룬 어느 공개 글은 파라미터 9,200만 개짜리 모델을 기기 리뷰 3,526건으로 25에폭 동안 미세 조정하고, 에폭마다 결과를 적어 두었습니다. 우리와는 다른
# 리뷰이니 높이는 견주지 말고, 모양을 견주어 보세요.

# %%
published = kl.measure.recorded("published_004")
kl.plots.history({"yours": history}, published=published)

# %% [markdown] tags=["en"]
# The same turn, at its second epoch; then the loss more than doubles, and macro-F1 wanders up and down between 0.69 and 0.74
# (its learning rate never falls, which may be why it never settles). The walk-through keeps the epoch with the highest F1,
# the tenth, and reports its 0.738.
#
# A log knows more than the text around it, by the way. The text says batches of 16; the log counts 111 steps an epoch, and
# 3,526 reviews in 111 batches are 32 to a batch.
#
# ### Predict before you run
# Suppose that all 25 epochs were equally good, and differed by chance alone. How far above their mean would the best of them
# stand, in standard deviations (표준편차)?

# %% [markdown] tags=["ko"]
# 똑같이 돌아섭니다. 두 번째 에폭에서요. 그 뒤로 손실은 두 배가 넘게 오르고, 매크로 F1은 0.69와 0.74 사이를 오르내립니다(학습률이 끝까지 내려가지 않는 탓에 자리를 잡지
# 못하는 것일 수도 있습니다). 그 글은 F1이 가장 높은 열 번째 에폭을 골라 0.738이라고 보고합니다.
#
# 그런데 로그는 본문보다 많은 것을 압니다. 본문은 배치 크기가 16이라고 하지만 로그에는 한 에폭이 111걸음이라고 찍혀 있어요. 리뷰 3,526건을 111번에 나누면 한 번에
# 32건입니다.
#
# ### 실행하기 전에 예상해 보세요
# 25개 에폭의 실력이 사실 모두 똑같고, 차이는 우연일 뿐이라고 해 봅시다. 그중 가장 높은 것은 평균보다 표준편차(standard deviation)의 몇 배나 위에 있을까요?

# %%
guess = kl.predict("4.b", {"half of one": 0.5, "one": 1.0, "two": 2.0, "four": 4.0})

# %%
f1 = published["f1"]
luck = np.random.default_rng(0).normal(f1.mean(), f1.std(), size=(20_000, len(f1))).max(axis=1)  # the best of 25, 20,000 times
kl.reveal(guess, (luck.mean() - f1.mean()) / f1.std(), text=f"mean of the 25: {f1.mean():.3f} ± {f1.std():.3f}; best by luck alone: {luck.mean():.3f}; published best: {f1.max():.3f}")

# %% [markdown] tags=["en"]
# Twenty-five throws of the same dice, and the best would have been expected at 0.740. The published best is 0.738. Nothing in
# that history says that its tenth epoch was any better than its neighbours: who picks the largest of many noisy numbers
# mostly picks noise. And the number so picked is too high as an estimate, *because* it was picked.

# %% [markdown] tags=["ko"]
# 똑같은 주사위를 스물다섯 번 던져도 가장 높은 값은 0.740쯤 나옵니다. 공개된 최고값은 0.738이에요. 그 기록 어디에도 열 번째 에폭이 이웃 에폭보다 정말로 나았다는
# 증거는 없습니다. 흔들리는 숫자 여럿 가운데 가장 큰 것을 고르면, 대개는 흔들림을 고르게 됩니다. 그렇게 고른 숫자는 *골랐기 때문에* 실제보다 높습니다.

# %% [markdown] tags=["en"]
# ## Choose, then report: not on the same reviews
#
# So one set of examples chooses the epoch, and another, which had no part in that, says how good it is. The first is called
# validation (검증), the second test (시험).
#
# ### Exercise 4.3 · An honest choice of the epoch
# ●●○○○ · 10 minutes
#
# Write `honest(predictions, references, choosing)`. `predictions` is an array (epochs, examples) of class numbers, `references`
# (examples,) the true ones, `choosing` (examples,) a mask: True where an example chooses, False where it reports. Return a
# pair: the epoch with the highest macro-F1 on those that choose, counted from 1, and its macro-F1 on those that report.
# `kl.metrics.macro_f1(predictions, references)` is there.
# Stuck? `kl.hint("4.3")`, up to three times.

# %% [markdown] tags=["ko"]
# ## 고르고 나서 보고하되, 같은 리뷰로 하지 않는다
#
# 그래서 에폭을 고르는 예시와, 고르는 일에 끼지 않고 얼마나 좋은지 말해 주는 예시를 나눕니다. 앞의 것을 검증(validation), 뒤의 것을 시험(test)이라고 해요.
#
# ### 연습 4.3 · 정직하게 에폭 고르기
# ●●○○○ · 10분
#
# `honest(predictions, references, choosing)`을 작성하세요. `predictions`는 클래스 번호가 든 (에폭, 예시) 배열, `references`는 정답 (예시,), `choosing`은
# 마스크 (예시,)입니다. True인 예시는 고르고, False인 예시는 보고합니다. 고르는 예시에서 매크로 F1이 가장 높은 에폭(1부터 셉니다)과, 그 에폭이 보고하는 예시에서 얻는 매크로
# F1을 짝으로 돌려주세요. `kl.metrics.macro_f1(predictions, references)`를 쓰면 됩니다.
# 막히면 `kl.hint("4.3")`을 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def honest(predictions, references, choosing):
    ...

# %% tags=["solution"]
def honest(predictions, references, choosing):
    scores = [kl.metrics.macro_f1(row[choosing], references[choosing]) for row in predictions]
    best = int(np.argmax(scores))
    return best + 1, kl.metrics.macro_f1(predictions[best][~choosing], references[~choosing])

# %% tags=["check"]
kl.check("4.3", honest)

# %% [markdown] tags=["en"]
# How much does it matter? Now the test logits come out of their safe. Validation and test together are 879 reviews. We
# shuffle them, let one half choose among the epochs, and note how much better the chosen epoch looks on the half that chose it
# than on the other; then again with other halves, a thousand times. A single difference is mostly the luck of the halves,
# whose mean would be zero. What remains on average is the reward for choosing: the optimism (낙관 편향).

# %% [markdown] tags=["ko"]
# 그게 얼마나 중요할까요? 이제 봉해 둔 시험용 로짓을 꺼냅니다. 검증용과 시험용을 합치면 879건이에요. 이것을 섞어 절반이 에폭을 고르게 하고, 고른 절반에서의 점수가 나머지
# 절반에서의 점수보다 얼마나 높은지 적습니다. 이렇게 절반을 바꿔 가며 천 번 되풀이합니다. 차이 하나하나는 대부분 어떻게 나뉘었느냐는 운이고, 그런 운의 평균은 0이에요. 평균을
# 내고도 남는 것이 골랐기 때문에 얹힌 점수, 곧 낙관 편향(optimism)입니다.

# %%
predictions = np.stack([np.concatenate([v.argmax(dim=1).numpy(), t.argmax(dim=1).numpy()]) for v, t in zip(held_out["validation"], held_out["test"])])
references = np.concatenate([labels["validation"], labels["test"]])
random, gaps = np.random.default_rng(SEED), []
for _ in range(kl.pick(full=1000, quick=100)):
    half = random.permutation(len(references)) < len(references) // 2
    chosen_on = [kl.metrics.macro_f1(row[half], references[half]) for row in predictions]
    best = int(np.argmax(chosen_on))
    gaps.append(chosen_on[best] - kl.metrics.macro_f1(predictions[best][~half], references[~half]))
gaps = 100 * np.array(gaps)

# %%
figure, axes = kl.plots.new()
axes.hist(gaps, bins=40, color=kl.plots.SKY)
axes.axvline(0, color=kl.plots.GREY, linestyle="--")
axes.axvline(gaps.mean(), color=kl.plots.RED)
axes.set(title=f"mean {gaps.mean():+.2f} points, spread {gaps.std():.1f}", xlabel="macro-F1 on the half that chose the epoch, minus on the other (points)", ylabel="random halves")
figure

# %% [markdown] tags=["en"]
# The width is the luck of the halves. It averages out. The red line does not: it is what the choice adds, about a point with these six
# epochs to choose from, and always to the same side.
#
# One run cannot say much, and six epochs are few to choose from. `kolab bench epochs` trains on three different splits of the
# reviews, for 5 and for 15 epochs each, and measures the same. It takes half an hour, so here is what was recorded.

# %% [markdown] tags=["ko"]
# 그림의 폭은 어떻게 나뉘었느냐는 운입니다. 평균을 내면 사라져요. 빨간 선은 사라지지 않습니다. 고르는 일이 얹어 준 점수니까요. 여기 여섯 에폭 가운데 고르면 1점쯤이고, 언제나
# 같은 쪽으로 쏠립니다.
#
# 학습 한 번으로는 많은 것을 말할 수 없고, 여섯 에폭은 고를 것이 별로 없습니다. `kolab bench epochs`는 리뷰를 세 가지로 다르게 나누어 5에폭과 15에폭씩 학습하고 똑같이 잽니다.
# 30분쯤 걸리므로 여기서는 기록해 둔 결과를 봅니다.

# %%
study = kl.measure.recorded("epochs")
print(f"measured on {study.attrs['machine']['cpu']}, {study.attrs['date']}; {study['split'].nunique()} splits")
long = study[study["planned"] == 15]
by_epoch = long.groupby("epoch")[["f1", "test_f1", "validation_loss", "test_loss", "optimism"]].agg(["mean", "std"])

figure, (left, right) = kl.plots.new(2)
for name, colour, words in (("f1", kl.plots.BLUE, "validation"), ("test_f1", kl.plots.ORANGE, "test")):
    for _, run in long.groupby("split"):
        left.plot(run["epoch"], run[name], color=colour, alpha=0.25, linewidth=1)
    left.plot(by_epoch.index, by_epoch[name]["mean"], color=colour, label=words)
left.set(title="15 epochs, three splits: thin; their mean: thick", xlabel="epoch", ylabel="macro-F1")
left.legend()
right.plot(by_epoch.index, 100 * by_epoch["optimism"]["mean"], color=kl.plots.RED, marker=".")
right.axhline(0, color=kl.plots.GREY, linestyle="--")
right.set(title="Optimism of the best of the epochs so far", xlabel="epochs to choose from", ylabel="points of macro-F1")
figure

# %% [markdown] tags=["en"]
# The best of five epochs looks more than half a point better than it is, the best of fifteen more than a whole one. Towards the end the curve stops rising:
# the learning rate is nearly zero by then, the epochs resemble one another, and choosing among copies is no choice. On the left, look at the thin
# lines before you believe the thick ones: two splits of the same reviews lie further apart than the fifth epoch and the fifteenth.
#
# ## Lowest loss or highest F1?
#
# The walk-through also says: keep the epoch with the highest F1, not the one with the lowest loss, since F1 is what
# you are after. With three splits that can be tested. Each split's validation reviews choose an epoch by either rule; its test
# reviews, which chose nothing, report. Beside it stand the last epoch, which nobody had to choose, and 5 epochs against 15:
# another published claim is that 15 instead of 5 bring 5 to 8 points.

# %% [markdown] tags=["ko"]
# 다섯 에폭 가운데 가장 좋은 것은 실제보다 0.5점 넘게, 열다섯 가운데 가장 좋은 것은 1점 넘게 좋아 보입니다. 끝으로 가면 곡선이 더 오르지 않아요. 그때는 학습률이 거의 0이라 에폭끼리
# 서로 닮았고, 닮은 것 가운데 고르는 일은 고르는 것이 아니거든요. 왼쪽에서는 굵은 선을 믿기 전에 가는 선을 보세요. 같은 리뷰를 두 가지로 나눈 차이가 다섯 번째 에폭과 열다섯 번째
# 에폭의 차이보다 큽니다.
#
# ## 가장 낮은 손실인가, 가장 높은 F1인가
#
# 그 글은 또 이렇게 말합니다. 우리가 바라는 것은 F1이니, 손실이 가장 낮은 에폭이 아니라 F1이 가장 높은 에폭을 남기라고. 나눈 것이 세 가지이니 시험해 볼 수 있습니다. 저마다
# 검증용 리뷰가 두 가지 규칙으로 에폭을 고르고, 고르는 데 끼지 않은 시험용 리뷰가 보고합니다. 아무도 고를 필요가 없는 마지막 에폭도 나란히 두고, 5에폭과 15에폭도 견줍니다.
# 5에폭 대신 15에폭을 돌리면 5~8점이 오른다는 또 다른 공개된 주장이 있거든요.

# %%
def kept(run):
    rules = {"lowest validation loss": run["validation_loss"].idxmin(), "highest validation F1": run["f1"].idxmax(), "last epoch": run["epoch"].idxmax()}
    return pd.Series({(rule, column): run.loc[row, name] for rule, row in rules.items() for column, name in (("epoch", "epoch"), ("test F1", "test_f1"), ("test loss", "test_loss"))})

chosen = study.groupby(["planned", "split"])[["epoch", "validation_loss", "f1", "test_f1", "test_loss"]].apply(kept)
summary = chosen.groupby("planned").agg(["mean", "std"]).stack(level=0, future_stack=True)
summary.style.format("{:.3f}", na_rep="")

# %%
pairs = {"highest F1 − lowest loss (15 epochs)": chosen.loc[15][("highest validation F1", "test F1")] - chosen.loc[15][("lowest validation loss", "test F1")],
         "highest F1 − last epoch (15 epochs)": chosen.loc[15][("highest validation F1", "test F1")] - chosen.loc[15][("last epoch", "test F1")],
         "15 epochs − 5 epochs (last)": chosen.loc[15][("last epoch", "test F1")] - chosen.loc[5][("last epoch", "test F1")]}
differences = pd.DataFrame({name: {"mean": 100 * d.mean(), "smallest": 100 * d.min(), "largest": 100 * d.max(), "splits in favour": f"{(d > 0).sum()} of {len(d)}"} for name, d in pairs.items()}).T
differences.style.format({c: "{:+.1f} points" for c in ("mean", "smallest", "largest")})

# %% [markdown] tags=["en"]
# Epoch by F1, not by loss: 1.4 points better on average, in two splits of three, and worse in the third. So the walk-through may well be right, and
# three splits cannot prove it. The reason is not hard to see: the lowest loss comes at the second to fourth epoch, long before the learning rate
# has come down, when the model has not yet learned all it will. But then nobody needs to choose: the *last* epoch is as good as the
# one with the highest F1. Where the rate falls to zero, the schedule has chosen already.
#
# In one thing the lowest loss wins by far: in loss. Its probabilities cost half a unit on the test reviews, those of the later epochs more than
# one. If you pass the probabilities on, keep that epoch, or mend the later one's probabilities, which a later lesson does.
#
# And 15 epochs instead of 5? From 0.2 to 1.2 points *worse*, in every split, for three times the time. The claim was made of another model and other
# reviews, where it may have been true. It is not a law, and ten minutes with your own data tell you more than it does.

# %% [markdown] tags=["ko"]
# 손실이 아니라 F1으로 고르면 평균 1.4점 높습니다. 셋 가운데 둘에서 낫고 하나에서는 못해요. 그러니 그 글이 맞을 수도 있지만, 세 번 나누어 본 것으로는 증명되지 않습니다. 까닭은
# 짐작할 만합니다. 손실은 두 번째에서 네 번째 에폭에 가장 낮은데, 학습률이 아직 한참 높을 때라 모델이 배울 것을 다 배우지 못했어요. 그런데 애초에 고를 필요가 없습니다. *마지막*
# 에폭이 F1이 가장 높은 에폭만큼 좋거든요. 학습률이 0까지 내려간다면, 고르는 일은 스케줄이 이미 해 준 셈입니다.
#
# 손실이 가장 낮은 에폭이 크게 이기는 것도 하나 있습니다. 바로 손실이에요. 시험용 리뷰에서 그 확률의 벌점은 0.5쯤인데, 뒤 에폭들은 1이 넘습니다. 확률을 그대로 써야 한다면 그
# 에폭을 남기거나, 뒤 에폭의 확률을 손봐서 쓰세요. 손보는 법은 뒤의 강의에 나옵니다.
#
# 그럼 5에폭 대신 15에폭은요? 세 번 모두 0.2점에서 1.2점까지 *낮습니다*. 시간은 세 배가 들었고요. 그 주장은 다른 모델과 다른 리뷰로 한 것이고, 거기서는 맞았을지도 모릅니다.
# 하지만 법칙은 아니에요. 여러분의 데이터로 10분 돌려 보는 편이 더 많은 것을 알려 줍니다.

# %% [markdown] tags=["en"]
# ## A score and its interval
#
# We keep the epoch that our validation reviews like best, and score it on the test reviews, once.

# %% [markdown] tags=["ko"]
# ## 점수와 구간
#
# 이제 검증용 리뷰가 고른 에폭을 남기고, 시험용 리뷰로 딱 한 번 채점합니다.

# %%
best = int(history["f1"].idxmax())
model.load_state_dict(weights[best])
found = kl.train.predict(model, loaders.test)            # in the order of the data set, whatever the order of the batches
print(f"epoch {best + 1}: validation {history['f1'][best]:.3f}, test {kl.metrics.macro_f1(found.labels, found.references):.3f}")

# %% [markdown] tags=["en"]
# Another 439 reviews would have given another number. Which? We have no others, but we can act as if: draw 439 of ours *with
# replacement* (복원 추출), so that some come twice and some not at all, score them, and do so a thousand times. The middle 95 % of the
# scores are the bootstrap interval (부트스트랩 구간).
#
# ### Exercise 4.4 · A bootstrap interval
# ●●●○○ · 15 minutes
#
# Write `bootstrap(predictions, references, samples=1000, level=0.95, seed=0)`: two arrays (examples,) of class numbers in, the
# low and the high end of the middle `level` of the macro-F1 scores out.
# Stuck? `kl.hint("4.4")`, up to three times.

# %% [markdown] tags=["ko"]
# 다른 리뷰 439건이었다면 다른 숫자가 나왔을 겁니다. 어떤 숫자일까요? 다른 리뷰는 없지만, 있는 셈 칠 수는 있어요. 가진 439건에서 *복원 추출*(sampling with replacement)로 439건을 뽑습니다.
# 어떤 리뷰는 두 번 나오고 어떤 리뷰는 빠지겠죠. 그것을 채점하고, 이 일을 천 번 합니다. 점수 가운데 95 %가 부트스트랩 구간(bootstrap interval)입니다.
#
# ### 연습 4.4 · 부트스트랩 구간
# ●●●○○ · 15분
#
# `bootstrap(predictions, references, samples=1000, level=0.95, seed=0)`을 작성하세요. 클래스 번호 배열 두 개 (예시,)를 받아, 매크로 F1 점수들의 가운데 `level`만큼을
# 감싸는 아래 끝과 위 끝을 돌려줍니다.
# 막히면 `kl.hint("4.4")`를 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def bootstrap(predictions, references, samples=1000, level=0.95, seed=0):
    ...

# %% tags=["solution"]
def bootstrap(predictions, references, samples=1000, level=0.95, seed=0):
    random, count = np.random.default_rng(seed), len(references)
    scores = []
    for _ in range(samples):
        rows = random.integers(count, size=count)        # the same rows of both: a prediction stays with its review
        scores.append(kl.metrics.macro_f1(predictions[rows], references[rows]))
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return low, high

# %% tags=["check"]
kl.check("4.4", bootstrap)

# %%
truth = found.references.numpy()
low, high = kl.metrics.bootstrap_interval(found.labels, truth)
print(f"test macro-F1 {kl.metrics.macro_f1(found.labels, truth):.3f}, 95 % interval {low:.3f} to {high:.3f}")

# %% [markdown] tags=["en"]
# Three or four points to either side, from 439 reviews. Whoever reports 0.84 against 0.82 on a test set of this size has reported
# nothing yet.
#
# The interval knows of one kind of chance only, the choice of the test reviews. Another seed gives other
# batches, another dropout, another head: the table above shows how much the splits and seeds differ among themselves.

# %% [markdown] tags=["ko"]
# 리뷰 439건으로는 위아래로 3~4점입니다. 이만한 시험 세트에서 0.84와 0.82를 견주었다면, 아직 아무것도 말하지 않은 것이나 같습니다.
#
# 이 구간은 한 가지 우연, 곧 어떤 시험용 리뷰가 뽑혔느냐만 압니다. 시드가 다르면 배치도 드롭아웃도 헤드도 달라져요. 나누는 방법과 시드에 따라 얼마나 달라지는지는 위의 표에 있습니다.

# %% [markdown] tags=["en"]
# ## Where it errs
#
# First the confusion matrix (혼동 행렬): a row for each true class, a column for each predicted one. Beside it, macro-F1 of plain
# reviews and of hard ones, which were written to be witty, sarcastic or indirect.

# %% [markdown] tags=["ko"]
# ## 어디서 틀리는가
#
# 먼저 혼동 행렬(confusion matrix)입니다. 행은 실제 클래스, 열은 예측한 클래스예요. 그 옆에는 쉬운 리뷰(plain)와, 재치 있게, 비꼬아서, 에둘러 쓴 어려운 리뷰(hard)의 매크로 F1을
# 따로 그립니다.

# %%
style = np.array(reviews["test"]["style"])
kinds = {"all": style != "", "plain": style == "plain", "hard": style == "hard"}
apart = {kind: kl.metrics.macro_f1(found.labels[rows], truth[rows]) for kind, rows in kinds.items()}
ends = {kind: kl.metrics.bootstrap_interval(found.labels[rows], truth[rows]) for kind, rows in kinds.items()}

figure, (left, right) = kl.plots.new(2, height=3.6)
kl.plots.confusion(found.labels, truth, names, ax=left)
kl.plots.bars(apart, errors=ends, title="Macro-F1 with its 95 % interval", ax=right)
figure

# %% [markdown] tags=["en"]
# Then read the errors, one by one. No score replaces this. Here are those it was surest of, with the probability it gave to
# its wrong answer and to the right one.

# %% [markdown] tags=["ko"]
# 그다음에는 틀린 것을 하나씩 읽습니다. 어떤 점수도 이 일을 대신하지 못해요. 모델이 가장 자신 있게 틀린 리뷰들입니다. 틀린 답과 정답에 각각 준 확률을 함께 적었습니다.

# %%
table = reviews["test"].to_pandas()[["text", "style", "product"]]
probabilities = found.probabilities.numpy()
table["정답"], table["예측"] = [names[i] for i in truth], [names[i] for i in found.labels]
table["예측의 확률"], table["정답의 확률"] = probabilities.max(axis=1), probabilities[np.arange(len(truth)), truth]
wrong = table[table["정답"] != table["예측"]].sort_values("예측의 확률", ascending=False).rename(columns={"text": "리뷰", "style": "종류", "product": "제품"})
print(f"{len(wrong)} of {len(table)} are wrong, {(wrong['종류'] == 'hard').sum()} of them hard")
wrong.head(15).style.hide(axis="index").format({"예측의 확률": "{:.0%}", "정답의 확률": "{:.0%}"}).set_properties(**{"text-align": "left"}).set_properties(subset=["리뷰"], **{"max-width": "32em", "white-space": "normal"})

# %% [markdown] tags=["en"]
# Two thirds of the errors are hard reviews. Among those above some kinds come again and again. Praise that turns at the end: 배터리 말고는 완벽,
# *perfect but for the battery*, and then the writer sold it. The opposite too, a negation that makes praise: *no exaggeration*, 과장이 아니었어요. Long stories
# in which one clause decides. And some over which two people would argue: is 빨강 품절 언제 풀리나 (*when will the red one be in stock again?*) neutral, as its
# label says, or does it like the thing? Not every error is the model's.
#
# And see how sure it was: these probabilities are worth little. That is the high loss of the late epochs, seen from near by.

# %% [markdown] tags=["ko"]
# 오답의 3분의 2가 어려운 리뷰입니다. 위의 목록에는 몇 가지 유형이 되풀이돼요. 칭찬하다가 끝에서 뒤집히는 글: '배터리 말고는 완벽'이라더니 팔았다고 합니다. 거꾸로 부정어가 칭찬을
# 만드는 글: '과장이 아니었어요'. 한 구절이 판가름하는 긴 이야기. 그리고 사람 둘이 읽어도 갈릴 글도 있습니다. '빨강 품절 언제 풀리나'는 라벨대로 중립일까요, 마음에 든다는
# 뜻일까요? 오답이라고 다 모델 탓은 아닙니다.
#
# 얼마나 자신만만했는지도 보세요. 이런 확률은 믿을 것이 못 됩니다. 뒤쪽 에폭의 높은 손실을 가까이에서 보면 이런 모습입니다.

# %% [markdown] tags=["en"]
# ## Save, load, predict
#
# `save_pretrained` writes the configuration, the weights as safetensors, and the tokenizer. Whoever has `kolab` installed can
# load the folder with transformers alone. Does it give the same probabilities?

# %% [markdown] tags=["ko"]
# ## 저장하고, 불러오고, 예측하기
#
# `save_pretrained`는 설정, 가중치(safetensors), 토크나이저를 한 폴더에 씁니다. `kolab`이 깔려 있으면 누구나 transformers만으로 이 폴더를 불러올 수 있어요. 확률이 똑같이
# 나올까요?

# %%
import transformers

folder = tempfile.mkdtemp()
model.save_pretrained(folder, tokenizer=tokenizer)
print({path: f"{os.path.getsize(os.path.join(folder, path)) / 1e6:.1f} MB" for path in sorted(os.listdir(folder))})

sentences = list(reviews["test"]["text"])[:4]
ours = kl.train.predict(model, sentences, tokenizer=tokenizer).probabilities.numpy()
pipe = transformers.pipeline("text-classification", model=folder, top_k=None, device="cpu")
theirs = np.array([[{row["label"]: row["score"] for row in rows}[name] for name in names] for rows in pipe(sentences)])
print(f"largest difference between the two: {np.abs(ours - theirs).max():.1e}")
pd.DataFrame(theirs, columns=names, index=sentences).style.format("{:.1%}").background_gradient(cmap="Blues", vmin=0, vmax=1)

# %%
again = kl.Classifier.from_pretrained(folder)
kl.train.predict(again, ["배터리는 오래가는데 충전기가 하루 만에 고장났어요"], tokenizer=tokenizer).probabilities

# %% [markdown] tags=["en"]
# ## The same with `kl.fit`
#
# From here on the course trains with `kl.fit`. Here is its heart. Look for your seven lines.

# %% [markdown] tags=["ko"]
# ## `kl.fit`으로 똑같이
#
# 앞으로 이 강의는 `kl.fit`으로 학습합니다. 그 심장부를 보겠습니다. 여러분의 일곱 줄을 찾아보세요.

# %%
code = inspect.getsource(kl.fit)
print(code[code.index("    with Run("):])

# %% [markdown] tags=["en"]
# What is new is for several batches to a step (`window`; lesson 6), several devices, float16, and being stopped half-way. None
# of it should change a single number when it is not used. *Should* is no proof: two equal classifiers, the same batches, the
# same dropout, one trained by hand and one by `fit`, in float32 on the CPU. Then compare every weight, bit for bit.

# %% [markdown] tags=["ko"]
# 새로 보이는 것은 한 걸음에 배치 여러 개(`window`, 6강), 여러 장치, float16, 도중에 멈추기를 위한 것입니다. 쓰지 않을 때는 숫자 하나도 달라지지 않아야 해요. *않아야 한다*는 말은
# 증명이 아니죠. 똑같은 분류기 둘, 같은 배치, 같은 드롭아웃으로 하나는 손으로 쓴 루프로, 하나는 `fit`으로 CPU에서 float32로 학습시킨 다음, 모든 가중치를 비트 하나까지 견줍니다.

# %%
few = {"train": reviews["train"].select(range(kl.pick(full=200, quick=70))), "validation": reviews["validation"].select(range(40))}
small = kl.make_loaders(few, tokenizer, batch_size=32, seed=SEED)

def fresh():
    return kl.Classifier.build(kl.load_encoder("kolab-mini")[0], names, seed=SEED)

by_hand, by_fit, losses = fresh(), fresh(), []
train_by_hand(by_hand, small, 2, "fp32", lambda epoch, train_loss: losses.append(train_loss))
config = kl.TrainConfig(epochs=2, lr=LR, weight_decay=0.01, warmup=0.1, schedule="linear", max_grad_norm=1.0, seed=SEED,
                        precision="fp32", keep_best=False, progress=False, device="cpu")
fitted = kl.fit(by_fit, small, config)

same = [torch.equal(p, q) for p, q in zip(by_hand.parameters(), by_fit.parameters())]
print(f"{sum(same)} of {len(same)} tensors of weights are equal to the last bit")
pd.DataFrame({"by hand: training loss": losses, "kl.fit: training loss": [row["train_loss"] for row in fitted]}, index=[1, 2]).rename_axis("epoch")

# %% [markdown] tags=["en"]
# Every weight, to the last bit. So whatever you have learned of your loop holds for `fit`, and where the two ever differ you know
# that a setting does. It takes three things: the same order of batches (from the loaders' seed and the epoch), the same dropout
# (from the run's seed and the epoch), and the same sums in the same order, which float32 on one CPU gives. On a GPU, parallel
# sums finish in any order, and two runs of one and the same program agree only nearly.

# %% [markdown] tags=["ko"]
# 모든 가중치가 마지막 비트까지 같습니다. 그러니 여러분의 루프에서 배운 것은 `fit`에도 그대로 통하고, 둘이 달라지는 날이 오면 설정 어딘가가 다른 것입니다. 세 가지가 맞아야 해요. 배치의
# 순서(로더의 시드와 에폭에서 나옵니다), 드롭아웃(학습의 시드와 에폭에서 나옵니다), 그리고 같은 순서로 더한 같은 합. CPU 한 대의 float32라면 마지막 것도 지켜집니다. GPU에서는 나란히
# 계산한 합이 끝나는 순서가 매번 달라서, 같은 프로그램을 두 번 돌려도 거의 같을 뿐입니다.

# %% [markdown] tags=["en"]
# ## Take-aways
#
# - Seven lines for each batch: zero, forward, loss, backward, clip, step, schedule. Before the first: is the loss near ln C?
# - Losses are sums over examples, divided once; F1 is computed once, from all predictions.
# - A rising validation loss says that the model is too sure of itself. Whether its answers get worse is another question,
#   with another answer.
# - The best of many epochs looks better than it is. Choose on validation, report on test, once.
# - A score without an interval is half a score.
# - Read the errors.
#
# **Where to go next.** Fine-tuning moved all of the encoder's weights. The next lesson freezes them and trains a few thousand
# beside them: LoRA. `kl.progress()` shows what you have done so far.

# %% [markdown] tags=["ko"]
# ## 정리
#
# - 배치마다 일곱 줄: 초기화, 순전파, 손실, 역전파, 클리핑, 걸음, 스케줄. 시작하기 전에는 손실이 ln C 근처인지 봅니다.
# - 손실은 예시별로 더해 한 번만 나누고, F1은 모든 예측을 모아 한 번만 계산합니다.
# - 검증 손실이 오른다는 것은 모델이 지나치게 자신만만하다는 뜻입니다. 답이 나빠지는지는 다른 질문이고, 답도 다릅니다.
# - 여러 에폭 가운데 가장 좋은 것은 실제보다 좋아 보입니다. 검증으로 고르고, 시험으로 한 번만 보고하세요.
# - 구간이 없는 점수는 반쪽짜리 점수입니다.
# - 틀린 것을 읽으세요.
#
# **다음으로.** 이번에는 인코더의 가중치를 모두 움직였습니다. 다음 강의에서는 그것을 얼려 두고 곁에 작은 가중치를 붙여 학습합니다. LoRA입니다. `kl.progress()`로 지금까지
# 한 것을 볼 수 있어요.
