# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {display_name: Python 3 (ipykernel), language: python, name: python3}
# ---

# %% [markdown] tags=["en"]
# # 0. Start here
#
# *In about a minute you go from nothing to a classifier that reads Korean reviews, and you meet the three habits of this
# course: guess first, then measure, and let a check be the judge.*
#
# | you will be able to | time | you need |
# |---|---|---|
# | find your way through the course, its guesses, hints and checks | 20 min | Python; no Korean needed, though it helps |
# | fine-tune a Korean encoder in six lines, and try it on sentences of your own | | a laptop; no GPU, no network |

# %% [markdown] tags=["ko"]
# # 0. 여기서 시작하세요
#
# *1분 남짓이면 아무것도 없는 상태에서 한국어 리뷰를 읽는 분류기까지 만들 수 있습니다. 그러면서 이 강의의 세 가지 습관을 익힙니다.
# 먼저 예상하고, 직접 재 보고, 판정은 검사에 맡기는 것입니다.*
#
# | 배우고 나면 할 수 있는 것 | 시간 | 준비물 |
# |---|---|---|
# | 강의의 구성과 예상, 힌트, 검사를 쓰는 법을 안다 | 20분 | 파이썬 기초 |
# | 한국어 인코더를 여섯 줄로 미세 조정하고, 내가 쓴 문장에 써 본다 | | 노트북 컴퓨터(GPU도 인터넷도 필요 없음) |

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

# %% [markdown] tags=["en"]
# Every lesson begins with this cell. It says which versions and which processor you have, compares the course's data with
# their checksums, and lets figures draw Hangul. A red ✗ comes with a line that says how to mend it.
#
# ## The map
#
# | lesson | what you do there |
# |---|---|
# | **0 Start here** | train a first classifier; learn how guesses, hints and checks work |
# | **1 Load and clean** | open 4,900 dirty reviews, find out what is wrong with them, split them without a leak, set a baseline to beat |
# | **2 Tokenise and collate** | see what a tokenizer makes of Korean; build batches that are hardly padding |
# | **3 A classifier on an encoder** | put a pooling and a head on a pre-trained encoder, shape by shape |
# | **4 Full fine-tuning** | write the training loop by hand, read its curves, report a score one may believe |
# | **5 LoRA against full fine-tuning** | train two small matrices instead of one large one; see over seeds what that costs |
# | **6 Gradient accumulation** | prove that many small batches equal a big one, and find where two libraries get it wrong |
# | **7 Mixed precision** | take numbers apart to the bit, lose gradients and get them back, predict a step's memory |
# | **8 Schedules and regularisation** | put sixteen pieces of advice to the test, one by one |
# | **9 Imbalance and cross-validation** | five unequal emotions: weights, copies, folds, honest probabilities |
# | **10 Multi-label** | texts with several labels or none; thresholds, and what they are worth on new texts |
# | **11 Ensemble** | three encoders vote; the test set stays locked until the end |
# | **13 Pre-train your own** | make such an encoder yourself: vocabulary, masks, and what more training would buy |
#
# The lessons build on one another in what they teach, but each runs from its own file alone. Start at any.

