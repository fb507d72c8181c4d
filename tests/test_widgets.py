"""The widget of lesson 00, with a small classifier of random weights."""

import pytest

import kolab as kl

NAMES = ["부정", "중립", "긍정"]


@pytest.fixture(scope="module")
def parts():
    encoder, tokenizer = kl.load_encoder("kolab-mini", pretrained=False)
    model = kl.Classifier.build(encoder, NAMES, seed=0)
    encoder.get_input_embeddings().weight.data.normal_()  # so that different texts give visibly different bars
    return model, tokenizer


def test_typing_changes_the_bars(parts):
    widget = kl.widgets.classifier_widget(*parts)
    before = widget.bars.value
    widget.text.value = "화면이 나갔어요 ㅠㅠ 환불해 주세요"
    assert widget.bars.value != before
    assert all(name in widget.bars.value for name in NAMES)


def test_predict_gives_the_models_probabilities(parts):
    import torch

    model, tokenizer = parts
    widget = kl.widgets.classifier_widget(model, tokenizer)
    shares = widget.predict("배송이 빨라요")
    assert list(shares) == NAMES and sum(shares.values()) == pytest.approx(1)
    with torch.inference_mode():
        logits = model(**tokenizer("배송이 빨라요", return_tensors="pt")).logits[0]
    assert list(shares.values()) == pytest.approx(logits.softmax(-1).tolist())


def test_dropout_is_off_and_the_mode_is_left_alone(parts):
    model, tokenizer = parts
    model.train()
    widget = kl.widgets.classifier_widget(model, tokenizer)
    assert widget.predict("같은 문장") == widget.predict("같은 문장")
    assert model.training
    model.eval()


@pytest.mark.parametrize(
    "text", ["", "   ", "<script>alert(1)</script>", "가" * 5000, "😀\u200d👩 \x00 ㅋㅋ", "\ud83d"]
)
def test_strange_texts_do_not_stop_it(parts, text):
    widget = kl.widgets.classifier_widget(*parts)
    widget.text.value = text
    assert "<script>" not in widget.bars.value and "%" in widget.bars.value


def test_what_a_front_end_gets(parts):
    widget = kl.widgets.classifier_widget(*parts)
    bundle = widget._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.box.model_id
    assert "긍정" in bundle["text/html"] and "긍정" in bundle["text/plain"]


def test_several_labels_at_once(parts):
    encoder, tokenizer = kl.load_encoder("kolab-mini", pretrained=False)
    model = kl.Classifier.build(encoder, ["화면", "배터리"], multi_label=True, seed=0)
    shares = kl.widgets.classifier_widget(model, tokenizer).predict("화면이 좋아요")
    assert all(0 < share < 1 for share in shares.values()) and sum(shares.values()) != pytest.approx(1)
