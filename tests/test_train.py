"""The loop: exact gradients, the same seed the same run, and a stopped run that ends as if it had not been."""

import dataclasses
import gc
import json
import os
import signal
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.optimizer import register_optimizer_step_post_hook

import kolab as kl
from kolab import checkpoint, diagnosis, engine
from kolab.errors import ConfigError, TrainingError
from kolab.losses import BinaryCrossEntropy, CrossEntropy
from kolab.train import TrainConfig, evaluate, fit, predict
from tests import tiny

BASE = TrainConfig(epochs=2, lr=3e-3, precision="fp32", progress=False, seed=3, metric="loss")


def config(**changes) -> TrainConfig:
    return dataclasses.replace(BASE, **changes)


def weights(model) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def same(a, b) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a) and a.keys() == b.keys()


def comparable(history) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


# ---- the gradient


class Recorder(torch.optim.SGD):
    """Plain SGD at rate 0 that keeps the gradients it is given."""


def gradients(model, loaders, loss, accumulate, monkeypatch) -> list[dict[str, torch.Tensor]]:
    """The gradient of each optimizer step of one epoch, weights unchanged."""
    from kolab import run

    seen = []

    def frozen(groups, **_):
        groups = [{**g, "lr": 0.0, "weight_decay": 0.0} for g in groups]
        optimizer = Recorder(groups, lr=0.0)
        optimizer.register_step_pre_hook(
            lambda *_: seen.append(
                {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
            )
        )
        return optimizer

    monkeypatch.setattr(run, "make_optimizer", frozen)
    fit(model, loaders, config(epochs=1, accumulate=accumulate, max_grad_norm=None), loss=loss)
    return seen


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(3, 30),
    batch=st.integers(1, 7),
    accumulate=st.integers(1, 6),
    kind=st.sampled_from(["mean", "weighted", "smoothed", "multi-label"]),
    double=st.booleans(),
    seed=st.integers(0, 50),
)
def test_a_window_has_the_gradient_of_the_single_big_batch(count, batch, accumulate, kind, double, seed):
    multi = kind == "multi-label"
    with pytest.MonkeyPatch.context() as patch:
        if double:
            torch.set_default_dtype(torch.float64)
        try:
            model = tiny.model(dropout=0.0, seed=seed, multi_label=multi)
        finally:
            torch.set_default_dtype(torch.float32)
        model = model.double() if double else model
        loaders = tiny.loaders(count, batch, seed, validation=0, multi_label=multi)
        weight = torch.tensor([0.2, 1.0, 7.0], dtype=torch.float64 if double else torch.float32)
        loss = {
            "mean": CrossEntropy(),
            "weighted": CrossEntropy(weight),
            "smoothed": CrossEntropy(weight, 0.1),
            "multi-label": BinaryCrossEntropy(weight),
        }[kind]
        found = gradients(model, loaders, loss, accumulate, patch)
    sampler = loaders["train"].batch_sampler
    sampler.set_epoch(0)
    batches = list(sampler)
    expected_windows = [
        [i for batch in batches[start : start + accumulate] for i in batch]
        for start in range(0, len(batches), accumulate)
    ]
    assert len(found) == len(expected_windows)
    torch_loss = {
        "mean": torch.nn.CrossEntropyLoss(),
        "weighted": torch.nn.CrossEntropyLoss(weight=weight),
        "smoothed": torch.nn.CrossEntropyLoss(weight=weight, label_smoothing=0.1),
        "multi-label": torch.nn.BCEWithLogitsLoss(pos_weight=weight),
    }[kind]
    tolerance = 1e-12 if double else 1e-6
    for indices, step in zip(expected_windows, found, strict=True):
        whole = loaders.collator([loaders["train"].dataset[i] for i in indices])
        labels = whole.pop("labels")
        model.zero_grad()
        logits = model(**whole).logits
        torch_loss(logits, labels.to(logits.dtype) if multi else labels).backward()
        big = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        distance = torch.sqrt(sum(((step[n] - big[n]) ** 2).sum() for n in big))
        norm = torch.sqrt(sum((big[n] ** 2).sum() for n in big))
        assert distance <= tolerance * max(float(norm), 1e-3)


def test_gradients_that_an_earlier_loop_left_behind_do_not_count():
    clean, stained = tiny.model(), tiny.model()
    for parameter in stained.parameters():
        parameter.grad = torch.ones_like(parameter)
    for model in (clean, stained):
        fit(model, tiny.loaders(), config(epochs=1))
    assert same(weights(clean), weights(stained))


