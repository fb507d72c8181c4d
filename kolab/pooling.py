"""Pooling: from one vector a token, (B, L, H), to one vector a text, (B, H). Padding never has a say.

B texts, L tokens in the longest of them, H numbers a vector. The mask is (B, L): 1 on tokens, 0 on padding.
"""

import torch
from torch import nn


class ClsPooling(nn.Module):
    """The vector of each text's first token, [CLS]: (B, L, H), (B, L) → (B, H)."""

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        first = mask.to(torch.uint8).argmax(dim=1)  # position 0, or where a left-padded text begins
        return hidden[torch.arange(len(hidden), device=hidden.device), first]


class MeanPooling(nn.Module):
    """The mean of the vectors of the real tokens: (B, L, H), (B, L) → (B, H). A text without any gives zeros.

    >>> hidden = torch.tensor([[[1.0], [3.0], [99.0]]])                # one text: two tokens and a padding
    >>> MeanPooling()(hidden, torch.tensor([[1, 1, 0]]))
    tensor([[2.]])
    """

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mask = mask.bool().unsqueeze(-1)  # (B, L, 1)
        # masked_fill, not a product: 0 · inf is nan. In float32 at least: in float16 2048 + 1 is 2048.
        total = _at_least_float32(hidden).masked_fill(~mask, 0.0).sum(dim=1)  # (B, H)
        return (total / mask.sum(dim=1).clamp(min=1)).to(hidden.dtype)


class AttentionPooling(nn.Module):
    """A weighted mean of the vectors of the real tokens, the weights learned: (B, L, H), (B, L) → (B, H).

    One query q of H numbers gives each token the score q · h / √H; the softmax over the real tokens gives the
    weights. q starts at zero, so that training begins at the plain mean. A text without any token gives
    zeros.
    """

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Parameter(torch.zeros(width))

    def weights(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The weight of each token, float32 or more (B, L): 0 on padding, adding up to 1 over a text."""
        mask = mask.bool()
        hidden = _at_least_float32(hidden)
        scores = hidden @ self.query.to(hidden.dtype) / hidden.shape[-1] ** 0.5
        lowest = torch.finfo(scores.dtype).min  # not -inf: a row of nothing but -inf has the softmax nan
        return scores.masked_fill(~mask, lowest).softmax(dim=1).masked_fill(~mask, 0.0)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        weights = self.weights(hidden, mask).unsqueeze(-1)  # (B, L, 1)
        values = _at_least_float32(hidden).masked_fill(~mask.bool().unsqueeze(-1), 0.0)
        return (weights * values).sum(dim=1).to(hidden.dtype)


def _at_least_float32(hidden: torch.Tensor) -> torch.Tensor:
    return hidden.float() if hidden.dtype in (torch.float16, torch.bfloat16) else hidden


def make_pooling(name: str, width: int) -> nn.Module:
    """The pooling of that name ("cls", "mean" or "attention") for vectors of `width` numbers."""
    if name == "attention":
        return AttentionPooling(width)
    return MeanPooling() if name == "mean" else ClsPooling()
