"""The widget of lesson 08 shows kolab/optim.py's own schedule."""

import pytest
import torch

from kolab.errors import ConfigError
from kolab.optim import SCHEDULES, make_optimizer, make_schedule
from kolab.schedule_widget import COLUMNS, REST, WARMING, schedule_widget
from kolab.show import VIEW


@pytest.mark.parametrize("shape", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_its_rates_are_those_of_a_training(shape, warmup):
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = make_optimizer([{"params": [weight], "lr": 2e-4, "weight_decay": 0.0}])
    schedule = make_schedule(optimizer, shape, warmup, 40)
    found = []
    for _ in range(40):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert schedule_widget(shape, warmup, 40, 2e-4).rates() == pytest.approx(found)


def test_every_control_changes_the_curve():
    widget = schedule_widget()
    for name, value in {"shape": "cosine", "warmup": 0.4, "steps": 50, "peak": 1e-3}.items():
        before = widget.curve.value
        getattr(widget, name).value = value
        assert widget.curve.value != before, name
    assert "cosine, warm-up 40 %, 50 steps, peak 1e-03" in repr(widget)


def test_a_bar_a_column_and_the_warm_ups_in_their_own_colour():
    widget = schedule_widget("constant", 0.25, 40)
    assert widget.curve.value.count("height:") == 40 + 1  # and the frame's
    assert widget.curve.value.count(f"background:{WARMING}") == 10
    assert widget.curve.value.count(f"background:{REST}") == 30
    assert schedule_widget(steps=5000).curve.value.count("flex:1") == COLUMNS


def test_the_ends_of_the_sliders():
    widget = schedule_widget(warmup=1.0, steps=10)
    assert widget.warm == 10 and widget.rates()[-1] == pytest.approx(4e-4)
    widget.warmup.value = 0.0
    assert widget.warm == 0 and widget.rates()[0] == pytest.approx(4e-4)
    widget.steps.value = 1
    assert len(widget.rates()) == 1


def test_an_unusual_peak_is_on_the_slider():
    assert schedule_widget(peak=3e-5).peak.value == 3e-5


@pytest.mark.parametrize("wrong", [{"shape": "step"}, {"warmup": 1.5}, {"steps": 0}, {"peak": 0.0}])
def test_impossible_schedules_are_refused(wrong):
    with pytest.raises(ConfigError):
        schedule_widget(**wrong)


def test_what_a_front_end_gets():
    widget = schedule_widget()
    bundle = widget._repr_mimebundle_()
    assert bundle[VIEW]["model_id"] == widget.box.model_id
    assert bundle["text/html"].startswith("<div") and "mean" in bundle["text/plain"]
