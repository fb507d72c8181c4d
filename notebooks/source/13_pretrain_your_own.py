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
# # 13. Pre-train your own
#
# *Where did kolab-mini learn its Korean? You will build every part that made it, a tokenizer, blanks to fill, a loop, train an encoder
# of your own in two minutes, and read off recorded curves what an hour more, or ten, would have bought.*
#
# | you will be able to | time | you need |
# |---|---|---|
# | follow a subword vocabulary from its first candidates to its last cut | 90 min | lessons 2 and 3 |
# | mask texts by the 80/10/10 rule and name each way to get it wrong | | CPU is enough |
# | say what a loss, a perplexity and a learning curve promise, and what they do not | | |
# | decide whether more pre-training is worth its price | | |

# %% [markdown] tags=["ko"]
# # 13. 직접 사전학습하기
#
# *kolab-mini는 한국어를 어디서 배웠을까요? 토크나이저, 빈칸, 학습 루프까지 그 인코더를 만든 부품을 전부 직접 만들고, 2분 만에 나만의 인코더를
# 학습시킨 다음, 한 시간, 열 시간을 더 들이면 무엇을 얻는지 기록된 곡선에서 읽어 냅니다.*
#
# | 할 수 있게 되는 것 | 시간 | 준비물 |
# |---|---|---|
# | 서브워드 어휘가 첫 후보에서 마지막 가지치기까지 어떻게 만들어지는지 따라가기 | 90분 | 2강, 3강 |
# | 80/10/10 규칙으로 글을 가리고, 잘못되는 경우를 하나하나 짚어 내기 | | CPU면 충분 |
# | 손실, 퍼플렉서티, 학습 곡선이 약속하는 것과 약속하지 않는 것을 말하기 | | |
# | 사전학습을 더 할 값어치가 있는지 판단하기 | | |

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
import json, math, tempfile
from collections import Counter
from pathlib import Path
import numpy as np, pandas as pd, torch
import torch.nn.functional as F

reviews, emotions = kl.load_reviews(), kl.load_emotions()
texts = [*reviews["train"]["text"], *emotions["train"]["text"]]             # no labels: from here on they are just Korean
unseen = [*reviews["validation"]["text"], *emotions["validation"]["text"]]
print(f"{len(texts):,} texts, {sum(map(len, texts)):,} characters")

# %% [markdown] tags=["en"]
# ## Three parts
#
# Pre-training (사전학습) turns text that nobody has labelled into exercises, by hiding a part and asking for it. It takes three things:
# a **tokenizer** (토크나이저), which decides what a blank is; a **mask** (마스크), which hides tokens; and a network that guesses them.
# kolab-mini had 616,857 film reviews for it. Here we have what comes with the course, about a hundredth of that: enough to watch
# everything happen, and too little to get a good encoder. How much is enough is the question of this lesson's second half.

# %% [markdown] tags=["ko"]
# ## 세 가지 부품
#
# 사전학습(pre-training)은 아무도 라벨을 달지 않은 글을 문제집으로 바꿉니다. 일부를 가리고 맞혀 보라고 하는 거예요. 필요한 것은 세 가지입니다.
# 무엇이 빈칸 하나가 될지 정하는 **토크나이저**(tokenizer), 토큰을 가리는 **마스크**(mask), 그리고 가려진 것을 맞히는 신경망.
# kolab-mini는 영화 리뷰 616,857개로 배웠습니다. 여기에 있는 것은 강좌에 딸린 글, 그 100분의 1쯤이에요. 모든 과정을 지켜보기에는 충분하고,
# 좋은 인코더를 얻기에는 모자랍니다. 얼마면 충분한지가 이 과 후반의 물음입니다.

# %% [markdown] tags=["en"]
# ## A vocabulary by hand: grow it, or prune it
#
# Eight words and how often they came. Which pieces should the vocabulary hold? There are two schools. **BPE** begins with single
# characters and keeps gluing together the pair that stands side by side most often:

# %% [markdown] tags=["ko"]
# ## 손으로 만드는 어휘: 키우거나, 쳐내거나
#
# 단어 여덟 개와 나온 횟수가 있습니다. 어휘에는 어떤 조각을 담아야 할까요? 두 학파가 있습니다. **BPE**는 글자 하나하나에서 시작해, 가장 자주 나란히 놓이는
# 한 쌍을 계속 이어 붙입니다.

# %%
words = {"재미있다": 8, "재미없다": 6, "맛있다": 7, "맛없다": 5, "재미": 4, "맛": 3, "있다": 4, "없다": 3}

cuts = {word: list(word) for word in words}
for merge in range(4):
    pairs = Counter()
    for word, cut in cuts.items():
        for pair in zip(cut, cut[1:]):
            pairs[pair] += words[word]
    (left, right), times = pairs.most_common(1)[0]
    for word, cut in cuts.items():
        for i in range(len(cut) - 1, 0, -1):
            if cut[i - 1:i + 1] == [left, right]:
                cut[i - 1:i + 1] = [left + right]
    print(f"{left} + {right}, {times} times:".ljust(20), "  ".join("·".join(cut) for cut in cuts.values()))

# %% [markdown] tags=["en"]
# The first three merges find 있다, 재미 and 없다. The fourth glues a whole word together, only because it is frequent: BPE never asks whether it could
# do without. **Unigram** (유니그램, Kudo 2018; kolab-mini's and KoBERT's way) comes from the other side. It begins with *every* substring, gives each
# a probability, cuts each word into the most probable row of pieces, and throws out what is missed least. The cut is a small search
# (Viterbi's), and it is all the mathematics there is:

# %% [markdown] tags=["ko"]
# 처음 세 번의 병합이 있다, 재미, 없다를 찾아냅니다. 네 번째는 자주 나온다는 이유만으로 단어 하나를 통째로 붙여 버려요. BPE는 그 조각 없이도 되는지 묻지 않거든요.
# **유니그램**(unigram, Kudo 2018. kolab-mini와 KoBERT의 방식)은 반대편에서 옵니다. *모든* 부분 문자열로 시작해 하나하나에 확률을 주고, 단어마다 가장 그럴듯한
# 조각들로 자른 다음, 없어도 가장 덜 아쉬운 것을 버려요. 자르기는 작은 탐색(비터비 알고리즘)이고, 수학은 이것이 전부입니다.

# %%
def best_cut(word, score):
    """The row of pieces with the highest sum of log probabilities, and that sum."""
    best = [(0.0, [])]                                             # best[n]: the best cut of the first n characters
    for end in range(1, len(word) + 1):
        best.append(max((best[start][0] + score[word[start:end]], best[start][1] + [word[start:end]])
                        for start in range(end) if word[start:end] in score))
    return best[-1]

def scores(pieces, rounds=4):
    """Log probabilities that suit the words: cut, count, cut again (EM with the best cut alone)."""
    counts = Counter()
    for word, times in words.items():                              # at first every substring counts
        for a in range(len(word)):
            for b in range(a + 1, len(word) + 1):
                counts[word[a:b]] += times
    for _ in range(rounds):
        total = sum(counts[piece] + 0.01 for piece in pieces)
        score = {piece: math.log((counts[piece] + 0.01) / total) for piece in pieces}
        counts = Counter()
        for word, times in words.items():                          # from then on those of the best cuts
            for piece in best_cut(word, score)[1]:
                counts[piece] += times
    return score

def cost(score):
    """What all words together cost: minus the log probability of their best cuts."""
    return -sum(times * best_cut(word, score)[0] for word, times in words.items())

# %%
pieces, steps = {word[a:b] for word in words for a in range(len(word)) for b in range(a + 1, len(word) + 1)}, []
while True:
    score = scores(pieces)
    missed = {piece: cost({p: s for p, s in score.items() if p != piece}) - cost(score) for piece in pieces if len(piece) > 1}
    weakest = sorted(missed, key=lambda piece: (missed[piece], piece))
    drop = [piece for piece in weakest if missed[piece] < 0.1] or weakest[:1]       # nobody misses them; else the one missed least
    steps.append({"pieces": len(pieces), "cost": cost(score), "재미없다": " · ".join(best_cut("재미없다", score)[1]),
                  "맛있다": " · ".join(best_cut("맛있다", score)[1]), "thrown out": " ".join(drop), "missed by": missed[drop[0]]})
    if len(pieces) <= 9:                                                            # the size that was asked for
        steps[-1] |= {"thrown out": "", "missed by": None}
        break
    pieces -= set(drop)
