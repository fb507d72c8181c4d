"""The widget of lesson 10: what it shows follows from the texts it was given."""

import numpy as np
import pytest

from kolab.decide import fit_thresholds
from kolab.errors import ConfigError, DataError
from kolab.show import VIEW
from kolab.threshold_widget import threshold_widget

PROBABILITIES = np.array([[0.9, 0.1], [0.6, 0.2], [0.4, 0.7], [0.2, 0.05]])
LABELS = np.array([[1, 0], [0, 0], [1, 1], [0, 0]])


def test_moving_the_threshold_changes_what_is_found():
    widget = threshold_widget(PROBABILITIES, LABELS, ["화면", "<음질>"])
    assert widget.counts() == {"found": 1, "missed": 1, "too many": 1} and widget.scores()["F1"] == 0.5
    before = widget.panel.value
    widget.threshold.value = 0.3
    assert widget.counts() == {"found": 2, "missed": 0, "too many": 1} and widget.panel.value != before
    assert widget.scores() == {"precision": pytest.approx(2 / 3), "recall": 1.0, "F1": pytest.approx(0.8)}
    widget.threshold.value = 1.0
    assert widget.scores() == {"precision": 0.0, "recall": 0.0, "F1": 0.0}


def test_another_label_has_its_own_best_threshold():
    widget = threshold_widget(PROBABILITIES, LABELS, ["화면", "<음질>"])
    best = fit_thresholds(PROBABILITIES, LABELS)
    assert f"these texts, {best[0]:.2f}" in widget.panel.value
    widget.label.value = 1
    assert f"these texts, {best[1]:.2f}" in widget.panel.value and widget.counts()["found"] == 1


def test_the_still_picture_says_what_the_live_one_shows():
    widget = threshold_widget(PROBABILITIES, LABELS, ["화면", "<음질>"], threshold=0.3)
    widget.label.value = 1
    bundle = widget._repr_mimebundle_()
    assert "&lt;음질&gt;" in bundle["text/html"] and "<svg" in bundle["text/html"] and VIEW in bundle
    assert bundle["text/plain"] == repr(widget) and "<음질> from 0.30 on: 1 found" in repr(widget)


def test_what_fits_not_is_refused():
    with pytest.raises(ConfigError, match="2 columns"):
        threshold_widget(PROBABILITIES, LABELS, ["화면"])
    with pytest.raises(DataError, match="sigmoid"):
        threshold_widget(PROBABILITIES * 5, LABELS, ["화면", "음질"])