# %% [markdown] tags=["ko"]
# 모든 강의는 이 셀로 시작합니다. 어떤 버전과 장치를 쓰고 있는지 알려 주고, 데이터의 체크섬을 확인하고, 그림에 한글이 나오도록 해 둡니다.
# 빨간 ✗가 보이면 그 줄에 고치는 방법이 함께 나옵니다.
#
# ## 강의 지도
#
# | 강의 | 하는 일 |
# |---|---|
# | **0 여기서 시작하세요** | 첫 분류기를 학습시키고, 예상·힌트·검사 쓰는 법을 익힙니다 |
# | **1 불러오기와 정제** | 지저분한 리뷰 4,900건을 열어 무엇이 잘못됐는지 세고, 새지 않게 나누고, 넘어야 할 기준선을 세웁니다 |
# | **2 토큰화와 배치 만들기** | 토크나이저가 한국어를 어떻게 자르는지 보고, 패딩이 거의 없는 배치를 만듭니다 |
# | **3 인코더 위의 분류기** | 사전 학습된 인코더에 풀링과 헤드를 얹으며 모든 단계의 모양(shape)을 확인합니다 |
# | **4 전체 미세 조정** | 학습 루프를 직접 쓰고, 곡선을 읽고, 믿을 수 있는 점수를 보고합니다 |
# | **5 LoRA와 전체 미세 조정** | 큰 행렬 하나 대신 작은 행렬 두 개를 학습시키고, 그 대가를 여러 시드로 재 봅니다 |
# | **6 그래디언트 누적** | 작은 배치 여럿이 큰 배치 하나와 같음을 증명하고, 두 라이브러리가 어긋나는 곳을 찾습니다 |
# | **7 혼합 정밀도** | 숫자를 비트까지 뜯어보고, 사라진 그래디언트를 되살리고, 한 스텝의 메모리를 예측합니다 |
# | **8 스케줄과 정규화** | 흔히 듣는 조언 열여섯 가지를 하나씩 시험합니다 |
# | **9 불균형과 교차 검증** | 수가 제각각인 다섯 감정으로 가중치, 복제, 폴드, 믿을 만한 확률을 다룹니다 |
# | **10 다중 라벨** | 라벨이 여럿이거나 하나도 없는 글을 다루고, 임곗값이 새 글에서 얼마나 쓸모 있는지 확인합니다 |
# | **11 앙상블** | 인코더 셋이 투표합니다. 테스트 세트는 끝까지 잠가 둡니다 |
# | **13 직접 사전 학습하기** | 어휘와 마스킹부터 인코더를 직접 만들고, 더 학습하면 무엇을 얻는지 봅니다 |
#
# 내용은 순서대로 이어지지만, 노트북은 저마다 따로 실행됩니다. 어디서 시작해도 괜찮아요.

# %% [markdown] tags=["en"]
# ## The task
#
# Reviews of phones, laptops, earphones. Each is negative (부정), neutral or mixed (중립), or positive (긍정). A language
# model wrote them for this course, half plain, half deliberately hard: witty, sarcastic, indirect. `data/README.md` says
# what that means for the scores you will see.

# %% [markdown] tags=["ko"]
# ## 과제
#
# 휴대폰, 노트북, 이어폰 같은 기기의 리뷰입니다. 하나하나가 부정, 중립(또는 섞인 평가), 긍정 가운데 하나예요. 이 강의를 위해 언어 모델이
# 쓴 글이고, 절반 가까이는 일부러 어렵게(재치 있게, 비꼬아서, 에둘러) 썼습니다. 그래서 앞으로 볼 점수가 무엇을 뜻하는지는
# `data/README.md`에 적혀 있습니다.

# %%
reviews = kl.load_reviews()
names = reviews["train"].features["label"].names  # 부정, 중립, 긍정

table = reviews["train"].to_pandas()
table["polarity"] = [names[label] for label in table["label"]]
table.groupby("polarity").head(2)[["polarity", "style", "text"]].style.hide(axis="index").set_properties(**{"text-align": "left"})

# %% [markdown] tags=["en"]
# The line above the table counts the rows that were dropped or mended; lesson 1 is about them.
#
# ### Predict before you run
# Below, an encoder (인코더) that has read Korean but never a review's label is fine-tuned (미세 조정) for a few passes over
# 3,500 reviews. The commonest class makes up 45 % of them. How many of the reviews that it has never seen will it get right?
#
# Choose before you go on. A wrong guess costs nothing and teaches the most: you find out that you believed something.

# %% [markdown] tags=["ko"]
# 표 위의 한 줄은 버리거나 고친 행을 센 것입니다. 1강이 바로 그 이야기예요.
#
# ### 실행하기 전에 예상해 보세요
# 이제 한국어 글은 읽었지만 리뷰의 정답은 한 번도 본 적 없는 인코더(encoder)를 리뷰 3,500건으로 몇 번 반복해서 미세 조정(fine-tuning)합니다.
# 가장 흔한 클래스가 45 %를 차지합니다. 처음 보는 리뷰를 얼마나 맞힐까요?
#
# 넘어가기 전에 고르세요. 틀려도 잃을 것이 없고, 오히려 가장 많이 배웁니다. 내가 무엇을 믿고 있었는지 알게 되니까요.

# %%
guess = kl.predict("0.a", {"45 %, like always saying 긍정": 45, "65 %": 65, "80 %": 80, "95 %": 95})

# %% [markdown] tags=["en"]
# ## Six lines
#
# An encoder with its tokenizer (토크나이저), batches of token numbers, a classifier on top, and the training loop. The
# following lessons open each of these lines and write what is inside by hand.