print("left:", " ".join(sorted(pieces, key=lambda piece: -score[piece])))
pd.DataFrame(steps).style.format({"cost": "{:.1f}", "missed by": "{:.1f}"}, na_rep="").hide()

# %% [markdown] tags=["en"]
# The first round throws out what no best cut ever uses, such as 미있. Then it costs something: one whole word after the other goes, the
# rarest first, since it can be put together from parts that are needed anyway (and once it is gone these parts are counted more often, so the bill rises
# less than 'missed by' has feared). What stays is 재미, 맛, 있다, 없다, and the single
# characters (never thrown out, so that any word can be cut). Stems and endings, and nobody mentioned grammar.
#
# The real trainer does just that, with every substring of a corpus, soft counts over all cuts instead of the best one, and a quarter thrown out in each round.

# %% [markdown] tags=["ko"]
# 첫 회에는 미있처럼 가장 좋은 자르기에 한 번도 쓰이지 않는 것들이 버려집니다. 그다음부터는 값을 치러요. 드문 단어부터 하나씩 통째로 사라집니다. 어차피 필요한
# 조각들을 모아 만들 수 있으니까요(사라지고 나면 그 조각들이 더 자주 세어지므로, 비용은 'missed by'가 걱정한 만큼 늘지 않습니다). 남는 것은 재미, 맛, 있다, 없다, 그리고 글자 하나짜리들이에요(어떤 단어든 자를 수 있어야 하니 절대 버리지 않습니다).
# 어간과 어미가 갈렸는데, 문법 이야기는 아무도 꺼낸 적이 없습니다.
#
# 진짜 학습기도 똑같은 일을 합니다. 말뭉치 전체의 부분 문자열로 시작하고, 가장 좋은 자르기 하나 대신 모든 자르기에 걸친 기댓값으로 세고, 한 회에 4분의 1씩 버린다는 점만 달라요.

# %% [markdown] tags=["en"]
# ## The real one, and what becomes of ㅋㅋ, ㅠㅠ and emoji
#
# `train_tokenizer` in `kolab/tokenizer_training.py` is this, plus **byte fallback** (바이트 폴백, lesson 2): the 256 bytes are pieces too, so that nothing is ever
# unknown. How many pieces to keep is your choice, and it is a trade: each costs a row of numbers in the model, and each piece you do
# not have makes texts longer.
#
# ### Predict before you run
# A vocabulary of 500 is small: 5 special tokens, 256 bytes, 239 pieces. Into how many tokens does it cut 배터리가 하루 종일 가요 (ten syllables)?

# %% [markdown] tags=["ko"]
# ## 진짜 토크나이저, 그리고 ㅋㅋ, ㅠㅠ, 이모지의 운명
#
# `kolab/tokenizer_training.py`의 `train_tokenizer`가 바로 이것에 **바이트 폴백**(byte fallback, 2강)을 더한 것입니다. 바이트 256개도 조각으로 들어 있어서 모르는 글자가
# 없어요. 조각을 몇 개 남길지는 여러분이 정하고, 이것은 거래입니다. 조각 하나마다 모델에 숫자 한 줄이 들고, 없는 조각 하나마다 글이 길어지니까요.
#
# ### 실행 전에 예상하기
# 어휘 500은 작습니다. 특수 토큰 5개, 바이트 256개, 조각 239개. 배터리가 하루 종일 가요(열 글자)는 토큰 몇 개로 잘릴까요?

# %%
guess = kl.predict("13.a", {"4": 4, "7": 7, "12": 12, "23": 23})

# %%
from kolab.tokenizer_training import train_tokenizer

tokenizers = {size: train_tokenizer(texts, size) for size in (500, 1000, 2000, 4000, 8002)}
kl.reveal(guess, measured=len(tokenizers[500].tokenize("배터리가 하루 종일 가요")))

# %%
examples = ("배터리가 하루 종일 가요", "ㅋㅋㅋㅋㅋㅋ", "ㅠㅠ", "좋네요 👍", "🔥")
short = lambda piece: piece.replace("<0x", "").replace(">", "")            # <0xF0>, a byte, shown as F0
pd.DataFrame([["  ".join(map(short, t.tokenize(text))) for text in examples] for t in tokenizers.values()], columns=examples,
             index=pd.Index([f"{size:,}" for size in tokenizers], name="vocabulary")).style

# %% [markdown] tags=["en"]
# At 500 even common syllables are spelt in bytes, three apiece. ㅋㅋ comes in at 1,000, ㅠㅠ at 2,000, and 👍 only at 8,002: it was frequent enough
# for a piece of its own. 🔥 was not, and stays four bytes, readable all the same. What a larger vocabulary buys, and what it costs:

# %% [markdown] tags=["ko"]
# 500에서는 흔한 글자도 바이트 세 개씩으로 풀어 씁니다. ㅋㅋ는 1,000에서, ㅠㅠ는 2,000에서 조각이 되고, 👍는 8,002에 와서야 자기 자리를 얻어요. 🔥는 그만큼
# 자주 나오지 않아 바이트 네 개로 남지만, 그래도 읽을 수는 있습니다. 어휘가 커지면 무엇을 얻고 무엇을 치를까요?

# %%
characters = sum(map(len, unseen))
rate = {size: sum(len(t.tokenize(text)) for text in unseen) / characters for size, t in tokenizers.items()}
_, mini_tokenizer = kl.load_encoder("kolab-mini")
film_rate = sum(len(mini_tokenizer.tokenize(text)) for text in unseen) / characters

figure, (left, right) = kl.plots.new(2)
kl.plots.lines({"trained on these texts": list(rate.values())}, x=list(rate), markers=True, xlabel="entries of the vocabulary",
               ylabel="tokens a character", title="Unseen texts get shorter …", ax=left)
left.plot(len(mini_tokenizer), film_rate, "s", color=kl.plots.ORANGE, label="kolab-mini's, from film reviews")
left.set_ylim(bottom=0)
left.legend(fontsize=9)
kl.plots.lines({"": [256 * size / 1e6 for size in rate]}, x=list(rate), markers=True, xlabel="entries of the vocabulary",
               ylabel="million parameters", title="… the embedding table gets longer (256 wide)", ax=right)
figure

# %% [markdown] tags=["en"]
# Most of the gain comes early. And the orange square: a vocabulary counted on film reviews cuts *these* texts finer than one of
# 4,000 that knows them. For two minutes of training we take 2,000: every piece comes often enough to learn something about it.

# %% [markdown] tags=["ko"]
# 이득은 대부분 앞쪽에서 납니다. 주황색 네모도 보세요. 영화 리뷰에서 센 어휘는 *이* 글들을, 이 글을 아는 4,000짜리 어휘보다도 잘게 자릅니다. 2분짜리 학습에는 2,000을 쓰겠습니다.
# 조각마다 무언가를 배울 만큼은 자주 나오거든요.

# %% [markdown] tags=["en"]
# ## Masking by hand
#
# Of the ordinary tokens a share is **chosen** (BERT: 15 %; kolab-mini: 20 %). Of the chosen ones 80 % become [MASK], 10 % another token, at random, and 10 %
# stay as they are; the model has to name *all* of the chosen ones. Why not simply [MASK] for all? Fine-tuning never shows a
# [MASK]. A model that has to doubt every token learns to say something about every token.

# %% [markdown] tags=["ko"]
# ## 손으로 가리기
#
# 보통 토큰 가운데 일부가 **뽑힙니다**(BERT는 15 %, kolab-mini는 20 %). 뽑힌 것의 80 %는 [MASK]로, 10 %는 아무 토큰으로 바뀌고, 10 %는 그대로 남아요. 모델은 뽑힌 것을
# *전부* 맞혀야 합니다. 왜 모두 [MASK]로 바꾸지 않을까요? 미세조정할 때는 [MASK]가 나오지 않기 때문입니다. 어느 토큰이든 의심해야 하는 모델이라야 어느 토큰에 대해서든
# 할 말이 생깁니다.

