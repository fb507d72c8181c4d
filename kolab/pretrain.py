"""Pre-train a small BERT on any texts: a tokenizer, then masked-language modelling, by the same engine as `fit`.

    corpus → texts, each once → tokenizer → token ids in one array → TokenBudgetSampler → MaskingCollator → fit

The recipe is BERT's (Devlin et al., 2019) with RoBERTa's changes (Liu et al., 2019): no next-sentence prediction,
masks drawn anew in each pass, Adam with betas (0.9, 0.98) and eps 1e-6, no dropout for a model this small.

A run's folder holds `pretrain.json` (settings, what the corpus held, the plan), `tokenizer/`, `corpus.npz` (the token
ids), `history.jsonl` (an epoch there is the stretch between two evaluations), `checkpoints/` and, in the end, `model/`:
what others load. `--resume` needs nothing but the folder, and ends with the weights, bit for bit, that an unbroken run
would have had.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from kolab import checkpoint
from kolab.batching import Loaders
from kolab.corpus import check_file, read_corpus
from kolab.errors import CheckpointError, ConfigError, DataError
from kolab.losses import CrossEntropy
from kolab.masking import MaskedModel, MaskingCollator, TextsInTurns, TokenBudgetSampler, evaluate_masked
from kolab.pretrain_config import PretrainConfig
from kolab.tokenizer_training import save_tokenizer, train_tokenizer
from kolab.train import History, TrainConfig, fit
from kolab.user_files import on_disk
from kolab.weights import no_bars

_PLAN = "pretrain.json"
_MOST_HELD_OUT = 4000  # texts: enough for two digits of the accuracy, few enough to be evaluated often
_TRIAL_STEPS, _TRIAL_ROUNDS = 8, 3


@dataclasses.dataclass
class Prepared:
    """What training needs, as it lies in the run's folder."""

    config: PretrainConfig
    tokenizer: Any
    parts: dict[str, TextsInTurns]  # "train" and "validation" (the held-out texts)
    about: dict[str, Any]  # the content of pretrain.json
    folder: Path

    def loaders(self, batches: int | None = None) -> Loaders:
        """The training loader, whose epoch is `batches` batches (None: a pass), and the held-out texts'."""
        made = {}
        for name, part in self.parts.items():
            train = name == "train"
            sampler = TokenBudgetSampler(
                part.lengths, self.config.batch_tokens, shuffle=train, seed=self.config.seed,
                batches=batches if train else None,
            )  # fmt: skip
            # Held-out texts have masks of their own, the same at each evaluation.
            collator = MaskingCollator(
                self.tokenizer, share=self.config.share, seed=2 * self.config.seed + (not train),
                whole_words=self.config.whole_words,
            )  # fmt: skip
            generator = torch.Generator().manual_seed(0)  # else iterating draws from the global state
            made[name] = DataLoader(part, batch_sampler=sampler, collate_fn=collator, generator=generator)
        return Loaders(made, self.tokenizer, collator)

    def new_model(self) -> MaskedModel:
        """The network with its first weights: of `init`, or drawn by the seed; torch's own state stays as it was."""
        config = self.config
        # On a CPU torch's fused attention is the slower one, above all its backward pass in bf16 on short texts: a
        # step of this recipe took 0.79 s with it and 0.47 s without, on one core of an AMD EPYC.
        attention = "sdpa" if PartialState().device.type == "cuda" else "eager"
        if config.init is not None:
            # The run's own copy is read: a resumed run may come when the folder itself holds other weights.
            with no_bars():
                return MaskedModel(
                    BertForMaskedLM.from_pretrained(
                        self.folder / "init", dtype=torch.float32, use_safetensors=True,
                        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                        attn_implementation=attention,
                    )
                )  # fmt: skip
        shape = BertConfig(
            vocab_size=len(self.tokenizer), hidden_size=config.width, num_hidden_layers=config.layers,
            num_attention_heads=config.heads, intermediate_size=4 * config.width,
            max_position_embeddings=config.positions, pad_token_id=self.tokenizer.pad_token_id,
            cls_token_id=self.tokenizer.cls_token_id, sep_token_id=self.tokenizer.sep_token_id,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation=attention,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return MaskedModel(BertForMaskedLM(shape))


def pretrain(config: PretrainConfig, *, resume: bool = False, progress: bool = True) -> Path:
    """Pre-trains as `config` says and returns the folder of the result, ready for `load_encoder`.

    resume: go on with the run in config.folder, with the settings it was started with.

    Raises DataError for a corpus that cannot be used, ConfigError for impossible settings or a folder that holds
    another run, CheckpointError for a damaged one, and what `fit` raises.
    """
    from kolab.pretrain_result import write_result

    processes = PartialState(cpu=config.device == "cpu")
    with processes.main_process_first():  # the others find everything prepared
        ready = _open(config, resume or not processes.is_main_process)
    plan = ready.about["plan"]
    loaders = ready.loaders(plan["evaluate_every"] * ready.config.accumulate)
    model = ready.new_model()
    settings = _settings(ready.config, plan, folder=config.folder, resume=resume, progress=progress)
    history = fit(model, loaders, settings, loss=CrossEntropy(), evaluator=evaluate_masked)
    if processes.is_main_process:
        write_result(model.language_model, ready, history)
    processes.wait_for_everyone()
    return ready.folder / "model"


def _settings(config: PretrainConfig, plan: Mapping[str, Any], **more: Any) -> TrainConfig:
    return TrainConfig(
        epochs=plan["rounds"], max_steps=plan["steps"], lr=config.lr, warmup=config.warmup,
        accumulate=config.accumulate, precision=config.precision, device=config.device, seed=config.seed,
        betas=(0.9, 0.98), eps=1e-6, metric="loss", keep_best=False, **more,
    )  # fmt: skip


# ---- what lies in the folder


def _open(config: PretrainConfig, resume: bool) -> Prepared:
    """The prepared run of a folder, read if it is resumed, or made."""
    folder = Path(config.folder)
    if not (folder / _PLAN).is_file():  # it is written last: without it nothing was trained
        if config.corpus:
            check_file(on_disk(Path(config.corpus)))  # before a folder is made for it
        with checkpoint.locked(folder), checkpoint.writing(f"the prepared corpus in {folder}"):
            _prepare(config, folder)
    elif not resume:
        raise ConfigError(
            f"{folder} already holds a pre-training. Go on with it by --resume, or give another folder: nothing is "
            "overwritten."
        )
    return _read(config, folder)


def _read(config: PretrainConfig, folder: Path) -> Prepared:
    try:
        about = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
        saved = PretrainConfig(**about["settings"])
        if checkpoint.sha256(folder / "corpus.npz") != about["corpus_sha256"]:
            raise OSError(f"the SHA-256 of {folder / 'corpus.npz'} differs")
        with np.load(folder / "corpus.npz") as file:
            arrays = dict(file)
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} is no whole pre-training: {error}. Start anew elsewhere.") from error
    plain = PretrainConfig()
    for field in dataclasses.fields(config):
        value, before = getattr(config, field.name), getattr(saved, field.name)
        if field.name != "folder" and value not in (getattr(plain, field.name), before):
            raise ConfigError(
                f"{folder} was started with {field.name}={before!r}, not {value!r}. Resume without that option, or "
                "start anew in another folder."
            )
    parts = {
        name: TextsInTurns(arrays[f"{name}_tokens"], arrays[f"{name}_offsets"])
        for name in ("train", "validation")
    }
    return Prepared(saved, tokenizer, parts, about, folder)


