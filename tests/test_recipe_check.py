"""What `kolab train` refuses, before it has loaded anything; and going on with a checkpoint whose labels fit."""

import dataclasses
import json

import pytest
import torch
from transformers import AutoTokenizer

import kolab as kl
from kolab import cli, recipe, recipe_check
from kolab.errors import ConfigError
from kolab.recipe import DataConfig, LossConfig, ModelConfig, Recipe
from kolab.recipe_file import parse_recipe
from kolab.train import TrainConfig

SIX = ["--data.rows", "64", "--train.epochs", "1", "--train.precision", "fp32", "--train.max_steps", "1"]


@pytest.fixture
def nothing_is_loaded(monkeypatch):
    for module, name in ((recipe, "load_data"), (recipe, "prepare"), (kl.model, "load_encoder")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("something was loaded"))


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            "--loss.kind binary_cross_entropy",
            "each text of data.name=reviews has exactly one. Take cross_entropy",
        ),
        (
            "--loss.kind cross_entropy --data.name kote",
            "data.name=kote carry several, or none. Take binary_cross",
        ),
        ("--loss.kind cross_entrpy", "Did you mean 'cross_entropy'"),
        ("--loss.smoothing 0.1 --data.name aspects", "softens the one right label"),
        ("--loss.smoothing 1.5", "at least 0 and below 1"),
        ("--loss.class_weight balanced", "Did you mean 'loss.class_weights'"),
        ("--train.precision fp16 --train.device cpu", "needs a CUDA GPU"),
        ("--train.precision bf15", "precision is 'bf15'"),
        ("--train.device gpu", "it has to be 'cpu', to leave a GPU alone"),
        ("--train.metric f2", "train.metric is 'f2'. There are f1, accuracy"),
        ("--train.metric accurracy", "Did you mean 'accuracy'"),
        ("--train.tracker tensorbord", "Did you mean 'tensorboard'"),
        ("--train.schedule cosin", "linear, cosine or constant"),
        ("--train.epochs three", "train.epochs is 'three'; it has to be a whole number."),
        ("--data.rows=many", "data.rows is 'many'; it has to be int or null."),
        ("--train.epochs 0", "a whole number from 1"),
        ("--train.lr nan", "train.lr is 'nan'; it has to be a number"),
        ("--train.keep_best maybe", "train.keep_best"),
        ("--data.name nsmcc", "Did you mean 'nsmc'"),
        ("--data.name kotte", "Did you mean 'kote'"),
        ("--data.classes 3", "only nsmc can be told"),
        ("--data.name nsmc --data.classes 4", "2, or 3 by rating"),
        ("--data.groups true", "is for data.name=kote"),
        ("--data.path x", "reviews are bundled"),
        ("--data.name aihub", "needs data.path"),
        ("--model.pooling meen", "Did you mean 'mean'"),
        ("--model.head linaer", "Did you mean 'linear'"),
        ("--model.dropout 1", "a probability"),
        ("--model.encoder kcelektra", "Did you mean 'kcelectra'"),
        ("--model.encoder /no/such/folder", "give a folder that exists"),
        ("--modle.encoder kobert", "Did you mean 'model.encoder'"),
        (
            "--config=emotion_full.yaml",
            "Did you mean 'emotions_full.yaml'? The course has accumulation_study.yaml",
        ),
        ("--config mine/emotions_full.yaml", "There is no recipe 'mine/emotions_full.yaml'"),
        ("--config=emotions_full --train.epochz 3", "Did you mean 'train.epochs'"),
        ("emotions_full.yaml --epochs 3", "A recipe is given as `--config emotions_full.yaml`"),
        ("--study.kind batchs", "Did you mean 'batches'"),
        ("--model.adapter lora", "Did you mean 'LoRA'"),
        ("--model.adapter prefix", "a prefix cannot be merged into the weights"),
        ("--model.adapter LoRA --model.rank 0", "model.rank is 0"),
        ("--model.adapter LoRA --model.alpha -1", "above 0, or null for twice the rank"),
        ("--config unsmile_ensemble --model kcelektra", "Did you mean 'kcelectra'"),
        ("--config unsmile_ensemble --model.encoder kobert", "takes study.encoders, a list: --model kobert"),
        ("--config unsmile_ensemble --model.pooling meen", "Did you mean 'mean'"),
        ('--config techniques --study.encoders ["kolab-mni[:3]"]', "Did you mean 'kolab-mini'"),
        ("--config emotions_kfold --study.encoders [kobert]", "Give that as model.encoder"),
        ("--config emotions_kfold --model kobrt", "Did you mean 'kobert'"),
        ("--config emotions_kfold --model.adapter LoRA", "a study trains all of its encoders' weights"),
    ],
)
def test_refused_before_anything_is_loaded(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *words.split()]) == 1
    found = capsys.readouterr()
    assert says in found.err and "Traceback" not in found.err and not list(tmp_path.iterdir())


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train: {epochz: 3}", "'train.epochz'. Did you mean 'train.epochs'"),
        ("trian: {epochs: 3}", "'trian.epochs'. Did you mean 'train.epochs'"),
        ("train: {epochs: 2.5}", "train.epochs"),
        ("train: {lr: fast}", "train.lr"),
        ("data: {rows: [1, 2]}", "data.rows"),
        ("data: reviews", "There is no setting 'data'"),
        ("- train", "has to hold fields"),
        ("epochs", "has to hold fields"),
        ("train: {epochs: 3", "is not a YAML file"),
        ("train:\n\tepochs: 3", "is not a YAML file"),
        ("model: {encoder: !!python/object/apply:os.getcwd []}", "is not a YAML file"),
    ],
)
def test_a_file_that_says_it_wrongly(text, says, tmp_path):
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        parse_recipe(["--config", str(tmp_path / "mine.yaml")])
    assert says in str(error.value)


