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
# # 3. A classifier on an encoder
#
# *An encoder gives a vector for each token; you want three numbers for each review. You will build everything that lies
# between, test it on a single batch before it sees the data, and mend two published faults that no error message betrays.*
#
# | you will be able to | time | you need |
# |---|---|---|
# | say what `AutoModelForSequenceClassification` decides for you, and decide it yourself | 80 min | lesson 2 |
# | pool with [CLS], a masked mean and attention, and know when the choice matters | | CPU is enough |
# | read the shapes and the parameters of a model, station by station | | |
# | test training code on one batch, and see what that test cannot see | | |

# %% [markdown] tags=["ko"]
# # 3. 인코더 위에 분류기 얹기
#
# *인코더는 토큰마다 벡터 하나를 줍니다. 우리에게 필요한 것은 리뷰마다 숫자 세 개죠. 그 사이에 놓이는 것을 전부 직접 만들고,
# 데이터를 보여 주기 전에 배치 하나로 시험하고, 오류 메시지가 절대 알려 주지 않는 공개 코드의 잘못 두 가지를 고칩니다.*
#
# | 할 수 있게 되는 것 | 시간 | 준비물 |
# |---|---|---|
# | `AutoModelForSequenceClassification`이 나 대신 정해 버리는 것을 말하고, 직접 정하기 | 80분 | 2강 |
# | [CLS], 마스크 평균, 어텐션으로 풀링하고, 언제 차이가 나는지 알기 | | CPU면 충분 |
# | 모델의 모양(shape)과 파라미터를 단계별로 읽기 | | |
# | 배치 하나로 학습 코드를 시험하고, 그 시험이 못 보는 것까지 알기 | | |

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
from collections import Counter
import numpy as np, pandas as pd, torch
import torch.nn.functional as F
from torch import nn

reviews = kl.load_reviews()
names = reviews["train"].features["label"].names                 # 부정, 중립, 긍정
encoder, tokenizer = kl.load_encoder("kolab-mini")

# %% [markdown] tags=["en"]
# ## What comes out of an encoder
#
# Two reviews, one batch. The encoder (인코더) turns every token into a vector that knows its neighbours: 256 numbers here, 768 in
# KoBERT. B is the number of texts, L the length of the longest, H the width.

# %% [markdown] tags=["ko"]
# ## 인코더에서 나오는 것
#
# 리뷰 두 개, 배치 하나. 인코더(encoder)는 토큰 하나하나를 이웃을 아는 벡터로 바꿉니다. 여기서는 숫자 256개, KoBERT에서는 768개예요.
# B는 글의 수, L은 가장 긴 글의 길이, H는 벡터의 너비입니다.

# %%
texts = ["배터리가 정말 오래 가요 ㅋㅋ", "화면은 예쁜데 산 지 하루 만에 멈춰 버려서 결국 환불했습니다."]
batch = tokenizer(texts, padding=True, return_tensors="pt")
with torch.no_grad():
    hidden = encoder(**batch).last_hidden_state
for name, tensor in {**batch, "last_hidden_state": hidden}.items():
    print(f"{name:18} {tuple(tensor.shape)}")
print("\n1st review:", " ".join(tokenizer.convert_ids_to_tokens(batch["input_ids"][0])))

# %% [markdown] tags=["en"]
# (B, L, H) comes out, and (B, 3) is wanted. Two steps are missing: from L vectors to one, called **pooling** (풀링), and from H
# numbers to three, the **classification head** (분류 헤드). Mind the last line: `[PAD]` tokens get a vector too, as long and as
# lively as all the others.

# %% [markdown] tags=["ko"]
# (B, L, H)가 나왔는데 필요한 것은 (B, 3)입니다. 두 단계가 비어 있어요. 벡터 L개를 하나로 모으는 **풀링**(pooling), 그리고 숫자 H개를 세 개로
# 바꾸는 **분류 헤드**(classification head)입니다. 마지막 줄을 눈여겨보세요. `[PAD]` 토큰에도 벡터가 붙습니다. 다른 토큰과 똑같이 멀쩡한 벡터예요.

# %% [markdown] tags=["en"]
# ## What AutoModelForSequenceClassification hides
#
# One line of transformers fills both gaps. Which pooling, which head? That depends on the family, and the name of the class does not
# say. Here are the parts between the last layer and the logits, for four families (built on torch's `meta` device: shapes without memory).

# %% [markdown] tags=["ko"]
# ## AutoModelForSequenceClassification이 감추는 것
#
# transformers 한 줄이면 두 빈칸이 모두 채워집니다. 어떤 풀링, 어떤 헤드로 채울까요? 모델 계열마다 다르고, 클래스 이름은 알려 주지 않습니다.
# 네 계열에서 마지막 층과 로짓 사이에 놓인 부품을 늘어놓아 봅시다. (torch의 `meta` 장치에서 만들면 메모리 없이 모양만 볼 수 있어요.)

# %%
from transformers import AutoModelForSequenceClassification, BertConfig, BertModel, ElectraConfig, ModernBertConfig, RobertaConfig

for config in (BertConfig, RobertaConfig, ElectraConfig, ModernBertConfig):
    with torch.device("meta"):
        ready_made = AutoModelForSequenceClassification.from_config(config(num_labels=3))
    print(f"\n{type(ready_made).__name__}")
    for name, module in ready_made.named_modules():
        inside = name.startswith(f"{ready_made.base_model_prefix}.") and "pooler" not in name
        if not inside and not list(module.children()):
            print(f"    {name:26} {module}")

# %% [markdown] tags=["en"]
# Four names, four heads: BERT sends [CLS] through a `pooler` with a tanh, ELECTRA through a layer with GELU, RoBERTa has a layer and
# a tanh (in its `forward`, so not even this list shows it), ModernBERT adds a normalisation. None of it is in your code. And some of it is *random*:

# %% [markdown] tags=["ko"]
# 이름은 같은 꼴인데 헤드는 네 가지예요. BERT는 [CLS]를 tanh가 달린 `pooler`에, ELECTRA는 GELU가 달린 층에 통과시키고, RoBERTa에는 층 하나와 tanh가
# 있는데(tanh는 `forward` 안에 있어서 이 목록에도 안 보입니다) ModernBERT는 정규화까지 더합니다. 여러분의 코드에는 어느 것도 적혀 있지 않죠. 게다가 그중 일부는 *무작위*입니다.

# %%
ready_made, report = AutoModelForSequenceClassification.from_pretrained(
    kl.data.data_path("kolab-mini"), num_labels=3, output_loading_info=True)
print("not in the file, so drawn at random:", *sorted(report["missing_keys"]), sep="\n    ")

