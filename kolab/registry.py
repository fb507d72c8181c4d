"""What is known of encoders: where each comes from, at which revision, and how its family is built.

A revision is the full hash of a commit, so that a name means the same weights for ever; whoever wants others gives a
folder. Families differ in what their parts are called: layers, queries and values, the authors' own head.
"""

from dataclasses import dataclass

from .errors import ConfigError


@dataclass(frozen=True)
class EncoderCard:
    """Where an encoder comes from (a folder of the course's data, or a Hub id), and under which licence.

    revision: the commit on the Hub. aliases: short names that `load_encoder` takes too.
    """

    source: str
    revision: str | None
    licence: str
    note: str
    aliases: tuple[str, ...] = ()


ENCODERS: dict[str, EncoderCard] = {
    "kolab-mini": EncoderCard(
        source="data/kolab-mini",
        revision=None,
        licence="Apache-2.0",
        note="Bundled: BERT, 6 layers of 256, 4 heads, 8,000 subwords with byte fallback. Needs no network.",
    ),
    "monologg/kobert": EncoderCard(
        source="monologg/kobert",
        revision="f89943434bd5ebaf7be828a30587161a44a5d02c",
        licence="Apache-2.0",
        note="KoBERT: BERT, 12 layers of 768, 92 M parameters, 8,002 SentencePiece subwords, padding id 1.",
        aliases=("kobert",),
    ),
    "skt/kobert-base-v1": EncoderCard(
        source="skt/kobert-base-v1",
        revision="9973469676e1a7dedb1e47514f1533004463f1e6",
        licence="Apache-2.0",
        note="KoBERT as its makers publish it; the ids stand in its SentencePiece model.",
        aliases=("skt-kobert",),
    ),
    "klue/bert-base": EncoderCard(
        source="klue/bert-base",
        revision="77c8b3d707df785034b4e50f2da5d37be5f0f546",
        licence="CC BY-SA 4.0",
        note="KLUE's BERT: 12 layers of 768, 111 M parameters, 32,000 subwords within morphemes.",
        aliases=("klue-bert",),
    ),
    "klue/roberta-base": EncoderCard(
        source="klue/roberta-base",
        revision="02f94ba5e3fcb7e2a58a390b8639b0fac974a8da",
        licence="CC BY-SA 4.0",
        note="KLUE's RoBERTa: 12 layers of 768, 111 M parameters, 32,000 subwords within morphemes.",
        aliases=("klue-roberta", "roberta"),
    ),
    "beomi/KcELECTRA-base-v2022": EncoderCard(
        source="beomi/KcELECTRA-base",
        revision="4cf9eb1dfeec0a672afe73059882fc998a299ceb",  # the v2022 weights, in the collection's repository
        licence="MIT",
        note="ELECTRA on online comments: 12 layers of 768, 128 M parameters, 54,343 subwords.",
        aliases=("kcelectra",),
    ),
    "monologg/koelectra-small-v3-discriminator": EncoderCard(
        source="monologg/koelectra-small-v3-discriminator",
        revision="7488f8db0f208beff4a1f3f9bb3ed04650a89ed7",
        licence="Apache-2.0",
        note="A small ELECTRA: 12 layers of 256, 14 M parameters, 35,000 subwords.",
        aliases=("koelectra-small",),
    ),
    "jason9693/soongsil-bert-base": EncoderCard(
        source="jason9693/soongsil-bert-base",
        # the name its authors give it (github.com/jason9693/Soongsil-BERT); a pytorch_model.bin, no safetensors
        revision="3c993d9d0a478d493fa78a6a11de32617ee60e86",
        licence="see its page",
        note="SoongsilBERT: RoBERTa on online communities' texts, 12 layers of 768, 98 M parameters, 16,000 subwords.",
        aliases=("soongsilbert",),
    ),
    "answerdotai/ModernBERT-base": EncoderCard(
        source="answerdotai/ModernBERT-base",
        revision="8949b909ec900327062f0ebf497f51aef5e6f0c8",
        licence="Apache-2.0",
        note="ModernBERT (English): 22 layers of 768, 149 M parameters, up to 8,192 tokens.",
        aliases=("modernbert",),
    ),
    "google-bert/bert-base-uncased": EncoderCard(
        source="google-bert/bert-base-uncased",
        revision="86b5e0934494bd15c9632b12f734a8a67f723594",
        licence="Apache-2.0",
        note="BERT (English): 12 layers of 768, 110 M parameters.",
        aliases=("bert",),
    ),
}
ALIASES = {alias: name for name, card in ENCODERS.items() for alias in card.aliases}


@dataclass(frozen=True)
class Family:
    """How the encoders of one family are built in transformers.

    layers: the list of layers, as a path from the encoder. attention: the linear layers that make queries and values,
    which LoRA (Hu et al., 2021) adapts; where one makes queries, keys and values at once, that one. linear: all linear
    ones. head: what transformers' own sequence classifier adds to the encoder, to be trained from scratch (peft's
    `modules_to_save`). pooling: what that head reads of the encoder's output.
    """

    name: str
    layers: str
    attention: tuple[str, ...]
    linear: tuple[str, ...]
    head: tuple[str, ...]
    pooling: str = "cls"


_BERT_LINEAR = ("query", "key", "value", "dense")
FAMILIES: dict[str, Family] = {  # by config.model_type
    # BERT's head reads the pooler, a layer over [CLS] that `load_encoder` leaves out
    "bert": Family("BERT", "encoder.layer", ("query", "value"), _BERT_LINEAR, ("classifier",)),
    "roberta": Family("RoBERTa", "encoder.layer", ("query", "value"), _BERT_LINEAR, ("classifier",)),
    "xlm-roberta": Family("XLM-RoBERTa", "encoder.layer", ("query", "value"), _BERT_LINEAR, ("classifier",)),
    "electra": Family("ELECTRA", "encoder.layer", ("query", "value"), _BERT_LINEAR, ("classifier",)),
    "distilbert": Family(
        "DistilBERT",
        "transformer.layer",
        ("q_lin", "v_lin"),
        ("q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"),
        ("pre_classifier", "classifier"),
    ),
    # its head pools as config.classifier_pooling says; the published base model says the mean
    "modernbert": Family(
        "ModernBERT", "layers", ("Wqkv",), ("Wqkv", "Wo", "Wi"), ("head", "classifier"), "mean"
    ),
}


def family_of(config) -> Family:
    """The family of an encoder's configuration. Raises ConfigError for one that nobody has described yet."""
    kind = getattr(config, "model_type", None)
    if kind not in FAMILIES:
        raise ConfigError(
            f"The parts of {kind!r} encoders are not known; those of {', '.join(FAMILIES)} are (kolab/registry.py)."
        )
    return FAMILIES[kind]
