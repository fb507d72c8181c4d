"""How much memory a step of fine-tuning takes, predicted from a few numbers: before anything is downloaded or run.

Four things fill the memory: weights, gradients, the optimizer's two running means, and the activations that the
forward pass keeps for the backward pass. The first three go with the parameters, the last with the tokens.

What an encoder layer keeps is written down tensor by tensor below, for a BERT with plain ('eager') or fused ('sdpa')
attention, as torch's autograd saves it. It follows Korthikanti et al. (2022), *Reducing Activation Recomputation in
Large Transformer Models*, section 4.1, with what differs here: autocast copies an input once for each linear layer
that reads it, and a CPU keeps dropout's mask as numbers, a GPU as one byte each.
"""

from dataclasses import dataclass
from typing import Any

from kolab.errors import ConfigError

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")  # bf16 and fp16 by autocast: weights stay in float32
ATTENTIONS = ("eager", "sdpa")
MIB = 2**20


@dataclass(frozen=True)
class Shape:
    """The shape of a BERT-like encoder with a linear head, in whole numbers.

    >>> KOBERT.parameters - KOBERT.head, KOBERT.layer * KOBERT.layers
    (91596288, 85054464)
    """

    layers: int
    width: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int = 2
    classes: int = 3

    @classmethod
    def of(cls, config: Any, classes: int = 3) -> "Shape":
        """The shape in a transformers configuration (BERT, RoBERTa, ELECTRA …)."""
        return cls(
            layers=config.num_hidden_layers,
            width=config.hidden_size,
            heads=config.num_attention_heads,
            inner=config.intermediate_size,
            vocabulary=config.vocab_size,
            positions=config.max_position_embeddings,
            types=getattr(config, "type_vocab_size", 0),
            classes=classes,
        )

    @property
    def embeddings(self) -> int:
        """Parameters of the tables and of the LayerNorm behind them."""
        return (self.vocabulary + self.positions + self.types) * self.width + 2 * self.width

    @property
    def layer_linear(self) -> int:
        """Weights and biases of one layer's six linear layers: what autocast copies."""
        return 4 * (self.width**2 + self.width) + 2 * self.width * self.inner + self.inner + self.width

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        return self.layer_linear + 4 * self.width

    @property
    def head(self) -> int:
        """Parameters of the head."""
        return (self.width + 1) * self.classes

    @property
    def parameters(self) -> int:
        """All parameters of the classifier."""
        return self.embeddings + self.layers * self.layer + self.head

    def trained(self, rank: int | None) -> int:
        """Parameters that learn: all, or with LoRA on query and value the adapters and the head."""
        return self.parameters if rank is None else self.layers * 4 * rank * self.width + self.head


MINI = Shape(layers=6, width=256, heads=4, inner=1024, vocabulary=8001, positions=256)
KOBERT = Shape(layers=12, width=768, heads=12, inner=3072, vocabulary=8002, positions=512)