# %% [markdown] tags=["en"]
# The `classifier` has to be random: nobody trained it yet. But the `pooler` too? BERT's was trained to tell whether two sentences follow
# each other. kolab-mini, like most encoders since, was trained without that task, so here a random layer and a tanh stand between a
# pre-trained encoder and your head, and the only trace is a message that most people have learned to skip.
#
# A head of your own is ten lines, and every decision is in them. That is why the published walk-through this course grew out of
# wrote one, and so do we.

# %% [markdown] tags=["ko"]
# `classifier`가 무작위인 것은 당연해요. 아직 아무도 학습시키지 않았으니까요. 그런데 `pooler`까지요? BERT의 pooler는 두 문장이 이어지는지 맞히는 과제로
# 학습된 것입니다. kolab-mini는 요즘 인코더 대부분처럼 그 과제 없이 학습했어요. 그래서 사전학습된 인코더와 헤드 사이에 무작위 층 하나와 tanh가 끼어들고,
# 흔적이라고는 다들 그냥 넘기는 데 익숙해진 메시지 한 줄뿐입니다.
#
# 직접 쓴 헤드는 열 줄이면 되고, 모든 결정이 그 안에 보입니다. 이 강좌의 바탕이 된 공개 글도 그래서 직접 썼고, 우리도 그렇게 합니다.

# %% [markdown] tags=["en"]
# ## Pooling: from L vectors to one
#
# | pooling | takes | learns | what to watch |
# |---|---|---|---|
# | [CLS] | the first token's vector | nothing | was that vector ever trained to stand for the text? |
# | mean | the mean of the tokens' vectors | nothing | padding must not count |
# | attention | a weighted mean; the weights come from a learned query (질의) | H numbers | padding must get weight 0 |
#
# Why so much fuss about padding? Because the batch decides how much of it a text gets.
#
# ### Predict before you run
# A review of 20 tokens shares its batch with one of 80. Somebody pools with `hidden.mean(dim=1)`, no mask. How far does the short
# review's vector move from where it was alone, relative to its length?

# %% [markdown] tags=["ko"]
# ## 풀링: 벡터 L개를 하나로
#
# | 풀링 | 쓰는 것 | 학습하는 것 | 조심할 것 |
# |---|---|---|---|
# | [CLS] | 첫 토큰의 벡터 | 없음 | 그 벡터가 글 전체를 대표하도록 학습된 적이 있나요? |
# | 평균 | 토큰 벡터들의 평균 | 없음 | 패딩이 섞이면 안 됩니다 |
# | 어텐션 | 가중 평균. 가중치는 학습되는 질의(query)에서 나옵니다 | 숫자 H개 | 패딩의 가중치는 0이어야 합니다 |
#
# 패딩을 왜 이렇게 따질까요? 글 하나에 패딩이 얼마나 붙을지는 글이 아니라 배치가 정하기 때문입니다.
#
# ### 실행 전에 예상하기
# 토큰 20개짜리 리뷰가 80개짜리와 한 배치에 들어갔습니다. 누군가 마스크 없이 `hidden.mean(dim=1)`로 풀링했어요. 짧은 리뷰의 벡터는 혼자 있을 때의
# 자리에서 얼마나 움직일까요? 벡터 길이에 견준 비율로 골라 보세요.

# %%
guess = kl.predict("3.a", {"not at all": 0.0, "a tenth": 0.1, "a third": 0.33, "as far as it is long": 1.0})

# %%
lengths = [len(ids) for ids in tokenizer(reviews["validation"]["text"][:])["input_ids"]]
short = reviews["validation"]["text"][lengths.index(20)]
mean, cls, attention = kl.model.MeanPooling(), kl.model.ClsPooling(), kl.model.AttentionPooling(256)
attention.query.data = torch.randn(256, generator=torch.Generator().manual_seed(0))      # as if it had learned something
pooled = {"mean, no mask": lambda h, m: h.mean(dim=1), "masked mean": mean, "[CLS]": cls, "attention": attention}

@torch.no_grad()
def vectors(text, width):
    """The text's vector by each pooling, in a batch `width` tokens wide."""
    batch = tokenizer(text, padding="max_length", max_length=width, return_tensors="pt")
    hidden = encoder(**batch).last_hidden_state
    return {name: pool(hidden, batch["attention_mask"])[0] for name, pool in pooled.items()}

widths, alone = [20, 24, 30, 40, 60, 80, 120], vectors(short, 20)
moved = {name: [] for name in pooled}
for width in widths:
    for name, vector in vectors(short, width).items():
        moved[name].append(float((vector - alone[name]).norm() / alone[name].norm()))
kl.reveal(guess, measured=moved["mean, no mask"][widths.index(80)])

# %%
kl.plots.lines(moved, x=widths, markers=True, xlabel="width of the batch in tokens (the review has 20)",
               ylabel="how far its vector moves", title="The same review in wider and wider batches")

# %% [markdown] tags=["en"]
# Three lines lie on zero, one does not: the vector of a review is then a matter of its neighbours. Training gets noisier, and at
# prediction time the same text gets different answers in different batches. Nothing crashes.

# %% [markdown] tags=["ko"]
# 세 선은 0에 붙어 있고 하나만 떠 있습니다. 마스크를 빼먹으면 리뷰의 벡터가 옆에 누가 있느냐에 달린 문제가 됩니다. 학습에는 잡음이 끼고, 예측할 때는 같은 글이 배치에 따라
# 다른 답을 받아요. 그런데도 오류는 하나도 나지 않습니다.

# %% [markdown] tags=["en"]
# ### Exercise 3.1 · Masked mean pooling
# ●●○○○ · 8 minutes
#
# Write `masked_mean(hidden, mask)`: `hidden` is (B, L, H), `mask` (B, L) with 1 on tokens and 0 on padding. Return (B, H), the mean over
# each text's own tokens. A row that is all padding (it happens: some loaders fill up a short last batch with empty rows) has to give zeros.
# Stuck? `kl.hint("3.1")`, up to three times.

# %% [markdown] tags=["ko"]
# ### 연습 3.1 · 마스크 평균 풀링
# ●●○○○ · 8분
#
# `masked_mean(hidden, mask)`를 쓰세요. `hidden`은 (B, L, H), `mask`는 (B, L)이고 토큰 자리에 1, 패딩 자리에 0이 있습니다. 글마다 자기 토큰들만
# 평균 낸 (B, H)를 돌려주세요. 전부 패딩인 줄(짧은 마지막 배치를 빈 줄로 채우는 로더가 있습니다)에는 0이 나와야 합니다.
# 막히면 `kl.hint("3.1")`, 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def masked_mean(hidden, mask):
    ...