def test_a_recipe_is_found_however_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (
        ["--config", "emotions_full"], ["--config", "emotions_full.yaml"], ["--config=emotions_full.yaml"],
        ["--config", "kolab/recipes/emotions_full.yaml"], ["--epochs", "8", "--config", "emotions_full"],
    ):  # fmt: skip
        found, name = parse_recipe(words)
        assert name == "emotions_full" and found.data.name == "emotions" and found.train.epochs == 8
    (tmp_path / "emotions_full.yaml").write_text("train: {epochs: 2}", encoding="utf-8")
    assert parse_recipe(["--config=emotions_full.yaml"])[0].train.epochs == 2, (
        "a file of one's own comes first"
    )


def test_an_empty_file_and_an_empty_section_say_nothing(tmp_path):
    for number, text in enumerate(["", "# nothing\n", "train:\ndata:\n", "train:\n  epochs: 4\nmodel:\n"]):
        path = tmp_path / f"r{number}.yaml"
        path.write_text(text, encoding="utf-8")
        assert isinstance(parse_recipe(["--config", str(path)])[0], Recipe)


def test_auto_takes_the_loss_that_the_data_need():
    for name in recipe.SINGLE_LABEL:
        kind = DataConfig(name=name, path="x" if name == "aihub" else None)
        Recipe(data=kind, loss=LossConfig(kind="cross_entropy"))
    for name in recipe.MULTI_LABEL:
        Recipe(
            data=DataConfig(name=name), loss=LossConfig(kind="binary_cross_entropy", class_weights="balanced")
        )
    assert recipe_check.known_labels(DataConfig(name="nsmc", classes=3)) == ("부정", "중립", "긍정")
    assert len(recipe_check.known_labels(DataConfig(name="kote", groups=True))) == 7


# ---- a checkpoint


def saved(folder, labels, **options):
    """A trained classifier as a run leaves it, in RUN/best."""
    encoder, tokenizer = kl.load_encoder("kolab-mini", pretrained=False)
    encoder.encoder.layer = encoder.encoder.layer[:1]
    encoder.config.num_hidden_layers = 1
    model = kl.Classifier.build(encoder, labels, seed=0, **options)
    model.save_pretrained(folder / "best", tokenizer=tokenizer)
    return model


def test_a_label_set_that_is_not_the_checkpoints(tmp_path, request):
    saved(tmp_path / "two", ["부정", "긍정"])
    saved(tmp_path / "turned", ["긍정", "중립", "부정"])
    saved(tmp_path / "many", ["부정", "중립", "긍정"], multi_label=True)
    saved(tmp_path / "cls", ["부정", "중립", "긍정"], pooling="cls")
    request.getfixturevalue("nothing_is_loaded")

    def refused(name, **more):
        with pytest.raises(ConfigError) as error:
            Recipe(model=ModelConfig(encoder=str(tmp_path / name), **more))
        return str(error.value)

    assert "are not those of the checkpoint" in refused(
        "two"
    ) and "부정, 중립, 긍정; and 부정, 긍정" in refused("two")
    assert "in another order" in refused("turned")
    assert "gives any number of labels a text" in refused("many")
    assert "model.pooling is 'mean'" in refused("cls") and "Set model.pooling=cls" in refused("cls")
    assert "throw away" in refused("two", pretrained=False)
    config = tmp_path / "two" / "best" / "config.json"
    config.write_text("{", encoding="utf-8")
    with pytest.raises(kl.errors.CheckpointError, match=r"config\.json cannot be read"):
        Recipe(model=ModelConfig(encoder=str(tmp_path / "two")))