# %%
tokenizer = tokenizers[2000]
ids = tokenizer("배터리가 하루 종일 가서 정말 만족해요 ㅋㅋ 화면도 좋아요")["input_ids"]
chance = np.random.default_rng(116)                                        # a seed whose draw shows all three cases
piece = lambda number: tokenizer.convert_ids_to_tokens(number)
rows = []
for token in ids:
    chosen = token not in tokenizer.all_special_ids and chance.random() < 0.35     # more than usual, for the show
    what, other = chance.random(), int(chance.integers(5 + 256, len(tokenizer)))   # ids 0 to 4 are special, 5 to 260 bytes
    seen = token if not chosen or what >= 0.9 else tokenizer.mask_token_id if what < 0.8 else other
    rows.append({"token": piece(token), "chosen": "yes" if chosen else "", "the model sees": piece(seen), "label": piece(token) if chosen else -100})
pd.DataFrame(rows).T

# %% [markdown] tags=["en"]
# The label of what was not chosen is **-100**, the number that `F.cross_entropy` passes over. [CLS] and [SEP] are never chosen, nor is padding. And
# in the next pass the same review gets other blanks: `MaskingCollator` in `kolab/masking.py` masks *dynamically*, where the first BERT
# made a few masked copies of each text and read those again and again.

# %% [markdown] tags=["ko"]
# 뽑히지 않은 것의 라벨은 **-100**, `F.cross_entropy`가 건너뛰는 숫자입니다. [CLS]와 [SEP]은 절대 뽑히지 않고 패딩도 마찬가지예요. 그리고 다음 바퀴에는 같은 리뷰에 다른 빈칸이
# 생깁니다. `kolab/masking.py`의 `MaskingCollator`는 그때그때 *동적으로* 가리거든요. 첫 BERT는 글마다 가린 사본을 몇 벌 만들어 두고 그것만 되풀이해 읽었습니다.

# %%
from kolab.masking import MaskingCollator

items = [{"input_ids": np.array(ids), "start": 0, "turn": turn} for turn in range(3)]     # one text in three passes
batch = MaskingCollator(tokenizer, share=0.2)(items)
for row in batch["input_ids"]:
    print(" ".join(tokenizer.convert_ids_to_tokens(row.tolist())))

many = MaskingCollator(tokenizer, share=0.2)([{"input_ids": np.array(ids), "start": 50 * n, "turn": 0} for n in range(4000)])
sees = many["input_ids"].flatten()[many["chosen"]]
print(f"\nof {len(ids) - 2} x 4,000 ordinary tokens {len(sees) / (len(ids) - 2) / 4000:.1%} chosen; of these {(sees == tokenizer.mask_token_id).float().mean():.1%} [MASK], "
      f"{(sees == many['labels']).float().mean():.1%} unchanged, the others random")

# %% [markdown] tags=["en"]
# ### Exercise 13.1 · 80, 10, 10
# ●●●○○ · 20 minutes
#
# Write `mask(ids, special, mask_id, vocabulary, share, generator)`. `ids` is (B, L) with [CLS], [SEP] and padding in it; `special` is the set of all
# special ids (they may be any numbers), `mask_id` among them; ordinary ids are all others from 0 to `vocabulary` - 1. Return two tensors (B, L): what the
# model sees, and the labels, with -100 where nothing is asked. Draw from `generator` alone, and leave `ids` as it is.
# Stuck? `kl.hint("13.1")`, up to three times.

# %% [markdown] tags=["ko"]
# ### 연습 13.1 · 80, 10, 10
# ●●●○○ · 20분
#
# `mask(ids, special, mask_id, vocabulary, share, generator)`를 쓰세요. `ids`는 (B, L)이고 [CLS], [SEP], 패딩이 섞여 있습니다. `special`은 특수 id 전체의 집합이고(어떤 숫자든
# 될 수 있어요) `mask_id`도 그 안에 있습니다. 보통 id는 0부터 `vocabulary` - 1까지의 나머지 전부예요. (B, L) 텐서 두 개, 곧 모델이 보는 것과 라벨을 돌려주세요. 묻지 않는 자리의
# 라벨은 -100입니다. 난수는 `generator`에서만 뽑고, `ids`는 건드리지 마세요.
# 막히면 `kl.hint("13.1")`, 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def mask(ids, special, mask_id, vocabulary, share, generator):
    ...

# %% tags=["solution"]
def mask(ids, special, mask_id, vocabulary, share, generator):
    ordinary = ~torch.isin(ids, torch.tensor(sorted(special)))
    chosen = ordinary & (torch.rand(ids.shape, generator=generator) < share)
    what = torch.rand(ids.shape, generator=generator)
    candidates = torch.tensor([i for i in range(vocabulary) if i not in special])          # never a [PAD] in the middle of a text
    random = candidates[torch.randint(len(candidates), ids.shape, generator=generator)]
    seen = ids.clone()
    seen[chosen & (what < 0.8)] = mask_id
    swap = chosen & (what >= 0.8) & (what < 0.9)
    seen[swap] = random[swap]
    return seen, torch.where(chosen, ids, -100)                                            # what stays is asked for all the same

# %% tags=["check"]
kl.check("13.1", mask)

# %% [markdown] tags=["en"]
# ## What a loss says: perplexity
#
# The loss of a blank is -log of the probability that the model gave the right token. Its mean over all blanks is hard to picture; its
# exponential is not. **Perplexity** (퍼플렉서티) is the number of equally likely tokens among which a guesser would be just as lost. Two guessers
# need no network, and every curve below starts with them:
#
# - one that knows nothing gives each of the V tokens 1/V: its perplexity is V;
# - one that knows only how *frequent* each token is. A network learns that first, too: it takes no look at the neighbours.

# %% [markdown] tags=["ko"]
# ## 손실이 말해 주는 것: 퍼플렉서티
#
# 빈칸 하나의 손실은 모델이 정답 토큰에 준 확률의 -log입니다. 모든 빈칸에 걸친 평균은 감이 잘 오지 않지만, 그 지수는 감이 와요. **퍼플렉서티**(perplexity)는 똑같이 그럴듯한
# 토큰 몇 개를 앞에 두고 헤매는 것과 같은지를 나타내는 수입니다. 신경망 없이도 맞히는 사람이 둘 있고, 아래의 곡선은 모두 이 둘에서 시작합니다.
#
# - 아무것도 모르는 사람은 토큰 V개에 모두 1/V를 줍니다. 퍼플렉서티는 V예요.
# - 토큰이 얼마나 *자주* 나오는지만 아는 사람. 신경망도 이것부터 배웁니다. 이웃을 볼 필요가 없으니까요.

# %%
def frequency_loss(tokenizer, known, new):
    """Mean loss, on `new` texts, of a guesser that knows only how often each token came in `known` texts."""
    count = Counter(i for ids in tokenizer(known, add_special_tokens=False)["input_ids"] for i in ids)
    total = sum(count.values()) + len(tokenizer)                            # every token once more: nothing is impossible
    guessed = [-math.log((count[i] + 1) / total) for ids in tokenizer(new, add_special_tokens=False)["input_ids"] for i in ids]
    return sum(guessed) / len(guessed)

knows_nothing, knows_frequency = math.log(len(tokenizer)), frequency_loss(tokenizer, texts, unseen)
pd.DataFrame({"loss": [knows_nothing, knows_frequency], "perplexity": [len(tokenizer), math.exp(knows_frequency)]},
             index=["knows nothing", "knows how frequent each token is"]).style.format({"loss": "{:.2f}", "perplexity": "{:,.0f}"})

# %% [markdown] tags=["en"]
# ### Exercise 13.2 · Perplexity
# ●●○○○ · 10 minutes
#
# Write `perplexity(batches)`: each batch is a pair of logits (B, L, V) and labels (B, L), -100 where nothing is asked. Every blank of all batches has the
# same weight, whichever batch it came in; a batch may hold no blank at all.
# Stuck? `kl.hint("13.2")`.

# %% [markdown] tags=["ko"]
# ### 연습 13.2 · 퍼플렉서티
# ●●○○○ · 10분
#
# `perplexity(batches)`를 쓰세요. 배치마다 로짓 (B, L, V)와 라벨 (B, L)의 쌍이고, 묻지 않는 자리의 라벨은 -100입니다. 빈칸은 어느 배치에 있었든 모두 같은 무게로 셉니다.
# 빈칸이 하나도 없는 배치도 있을 수 있어요.
# 막히면 `kl.hint("13.2")`.