def test_what_a_run_held_is_free_afterwards_without_a_search_for_cycles():
    """Schedule and optimizer hold each other: only a search of all objects would find that nobody needs them."""
    model, moments = tiny.model(), []

    def note(optimizer, *_):
        moments.append(weakref.ref(next(iter(optimizer.state.values()))["exp_avg"]))

    handle = register_optimizer_step_post_hook(note)
    gc.disable()
    try:
        fit(model, tiny.loaders(), config(epochs=1))
        assert moments and moments[0]() is None, "the optimizer's moments are still there"
        assert all(p.grad is None for p in model.parameters())
    finally:
        gc.enable()
        handle.remove()


def test_the_rate_is_stepped_once_an_optimizer_step():
    loaders = tiny.loaders(40, 8)  # 5 batches: windows of 2, 2, 1
    history = fit(tiny.model(), loaders, config(epochs=3, accumulate=2, warmup=0.0))
    assert [row["step"] for row in history] == [3, 6, 9]
    assert [row["lr"] for row in history] == pytest.approx([3e-3 * (1 - done / 9) for done in (3, 6, 9)])


def test_clipping_limits_the_step_and_reports_the_norm_before(monkeypatch):
    loaders = tiny.loaders(16, 8, validation=0)
    free = gradients(tiny.model(0.0), loaders, CrossEntropy(), 2, monkeypatch)[0]
    norm = float(torch.sqrt(sum((g**2).sum() for g in free.values())))
    monkeypatch.undo()
    history = fit(tiny.model(0.0), loaders, config(epochs=1, accumulate=2, max_grad_norm=norm / 10))
    assert history[0]["grad_norm"] == pytest.approx(norm, rel=1e-4)


# ---- learning, evaluating, predicting


def test_it_learns_what_can_be_learned():
    loaders = tiny.loaders(200, 16, validation=60)
    model = tiny.model(0.0)
    history = fit(model, loaders, config(epochs=12, lr=1e-2, metric="f1"))
    assert history.best["f1"] > 0.9
    assert history[0]["train_loss"] > 3 * history[-1]["train_loss"]


def test_the_history_is_true():
    loaders = tiny.loaders()
    model = tiny.model()
    history = fit(model, loaders, config(keep_best=False))
    found = evaluate(model, loaders["validation"])
    assert history[-1]["validation_loss"] == found["loss"] and history[-1]["f1"] == found["f1"]


def test_evaluation_sees_every_example_once_in_the_data_sets_order():
    loaders, model = tiny.loaders(validation=19), tiny.model()
    data = loaders["validation"].dataset
    found = predict(model, loaders["validation"])
    assert found.references.tolist() == data.labels.tolist()
    model.eval()
    one = torch.cat(
        [
            model(**{k: v for k, v in loaders.collator([data[i]]).items() if k != "labels"}).logits
            for i in range(19)
        ]
    )
    assert torch.allclose(found.logits, one, atol=1e-5)


def test_predict_leaves_the_model_in_its_mode_and_switches_dropout_off():
    loaders, model = tiny.loaders(), tiny.model(0.5)
    model.train()
    first, second = (predict(model, loaders["validation"]).logits for _ in range(2))
    assert torch.equal(first, second) and model.training


def test_texts_can_be_predicted():
    encoder, tokenizer = kl.load_encoder("kolab-mini", pretrained=False)
    model = kl.Classifier.build(encoder, ["부정", "중립", "긍정"])
    found = predict(model, ["배터리가 오래가요", "별로", "그냥 그래요 ㅋㅋ"], tokenizer=tokenizer)
    assert found.probabilities.shape == (3, 3) and found.references is None
    assert torch.allclose(found.probabilities.sum(1), torch.ones(3))
    with pytest.raises(ConfigError, match="tokenizer"):
        predict(model, ["글"])


def test_a_data_loader_of_ones_own_will_do():
    data, collator = tiny.dataset(20), tiny.Collator(0)
    mine = {
        "train": torch.utils.data.DataLoader(data, batch_size=4, shuffle=True, collate_fn=collator),
        "validation": torch.utils.data.DataLoader(data, batch_size=4, collate_fn=collator),
    }
    history = fit(tiny.model(), mine, config())
    assert len(history) == 2 and np.isfinite(history[-1]["validation_loss"])