# %% tags=["solution"]
def masked_mean(hidden, mask):
    real = mask.bool().unsqueeze(-1)                          # (B, L, 1): fits (B, L, H)
    total = hidden.masked_fill(~real, 0.0).sum(dim=1)         # (B, H)
    return total / real.sum(dim=1).clamp(min=1)               # each text's own count; never a division by 0

# %% tags=["check"]
kl.check("3.1", masked_mean)

# %% [markdown] tags=["en"]
# ### Exercise 3.2 · Attention pooling
# ●●●○○ · 12 minutes
#
# A token's score is its dot product with a query of H numbers, divided by √H; the softmax over the text's tokens makes weights of the
# scores. Write `attention_pool(hidden, mask, query)` → (B, H). It has to stand float16 and a row that is all padding.
# Stuck? `kl.hint("3.2")`.

# %% [markdown] tags=["ko"]
# ### 연습 3.2 · 어텐션 풀링
# ●●●○○ · 12분
#
# 토큰의 점수는 숫자 H개로 된 질의(query)와의 내적을 √H로 나눈 값이고, 글 안의 토큰들에 소프트맥스를 취하면 점수가 가중치가 됩니다.
# `attention_pool(hidden, mask, query)` → (B, H)를 쓰세요. float16에서도, 전부 패딩인 줄에서도 무너지면 안 됩니다.
# 막히면 `kl.hint("3.2")`.

# %% tags=["exercise"]
def attention_pool(hidden, mask, query):
    ...

# %% tags=["solution"]
def attention_pool(hidden, mask, query):
    scores = hidden @ query / hidden.shape[-1] ** 0.5                            # (B, L)
    lowest = torch.finfo(scores.dtype).min                                       # -inf would make nan of an empty row
    weights = scores.masked_fill(mask == 0, lowest).softmax(dim=1)
    weights = weights.masked_fill(mask == 0, 0.0)                                # an empty row: zeros
    return (weights.unsqueeze(-1) * hidden).sum(dim=1)

# %% tags=["check"]
kl.check("3.2", attention_pool)

# %% [markdown] tags=["en"]
# ## Four stations, and the shapes between them
#
# `kl.Classifier.build` puts the parts together: encoder → pooling → dropout → head. A forward hook on each part notes what comes out of it.
# Reading such a table from top to bottom is the fastest way to find a wrong axis.

# %% [markdown] tags=["ko"]
# ## 네 정거장, 그 사이의 모양
#
# `kl.Classifier.build`가 부품을 이어 줍니다. 인코더 → 풀링 → 드롭아웃 → 헤드. 부품마다 forward 훅을 걸어 무엇이 나오는지 적어 봅시다.
# 이런 표를 위에서 아래로 읽는 것이 축이 틀린 곳을 찾는 가장 빠른 길이에요.

# %%
model = kl.Classifier.build(encoder, names, pooling="attention", seed=0)
stations = {"embeddings": model.encoder.embeddings}
stations |= {f"layer {i}": layer for i, layer in enumerate(model.encoder.encoder.layer)}
stations |= {"pooling": model.pool, "dropout": model.dropout, "head": model.head}
rows = []

def note(name):
    def hook(module, inputs, output):
        output = output[0] if isinstance(output, tuple) else output
        rows.append({"station": name, "comes out": tuple(output.shape),
                     "parameters": sum(p.numel() for p in module.parameters())})
    return hook

hooks = [module.register_forward_hook(note(name)) for name, module in stations.items()]
with torch.no_grad():
    model(**batch)
for hook in hooks:
    hook.remove()
pd.DataFrame(rows).set_index("station")

# %%
from matplotlib.patches import Rectangle

B, L, H = hidden.shape
shapes = {"input_ids\n(B, L)": (1, L), "embeddings\n(B, L, H)": (H, L), "last layer\n(B, L, H)": (H, L),
          "pooled\n(B, H)": (H, 1), "logits\n(B, C)": (len(names), 1)}
figure, ax = kl.plots.new(width=10, height=3)
x, steps = 0.0, iter(["look up →", "6 layers →", "pooling →", "head →"])
for label, (wide, high) in shapes.items():
    wide, high = 0.25 * wide ** 0.5, 0.5 * high ** 0.5                # square roots: 256 beside 3 on one picture
    for text in reversed(range(B)):                                  # one sheet a text, the first in front
        ax.add_patch(Rectangle((x + 0.25 * text, 0.25 * text), wide, high, facecolor=kl.plots.SKY, edgecolor="black", alpha=0.9))
    ax.text(x + wide / 2, -0.25, label, ha="center", va="top", fontsize=9)
    ax.text(x + wide + 1.45, 0.4, next(steps, ""), ha="center", va="center", color=kl.plots.RED, fontsize=9)
    x += wide + 2.6
ax.set(xlim=(-0.8, x - 1.9), ylim=(-1.4, 3.4), title=f"What flows: B = {B} texts, L = {L} tokens, H = {H} numbers, C = {len(names)} classes")
ax.axis("off")
figure

# %% [markdown] tags=["en"]
# The shape changes twice: pooling removes L, the head trades H for the classes. Everything before that keeps (B, L, H), layer after
# layer, which is why encoders of any depth fit the same head.

# %% [markdown] tags=["ko"]
# 모양은 두 번 바뀝니다. 풀링이 L을 없애고, 헤드가 H를 클래스 수로 바꾸죠. 그 앞에서는 몇 층을 지나도 내내 (B, L, H)예요. 그래서 깊이가 어떻든 같은 헤드를
# 얹을 수 있습니다.

# %% [markdown] tags=["en"]
# ### Exercise 3.3 · The forward pass
# ●●○○○ · 12 minutes
#
# Write the class yourself: `MyClassifier(encoder, classes)`, a `nn.Module` whose `forward(input_ids, attention_mask)` returns the logits
# (B, classes): encoder, masked mean, dropout of 0.1, one linear layer. It has to fit encoders of any width.
# Stuck? `kl.hint("3.3")`.

# %% [markdown] tags=["ko"]
# ### 연습 3.3 · 순전파
# ●●○○○ · 12분
#
# 이번에는 클래스를 직접 쓰세요. `MyClassifier(encoder, classes)`는 `nn.Module`이고, `forward(input_ids, attention_mask)`가 로짓 (B, classes)를 돌려줍니다.
# 순서는 인코더, 마스크 평균, 드롭아웃 0.1, 선형 층 하나. 너비가 다른 인코더에도 맞아야 해요.
# 막히면 `kl.hint("3.3")`.

