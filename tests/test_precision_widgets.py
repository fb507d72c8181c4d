"""The widgets of lesson 07: what they show follows from kolab/formats.py and kolab/footprint.py."""

import pytest

from kolab import footprint
from kolab.errors import ConfigError
from kolab.precision_widgets import FormatWidget, format_widget, memory_widget
from kolab.show import VIEW


def test_typing_a_number_changes_the_bits():
    widget = format_widget("1")
    before = widget.bits.value
    widget.number.value = "65520"
    assert widget.bits.value != before and "overflow" in widget.bits.value and "inf" in widget.bits.value


def test_every_bit_has_a_box():
    widget = FormatWidget("0.1")
    assert widget.bits.value.count("inline-block") == 32 + 16 + 16


@pytest.mark.parametrize(
    "number, words",
    [("1e-8", "underflow"), ("1e-6", "subnormal"), ("0.5", "exact"), ("nan", "asked for"), ("0", "exact")],
)
def test_what_became_of_the_number(number, words):
    assert words in FormatWidget(number, formats=("fp16",)).bits.value


@pytest.mark.parametrize("text", ["", "<b>x</b>", "1/0", "가"])
def test_a_text_that_is_no_number_is_said_to_be_none(text):
    widget = format_widget("1")
    widget.number.value = text
    assert (
        "no number" in widget.bits.value and "<b>x" not in widget.bits.value and "no number" in repr(widget)
    )


def test_an_example_is_taken_over():
    widget = format_widget("1")
    widget.examples.value = "2^-24"
    assert widget.number.value == "2^-24"


def test_the_memory_is_the_predictions():
    widget = memory_widget("KoBERT", batch=32, length=128, precision="bf16")
    wanted = footprint.predict(
        footprint.KOBERT, batch=32, length=128, precision="bf16", attention="sdpa", device="cuda"
    )
    assert widget.predict() == wanted and f"{wanted.peak / 2**30:.2f} GiB" in repr(widget)


@pytest.mark.parametrize("rank, says", [(None, "all weights learn"), (8, "LoRA, rank 8")])
def test_a_menu_says_what_is_chosen_at_the_start(rank, says):
    menu = memory_widget("KoBERT", rank=rank).rank
    assert menu.label == says and menu.value == rank


def test_every_control_changes_the_bars():
    widget = memory_widget("KoBERT")
    changes = {"batch": 64, "length": 256, "precision": "bf16", "rank": 8, "checkpointing": True}
    for name, value in (changes | {"encoder": "kolab-mini"}).items():
        before = widget.bars.value
        getattr(widget, name).value = value
        assert widget.bars.value != before, name
    assert "LoRA, rank 8, gradient checkpointing" in widget.settings()


def test_an_unusual_batch_and_an_unknown_encoder():
    assert memory_widget("kolab-mini", batch=48).batch.value == 48
    with pytest.raises(ConfigError, match="KoBERT"):
        memory_widget("gpt")


@pytest.mark.parametrize("make", [format_widget, memory_widget])
def test_what_a_front_end_gets(make):
    widget = make()
    bundle = widget._repr_mimebundle_()
    assert bundle[VIEW]["model_id"] == widget.box.model_id
    assert bundle["text/html"].startswith("<div") and bundle["text/plain"] == repr(widget)