# %% [markdown] tags=["ko"]
# ## 여섯 줄
#
# 인코더와 토크나이저(tokenizer), 토큰 번호로 된 배치, 그 위의 분류기, 그리고 학습 루프. 다음 강의부터는 이 줄들을 하나씩 열어 안에 있는 것을
# 직접 써 봅니다.

# %%
encoder, tokenizer = kl.load_encoder("kolab-mini")
loaders = kl.make_loaders(reviews, tokenizer, batch_size=32)
model = kl.Classifier.build(encoder, names, seed=0)
config = kl.TrainConfig(epochs=kl.pick(full=3, quick=1), max_steps=kl.pick(full=None, quick=8))
with kl.measure.stopwatch() as watch:
    history = kl.fit(model, loaders, config)

# %%
predictions = kl.train.predict(model, loaders.test)
right = predictions.labels == predictions.references.numpy()
kl.reveal(guess, measured=100 * right.mean(), unit=" %", text=f"Trained for {watch.seconds:.0f} seconds; {len(reviews['test'])} reviews never seen before.")

# %% [markdown] tags=["en"]
# One number hides a lot. Here are the same reviews, sorted into what they are (rows) and what they were taken for
# (columns); the diagonal is right.

# %% [markdown] tags=["ko"]
# 숫자 하나는 많은 것을 가립니다. 같은 리뷰를 실제 클래스(행)와 예측한 클래스(열)로 나누어 보겠습니다. 대각선이 맞힌 것입니다.

# %%
kl.plots.confusion(predictions.labels, predictions.references, names, title=f"시험용 리뷰 {len(reviews['test'])}건")

# %% [markdown] tags=["en"]
# Look at the corners. Most mistakes are not made with neutral reviews: a complaint is taken for praise, or praise for a
# complaint. Lesson 4 reads them one by one.
#
# ## Type a sentence
#
# Change the text: the bars move with every key. Try to fool it, with irony for instance.

# %% [markdown] tags=["ko"]
# 네 귀퉁이를 보세요. 실수는 대부분 중립이 아니라 불평을 칭찬으로, 칭찬을 불평으로 읽은 데서 나옵니다. 4강에서 하나하나 읽어 봅니다.
#
# ## 문장을 입력해 보세요
#
# 글을 고치면 글자 하나마다 막대가 움직입니다. 비꼬는 말 같은 것으로 모델을 속여 보세요.

# %%
kl.widgets.classifier_widget(model, tokenizer, "배터리가 하루 종일 가요 ㅋㅋ 완전 만족")

# %% [markdown] tags=["en"]
# The same four sentences for everybody, so that we can talk about them:

# %% [markdown] tags=["ko"]
# 함께 이야기할 수 있게, 모두 같은 문장 네 개를 넣어 봅시다.

# %%
import pandas as pd

sentences = [
    "소리가 맑고 가벼워서 매일 써요",           # plainly positive
    "일주일 만에 고장났어요 ㅠㅠ",              # plainly negative
    "그냥 그래요. 싼 맛에 씁니다",              # neither
    "화면은 예쁜데 켜지질 않네요. 액자로 쓰렵니다",  # irony
]
found = kl.train.predict(model, sentences, tokenizer=tokenizer)
pd.DataFrame(found.probabilities.numpy(), columns=names, index=sentences).style.format("{:.0%}").background_gradient(cmap="Blues", vmin=0, vmax=1)

# %% [markdown] tags=["en"]
# The first three come out as anybody would say. The fourth is a plain complaint to a person: *the screen is pretty, only it
# will not light up; I shall use it as a picture frame*. The model sees a kind word beside an unkind one and cannot decide between
# negative and neutral.
#
# ## How exercises work
#
# An exercise is a function to write. The cell after it checks your answer on random inputs, new ones each time, against a
# slow and plainly right version. A check has three verdicts: grey, *not done yet*; red, with what is wrong in words; green.
# It accepts any right answer, however it is written, and it remembers what you have done, also when you close the notebook.
#
# - **Stuck?** `kl.hint("0.1")` gives a nudge, called again a skeleton, and at last nearly the answer.
# - **Really stuck?** `solutions/` holds every lesson with its exercises solved.
# - **In a hurry?** *Run All* reaches the end of every lesson with nothing solved. With the environment variable
#   `KOLAB_QUICK=1` everything is trimmed to seconds; the code is the same, the numbers then mean nothing.