# %% tags=["exercise"]
def perplexity(batches):
    ...

# %% tags=["solution"]
def perplexity(batches):
    total, count = 0.0, 0
    for logits, labels in batches:
        total += F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum").item()    # passes over -100
        count += (labels != -100).sum().item()
    return math.exp(total / count)                                                                 # once, at the very end

# %% tags=["check"]
kl.check("13.2", perplexity)

# %% [markdown] tags=["en"]
# ## Two minutes of pre-training
#
# `pretrain`, in `kolab/pretrain.py`, is what the command `kolab pretrain` calls: it reads the corpus, writes the token ids into one array, sets some texts aside, plans
# the steps, and runs the loop of lesson 4 (`fit`) with the masking of above. The network is small, 4 layers of 128, and it reads three million tokens: each text some twenty times. On two
# free cores that takes about two minutes. (On the command line `--minutes 2` measures your machine first and plans what fits.)
#
# ### Predict before you run
# After two minutes, where is the loss on held-out texts?

# %% [markdown] tags=["ko"]
# ## 2분 동안의 사전학습
#
# `kolab/pretrain.py`의 `pretrain`은 `kolab pretrain` 명령이 부르는 바로 그 함수입니다. 말뭉치를 읽어 토큰 id를 배열 하나에 담고, 글 일부를 따로 떼어 두고,
# 스텝을 계획해서, 4강의 루프(`fit`)를 위의 마스킹과 함께 돌려요. 신경망은 작습니다. 128 너비의 층 네 개. 토큰 300만 개, 그러니까 글마다 스무 번쯤 읽습니다. 코어 두 개가 놀고 있다면
# 2분쯤 걸려요. (명령줄에서 `--minutes 2`라고 하면 컴퓨터의 속도를 먼저 재고 그 시간에 맞게 계획합니다.)
#
# ### 실행 전에 예상하기
# 2분 뒤, 따로 떼어 둔 글에서 손실은 어디쯤 있을까요?

# %%
guess = kl.predict("13.b", ["still near 'knows nothing'", "near 'knows how frequent each token is'", "clearly below both", "close to 0"])

# %%
from kolab.pretrain import pretrain
from kolab.pretrain_config import PretrainConfig
from kolab.tokenizer_training import save_tokenizer

work = Path(tempfile.mkdtemp())
(work / "texts.txt").write_text("\n".join(texts), encoding="utf-8")                   # one text a line
save_tokenizer(tokenizer, work / "tokenizer")
config = PretrainConfig(
    corpus=str(work / "texts.txt"), tokenizer=str(work / "tokenizer"), folder=str(work / "run"), tokens=kl.pick(full=3_000_000, quick=10_000),
    layers=4, width=128, heads=4, max_length=64, positions=64, batch_tokens=2048, lr=2e-3, held_out=0.1, evaluations=12)
own = pretrain(config, progress=False)
history = pd.DataFrame(map(json.loads, (work / "run" / "history.jsonl").read_text(encoding="utf-8").splitlines()))
history[["step", "train_loss", "validation_loss", "accuracy"]].style.format({"step": "{:,}", "train_loss": "{:.2f}", "validation_loss": "{:.2f}", "accuracy": "{:.1%}"}).hide()

# %%
end = history["validation_loss"].iloc[-1]
kl.reveal(guess, measured=f"{end:.2f}, perplexity {math.exp(end):.0f}",
          answer=0 if end > (knows_nothing + knows_frequency) / 2 else 1 if end > knows_frequency - 0.3 else 2 if end > 0.5 else 3)

# %%
figure = kl.plots.lines({"training": history["train_loss"], "held-out texts": history["validation_loss"]}, x=history["step"], markers=True,
                        xlabel="step", ylabel="loss of a blank", title="Two minutes on the course's own texts")
ax = figure.axes[0]
for height, label in ((knows_nothing, "knows nothing"), (knows_frequency, "knows how frequent each token is")):
    ax.axhline(height, color=kl.plots.GREY, linestyle="--", linewidth=0.9)
    ax.text(history["step"].iloc[-1], height + 0.05, label, ha="right", fontsize=8, color=kl.plots.GREY)
ax.set_ylim(top=knows_nothing + 0.4)
figure

# %% [markdown] tags=["en"]
# By the first evaluation the network has come down to the line of the frequencies: that part is cheap. Then the loss creeps. After some hundred steps the fall grows
# steeper again: now the network looks at the neighbours of a blank. You will meet the same bend in the real run below. And since the blanks are drawn anew in each pass, the two curves stay
# close for many passes over the same texts; where they part, the network has begun to know its texts by heart, and more passes are no longer a substitute for more text.

# %% [markdown] tags=["ko"]
# 첫 평가 때 벌써 빈도의 선까지 내려와 있습니다. 거기까지는 값이 싸요. 그다음에는 손실이 기어가듯 줄어듭니다. 그러다 몇백 스텝이 지나면 다시 가파르게 떨어져요. 이제 빈칸의 이웃을 보기 시작한
# 겁니다. 아래 진짜 사전학습에서도 똑같이 꺾이는 자리를 만나게 돼요. 그리고 빈칸을 바퀴마다 새로 뽑기 때문에 같은 글을 여러 바퀴 돌아도 두 곡선은 한동안 붙어 있습니다. 벌어지기 시작하는 곳이 글을
# 외우기 시작한 곳이고, 거기서부터는 바퀴 수가 글의 양을 대신하지 못합니다.

# %% [markdown] tags=["en"]
# ## The real run
#
# kolab-mini came about in the same way, with 6 layers of 256, a vocabulary of 8,001 and 617 thousand film reviews. This is what was recorded while
# it trained. It was done in three parts: the first was planned to the end, with a learning rate that came down to zero; since the loss was still falling, the rate was
# raised to its peak again and training went on; a third, short part took it down to zero for good. The tokens' axis is logarithmic.

# %% [markdown] tags=["ko"]
# ## 진짜 사전학습
#
# kolab-mini도 똑같이 만들어졌습니다. 256 너비의 층 여섯 개, 어휘 8,001개, 영화 리뷰 61만 7천 개로요. 학습하는 동안 기록된 것이 아래에 있습니다. 학습은 세 부분으로 나뉘어요.
# 첫 부분은 학습률이 0으로 내려가도록 끝까지 계획한 것이고, 그때도 손실이 계속 떨어지고 있어서 학습률을 다시 최고점까지 올려 이어서 학습했으며, 짧은 셋째 부분에서 마침내 0까지
# 내렸습니다. 토큰 축은 로그입니다.

# %%
curve = kl.measure.recorded("pretraining")
where, meta = curve.attrs["machine"], curve.attrs["meta"]
print(f"{where['gpu'] or where['cpu']}, {where['cores']} cores, {curve.attrs['date']}\n{meta['data']}\n{meta['recipe']}")
held = curve.dropna(subset=["held_out_loss"])
rows = np.unique(np.geomspace(1, len(held), 8).round().astype(int)) - 1
held.iloc[rows][["step", "tokens", "minutes", "held_out_loss", "held_out_accuracy"]].assign(perplexity=np.exp(held["held_out_loss"])).style.format(
    {"step": "{:,}", "tokens": "{:,}", "minutes": "{:.0f}", "held_out_loss": "{:.2f}", "held_out_accuracy": "{:.1%}", "perplexity": "{:,.0f}"}).hide()

# %%
from matplotlib.ticker import LogLocator, NullFormatter

def token_axis(ax):
    """A logarithmic axis of tokens, labelled in millions."""
    ax.set(xscale="log", xlabel="tokens read")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda tokens, _: f"{tokens / 1e6:g} M")
    ax.xaxis.set_minor_formatter(NullFormatter())

figure, (left, middle, right) = kl.plots.new(3, width=10.5)
seen = curve.dropna(subset=["loss"])
kl.plots.lines({"training": (seen["tokens"], seen["loss"]), "held-out reviews": (held["tokens"], held["held_out_loss"])},
               ylabel="loss of a blank", title="kolab-mini's pre-training", ax=left)
kl.plots.lines({"": (held["tokens"], 100 * held["held_out_accuracy"])}, markers=True, ylabel="blanks filled right, %",
               title="What it gets right", ax=middle)