# %% tags=["exercise"]
class MyClassifier(nn.Module):
    def __init__(self, encoder, classes):
        super().__init__()
        ...

    def forward(self, input_ids, attention_mask):
        ...

# %% tags=["solution"]
class MyClassifier(nn.Module):
    def __init__(self, encoder, classes):
        super().__init__()
        self.encoder = encoder                                            # an attribute of its own: now torch knows its parameters
        self.dropout = nn.Dropout(0.1)                                    # the module, not F.dropout: eval() switches it off
        self.head = nn.Linear(encoder.config.hidden_size, classes)        # not 768: every encoder has its own width

    def forward(self, input_ids, attention_mask):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state    # (B, L, H)
        real = attention_mask.unsqueeze(-1)
        pooled = (hidden * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)                             # (B, H)
        return self.head(self.dropout(pooled))                                                         # (B, classes): logits

# %% tags=["check"]
kl.check("3.3", MyClassifier)

# %% [markdown] tags=["en"]
# ## Where the parameters are
#
# ### Predict before you run
# Which share of all parameters (파라미터) does the linear head have?

# %% [markdown] tags=["ko"]
# ## 파라미터는 어디에 있나
#
# ### 실행 전에 예상하기
# 전체 파라미터(parameter) 가운데 선형 헤드가 차지하는 몫은 얼마일까요?

# %%
guess = kl.predict("3.b", {"a ten-thousandth": 1e-4, "a hundredth": 0.01, "a tenth": 0.1, "a third": 0.33})

# %%
table = kl.model.count_parameters(model)
kl.reveal(guess, measured=table.loc["head", "share"], digits=2)
table.style.format({"parameters": "{:,}", "trainable": "{:,}", "share": "{:.2%}"})

# %%
figure = kl.plots.bars(table["parameters"].drop("total"), title=f"kolab-mini with attention pooling: {table.loc['total', 'parameters']:,} parameters")
figure.axes[0].set_xticks([])
figure

# %% [markdown] tags=["en"]
# The part that nobody has trained yet is the smallest of all. What makes an encoder big besides its layers is the vocabulary: each
# subword has its own row of H numbers. Counted from their shapes alone:

# %% [markdown] tags=["ko"]
# 아직 아무도 학습시키지 않은 부분이 가장 작습니다. 층 말고 인코더를 크게 만드는 것은 어휘예요. 서브워드마다 숫자 H개짜리 줄을 하나씩 가지니까요.
# 모양만으로 세어 봅시다.

# %%
shapes = {"kolab-mini": dict(vocab_size=encoder.config.vocab_size, hidden_size=256, num_hidden_layers=6, intermediate_size=1024,
                             num_attention_heads=4, max_position_embeddings=256),
          "KoBERT": dict(vocab_size=8002), "klue/bert-base": dict(vocab_size=32000), "BERT multilingual (cased)": dict(vocab_size=119547)}
rows = []
for name, fields in shapes.items():
    with torch.device("meta"):                                            # 178 million parameters in no memory at all
        counted = kl.model.count_parameters(BertModel(BertConfig(**fields), add_pooling_layer=False))
    rows.append({"encoder": name, "embeddings": counted.loc["embeddings", "parameters"], "all": counted.loc["total", "parameters"],
                 "share": counted.loc["embeddings", "share"]})
pd.DataFrame(rows).set_index("encoder").style.format({"embeddings": "{:,}", "all": "{:,}", "share": "{:.0%}"})

# %% [markdown] tags=["en"]
# KoBERT's 8,002 subwords cost 7 % of it, the 119,547 of the multilingual BERT more than half. When somebody says "a model of 178
# million parameters", ask how many of them a sentence ever touches.

# %% [markdown] tags=["ko"]
# KoBERT의 서브워드 8,002개는 전체의 7 %인데, 다국어 BERT의 119,547개는 절반이 넘습니다. 누가 "파라미터 1억 7,800만 개짜리 모델"이라고 하면
# 문장 하나가 그 가운데 몇 개를 건드리는지 물어보세요.

# %% [markdown] tags=["en"]
# ## The first test of any training code: one batch
#
# Before an hour of training, thirty seconds of this: take one batch, switch dropout off, and train on it again and again. Two numbers are
# known in advance. **At the start** the loss of three classes is about ln 3 = 1.10, since an untrained head has no opinion. **At the
# end** it is close to 0: a model of millions of parameters that cannot learn 32 reviews by heart has a fault, not too little data.

# %% [markdown] tags=["ko"]
# ## 모든 학습 코드의 첫 시험: 배치 하나
#
# 한 시간을 학습하기 전에 30초만 이렇게 해 보세요. 배치 하나를 꺼내고, 드롭아웃을 끄고, 그것만 되풀이해서 학습합니다. 미리 알 수 있는 숫자가 두 개 있어요.
# **처음**에 세 클래스의 손실은 ln 3 = 1.10쯤입니다. 학습되지 않은 헤드에는 의견이 없으니까요. **끝**에는 0에 가까워야 합니다. 파라미터가 수백만 개인 모델이
# 리뷰 32개를 외우지 못한다면 데이터가 모자란 것이 아니라 어딘가 잘못된 거예요.

# %%
loaders = kl.make_loaders(reviews, tokenizer, batch_size=32)
one = next(iter(loaders.train))
STEPS = kl.pick(full=20, quick=3)

def overfit(model, parameters, lr=5e-4, loss=lambda logits, labels: F.cross_entropy(logits, labels)):
    """Train on one batch, again and again. Returns the losses."""
    model.eval()                                                    # for this test only: no dropout, nothing random
    optimizer, losses = torch.optim.AdamW(parameters, lr=lr), []
    for _ in range(STEPS):
        value = loss(model(one["input_ids"], one["attention_mask"]).logits, one["labels"])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses

def fresh(pretrained=True):
    """A new classifier on a new copy of the encoder: a trained one would spoil the next experiment."""
    return kl.Classifier.build(kl.load_encoder("kolab-mini", pretrained=pretrained)[0], names, seed=0)

model = fresh()
curves = {"right": overfit(model, model.parameters())}
print(f"first loss {curves['right'][0]:.3f}, last {curves['right'][-1]:.4f}")

# %% [markdown] tags=["en"]
# So far, so good. A test is worth what it catches, so let us break the code on purpose, three times:
#
# - **softmax twice**: the model returns probabilities, and cross-entropy takes the softmax again;
# - **rate too small**: 5e-6 instead of 5e-4, a slip of two characters;
# - **head left out**: the published walk-through's complete listing builds its optimizer from `model.parameters()`, and `model` there is the bare
#   encoder. The classifier around it has another name, and its head is in no optimizer.
#
# ### Predict before you run
# The third fault: what does the loss on the one batch do?