def _prepare(config: PretrainConfig, folder: Path) -> None:
    """Reads the corpus, makes the tokenizer and the token ids, plans the steps, and writes it all down."""
    texts, found = read_corpus(
        config.corpus, text_column=config.text_column, hold_out_column=config.hold_out_column,
        hold_out_tenth=config.hold_out_tenth, any_language=config.any_language,
    )  # fmt: skip
    print(f"corpus     {found['file']}: {found['texts']:,} texts of {found['rows']:,} rows", flush=True)
    order = np.random.default_rng([config.seed, 1]).permutation(len(texts))
    apart = min(_MOST_HELD_OUT, max(1, round(config.held_out * len(texts))))
    if apart >= len(texts):
        raise DataError(f"{config.corpus} holds {len(texts)} text; two are needed, one to be held out.")
    named = {"validation": np.sort(order[:apart]), "train": np.sort(order[apart:])}
    source = config.init or config.tokenizer
    if config.init is not None:
        _copy_first_weights(config, folder / "init")
    if source is None:
        tokenizer = train_tokenizer(
            [texts[i] for i in named["train"]], config.vocabulary, max_length=config.positions
        )
        save_tokenizer(tokenizer, folder / "tokenizer")
    else:
        if not (Path(source) / "tokenizer.json").is_file():
            raise ConfigError(f"{source} holds no tokenizer.json, so it is no tokenizer's folder.")
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        save_tokenizer(tokenizer, folder / "tokenizer")
    arrays = {}
    for name, numbers in named.items():
        tokens, offsets = encode([texts[i] for i in numbers], tokenizer, config.max_length)
        arrays |= {f"{name}_tokens": tokens, f"{name}_offsets": offsets}
    partial = folder / ".saving-corpus.npz"
    try:
        np.savez(partial, **arrays)
        os.replace(partial, folder / "corpus.npz")
    except OSError:
        partial.unlink(missing_ok=True)  # it may be what fills the disk
        raise
    parts = {n: TextsInTurns(arrays[f"{n}_tokens"], arrays[f"{n}_offsets"]) for n in named}
    ready = Prepared(config, tokenizer, parts, {}, folder)
    counts = {f"{name}_tokens": len(part.tokens) for name, part in parts.items()}
    counts |= {f"{name}_texts": len(part) for name, part in parts.items()}
    about = {
        "settings": dataclasses.asdict(config),
        "corpus": found | counts,
        "corpus_sha256": checkpoint.sha256(folder / "corpus.npz"),
        "plan": plan_steps(ready),
    }
    checkpoint.write_text(folder / _PLAN, json.dumps(about, ensure_ascii=False, indent=1))
    print(f"tokens     {counts['train_tokens']:,} to train on, {counts['validation_tokens']:,} held out")
    print(f"steps      {about['plan']['steps']:,}", flush=True)