kl.plots.lines({"": (curve["tokens"], curve["lr"])}, ylabel="learning rate", title="The learning rate", ax=right)
for ax in (left, middle, right):
    token_axis(ax)
left.axhline(math.log(len(mini_tokenizer)), color=kl.plots.GREY, linestyle="--", linewidth=0.9)
left.text(seen["tokens"].iloc[-1], math.log(len(mini_tokenizer)) + 0.05, "knows nothing", ha="right", fontsize=8, color=kl.plots.GREY)
figure

# %% [markdown] tags=["en"]
# Read it from left to right. First a fast fall: how frequent each token is. Then a shelf, around a loss of 7, where little seems to happen for two
# million tokens. Then the loss breaks away: the layers have found that a token's neighbours say something about it. Whoever had stopped on the
# shelf would have reported that pre-training does not work.
#
# And the bump at 17 million? There the rate went up again. Part of what the first run had won at its end was only the calm of a small
# rate; it took ten million tokens to win it back, and then the loss went on falling. So **compare two runs only where both have come down**: a loss in
# the middle of a schedule is no final score.
#
# All the while the two losses lie close together. In four and a half passes a text comes four or five times, each time with other blanks. That is too little to learn it by heart.

# %% [markdown] tags=["ko"]
# 왼쪽에서 오른쪽으로 읽어 봅시다. 처음에는 빠르게 떨어져요. 토큰이 얼마나 자주 나오는지를 배우는 구간입니다. 그다음은 손실 7 근처의 선반. 토큰 200만 개를 읽는 동안 별일이
# 없어 보입니다. 그러다 뚝 떨어져요. 이웃한 토큰이 무언가를 알려 준다는 것을 층들이 찾아낸 겁니다. 선반에서 멈춘 사람은 사전학습이 안 된다고 보고했을 거예요.
#
# 1,700만에서 솟은 혹은 무엇일까요? 거기서 학습률을 다시 올렸습니다. 첫 학습이 막판에 얻은 것의 일부는 작은 학습률이 준 고요함일 뿐이었어요. 그것을 되찾는 데 토큰 천만 개가 들었고,
# 그 뒤로 손실은 계속 떨어졌습니다. 그러니 **두 학습은 둘 다 끝까지 내려온 자리에서만 견주세요.** 스케줄 한가운데의 손실은 최종 점수가 아닙니다.
#
# 그러는 내내 두 손실은 바짝 붙어 있습니다. 네 바퀴 반이면 글 하나가 네다섯 번, 매번 다른 빈칸으로 나오는데, 외우기에는 모자란 횟수예요.

# %% [markdown] tags=["en"]
# ### Exercise 13.3 · How many tokens more?
# ●●●○○ · 12 minutes
#
# After the warm-up such curves often follow a **power law** (멱법칙): loss = a · tokens^-b, a straight line where both axes are logarithmic. Write
# `tokens_for(tokens, losses, goal, warmup)`: fit it by least squares (in the logarithms) to the points with `tokens >= warmup`, and return how many tokens, counted from the
# beginning, it takes until the loss is `goal`. `tokens` and `losses` are lists.
# Stuck? `kl.hint("13.3")`.

# %% [markdown] tags=["ko"]
# ### 연습 13.3 · 토큰이 얼마나 더 필요할까?
# ●●●○○ · 12분
#
# 웜업(warm-up)이 끝나면 이런 곡선은 흔히 **멱법칙**(power law)을 따릅니다. 손실 = a · 토큰^-b, 두 축이 모두 로그일 때 직선이에요. `tokens_for(tokens, losses, goal, warmup)`를
# 쓰세요. `tokens >= warmup`인 점들에 (로그를 취해) 최소제곱으로 맞추고, 손실이 `goal`이 될 때까지 처음부터 세어 토큰이 몇 개 드는지 돌려줍니다. `tokens`와 `losses`는 리스트입니다.
# 막히면 `kl.hint("13.3")`.

# %% tags=["exercise"]
def tokens_for(tokens, losses, goal, warmup):
    ...

# %% tags=["solution"]
def tokens_for(tokens, losses, goal, warmup):
    tokens, losses = np.array(tokens, dtype=float), np.array(losses)
    late = tokens >= warmup                                                      # before it another law holds
    slope, start = np.polyfit(np.log(tokens[late]), np.log(losses[late]), 1)     # log loss = slope · log tokens + start
    return float(np.exp((np.log(goal) - start) / slope))

# %% tags=["check"]
kl.check("13.3", tokens_for)

# %% [markdown] tags=["en"]
# ### Is the law any good?
#
# A fit that is tested on the points it was fitted to always looks fine. We can do better, since history has done the experiment: when the first part was over, at 17 million
# tokens, one could have asked what three times as much would bring. So fit the first part alone, and look where the end came to lie.

# %% [markdown] tags=["ko"]
# ### 이 법칙, 믿을 만할까?
#
# 맞출 때 쓴 점으로 시험하면 어떤 법칙이든 그럴듯해 보입니다. 우리는 더 나은 시험을 할 수 있어요. 실험이 이미 끝나 있으니까요. 첫 부분이 끝난 1,700만 토큰에서, 세 배를 더 읽히면
# 무엇을 얻을지 물을 수 있었을 겁니다. 그러니 첫 부분에만 맞추고, 끝이 어디에 놓였는지 봅시다.

# %%
tokens, losses = held["tokens"].to_numpy(float), held["held_out_loss"].to_numpy()
part = (tokens >= 3e6) & (tokens <= 17e6)                            # after the warm-up and the shelf, before the rate went up again
power = np.polyfit(np.log(tokens[part]), np.log(losses[part]), 1)
straight = np.polyfit(tokens[part], losses[part], 1)
line = np.geomspace(3e6, 6e7, 60)

figure, ax = kl.plots.new()
ax.plot(tokens[~part], losses[~part], "o", color=kl.plots.GREY, label="not used for the fit")
ax.plot(tokens[part], losses[part], "o", color=kl.plots.BLUE, label="first part: used")
ax.plot(line, np.exp(np.polyval(power, np.log(line))), color=kl.plots.ORANGE, label=f"power law, exponent {power[0]:.2f}")
ax.plot(line, np.polyval(straight, line), color=kl.plots.RED, linestyle="--", label="straight line")
token_axis(ax)
ax.set(ylabel="loss of a blank, held-out", title="The first part predicts the end", ylim=(3, 6.5), xlim=(2.8e6, 7e7))
ax.legend(fontsize=8)
for name, guessed in (("power law", np.exp(np.polyval(power, np.log(tokens[-1])))), ("straight line", np.polyval(straight, tokens[-1]))):
    print(f"{name:14} says {guessed:5.2f} for {tokens[-1] / 1e6:.0f} million tokens; measured {losses[-1]:.2f}; off by {guessed - losses[-1]:+.2f}")
figure

# %% [markdown] tags=["en"]
# The straight line promises a loss of 0.4, as if reviews could be guessed almost word for word. The power law is far closer, and still too hopeful, by a third
# of a unit. Where has the third gone? There are three suspects, and this curve cannot tell them apart: ten million tokens went into the bump; from 12 million on the network read texts it had already read; and a network of this size has a
# floor that a · tokens^-b knows nothing of. Bigger studies fit the floor as well (Hoffmann et al., 2022). The law is a good tool for the next factor of two, and a
# promise nobody has to keep after that.

# %% [markdown] tags=["ko"]
# 직선은 손실 0.4를 약속합니다. 리뷰를 거의 한 글자씩 맞힐 수 있다는 말이에요. 멱법칙은 훨씬 가깝지만 그래도 3분의 1만큼 낙관적입니다. 그 3분의 1은 어디로 갔을까요? 용의자는 셋이고, 이 곡선만으로는 가려낼 수 없습니다. 토큰 천만 개는
# 혹을 넘는 데 들었고, 1,200만 개부터는 이미 읽은 글을 다시 읽었으며, 이만한 신경망에는 a · 토큰^-b가 모르는 바닥이 있습니다. 더 큰 연구들은 바닥까지 함께 맞춰요(Hoffmann 외, 2022).
# 멱법칙은 두 배 앞까지 내다보는 데는 좋은 연장이고, 그 너머로는 아무도 지킬 의무가 없는 약속입니다.