# %% [markdown] tags=["ko"]
# 여기까지는 좋습니다. 시험은 무엇을 잡아내느냐로 값이 정해지니, 코드를 일부러 세 번 망가뜨려 봅시다.
#
# - **소프트맥스 두 번**: 모델이 확률을 돌려주는데 교차 엔트로피가 소프트맥스를 또 취합니다.
# - **학습률이 너무 작음**: 5e-4 대신 5e-6. 글자 하나 차이죠.
# - **헤드를 빠뜨림**: 공개 글의 전체 코드는 옵티마이저를 `model.parameters()`로 만드는데, 거기서 `model`은 맨 인코더입니다. 인코더를 감싼 분류기는 이름이 다르고,
#   그 헤드는 어느 옵티마이저에도 들어 있지 않아요.
#
# ### 실행 전에 예상하기
# 세 번째 잘못에서 배치 하나의 손실은 어떻게 될까요?

# %%
guess = kl.predict("3.c", ["it stays near 1.1", "it gets stuck half-way", "it goes to zero, like the right one"])

# %%
model = fresh()
curves["softmax twice"] = overfit(model, model.parameters(), loss=lambda logits, labels: F.cross_entropy(logits.softmax(-1), labels))
model = fresh()
curves["rate too small"] = overfit(model, model.parameters(), lr=5e-6)
model = fresh()
before = {name: value.clone() for name, value in model.named_parameters()}
curves["head left out"] = overfit(model, model.encoder.parameters())
end = curves["head left out"][-1]
kl.reveal(guess, measured=f"{end:.3f} after {STEPS} steps", answer=2 if end < 0.1 else 0 if end > 0.9 else 1)

# %%
figure = kl.plots.lines(curves, xlabel="step", ylabel="loss on the one batch", title="One batch, four versions of the code")
for height, label in ((np.log(3), "ln 3: no opinion"), (-np.log(np.e / (np.e + 2)), "the floor of a double softmax")):
    figure.axes[0].axhline(height, color=kl.plots.GREY, linestyle="--", linewidth=0.8)
    figure.axes[0].text(STEPS, height + 0.02, label, ha="right", fontsize=8, color=kl.plots.GREY)
figure.axes[0].lines[0].set(linewidth=6, alpha=0.4)                    # two of the curves lie on one another
figure.axes[0].legend(loc="lower right", bbox_to_anchor=(1, 0.08))
figure

# %% [markdown] tags=["en"]
# The test sees the first two at a glance: one stops at 0.55, the loss of "probability 1" under a second softmax, the other hardly
# moves. The third it does **not** see. The encoder has millions of parameters and simply learns to suit a head that never moves. So a second
# test is needed, as cheap as the first: *has every part moved?*

# %% [markdown] tags=["ko"]
# 앞의 둘은 한눈에 보입니다. 하나는 0.55에서 멈춰요. '확률 1'에 소프트맥스를 한 번 더 취했을 때의 손실입니다. 다른 하나는 거의 움직이지 않고요. 그런데 세 번째는
# **보이지 않습니다**. 인코더에는 파라미터가 수백만 개 있어서, 꼼짝 않는 헤드에 자기를 맞춰 버리거든요. 그래서 첫 시험만큼 값싼 두 번째 시험이 필요합니다.
# *모든 부분이 움직였는가?*

# %%
def movement(model, before):
    """How far each part has moved, relative to its own length."""
    change, size = Counter(), Counter()
    for name, value in model.named_parameters():                         # encoder.encoder.layer.3.… is part of layer 3
        part = f"layer {name.split('.')[3]}" if ".layer." in name else "embeddings" if "embeddings" in name else "head"
        change[part] += (value - before[name]).pow(2).sum().item()
        size[part] += before[name].pow(2).sum().item()
    return {part: (change[part] / size[part]) ** 0.5 for part in size}

figure = kl.plots.bars(movement(model, before), percent=True, title="'Head left out' after the one batch: change of each part")
figure.axes[0].set_xticks([])
figure

# %% [markdown] tags=["en"]
# ### Exercise 3.4 · Find it, mend it: the head that never learns
# ●●○○○ · 10 minutes
#
# This is what the listing amounts to, in our names:
#
# ```python
# encoder, tokenizer = kl.load_encoder()
# model = kl.Classifier.build(encoder, names)
# optimizer = torch.optim.AdamW(encoder.parameters(), lr=lr)
# for batch in batches:
#     loss = model(**batch).loss
#     loss.backward()
#     optimizer.step()
# ```
#
# It has the fault you have just seen, and two more that we put in. Write `train(model, batches, lr)` without them: one step of AdamW a
# batch, dropout on, and return the list of losses as plain numbers. (`model(**batch)` returns the loss when the batch holds labels.)
# Stuck? `kl.hint("3.4")`.

# %% [markdown] tags=["ko"]
# ### 연습 3.4 · 찾아서 고치기: 배우지 않는 헤드
# ●●○○○ · 10분
#
# 그 코드를 우리 이름으로 옮기면 이렇습니다.
#
# ```python
# encoder, tokenizer = kl.load_encoder()
# model = kl.Classifier.build(encoder, names)
# optimizer = torch.optim.AdamW(encoder.parameters(), lr=lr)
# for batch in batches:
#     loss = model(**batch).loss
#     loss.backward()
#     optimizer.step()
# ```
#
# 방금 본 잘못 말고도 우리가 넣어 둔 잘못이 두 개 더 있어요. 셋 다 없는 `train(model, batches, lr)`를 쓰세요. 배치마다 AdamW 한 걸음, 드롭아웃은 켜고,
# 손실을 보통 숫자의 리스트로 돌려줍니다. (배치에 labels가 있으면 `model(**batch)`가 손실도 돌려줍니다.)
# 막히면 `kl.hint("3.4")`.

# %% tags=["exercise"]
def train(model, batches, lr):
    ...

# %% tags=["solution"]
def train(model, batches, lr):
    model.train()                                                     # build returns it in evaluation mode
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)          # the whole classifier: encoder, pooling and head
    losses = []
    for batch in batches:
        loss = model(**batch).loss
        optimizer.zero_grad()                                         # or the gradients of all batches so far add up
        loss.backward()
        optimizer.step()
        losses.append(loss.item())                                    # the number, not the graph behind it
    return losses

# %% tags=["check"]
kl.check("3.4", train)