@dataclass(frozen=True)
class Footprint:
    """Bytes by purpose.

    copies: autocast's 16-bit copies of the weights, kept with the activations. working: the largest tensor that an
    operation needs beside them while it runs. accumulates: gradients of an earlier micro-batch are there already.
    rerun: under checkpointing, what is there when the lowest layer runs again, the gradients of all layers above
    included.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    copies: int = 0
    working: int = 0
    accumulates: bool = False
    rerun: int = 0

    @property
    def parts(self) -> dict[str, int]:
        """The five that a step keeps, by name."""
        names = ("weights", "gradients", "optimizer", "activations", "copies")
        return {name: getattr(self, name) for name in names}

    @property
    def total(self) -> int:
        """All parts, as if all were there at once."""
        return sum(self.parts.values())

    @property
    def in_step(self) -> int:
        """The most that a step adds to the weights and the optimizer's state.

        Activations are released while gradients come into being. At the end of the forward pass all activations are
        there and no gradient is (zero_grad has set them to None, unless they are accumulated); at the end of the
        backward pass it is the other way round.
        """
        top = self.activations + self.copies + self.working + self.accumulates * self.gradients
        bottom = self.rerun + (self.copies + self.working if self.rerun else 0)
        return max(top, bottom, self.gradients)

    @property
    def peak(self) -> int:
        """The most there is at one time."""
        return self.weights + self.optimizer + self.in_step


def predict(
    shape: Shape,
    *,
    batch: int = 32,
    length: int = 128,
    precision: str = "fp32",
    rank: int | None = None,
    checkpointing: bool = False,
    attention: str = "sdpa",
    device: str = "cuda",
    dropout: bool = True,
    accumulate: int = 1,
) -> Footprint:
    """The memory of one step of AdamW on `batch` texts of `length` tokens, padding included.

    precision: bf16 and fp16 mean autocast: weights, gradients and optimizer stay in float32. rank: LoRA on query and
    value; None for full fine-tuning. checkpointing: only the layers' inputs are kept, and each
    layer is run again.
    attention: "sdpa" is what transformers takes on a GPU, "eager" what this course takes on a CPU. device: "cpu" or
    "cuda"; they keep dropout's mask and the softmax differently. accumulate: micro-batches of `batch` in one step.

    >>> full, lora = (predict(KOBERT, rank=rank) for rank in (None, 8))
    >>> full.weights == full.gradients == full.optimizer // 2, lora.weights - full.weights == 4 * 12 * 4 * 8 * 768
    (True, True)

    Raises ConfigError for a setting that does not exist.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; there are {', '.join(PRECISIONS)}.")
    if attention not in ATTENTIONS:
        raise ConfigError(f"attention is {attention!r}; there are {', '.join(ATTENTIONS)}.")
    if min(batch, length, accumulate) < 1 or (rank is not None and rank < 1):
        raise ConfigError("batch, length, accumulate and rank have to be at least 1.")
    mixed = precision in ("bf16", "fp16")
    trained = shape.trained(rank)
    adapters = 0 if rank is None else trained - shape.head
    layer = _layer(shape, batch, length, mixed, rank, attention, device, dropout)
    tokens = batch * length * shape.width * 4  # one (B, L, H) tensor of float32
    bottom = _bottom(tokens, rank, dropout, device)
    kept = shape.layers * tokens + layer if checkpointing else shape.layers * layer
    linear = shape.layer_linear + (0 if rank is None else 4 * rank * shape.width)
    copies = 2 * linear * (1 if checkpointing else shape.layers) if mixed else 0
    above = (
        4 * (shape.layers - 1) * (shape.layer if rank is None else 4 * rank * shape.width)
    )  # their gradients
    scores, inner = batch * shape.heads * length**2, batch * length * shape.inner
    return Footprint(
        weights=4 * (shape.parameters + adapters),
        gradients=4 * trained,
        optimizer=8 * trained,
        activations=bottom + kept,
        copies=copies,
        working=(2 if mixed else 4) * (max(scores, inner) if attention == "eager" else inner),
        accumulates=accumulate > 1,
        rerun=bottom + tokens + layer + above if checkpointing else 0,
    )


def _bottom(tokens: int, rank: int | None, dropout: bool, device: str) -> int:
    """Below the layers: the embeddings' LayerNorm keeps its input, dropout its mask. Nothing where nothing learns."""
    if rank is not None:
        return 0
    return tokens + (0 if not dropout else tokens if device == "cpu" else tokens // 4)


def _layer(
    shape: Shape,
    batch: int,
    length: int,
    mixed: bool,
    rank: int | None,
    attention: str,
    device: str,
    dropout: bool,
) -> int:
    """The bytes that autograd keeps of one layer.

    s: bytes of a number in the linear layers, 2 under autocast. Sums and LayerNorm stay in float32 (4 bytes): the
    embeddings are float32, and float32 plus bfloat16 is float32.
    """
    s = 2 if mixed else 4
    tokens = batch * length
    wide, inner = (
        tokens * shape.width,
        tokens * shape.inner,
    )  # numbers in a (B, L, H) tensor, in a (B, L, 4H) one
    scores = batch * shape.heads * length**2
    full, cpu = rank is None, device == "cpu"
    mask = (s if cpu else 1) if dropout else 0
    norm = 4 * wide + 8 * tokens  # LayerNorm keeps its input, and a mean and a deviation for each token

    readers = (
        3 if full else 2
    )  # what keeps its input: query, key, value; under LoRA the A of query and of value
    kept = wide * (s * readers if mixed else 4)  # autocast makes a copy for each of them
    kept += wide * s * 3  # query, key and value themselves
    if attention == "sdpa":
        kept += wide * s + 4 * scores // length  # the result, and one log-sum-exp for each row of the scores
    else:
        soft = 4 if mixed and not cpu else s  # autocast computes the softmax in float32 on CUDA, not on a CPU
        another = (
            s if dropout or soft != s else 0
        )  # is what meets the values another tensor than the softmax's result?
        kept += scores * (soft + mask + another)
        kept += wide * s if full else 0  # the context, which the next linear layer reads
    kept += wide * mask + norm
    kept += inner * s  # GELU's input
    kept += wide * mask + norm
    if full:
        kept += (
            wide * s + inner * s
        )  # what the two wide linear layers read: only a weight that learns needs it
    else:
        kept += 2 * tokens * rank * s  # what the two B read
    return kept