# %% [markdown] tags=["en"]
# ### Is there a quicker way off the shelf?
#
# A higher rate, more blanks, whole words instead of single tokens, smaller batches and so more steps: each has its advocates. Before an hour is spent on one of them, a short trial is cheap.
# `kolab bench recipes` lets each recipe read four million tokens from the same random weights, and scores all of them on the same held-out blanks, whatever they were trained with, and on
# the probe of the next section. Blanks of one's own making would not do: whole words are harder to guess than single tokens, and a loss on harder blanks says nothing about the network.

# %% [markdown] tags=["ko"]
# ### 선반에서 더 빨리 내려오는 길은 없을까?
#
# 더 높은 학습률, 더 많은 빈칸, 토큰 대신 단어 통째로 가리기, 작은 배치로 스텝 늘리기. 저마다 옹호하는 사람이 있습니다. 그중 하나에 몇 시간을 쏟기 전에 짧게 시험해 보는 건 값이 싸요.
# `kolab bench recipes`는 방법마다 똑같은 무작위 가중치에서 출발해 토큰 400만 개를 읽히고, 무엇으로 배웠든 모두 같은 빈칸과 다음 절의 프로브로 점수를 매깁니다. 각자 만든 빈칸으로 재면 안 돼요. 단어를 통째로 가리면 토큰 하나보다
# 맞히기 어렵고, 더 어려운 빈칸에서 나온 손실은 신경망에 대해 말해 주는 것이 없으니까요.

# %%
try:
    trials = kl.measure.recorded("recipes")
    print(f"{trials.attrs['machine']['cpu']}, {trials.attrs['date']}: {trials.attrs['meta']['tokens']:,} tokens each; plain: {trials.attrs['meta']['plain']}")
except kl.errors.DataError:
    trials = pd.DataFrame()
    print("Nothing is recorded yet. `kolab bench recipes --raw FILE.parquet` measures it.")
trials.drop(columns=["seed"], errors="ignore").style.format({"held_out_loss": "{:.2f}", "held_out_accuracy": "{:.1%}", "macro_f1": "{:.3f}", "minutes": "{:.0f}"}).hide()

# %% [markdown] tags=["en"]
# Look at the loss of the plain recipe: four million tokens end on the shelf, and its probe is no better than random weights' below. So such a trial tells which recipe leaves the shelf
# sooner, and no more. One seed each: small differences are chance. Hiding 40 % left it first here: more blanks are more questions for the same reading. (kolab-mini was trained with 20 %; this trial came
# after it.) Which recipe *ends* higher is another question, and costs what the real run cost.

# %% [markdown] tags=["ko"]
# 맨 위 방법(plain)의 손실을 보세요. 토큰 400만 개로는 아직 선반 위이고, 프로브 점수도 아래에 나올 무작위 가중치와 다를 바 없습니다. 그러니 이런 시험이 알려 주는 것은 어느 방법이 선반에서 먼저 내려오는가, 거기까지예요.
# 시드도 하나씩이라 작은 차이는 우연입니다. 여기서는 40 %를 가린 쪽이 먼저 내려왔어요. 빈칸이 많으면 같은 글을 읽고도 더 많은 질문을 받으니까요(kolab-mini는 20 %로 학습했습니다. 이 시험이 그보다
# 나중이었거든요). 어느 방법이 *끝에서* 더 높은지는 다른 질문이고, 진짜 사전학습만큼의 값이 듭니다.

# %% [markdown] tags=["en"]
# ## What is it good for? The probe
#
# Nobody wants a low loss for its own sake. The question is what an encoder is worth *after fine-tuning*, so it was stopped at several moments of its
# pre-training, and fine-tuned each time on the same task: 3,526 reviews of films it never saw, good, middling or bad, and 4,000 others to test; once at a rate of 2e-4, once at 4e-4.
# 0 tokens is the same network with random weights. The rival is a bag of character n-grams with logistic regression, tuned.
#
# ### Predict before you run
# How many tokens does it take until the encoder beats the bag?

# %% [markdown] tags=["ko"]
# ## 무엇에 쓸까? 프로브
#
# 낮은 손실 자체를 원하는 사람은 없습니다. 물어야 할 것은 *미세조정하고 나서* 인코더가 얼마나 쓸모 있는가예요. 그래서 사전학습 도중 여러 시점의 인코더를 꺼내, 매번 같은 과제로
# 미세조정했습니다. 본 적 없는 영화의 리뷰 3,526개(좋음, 보통, 나쁨)로 배우고 다른 4,000개로 시험해요. 학습률은 2e-4로 한 번, 4e-4로 한 번. 토큰 0은 같은 신경망에 무작위 가중치를
# 넣은 것입니다. 맞수는 조정을 마친 문자 n-그램과 로지스틱 회귀고요.
#
# ### 실행 전에 예상하기
# 토큰을 몇 개 읽어야 인코더가 n-그램을 이길까요?

# %%
guess = kl.predict("13.c", ["under 2 million", "2 to 10 million", "10 to 50 million", "over 50 million", "not within this run"])

# %%
study = kl.measure.recorded("checkpoints")
bag = study.loc[study["tokens"].isna(), "macro_f1"].mean()
models = study.dropna(subset=["tokens"])
scores = models.groupby(["tokens", "lr"])["macro_f1"].agg(["mean", "std"]).unstack("lr").swaplevel(axis=1).sort_index(axis=1)
best = scores.xs("mean", axis=1, level=1).max(axis=1)                     # each encoder at the rate that suits it
better = [tokens for tokens, mean in best.items() if mean > bag]
kl.reveal(guess, measured=f"{better[0] / 1e6:,.0f} million tokens" if better else "not within this run",
          answer=int(np.searchsorted([2e6, 1e7, 5e7], better[0], side="right")) if better else 4)
scores.style.format("{:.3f}").format_index("{:,.0f}").format_index("{:g}", axis=1, level=0)

# %%
first = best.index[best.index > 0].min() / 4                              # 0 has no place on a logarithmic axis: it gets one on the left
figure, ax = kl.plots.new()
place = lambda tokens: np.where(tokens == 0, first, tokens)
for (rate, runs), color in zip(models.groupby("lr"), (kl.plots.BLUE, kl.plots.ORANGE)):
    ax.plot(place(runs["tokens"]), runs["macro_f1"], "o", color=color, alpha=0.5, markersize=4)
    ax.plot(place(best.index), runs.groupby("tokens")["macro_f1"].mean(), color=color, label=f"fine-tuned at {rate:g}: mean, and each seed")
ax.axhline(bag, color=kl.plots.GREY, linestyle="--", label=f"bag of n-grams: {bag:.3f}")
token_axis(ax)
ax.set_xticks(place(best.index), [f"{tokens / 1e6:g} M" if tokens else "0" for tokens in best.index])
ax.set(xlabel="tokens of pre-training (logarithmic, but for the 0)", ylabel="macro-F1 on unseen films", title="What pre-training buys")
ax.legend(fontsize=9)
figure

# %% [markdown] tags=["en"]
# Left of where the line crosses the dashed one, pre-training was time thrown away for this task: a bag of n-grams, ready in seconds, is better. To the right every
# doubling costs as much as everything before it, so read off what it buys. Look at the dots as well: where two neighbouring
# columns overlap, a single seed could have told you either story.
#
# Now compare the two colours. With random weights, and after four million tokens, the rates differ by no more than the seeds do. After 17 million the lower rate
# is better by one point, after 53 million by two: the more an encoder has learned, the more a high rate overwrites. So the rate is part of the
# measurement. This study ran at 4e-4 alone at first, a rate chosen with a weaker encoder, and what the later hours of pre-training had brought was partly thrown away again in
# the four epochs that were meant to show it. When you try a better encoder, tune the rate again before you judge it.
#
# Mind what this does not show: one task, near to what was read; one size of network; one recipe.