# %% [markdown] tags=["en"]
# ## Pre-trained against random
#
# Is it the architecture that understands Korean, or what was learned before? The same model twice, once with the pre-trained weights, once
# with random ones; the same reviews, the same loop (`kl.fit`: lesson 4 writes it by hand). A bag of character n-grams with logistic
# regression (lesson 1) learns from the same reviews and is the line to beat.

# %% [markdown] tags=["ko"]
# ## 사전학습 대 무작위
#
# 한국어를 아는 것은 구조일까요, 아니면 미리 배워 둔 것일까요? 같은 모델을 두 번, 한 번은 사전학습된 가중치로, 한 번은 무작위 가중치로 학습시킵니다. 리뷰도 같고
# 루프도 같아요(`kl.fit`. 4강에서 직접 씁니다). 넘어야 할 선은 같은 리뷰로 배운 문자 n-그램과 로지스틱 회귀입니다(1강).

# %%
ROWS, EPOCHS = kl.pick(full=1024, quick=64), kl.pick(full=4, quick=1)
small = {"train": reviews["train"].shuffle(seed=0).select(range(ROWS)), "validation": reviews["validation"].select(range(kl.pick(full=440, quick=64)))}
loaders = kl.make_loaders(small, tokenizer, batch_size=32)
config = kl.TrainConfig(epochs=EPOCHS, lr=4e-4, keep_best=False, progress=False)
runs = {}
for name in ("pre-trained", "random"):
    model = fresh(pretrained=name == "pre-trained")
    history = kl.fit(model, loaders, config)
    runs[name] = (model.cpu(), history)                                   # a GPU, if there is one, has done its part
pd.DataFrame({name: [row["f1"] for row in history] for name, (_, history) in runs.items()},
             index=pd.RangeIndex(1, EPOCHS + 1, name="epoch")).style.format("{:.3f}")

# %%
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

ngrams = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000))
ngrams.fit(small["train"]["text"][:], small["train"]["label"][:])
to_beat = kl.metrics.macro_f1(ngrams.predict(small["validation"]["text"][:]), small["validation"]["label"][:])

figure, (left, right) = kl.plots.new(2)
kl.plots.lines({name: [row["train_loss"] for row in history] for name, (_, history) in runs.items()},
               markers=True, xlabel="epoch", ylabel="training loss", title=f"Learning from {ROWS:,} reviews", ax=left)
kl.plots.lines({name: [row["f1"] for row in history] for name, (_, history) in runs.items()},
               markers=True, xlabel="epoch", ylabel="macro-F1 on validation", title=f"n-grams (dashed): {to_beat:.3f}", ax=right)
right.axhline(to_beat, color=kl.plots.GREY, linestyle="--")
for ax in (left, right):
    ax.set_xticks(range(1, EPOCHS + 1))
figure

# %% [markdown] tags=["en"]
# The pre-trained model is further after its second epoch (0.68) than the random one after its fourth (0.60): same layers, same reviews,
# same steps. What it learned before, from other texts and without a single label, is worth more than twice the training.
#
# And now the dashed line. A bag of character n-grams, which knows nothing but these 1,024 reviews, stands at 0.77 and beats both. kolab-mini was
# pre-trained for less than two and a half hours on two cores, and that shows. Keep such a line in every figure of yours: an encoder has to earn
# its place, and one that loses to a bag of n-grams is a result too.

# %% [markdown] tags=["ko"]
# 사전학습된 모델은 두 번째 에폭을 마쳤을 때(0.68) 벌써 무작위 모델의 네 번째 에폭(0.60)보다 앞서 있습니다. 층도 같고 리뷰도 같고 학습량도 같은데 말이죠. 다른 글에서 라벨 하나
# 없이 미리 배운 것이 학습을 두 배로 하는 것보다 값집니다.
#
# 이제 점선을 보세요. 이 리뷰 1,024개 말고는 아무것도 모르는 문자 n-그램이 0.77로 둘 다 이깁니다. kolab-mini는 코어 두 개로 두 시간 반이 못 되게 사전학습한 인코더이고, 그것이
# 그대로 드러나요. 여러분의 그림에도 늘 이런 선을 그어 두세요. 인코더는 자기 값을 증명해야 하고, n-그램에 졌다면 그것 역시 결과입니다.

# %% [markdown] tags=["en"]
# ## Evaluation mode belongs to the whole
#
# The same listing has a second fault of the same kind. It evaluates under `torch.no_grad()`, after `model.eval()`, and `model` is again
# the bare encoder. The encoder's dropout is off. The classifier's, between pooling and head, is not. Let us evaluate one trained model
# three times that way.

# %% [markdown] tags=["ko"]
# ## 평가 모드는 전체의 것
#
# 같은 코드에 같은 종류의 잘못이 하나 더 있습니다. `torch.no_grad()` 아래에서, `model.eval()`을 부른 뒤에 평가하는데, 이번에도 `model`은 맨 인코더예요. 인코더의
# 드롭아웃은 꺼졌습니다. 풀링과 헤드 사이에 있는 분류기의 드롭아웃은 켜진 채고요. 학습이 끝난 모델 하나를 그렇게 세 번 평가해 봅시다.

# %%
model = runs["pre-trained"][0]
model.train()
model.encoder.eval()                                                     # as published
with torch.no_grad():
    hidden = [(batch["labels"], model.pool(model.encoder(batch["input_ids"], batch["attention_mask"]).last_hidden_state,
                                           batch["attention_mask"])) for batch in loaders.validation]
labels, pooled = (torch.cat(part) for part in zip(*hidden))              # the encoder is in evaluation mode: once is enough

@torch.no_grad()
def evaluate_head():
    predictions = model.head(model.dropout(pooled)).argmax(dim=-1)
    return kl.metrics.macro_f1(predictions, labels), predictions

for turn in range(3):
    print(f"evaluation {turn + 1}: macro-F1 {evaluate_head()[0]:.4f}")

# %%
many = [evaluate_head() for _ in range(200)]
model.eval()                                                             # the whole classifier
right, predictions = evaluate_head()
scores = np.array([score for score, _ in many])
changed = np.mean([(found != predictions).sum().item() for _, found in many])
figure, ax = kl.plots.new(height=2.8)
ax.hist(scores, bins=25, color=kl.plots.SKY)
ax.axvline(right, color=kl.plots.RED, label=f"all of it in evaluation mode: {right:.3f}, every time")
ax.set(xlabel="macro-F1", ylabel="evaluations", title="One model, 200 evaluations with the head's dropout left on")
ax.set_ylim(top=1.3 * ax.get_ylim()[1])
ax.legend(loc="upper left")
print(f"from {scores.min():.3f} to {scores.max():.3f}; on average {changed:.1f} of {len(labels)} predictions differ from the model's own")
figure