def test_training_goes_on_with_a_checkpoint_whose_labels_fit(tmp_path):
    before = saved(tmp_path / "run", ["부정", "중립", "긍정"])
    wanted = Recipe(
        data=DataConfig(rows=64, max_length=32), model=ModelConfig(encoder=str(tmp_path / "run")),
        train=TrainConfig(epochs=1, folder=str(tmp_path / "next")),
    )  # fmt: skip
    prepared = recipe.prepare(wanted)
    assert torch.equal(prepared.model.head.weight, before.head.weight), "the trained head, not a new one"
    encoder, _ = kl.load_encoder(tmp_path / "run" / "best")
    assert encoder.config.model_type == "bert", "as an encoder it is what is inside"


def test_a_run_is_not_scored_on_data_with_other_labels(tmp_path, capsys):
    saved(tmp_path, ["부정", "긍정"])
    settings = {"data": dataclasses.asdict(DataConfig(rows=64))}
    (tmp_path / "recipe.yaml").write_text(json.dumps(settings), encoding="utf-8")
    assert cli.main(["evaluate", str(tmp_path)]) == 1
    assert "are not those of the checkpoint" in capsys.readouterr().err
    (tmp_path / "recipe.yaml").write_text("data: {nam: reviews}", encoding="utf-8")
    assert cli.main(["evaluate", str(tmp_path)]) == 1
    assert "recipe.yaml is damaged" in capsys.readouterr().err


# ---- predict


def test_predict_cleans_as_training_does_and_says_which_row_is_empty(tmp_path, capsys):
    model = saved(tmp_path, ["부정", "중립", "긍정"])
    odd = ["좋아요<br>정말\u200b", "좋아요 정말", "\ud800 반쪽 글자", "a" * 200_000]
    csv_file = tmp_path / "reviews.csv"
    csv_file.write_text("text\n" + "\n".join(odd[:2] + odd[3:]) + "\n", encoding="utf-8")
    assert cli.main(["predict", str(tmp_path), "--file", str(csv_file), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 3 and rows[0] | {"text": ""} == rows[1] | {"text": ""} and rows[0]["text"] == odd[0]
    assert sum(rows[2][name] for name in ("부정", "중립", "긍정")) == pytest.approx(1, abs=1e-4)
    assert cli.main(["predict", str(tmp_path), odd[2], "--out", str(tmp_path / "out.csv")]) == 0
    assert (
        (tmp_path / "out.csv")
        .read_text(encoding="utf-8")
        .startswith("text,label,부정,중립,긍정\n? 반쪽 글자,")
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "best")
    expected = model(**tokenizer("좋아요 정말", return_tensors="pt")).logits.softmax(-1)[0]
    assert rows[1]["긍정"] == pytest.approx(expected[2].item(), abs=1e-4)
    capsys.readouterr()
    csv_file.write_text("text\n좋아요\n\u200b\n", encoding="utf-8")
    assert cli.main(["predict", str(tmp_path), "--file", str(csv_file)]) == 1
    assert f"row 2 of {csv_file}: the text is empty" in capsys.readouterr().err
    assert cli.main(["predict", str(tmp_path), "글", "--out", str(tmp_path / "no" / "x.csv")]) == 1
    assert "Make it first" in capsys.readouterr().err


def test_predict_lists_the_labels_of_a_text_that_may_carry_several(tmp_path, capsys):
    model = saved(tmp_path, ["화면", "배터리", "소음"], multi_label=True)
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([9.0, 9.0, -9.0]))
    model.save_pretrained(tmp_path / "best")
    assert cli.main(["predict", str(tmp_path), "좋아요", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (
        row["labels"] == ["화면", "배터리"] and "label" not in row and row["소음"] < 0.01 < 0.99 < row["화면"]
    )
    assert cli.main(["predict", str(tmp_path), "좋아요"]) == 0
    assert capsys.readouterr().out.startswith('text,labels,화면,배터리,소음\n좋아요,"화면,배터리",')


def test_predict_cuts_texts_where_the_run_did(tmp_path, capsys):
    model = saved(tmp_path, ["부정", "중립", "긍정"])
    text = "배터리는 오래 가는데 화면이 어둡고 소리가 작아요"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "best")
    for most in (6, 128):
        (tmp_path / "recipe.yaml").write_text(f"data: {{max_length: {most}}}", encoding="utf-8")
        assert cli.main(["predict", str(tmp_path), text, "--json"]) == 0
        batch = tokenizer(text, truncation=True, max_length=most, return_tensors="pt")
        expected = model(**batch).logits.softmax(-1)[0, 0].item()
        assert json.loads(capsys.readouterr().out)["부정"] == pytest.approx(expected, abs=1e-5)