# %% [markdown] tags=["ko"]
# 선이 점선과 만나는 곳의 왼쪽에서는 이 과제를 위한 사전학습이 헛수고였습니다. 몇 초면 되는 n-그램이 더 나으니까요. 오른쪽에서는 두 배로 늘릴 때마다 그때까지 든 것을 모두 합친 만큼이 또
# 듭니다. 그것으로 무엇을 얻는지 읽어 보세요. 점들도 보세요. 이웃한 두 기둥의 점이 겹치는 곳에서는 시드 하나만으로는 어느 쪽 이야기든 할 수 있었을 거예요.
#
# 이번에는 두 색을 견주어 보세요. 무작위 가중치와 토큰 400만 개에서는 두 학습률의 차이가 시드끼리의 차이보다 크지 않습니다. 1,700만 개에서는 낮은 쪽이 1점, 5,300만 개에서는 2점
# 낫습니다. 인코더가 배운 것이 많을수록 높은 학습률이 덮어써 버리는 것도 많아요. 그러니 학습률도 측정의 일부입니다. 이 실험은 처음에 4e-4로만 돌렸습니다. 더 약한 인코더로 고른 값이었죠. 그래서 뒤쪽
# 몇 시간의 사전학습이 가져다준 것을, 그것을 보여 줘야 할 에폭 네 번이 도로 깎아 먹었습니다. 더 나은 인코더로 바꿨다면 평가하기 전에 학습률부터 다시 맞추세요.
#
# 여기서 알 수 없는 것도 있습니다. 읽은 글과 가까운 과제 하나, 크기 하나, 방법 하나로 잰 것이니까요.

# %% [markdown] tags=["en"]
# ### And on other tasks?
#
# The films of the probe were new to the encoder, but films they were. `kolab bench probe` asks the same of reviews of devices and of everyday messages, over five splits each; and once more of
# film reviews, good or bad, with 150,000 labels to learn from. Everyone is tuned on the training part alone: the networks in rate and epochs, the bag in its n-grams and its C. Only the 150,000 are too
# dear for that: there the encoder ran once, untuned, two epochs at 2e-4 (a point without a bar is a single run).

# %% [markdown] tags=["ko"]
# ### 다른 과제에서는?
#
# 프로브의 영화는 인코더가 처음 보는 것이었지만 영화이기는 했습니다. `kolab bench probe`는 기기 리뷰와 일상 메시지에도 같은 것을 묻습니다. 분할 다섯 가지로요. 그리고 영화 리뷰를 한 번 더, 이번에는 좋음과 나쁨뿐이지만 배울
# 라벨이 15만 개입니다. 조정은 모두 학습 부분만 보고 했어요. 신경망은 학습률과 에폭 수, n-그램 쪽은 n-그램의 길이와 C를요. 15만 개짜리만은 그러기에 너무 비싸서, 인코더를 조정 없이 2e-4로 두 에폭, 한 번만
# 돌렸습니다(막대가 없는 점은 한 번 잰 값이에요).

# %%
measured = kl.measure.recorded("probe")
whole = measured[measured["part"] == "all"]
tasks = list(whole["task"].unique())[::-1]
figure, ax = kl.plots.new(height=2.8)
for shift, color, (model, rows) in zip((0.15, 0, -0.15), (kl.plots.BLUE, kl.plots.ORANGE, kl.plots.GREY), whole.groupby("model", sort=False)):
    ax.errorbar(rows["macro_f1"], [tasks.index(task) + shift for task in rows["task"]], xerr=rows["sd"].fillna(0), fmt="o", color=color, label=model)
ax.set_yticks(range(len(tasks)), tasks)
ax.set(xlabel=f"macro-F1: mean and standard deviation of {whole['runs'].max()} runs", title="One encoder, several tasks")
ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
display(figure)
whole.drop(columns=["part", "seconds"]).style.format({"macro_f1": "{:.3f}", "sd": "{:.3f}", "accuracy": "{:.3f}", "lr": "{:g}", "epochs": "{:.0f}"}, na_rep="").hide()

# %% [markdown] tags=["en"]
# On unseen films kolab-mini is six points ahead of the bag and eleven ahead of random weights. On the other two small tasks the order is another: pre-training still brings three points and
# eleven over random weights, and the bag is ahead of both, by three points on device reviews and four on messages. So lesson 3's dashed line was no accident. kolab-mini has read too little, and too
# much of one kind, to make up for what counting words gives at once on a few thousand short texts. Mind the bars, too: the splits of the messages spread by more than two points, and on one of the five the encoder won.
#
# And with 150,000 labels? The bag comes within a point and a half. What pre-training brings in, many labels bring as well; it is worth most where labels are few
# and texts are like those it read. KoBERT, thirteen times as large and pre-trained on far more, is published at 0.90 on such a task (NSMC, other rows), so the little one is not far behind at home.

# %% [markdown] tags=["ko"]
# 처음 보는 영화에서 kolab-mini는 n-그램보다 6점, 무작위 가중치보다 11점 앞섭니다. 나머지 작은 두 과제에서는 순서가 달라요. 사전학습은 여기서도 무작위 가중치보다 3점과 11점을 더 주지만, n-그램이 둘 다 앞지릅니다. 기기 리뷰에서 3점,
# 메시지에서 4점이요. 그러니 3강의 점선은 우연이 아니었습니다. kolab-mini는 읽은 글이 너무 적고 한쪽에 치우쳐서, 짧은 글 몇천 개에서 단어를 세기만 해도 바로 얻는 것을 따라잡지 못합니다. 막대도 보세요. 메시지는 분할에 따라 2점 넘게
# 흔들리고, 다섯 번 가운데 한 번은 인코더가 이겼습니다.
#
# 라벨이 15만 개라면? n-그램이 1점 반 차이까지 쫓아옵니다. 사전학습이 가져다주는 것을 많은 라벨도 가져다주거든요. 사전학습은 라벨이 적고 글이 읽은 것과 비슷할 때 가장 값집니다.
# 열세 배 크고 훨씬 많이 읽은 KoBERT가 이런 과제에서 0.90으로 발표되어 있으니(NSMC, 다른 행), 작은 인코더도 제 안방에서는 크게 뒤지지 않습니다.

# %% [markdown] tags=["en"]
# ## Filling blanks
#
# Now let it speak. The language-model head is in kolab-mini's file, so it can still do what it was trained for. `▁` marks the beginning of a word; the blank
# stands for one token. The first four sentences could stand in a film review, the other four could not. Put in your own.

# %% [markdown] tags=["ko"]
# ## 빈칸 채우기
#
# 이제 말을 시켜 봅시다. kolab-mini의 파일에는 언어 모델 헤드가 들어 있어서, 배운 일을 지금도 할 수 있습니다. `▁`는 단어의 시작이라는 표시이고, 빈칸 하나는 토큰 하나예요.
# 앞의 네 문장은 영화 리뷰에 있을 법하고, 뒤의 네 문장은 그렇지 않습니다. 여러분의 문장도 넣어 보세요.

# %%
from transformers import AutoModelForMaskedLM

filler = AutoModelForMaskedLM.from_pretrained(kl.data.data_path("kolab-mini")).eval()

@torch.no_grad()
def fill(sentence, model=filler, tokenizer=mini_tokenizer, count=5):
    """The most probable tokens for the word [MASK], with their probabilities."""
    left, right = (tokenizer(part.strip(), add_special_tokens=False)["input_ids"] for part in sentence.split("[MASK]"))
    ids = torch.tensor([[tokenizer.cls_token_id, *left, tokenizer.mask_token_id, *right, tokenizer.sep_token_id]])
    best = model(input_ids=ids).logits[0, 1 + len(left)].softmax(-1).topk(count)
    return [f"{token} {share:.0%}" for token, share in zip(tokenizer.convert_ids_to_tokens(best.indices.tolist()), best.values.tolist())]

film = ["내 인생 [MASK] 영화", "시간 가는 줄 [MASK] 봤어요", "배우들 [MASK] 정말 좋았다", "돈이 [MASK] 영화"]
other = ["배터리가 [MASK] 닳아요", "대한민국의 수도는 [MASK] 이다", "오늘 점심에 [MASK] 먹었다", "비가 와서 [MASK] 가져왔다"]
pd.DataFrame([fill(sentence) for sentence in film + other], index=film + other, columns=[f"{n}." for n in range(1, 6)])

# %% [markdown] tags=["en"]
# In its own world it is at home: the best film of my life, or the worst; time flew by; the acting was good; a waste of money. It even gets the endings right, since 시간 가는 줄
# leaves room for little else than 모르고.
#
# Outside it has opinions, too. The capital of Korea is a legend, and at lunch one eats shock and emotion (충격을 먹다, 감동을 먹다: people do write that of films). It does not
# say 'I do not know', only lower percentages. And it cannot say 우산 (umbrella) at all: that is two tokens, and a blank has room for one.