# %% [markdown] tags=["en"]
# One model, one validation set, and anything from 0.672 to 0.696: two points of spread that come from nowhere but a dropout somebody forgot.
# On average four of the 440 predictions are not the model's own. With a dropout of 0.5 it would be many more, and nobody would notice either:
# no error, no warning, only a score that is a little different every time. Whoever picks the best epoch by such a score picks luck.

# %% [markdown] tags=["ko"]
# 모델도 하나, 검증 데이터도 하나인데 0.672에서 0.696까지 나옵니다. 누가 끄는 것을 잊은 드롭아웃 하나 때문에 생긴 2점의 흔들림이에요. 440개 예측 가운데 평균 네 개는 모델의
# 진짜 답이 아닙니다. 드롭아웃이 0.5였다면 훨씬 많았을 테고, 그래도 아무도 몰랐을 거예요. 오류도 경고도 없이 점수만 부를 때마다 조금씩 다르니까요. 그런 점수로 가장 좋은 에폭을
# 고르는 사람은 운을 고르는 셈입니다.

# %% [markdown] tags=["en"]
# ### Exercise 3.5 · Find it, mend it: two evaluations, two results
# ●●○○○ · 10 minutes
#
# Write `logits_of(model, batches)`: the logits of all texts, (N, C), in the order of the batches; twice the same whenever it is called
# twice; no gradients kept; and the model is afterwards in the mode it was in before.
# Stuck? `kl.hint("3.5")`.

# %% [markdown] tags=["ko"]
# ### 연습 3.5 · 찾아서 고치기: 두 번 평가했더니 다른 결과
# ●●○○○ · 10분
#
# `logits_of(model, batches)`를 쓰세요. 모든 글의 로짓 (N, C)를 배치 순서대로 돌려주고, 두 번 부르면 두 번 다 같아야 하며, 그래디언트는 남기지 않고,
# 끝난 뒤 모델은 부르기 전의 모드로 돌아가 있어야 합니다.
# 막히면 `kl.hint("3.5")`.

# %% tags=["exercise"]
def logits_of(model, batches):
    ...

# %% tags=["solution"]
def logits_of(model, batches):
    was_training = model.training
    model.eval()                                                         # the whole classifier, head and dropout included
    with torch.no_grad():
        logits = torch.cat([model(**batch).logits for batch in batches])
    model.train(was_training)                                            # back into the mode it was in
    return logits

# %% tags=["check"]
kl.check("3.5", logits_of)

# %% [markdown] tags=["en"]
# ## Does the pooling matter?
#
# The published walk-through says that a custom head is worth its while because one can take two layers instead of one, or attention pooling. Worth how
# much? First the cheap way: **freeze** the encoder. Then its vectors never change, one pass over the reviews is enough, and pooling
# and head train in seconds. Three seeds each, since a single number is an anecdote.

# %% [markdown] tags=["ko"]
# ## 풀링이 정말 중요할까
#
# 그 공개 글은 헤드를 직접 쓰는 보람으로 층을 두 개로 늘리거나 어텐션 풀링을 쓸 수 있다는 점을 듭니다. 얼마나 보람이 있을까요? 먼저 값싼 방법부터. 인코더를 **얼립니다**.
# 그러면 벡터가 바뀌지 않으니 리뷰를 한 번만 통과시키면 되고, 풀링과 헤드는 몇 초 만에 학습됩니다. 숫자 하나는 일화일 뿐이니 시드를 세 개씩 씁니다.

# %%
def hidden_states(encoder, loader):
    """Every batch as (hidden, mask, labels): a frozen encoder has to run only once."""
    with torch.no_grad():
        return [(encoder(b["input_ids"], b["attention_mask"]).last_hidden_state, b["attention_mask"], b["labels"]) for b in loader]

encoder, _ = kl.load_encoder("kolab-mini")
states = {name: hidden_states(encoder, loader) for name, loader in loaders.items()}