def test_multi_label_data_gets_binary_cross_entropy():
    loaders, model = tiny.loaders(multi_label=True), tiny.model(multi_label=True)
    fit(model, loaders, config())
    found = predict(model, loaders["validation"])
    assert found.multi_label and set(np.unique(found.labels)) <= {0, 1}


# ---- the same run again


def test_the_same_seed_gives_the_same_run_bit_for_bit():
    runs = []
    for _ in range(2):
        model = tiny.model()
        torch.rand(7)  # what happened before must not matter
        runs.append((comparable(fit(model, tiny.loaders(), config())), weights(model)))
        torch.manual_seed(99)
    assert runs[0][0] == runs[1][0] and same(runs[0][1], runs[1][1])
    other = tiny.model()
    fit(other, tiny.loaders(), config(seed=4))
    assert not same(weights(other), runs[0][1])


class Kill(Exception):
    pass


@pytest.mark.parametrize("own_loader", [False, True])
@pytest.mark.parametrize("stop_at", [1, 4, 5, 9, 14])
def test_a_run_that_was_killed_and_resumed_ends_with_the_same_weights(
    tmp_path, monkeypatch, stop_at, own_loader
):
    """Five steps an epoch, saved every two steps; dropout is on, and the best epoch is not always the last."""
    from kolab.run import Run

    def loaders():
        made = tiny.loaders(40, 4)
        if own_loader:
            made["train"] = torch.utils.data.DataLoader(
                made["train"].dataset, batch_size=4, shuffle=True, collate_fn=made.collator
            )
        return made

    settings = config(epochs=3, accumulate=2, lr=2e-2, save_every=2)
    whole = tiny.model()
    expected = fit(whole, loaders(), dataclasses.replace(settings, folder=str(tmp_path / "whole")))

    after_step = Run.after_step

    def die(self, *args):
        after_step(self, *args)
        if self.state.step == stop_at:
            raise Kill

    broken = dataclasses.replace(settings, folder=str(tmp_path / "broken"))
    with monkeypatch.context() as patch:
        patch.setattr(Run, "after_step", die)
        with pytest.raises(Kill):
            fit(tiny.model(), loaders(), broken)
    # Nothing is saved before step 2: then it begins anew with the model it is given. Later those weights do not matter.
    model = tiny.model(seed=0 if stop_at == 1 else 77)
    found = fit(model, loaders(), dataclasses.replace(broken, resume=True))
    assert comparable(found) == comparable(expected)
    assert same(weights(model), weights(whole))


def test_a_signal_saves_and_says_how_to_go_on(tmp_path):
    settings = config(epochs=3, folder=str(tmp_path / "run"))
    whole = tiny.model()
    expected = fit(whole, tiny.loaders(), config(epochs=3))

    calls = 0

    class Pressing(CrossEntropy):
        def forward(self, logits, labels):
            nonlocal calls
            calls += 1
            if calls == 7:
                os.kill(os.getpid(), signal.SIGINT)
            return super().forward(logits, labels)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="resume=True") as caught:
        fit(tiny.model(), tiny.loaders(), settings, loss=Pressing())
    assert caught.value.signal_number == signal.SIGINT and signal.getsignal(signal.SIGINT) is before
    model = tiny.model(seed=5)
    found = fit(model, tiny.loaders(), dataclasses.replace(settings, resume=True))
    assert comparable(found) == comparable(expected) and same(weights(model), weights(whole))


def test_a_run_without_a_folder_saves_nothing_however_often_it_would():
    assert len(fit(tiny.model(), tiny.loaders(), config(save_every=2))) == 2


def test_a_finished_run_resumes_to_its_result(tmp_path):
    settings = config(folder=str(tmp_path / "run"))
    model = tiny.model()
    expected = fit(model, tiny.loaders(), settings)
    other = tiny.model(seed=8)
    with pytest.warns(UserWarning, match="finished"):
        found = fit(other, tiny.loaders(), dataclasses.replace(settings, resume=True))
    assert list(found) == list(expected) and same(weights(model), weights(other))


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    settings = config(folder=str(tmp_path / "run"))
    fit(tiny.model(), tiny.loaders(), settings)
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with pytest.raises(ConfigError, match="already holds a run"):
        fit(tiny.model(), tiny.loaders(), settings)
    with pytest.raises(ConfigError, match=r"lr: was 0.003, is 0.1"):
        fit(tiny.model(), tiny.loaders(), dataclasses.replace(settings, resume=True, lr=0.1))
    with pytest.raises(ConfigError, match="examples: was 40, is 44"):
        fit(tiny.model(), tiny.loaders(44), dataclasses.replace(settings, resume=True))
    assert before == {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}