# %% [markdown] tags=["ko"]
# 제 세상에서는 능숙합니다. 내 인생 최고의 영화, 또는 최악의 영화. 시간 가는 줄 모르고, 배우들 연기가, 돈이 아까운. 어미까지 맞아요. '시간 가는 줄' 뒤에 올 말은 '모르고' 말고는 별로 없으니까요.
#
# 그 바깥에서도 할 말은 있습니다. 대한민국의 수도는 전설이고, 점심에는 충격과 감동을 먹어요(영화를 두고는 정말 그렇게들 쓰죠). '모르겠다'고는 하지 않고 확률만 낮아집니다. 그리고
# 우산이라는 답은 아예 할 수 없어요. 우산은 토큰 두 개인데 빈칸에는 하나만 들어가거든요.

# %%
own_model = AutoModelForMaskedLM.from_pretrained(own).eval()
pd.DataFrame([fill(sentence, own_model, tokenizer) for sentence in other + film[:2]], index=other + film[:2], columns=[f"{n}." for n in range(1, 6)])

# %% [markdown] tags=["en"]
# And this is the network you have just trained, on the same blanks. It has read about batteries, which kolab-mini has not, so some of its words fit the topic; but it has mostly learned what is frequent, and it
# offers that nearly everywhere. Two minutes teach a network which words there are. What goes with what takes the millions of the curve above.

# %% [markdown] tags=["ko"]
# 이번에는 방금 여러분이 학습시킨 신경망에 같은 빈칸을 주었습니다. kolab-mini가 읽지 못한 배터리 이야기를 읽었으니 화제에 맞는 말도 나오지만, 배운 것은 대부분 무엇이 자주 나오는지여서
# 거의 어디에나 그것을 내놓습니다. 2분이면 어떤 말이 있는지는 배웁니다. 어떤 말이 어떤 말과 어울리는지는 위 곡선의 수천만 토큰이 있어야 해요.

# %% [markdown] tags=["en"]
# ### The same in one number
#
# Eight sentences are an anecdote. Perplexity over thousands of blanks is not: how lost is kolab-mini in each kind of text? (The row of film reviews is the
# recorded one: the reviews it held out. All numbers belong to one tokenizer. With another one a blank is another thing, so perplexities of two models with
# different vocabularies cannot be compared.)

# %% [markdown] tags=["ko"]
# ### 같은 것을 숫자 하나로
#
# 문장 여덟 개는 일화일 뿐이지만, 빈칸 수천 개의 퍼플렉서티는 그렇지 않습니다. kolab-mini는 어떤 글에서 얼마나 헤맬까요? (영화 리뷰 줄은 기록된 값으로, 따로 떼어 둔 리뷰에서
# 잰 것입니다. 숫자는 모두 같은 토크나이저에서 나왔어요. 토크나이저가 다르면 빈칸 하나의 뜻이 달라지니, 어휘가 다른 두 모델의 퍼플렉서티는 견줄 수 없습니다.)

# %%
from kolab.masking import MaskedModel, TextsInTurns, TokenBudgetSampler, evaluate_masked
from kolab.pretrain import encode

def blanks(texts, model, tokenizer):
    """Mean loss and share of right answers over the masked tokens of some texts."""
    part = TextsInTurns(*encode(list(texts), tokenizer, max_length=128))
    loader = torch.utils.data.DataLoader(part, batch_sampler=TokenBudgetSampler(part.lengths, 4096, shuffle=False),
                                         collate_fn=MaskingCollator(tokenizer, share=0.2, seed=1))
    return evaluate_masked(MaskedModel(model), loader)

some = kl.pick(full=1200, quick=60)
kinds = {"device reviews": reviews["train"]["text"][:some], "everyday messages": emotions["train"]["text"][:some]}
found = {"film reviews (recorded)": {"loss": losses[-1], "accuracy": held["held_out_accuracy"].iloc[-1]}}
found |= {kind: blanks(part, filler, mini_tokenizer) for kind, part in kinds.items()}
table = pd.DataFrame(found).T
table.insert(1, "perplexity", np.exp(table["loss"]))
table.style.format({"loss": "{:.2f}", "perplexity": "{:,.0f}", "accuracy": "{:.1%}"})

# %% [markdown] tags=["en"]
# About half as lost among film reviews as among reviews of phones, and messages between friends are stranger still. The Korean is the same; the words,
# the topics and the tone are not. That is what people mean by **domain** (도메인): the encoder you take was pre-trained on something, and you pay for the distance.

# %% [markdown] tags=["ko"]
# 영화 리뷰에서는 휴대폰 리뷰에서의 절반쯤만 헤매고, 친구끼리 주고받는 말은 더 낯설어합니다. 한국어인 것은 같은데 낱말과 화제와 말투가 다르죠. 사람들이 **도메인**(domain)이라고
# 부르는 것이 이것입니다. 여러분이 고르는 인코더도 무언가로 사전학습된 것이고, 거리가 먼 만큼 값을 치르게 됩니다.

# %% [markdown] tags=["en"]
# ## Take-aways
#
# - A vocabulary is counted, not designed. What is rare in its texts is long in its tokens, whoever needs it later.
# - Chosen is not the same as hidden: of the chosen tokens a tenth is shown as it is, and asked for all the same. Special tokens and padding are never asked for.
# - Sum the losses, count the blanks, divide once, take the exponential last. Compare perplexities only within one tokenizer.
# - Draw the guessers that know nothing and know frequencies into every loss curve. A shelf near the second is a beginning, not the end.
# - A law fitted to a curve is a claim about data it has not seen. Test it there.
# - Judge an encoder by the task you want it for, over several seeds, beside a bag of n-grams.
#
# ## Where to go next
#
# With a network and an evening you can do the real thing:
#
# ```
# kolab fetch nsmc --raw                       # 712,404 film reviews (CC0), checked, as one parquet file
# kolab pretrain ~/.kolab/data/nsmc/nsmc_raw.parquet --text-column text --hold-out-column movie --minutes 60 --folder runs/mine
# kolab bench probe --encoder runs/mine/model --raw ~/.kolab/data/nsmc/nsmc_raw.parquet
# ```
#
# Any text file does as well, one text a line: your own field's words, counted and learned. `kl.load_encoder("runs/mine/model")` then takes the place of kolab-mini in every other lesson.

# %% [markdown] tags=["ko"]
# ## 정리
#
# - 어휘는 설계하는 것이 아니라 세는 것입니다. 센 글에서 드물던 말은, 나중에 누가 필요로 하든 토큰이 길어져요.
# - 뽑힌 것과 가려진 것은 다릅니다. 뽑힌 토큰의 10분의 1은 그대로 보여 주면서도 똑같이 묻습니다. 특수 토큰과 패딩은 절대 묻지 않고요.
# - 손실을 더하고, 빈칸을 세고, 한 번만 나누고, 지수는 맨 끝에. 퍼플렉서티는 같은 토크나이저 안에서만 견주세요.
# - 손실 곡선에는 늘 아무것도 모르는 사람과 빈도만 아는 사람의 선을 그으세요. 두 번째 선 근처의 선반은 끝이 아니라 시작입니다.
# - 곡선에 맞춘 법칙은 아직 보지 못한 데이터에 대한 주장입니다. 거기서 시험하세요.
# - 인코더는 쓰려는 과제로, 시드를 여러 개 써서, n-그램 옆에 세워 놓고 판단하세요.
#
# ## 다음으로
#
# 네트워크와 하루 저녁이 있다면 진짜로 해 볼 수 있습니다.
#
# ```
# kolab fetch nsmc --raw                       # 영화 리뷰 712,404개(CC0)를 받아 확인하고 parquet 파일 하나로
# kolab pretrain ~/.kolab/data/nsmc/nsmc_raw.parquet --text-column text --hold-out-column movie --minutes 60 --folder runs/mine
# kolab bench probe --encoder runs/mine/model --raw ~/.kolab/data/nsmc/nsmc_raw.parquet
# ```
#
# 한 줄에 글 하나씩 적힌 텍스트 파일이면 무엇이든 됩니다. 여러분 분야의 말을 세고 배우게 하세요. 그런 다음 `kl.load_encoder("runs/mine/model")`가 다른 모든 과에서 kolab-mini를 대신할 수 있어요.
