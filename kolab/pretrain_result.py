"""What a pre-training leaves behind for others: a folder that plain transformers loads, with a card and hashes."""

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kolab import checkpoint
from kolab.measure import machine
from kolab.tokenizer_training import save_tokenizer
from kolab.weights import no_bars

if TYPE_CHECKING:
    from kolab.pretrain import Prepared

_DROPOUT = 0.1  # of the saved configuration: pre-training has none, fine-tuning on few texts wants BERT's


def write_result(language_model, ready: "Prepared", history) -> Path:
    """Writes `model/`: config.json, model.safetensors, the tokenizer, README.md and SHA256SUMS; whole or not at all.

    `AutoModel`, `AutoModelForMaskedLM` and `AutoTokenizer` load it, in float32 also where the file holds float16.
    """
    model = copy.deepcopy(language_model).cpu()
    with checkpoint.folder_for(ready.folder / "model") as partial:
        with no_bars():
            (model.half() if ready.config.half else model.float()).save_pretrained(partial)
        path = partial / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config |= {
            "dtype": "float32",
            "hidden_dropout_prob": _DROPOUT,
            "attention_probs_dropout_prob": _DROPOUT,
        }
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_tokenizer(ready.tokenizer, partial)
        (partial / "README.md").write_text(card(ready, history, language_model), encoding="utf-8")
        write_sums(partial)
    return ready.folder / "model"


def write_sums(folder: Path) -> None:
    """Writes SHA256SUMS over all other files of a folder, in the format of `sha256sum`; load_encoder checks them."""
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != "SHA256SUMS")
    lines = "".join(f"{checkpoint.sha256(folder / name)}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text(lines, encoding="utf-8")


def facts(ready: "Prepared", history) -> dict[str, Any]:
    """The measured facts of a run: steps, tokens, passes, minutes, and the last held-out loss and accuracy."""
    sampler = ready.loaders()["train"].batch_sampler
    last = history[-1]
    return {
        "steps": last["step"],
        "tokens": sampler.tokens_until(last["step"] * ready.config.accumulate),
        "passes": last["step"] * ready.config.accumulate / sampler.batches_a_pass,
        "minutes": sum(row["seconds"] for row in history) / 60,
        "held_out_loss": last["validation_loss"],
        "masked_accuracy": last["accuracy"],
    }


def card(ready: "Prepared", history, language_model) -> str:
    """A model card in Markdown, filled with what was measured; what only a person can say is marked with TODO."""
    config, corpus, here, found = ready.config, ready.about["corpus"], machine(), facts(ready, history)
    shape, parameters = language_model.config, sum(p.numel() for p in language_model.parameters())
    first = "random weights" if config.init is None else f"the weights of {Path(config.init).name}"
    apart = ""
    if config.hold_out_column is not None:
        apart = (
            f" Rows with crc32({config.hold_out_column}) % 10 == {config.hold_out_tenth} "
            f"({corpus['held_out_rows']:,}) were never seen."
        )
    return f"""# {ready.folder.name}: a BERT pre-trained with `kolab pretrain`

{parameters:,} parameters: {shape.num_hidden_layers} layers of {shape.hidden_size}, {shape.num_attention_heads} heads, \
{len(ready.tokenizer):,} subwords, up to {shape.max_position_embeddings} tokens, stored in \
{"float16" if config.half else "float32"}.

## Data
{corpus["file"]}: {corpus["texts"]:,} texts of {corpus["rows"]:,} rows ({corpus["blank"]:,} blank, \
{corpus["repeated"]:,} repeated).{apart} {corpus["train_texts"]:,} texts ({corpus["train_tokens"]:,} tokens) to train \
on, {corpus["validation_texts"]:,} held out; {corpus["hangul_share"]:.0%} of the letters are Hangul.
Origin and licence: TODO.

## Training
Masked-language modelling, {config.share:.0%} of the tokens, 80/10/10, masked anew in each pass. AdamW (0.9, 0.98), \
learning rate {config.lr:g}, linear decay, {config.batch_tokens * config.accumulate:,} tokens a step, no dropout, \
seed {config.seed}, from {first}.

| steps | tokens | passes | minutes | machine | held-out loss | masked accuracy |
|---|---|---|---|---|---|---|
| {found["steps"]:,} | {found["tokens"]:,} | {found["passes"]:.2f} | {found["minutes"]:.1f} | {here["name"]} | \
{found["held_out_loss"]:.4f} | {found["masked_accuracy"]:.4f} |

## Scores
TODO: `kolab bench probe --encoder FOLDER`.

## Limits
It knows the language of its corpus, and its prejudices too. It has no pooler: take the mean of its token vectors.
TODO: what it should not be used for.
"""