def test_two_runs_in_one_folder_the_second_is_refused(tmp_path):
    with (
        checkpoint.locked(tmp_path / "run"),
        pytest.raises(checkpoint.CheckpointError, match="Another run"),
    ):
        fit(tiny.model(), tiny.loaders(), config(folder=str(tmp_path / "run")))


def test_the_folder_holds_what_others_need(tmp_path):
    folder = tmp_path / "run"
    model = tiny.model()
    history = fit(model, tiny.loaders(), config(folder=str(folder)))
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text("utf-8").splitlines()]
    assert rows == list(history)
    again = kl.Classifier.from_pretrained(folder / "best")
    assert same(weights(again), weights(model))
    assert len(checkpoint.listed(folder / "checkpoints")) == 2
    assert not list(folder.rglob(".saving-*"))


# ---- the best epoch, stopping


def scores(values: list[float]):
    """An evaluator that gives one number after the other."""
    left = iter(values)
    return lambda model, loader: {"loss": 1.0, "f1": next(left)}


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "epochs", "best"),
    [
        ([0.1, 0.3, 0.2, 0.2, 0.9], 2, 0.0, 4, 2),
        ([0.1, 0.2, 0.3, 0.4, 0.5], 2, 0.0, 5, 5),
        ([0.5, 0.505, 0.509, 0.6, 0.6], 2, 0.01, 3, 3),  # stops, and still keeps the best
        ([0.5, 0.5, 0.5, 0.5, 0.5], None, 0.0, 5, 1),
    ],
)
def test_early_stopping_waits_as_long_as_it_was_told(values, patience, min_delta, epochs, best):
    settings = config(epochs=5, metric="f1", patience=patience, min_delta=min_delta)
    history = fit(tiny.model(), tiny.loaders(), settings, evaluator=scores(values))
    assert (len(history), history.best["epoch"]) == (epochs, best)


def test_the_best_epochs_weights_are_kept():
    kept, snapshots = tiny.model(), []

    def evaluator(model, loader):
        snapshots.append(weights(model))
        return {"loss": 1.0, "f1": [0.1, 0.9, 0.4][len(snapshots) - 1]}

    fit(kept, tiny.loaders(), config(epochs=3, metric="f1"), evaluator=evaluator)
    assert same(weights(kept), snapshots[1])
    assert not same(snapshots[1], snapshots[2])


def test_an_unknown_metric_is_named():
    with pytest.raises(ConfigError, match=r"metric='auc' is not in the history, which has .*f1"):
        fit(tiny.model(), tiny.loaders(), config(metric="auc"))


def test_max_steps_ends_the_run_and_the_schedule():
    history = fit(tiny.model(), tiny.loaders(40, 8), config(epochs=9, max_steps=7))
    assert history[-1]["step"] == 7 and len(history) == 2
    assert history[-1]["lr"] == pytest.approx(0.0)


# ---- trouble


def test_a_loss_that_is_no_number_stops_with_the_step_the_texts_and_the_causes(tmp_path):
    class Broken(CrossEntropy):
        steps = 0

        def forward(self, logits, labels):
            Broken.steps += 1
            total, weight = super().forward(logits, labels)
            return (total * float("nan") if Broken.steps == 3 else total), weight

    with pytest.raises(TrainingError) as caught:
        fit(tiny.model(), tiny.loaders(), config(folder=str(tmp_path / "run")), loss=Broken())
    text = str(caught.value)
    assert "optimizer step 3" in text and "learning rate" in text and "· w" in text
    assert not checkpoint.listed(tmp_path / "run" / "checkpoints")  # nothing broken was saved


def test_weights_that_were_broken_before_are_named():
    model = tiny.model()
    with torch.no_grad():
        model.head[-1].weight.fill_(float("nan")) if isinstance(model.head, torch.nn.Sequential) else (
            model.head.weight.fill_(float("nan"))
        )
    with pytest.raises(TrainingError, match="broken before this step"):
        fit(model, tiny.loaders(), config())


def test_fp16_on_a_cpu_is_an_error_never_a_silent_fp32():
    with pytest.raises(ConfigError, match="needs a CUDA GPU"):
        fit(tiny.model(), tiny.loaders(), config(precision="fp16", device="cpu"))