def probe(pooling, seed, epochs=kl.pick(full=15, quick=2)):
    """Train pooling and head on the frozen encoder's vectors. Returns macro-F1 on validation, and the model."""
    model = kl.Classifier.build(encoder, names, pooling=pooling, seed=seed)
    logits = lambda hidden, mask: model.head(model.pool(hidden, mask))
    optimizer = torch.optim.AdamW([*model.pool.parameters(), *model.head.parameters()], lr=3e-3)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for i in torch.randperm(len(states["train"]), generator=order).tolist():
            hidden, mask, labels = states["train"][i]
            loss = F.cross_entropy(logits(hidden, mask), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        found, true = zip(*((logits(h, m).argmax(dim=-1), labels) for h, m, labels in states["validation"]))
    return kl.metrics.macro_f1(torch.cat(found), torch.cat(true)), model

probes = {(pooling, seed): probe(pooling, seed) for pooling in ("cls", "mean", "attention") for seed in range(3)}
pd.DataFrame({pooling: [probes[pooling, seed][0] for seed in range(3)] for pooling in ("cls", "mean", "attention")},
             index=pd.RangeIndex(3, name="seed")).style.format("{:.3f}")

# %% [markdown] tags=["en"]
# In every seed [CLS] comes last, by one to three points; the mean and attention are level. Filling in masked words never asked position 0
# to sum anything up, and yet it knows nearly as much: six layers of attention have mixed the whole text into each of its positions. The mean
# takes from all of them, and attention may choose. Look where it looks:

# %% [markdown] tags=["ko"]
# 세 시드 모두 [CLS]가 꼴찌인데, 차이는 1~3점입니다. 평균과 어텐션은 비슷하고요. 빈칸 채우기는 0번 자리에 요약을 시킨 적이 없는데도 [CLS]가 아는 것은 별로 적지 않습니다. 여섯 층의
# 어텐션을 지나는 동안 글 전체가 자리마다 섞여 들어가거든요. 평균은 모든 자리에서 가져오고, 어텐션은 그중에서 고를 수 있습니다. 어디를 보는지 봅시다.

# %%
query_model = probes["attention", 0][1]
sample = tokenizer(texts[1], return_tensors="pt")
with torch.no_grad():
    weights = query_model.pool.weights(encoder(**sample).last_hidden_state, sample["attention_mask"])
tokens = tokenizer.convert_ids_to_tokens(sample["input_ids"][0])
kl.plots.heatmap(weights, [""], [token.replace("▁", "") or "▁" for token in tokens], title=f"What the attention pooling weighs (the mean would give {1 / len(tokens):.2f} to each)")

# %% [markdown] tags=["en"]
# Now the expensive way, where everything learns. Six ways from vectors to logits, on all the reviews, would take this lesson half
# an hour, so here is what was recorded. `kolab bench pooling` repeats it on your machine.

# %% [markdown] tags=["ko"]
# 이번에는 값비싼 방법, 전부 다 학습시키는 쪽입니다. 벡터에서 로짓까지 가는 길 여섯 가지를 리뷰 전체로 재려면 이 과만 반 시간이 걸리니, 기록해 둔 결과를 봅시다.
# `kolab bench pooling`을 실행하면 여러분의 컴퓨터에서 다시 잽니다.

# %%
study = kl.measure.recorded("pooling")
where, meta = study.attrs["machine"], study.attrs["meta"]
print(f"{where['gpu'] or where['cpu']}, {where['cores']} cores, {study.attrs['date']}: {meta['data']}; {meta['seeds']} seeds, {meta['epochs']} epochs")
scores = study.groupby(["encoder", "setting"], sort=False)["macro_f1"].agg(["mean", "std", "min", "max"])
scores.loc[["frozen", "fine-tuned"]].style.format("{:.3f}")

# %%
figure, axes = kl.plots.new(2, height=2.9, width=10)
for ax, mode in zip(axes, ("frozen", "fine-tuned")):
    part = study[study["encoder"] == mode]
    ax.plot(part["macro_f1"], part["setting"], "o", color=kl.plots.SKY, label="one seed")
    ax.plot(scores.loc[mode, "mean"], scores.loc[mode].index, "|", markersize=18, color=kl.plots.RED, label="mean of the seeds")
    ax.set(title=f"encoder {mode}", xlabel="macro-F1, held-out reviews", ylim=(len(scores.loc[mode]) - 0.5, -0.5))
    ax.grid(axis="y", alpha=0.3)
axes[0].legend(fontsize=8)
figure

# %% [markdown] tags=["en"]
# Two pictures, two answers. **Frozen**, pooling and head decide: from 0.64 for [CLS] up to 0.70 for attention, or for the mean under a
# second layer, and the seeds hardly differ. **Fine-tuned**, all of that is gone: the settings lie no further apart than the
# seeds of one setting do. Once the layers below may change, they put what is needed wherever the pooling looks. The second layer, which the
# claim hoped for, brings a frozen mean four points, and a fine-tuned one less than its seeds differ.
#
# And the last row? The head that was never trained comes out level with the one that was. That is how such a fault survives in a listing
# with good scores, and why a test has to ask for it by name.
#
# What this does not show: one encoder, one learning rate, three epochs, three seeds. A second layer might want another rate. The encoder
# was pre-trained for two and a half hours, and with a big one the numbers may be others. Pick the simplest pooling that uses the mask,
# and spend your time elsewhere.

# %% [markdown] tags=["ko"]
# 그림이 둘, 답도 둘입니다. **얼린 인코더**에서는 풀링과 헤드가 승부를 가릅니다. [CLS]의 0.64에서 어텐션, 또는 평균에 두 층을 얹은 것의 0.70까지, 시드에 따른 차이는
# 거의 없어요. **미세조정**하면 그 차이가 사라집니다. 설정끼리의 차이가 같은 설정에서 시드만 바꾼 차이보다 크지 않아요. 아래층까지 바뀔 수 있게 되면, 풀링이 어디를 보든
# 필요한 것이 그 자리에 놓이니까요. 기대를 모았던 두 번째 층은 얼린 평균에는 4점을 보태지만, 미세조정한 평균에 보태는 것은 시드에 따른 차이보다도 작습니다.
#
# 마지막 줄은 어떤가요? 한 번도 학습하지 않은 헤드인데 학습한 헤드와 점수가 같습니다. 점수가 좋은 코드 속에 이런 잘못이 살아남는 까닭이고, 시험이 콕 집어 물어봐야
# 하는 까닭이에요.
#
# 이 결과가 말해 주지 않는 것도 있습니다. 인코더 하나, 학습률 하나, 세 에폭, 시드 셋뿐이에요. 두 번째 층에는 다른 학습률이 맞을지도 몰라요. 인코더는 두 시간 반 사전학습한
# 것이고, 큰 인코더에서는 숫자가 다를 수 있습니다. 마스크를 쓰는 가장 단순한 풀링을 고르고, 시간은 다른 데 쓰세요.

# %% [markdown] tags=["en"]
# ## Take-aways
#
# - A ready-made head decides pooling, layers and activation for you, differently in each family, and part of it may be random.
# - Padding has vectors. Pool with the mask, or a text's vector depends on its neighbours in the batch.
# - Two shapes to remember: (B, L, H) until the pooling, (B, C) after the head. Read them station by station.
# - One batch first: ln C at the start, near 0 at the end. Then ask of every part whether it has moved.
# - The optimizer and `eval()` belong to the whole classifier. Neither mistake raises an error, and the loss curve looks fine.
# - Measure over seeds before you believe that a head is better than another.
#
# ## Where to go next
#
# [Lesson 4](04_full_fine_tuning.ipynb) trains this classifier on all the reviews, and asks when to stop. The code of this lesson, grown up,
# is in `kolab/model.py`. Lesson 5 leaves the encoder as it is and trains a thousandth of it.

# %% [markdown] tags=["ko"]
# ## 정리
#
# - 만들어져 나온 헤드는 풀링과 층과 활성화 함수를 대신 정합니다. 계열마다 다르게, 그것도 일부는 무작위로요.
# - 패딩에도 벡터가 있습니다. 마스크를 쓰지 않으면 글의 벡터가 같은 배치의 이웃에 따라 달라져요.
# - 기억할 모양은 두 가지. 풀링 전까지는 (B, L, H), 헤드를 지나면 (B, C). 정거장마다 읽으세요.
# - 먼저 배치 하나로. 처음에는 ln C, 끝에는 0 가까이. 그다음 모든 부분이 움직였는지 확인합니다.
# - 옵티마이저와 `eval()`은 분류기 전체의 것입니다. 어느 쪽을 틀려도 오류는 나지 않고, 손실 곡선도 멀쩡해 보여요.
# - 어떤 헤드가 더 낫다고 믿기 전에 시드를 여러 개 재 보세요.
#
# ## 다음으로
#
# [4강](04_full_fine_tuning.ipynb)에서는 이 분류기를 리뷰 전체로 학습시키고, 언제 멈출지 묻습니다. 이 과의 코드를 다듬은 것이 `kolab/model.py`에 있어요.
# 5강에서는 인코더를 그대로 두고 그 천분의 일만 학습시킵니다.