# %% [markdown] tags=["ko"]
# 앞의 세 문장은 누가 봐도 그럴 답입니다. 네 번째는 사람이 읽으면 영락없는 불평이지만, 모델은 좋은 말과 나쁜 말이 함께 있는 것을 보고 부정과
# 중립 사이에서 망설입니다.
#
# ## 연습 문제는 이렇게 풉니다
#
# 문제마다 함수를 하나 씁니다. 바로 다음 셀이 매번 새로운 무작위 입력으로, 느리지만 틀림없는 구현과 견주어 답을 검사해요. 판정은 세 가지입니다.
# 회색은 *아직 안 풂(not done yet)*, 빨간색은 틀림(무엇이 틀렸는지 말로 알려 줍니다), 초록색은 맞음. 어떻게 썼든 맞기만 하면 통과하고, 노트북을
# 닫아도 푼 기록은 남습니다.
#
# - **막혔나요?** `kl.hint("0.1")`이 실마리를 줍니다. 한 번 더 부르면 뼈대를, 세 번째에는 거의 답을 보여 줘요.
# - **그래도 안 풀리면** `solutions/`에 모든 문제를 푼 노트북이 있습니다.
# - **바쁜가요?** 아무것도 풀지 않고 *Run All*을 눌러도 끝까지 실행됩니다. 환경 변수 `KOLAB_QUICK=1`을 주면 몇 초 만에 끝나게
#   줄여서 돌립니다. 코드는 같지만 그때 나온 숫자에는 의미가 없어요.

# %% [markdown] tags=["en"]
# ### Exercise 0.1 · From logits to words
# ●○○○○ · 5 minutes
#
# A classifier gives logits (로짓): one row a text, one column a class, any real numbers, the larger the likelier. Write
# `names_of(logits, names)`: `logits` is a tensor of shape (texts, classes), `names` the list of class names. Return a list
# with the name of the likeliest class of each text.
# Stuck? `kl.hint("0.1")`, up to three times.

# %% [markdown] tags=["ko"]
# ### 연습 문제 0.1 · 로짓을 낱말로
# ●○○○○ · 5분
#
# 분류기는 로짓(logits)을 내놓습니다. 행 하나가 글 하나, 열 하나가 클래스 하나이고, 값은 아무 실수나 될 수 있으며 클수록 그 클래스일 가능성이
# 큽니다. `names_of(logits, names)`를 쓰세요. `logits`는 (글, 클래스) 모양의 텐서, `names`는 클래스 이름의 리스트입니다. 글마다 가장 그럴듯한
# 클래스의 이름을 담은 리스트를 돌려주면 됩니다.
# 막히면 `kl.hint("0.1")`을 세 번까지 부를 수 있어요.

# %% tags=["exercise"]
def names_of(logits, names):
    ...

# %% tags=["solution"]
def names_of(logits, names):
    return [names[number] for number in logits.argmax(dim=1).tolist()]  # dim 1: along each text's row

# %% tags=["check"]
kl.check("0.1", names_of)

# %% [markdown] tags=["en"]
# Your record of the whole course, here or in any lesson:

# %% [markdown] tags=["ko"]
# 지금까지의 기록은 어느 강의에서나 이렇게 볼 수 있습니다.

# %%
kl.progress()

# %% [markdown] tags=["en"]
# ## Take-aways
# - Fine-tuning is six lines: encoder, batches, head, loop. The rest of the course is about what can go wrong in each.
# - Guess before you measure, and measure before you believe. That holds for what this course says, too.
# - An accuracy means nothing without what it is compared with: here, 45 % is what one gets for always saying 긍정.
#
# ## Where to go next
# **Lesson 1, Load and clean**: 528 rows were dropped before you saw the first. Find out why, and what it would have cost to
# keep them.

# %% [markdown] tags=["ko"]
# ## 정리
# - 미세 조정은 여섯 줄이면 됩니다. 인코더, 배치, 헤드, 루프. 나머지 강의는 그 하나하나에서 무엇이 잘못될 수 있는지를 다룹니다.
# - 재기 전에 예상하고, 믿기 전에 재 보세요. 이 강의가 하는 말도 마찬가지입니다.
# - 정확도는 견줄 대상이 있어야 의미가 있습니다. 여기서는 늘 긍정이라고만 답해도 45 %가 나옵니다.
#
# ## 다음 강의
# **1강, 불러오기와 정제**: 첫 행을 보기도 전에 528행이 버려졌습니다. 왜 버렸는지, 그대로 두었다면 어떤 대가를 치렀을지 알아봅니다.