def _copy_first_weights(config: PretrainConfig, target: Path) -> None:
    """Copies config.json and model.safetensors of the folder that training goes on from, after a look at its kind."""
    source = Path(config.init)
    for name in ("config.json", "model.safetensors"):
        if not (source / name).is_file():
            raise ConfigError(
                f"{source} holds no {name}: init takes a folder that `kolab pretrain` has written, or another BERT "
                "with its masked-language-model head, as safetensors."
            )
    found = json.loads((source / "config.json").read_text(encoding="utf-8"))
    if "BertForMaskedLM" not in (found.get("architectures") or []):
        raise ConfigError(f"{source} holds {found.get('architectures')}, not a BertForMaskedLM.")
    if found["max_position_embeddings"] < config.max_length:
        raise ConfigError(
            f"max_length is {config.max_length}, but {source} reads {found['max_position_embeddings']} tokens at most."
        )
    target.mkdir(exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(source / name, target / name)


def encode(texts: list[str], tokenizer: Any, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of all texts in one array (tokens,) uint16 or int32, and where each starts (texts + 1,) int64.

    Texts without a single ordinary token, of which nothing could be masked, are left out.
    """
    rows = []
    for start in range(0, len(texts), 10_000):
        part = texts[start : start + 10_000]
        rows += tokenizer(
            part, truncation=True, max_length=max_length, return_attention_mask=False, return_token_type_ids=False
        )["input_ids"]  # fmt: skip
    special = set(tokenizer.all_special_ids)
    kind = np.uint16 if len(tokenizer) < 2**16 else np.int32
    rows = [np.array(row, dtype=kind) for row in rows if not special.issuperset(row)]
    if not rows:
        raise DataError("No text holds an ordinary token of this tokenizer.")
    return np.concatenate(rows), np.concatenate([[0], np.cumsum([len(row) for row in rows])])


# ---- how many steps


def plan_steps(ready: Prepared) -> dict[str, Any]:
    """How many optimizer steps, and after how many each evaluation; for `minutes`, from the speed of a trial.

    The number of steps is fixed before the first one, since the learning rate comes down to zero at the last and a
    resumed run has to do the same steps. So a machine that gets busier later takes longer than planned.
    """
    config = ready.config
    sampler = ready.loaders()["train"].batch_sampler
    plan: dict[str, Any] = {}
    if config.minutes is not None:
        seconds = _trial(ready)
        plan["seconds_a_step"] = round(seconds, 4)
        steps = config.minutes * 60 / seconds
    elif config.tokens is not None:
        steps = config.tokens / (sampler.lengths.sum() / sampler.batches_a_pass) / config.accumulate
    else:
        steps = (config.epochs or 1) * sampler.batches_a_pass / config.accumulate
    # An evaluated batch costs about a third of a trained one; all evaluations together get a tenth of the time at most.
    cost = len(ready.loaders()["validation"]) / 3 / config.accumulate
    evaluations = max(1, min(config.evaluations, int(0.1 * steps / cost)))
    if config.minutes is not None:
        steps -= evaluations * cost
    steps = max(1, round(steps))
    every = -(-steps // min(evaluations, steps))
    return plan | {"steps": steps, "evaluate_every": every, "rounds": -(-steps // every)}


def _trial(ready: Prepared) -> float:
    """Seconds that one optimizer step takes, measured on a throw-away model; the first steps do not count."""
    config = dataclasses.replace(ready.config, warmup=0.0)
    loaders = ready.loaders(_TRIAL_STEPS * config.accumulate)
    del loaders["validation"]
    plan = {"rounds": _TRIAL_ROUNDS, "steps": _TRIAL_STEPS * _TRIAL_ROUNDS}
    history: History = fit(
        ready.new_model(), loaders, _settings(config, plan, progress=False), loss=CrossEntropy()
    )
    return float(np.median([row["seconds"] for row in history[1:]])) / _TRIAL_STEPS