def test_auto_precision_says_what_it_took():
    cpu = torch.device("cpu")
    assert engine.resolve_precision("auto", cpu) == ("bf16" if engine._cpu_has_bf16() else "fp32")
    assert engine.resolve_precision("bf16", cpu) == "bf16"
    with pytest.raises(ConfigError, match="auto, fp32, bf16, fp16"):
        engine.resolve_precision("float8", cpu)


def test_scores_in_the_history_are_those_that_evaluate_finds_afterwards():
    """They were bf16's before: Accelerate's wrapper of `forward` outlived the training."""
    if engine.resolve_precision("auto", torch.device("cpu")) != "bf16":
        pytest.skip("this CPU has no bf16, which is where the two could differ")
    model, loaders = tiny.model(), tiny.loaders()
    history = fit(model, loaders, config(epochs=1, precision="bf16", keep_best=False))
    found = evaluate(model, loaders["validation"])
    assert history[-1]["validation_loss"] == found["loss"]
    other = evaluate(model, loaders["validation"], precision="bf16")
    assert other["loss"] != found["loss"]


def test_bf16_trains_and_leaves_an_ordinary_float32_model():
    model = tiny.model()
    fit(model, tiny.loaders(), config(precision="bf16"))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert "forward" not in vars(model)
    ids = torch.tensor([[2, 7, 9]])
    assert model(ids).logits.dtype == torch.float32
    fit(
        model, tiny.loaders(), config(precision="fp32")
    )  # a second run at another precision, in the same process


def _linear_types(model) -> set:
    """The types that the model's linear layers give while it trains, told by hooks; filled as it runs."""
    seen = set()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda m, _, out: seen.add(out.dtype) if m.training else None)
    return seen


def test_a_second_fit_of_the_same_model_keeps_the_precision():
    """It computed in fp32 and said bf16: Accelerate leaves alone what bears the mark of an earlier Accelerator."""
    model, loaders = tiny.model(), tiny.loaders()
    seen = _linear_types(model)
    for _ in range(2):
        seen.clear()
        fit(model, loaders, config(epochs=1, precision="bf16"))
        assert seen == {torch.bfloat16}
    seen.clear()
    fit(model, loaders, config(epochs=1, precision="fp32"))
    assert seen == {torch.float32}


def test_a_model_from_a_loop_with_its_own_accelerator_trains_in_the_precision_that_fit_is_given():
    from accelerate import Accelerator

    model, loaders = tiny.model(), tiny.loaders()
    engine.AcceleratorState._reset_state(reset_partial_state=True)
    Accelerator(cpu=True, mixed_precision="bf16").prepare(model)
    seen = _linear_types(model)
    fit(model, loaders, config(epochs=1, precision="fp32"))
    assert seen == {torch.float32}


def test_out_of_memory_names_settings_with_the_same_effective_batch():
    text = str(diagnosis.out_of_memory(32, 2))
    assert "batch_size=16 with accumulate=4" in text and "64" in text


def test_a_label_outside_the_models_classes_is_found_first():
    loaders = tiny.loaders()
    loaders["train"].dataset.labels[5] = 7
    with pytest.raises(ConfigError, match="Row 5 has the label 7"):
        fit(tiny.model(), loaders, config())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0), ("epochs", 1.5), ("lr", 0.0), ("lr", -1e-3), ("lr", float("nan")), ("warmup", -1),
        ("accumulate", 0), ("schedule", "poly"), ("precision", "half"), ("max_grad_norm", -1.0), ("patience", 0),
        ("save_every", "step"), ("weight_decay", float("inf")), ("max_steps", 0), ("keep", 0),
    ],
)  # fmt: skip
def test_impossible_settings_are_named(field, value):
    with pytest.raises(ConfigError, match=f"^{field} is "):
        config(**{field: value})
    with pytest.raises(ConfigError, match="folder"):
        config(resume=True)


def test_tensorboard_gets_the_losses(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(tiny.model(), tiny.loaders(), config(folder=str(tmp_path), tracker="tensorboard", log_every=2))
    logs = [p.parent for p in tmp_path.rglob("events.out.tfevents.*")]
    tags = set()
    for folder in logs:
        reader = EventAccumulator(str(folder))
        reader.Reload()
        tags |= set(reader.Tags()["scalars"])
    assert {"train_loss", "validation_loss", "lr"} <= tags
