"""In which type does autocast compute an operation? Asked of torch itself, for CUDA also on a machine without a GPU.

Autocast is a table in torch's dispatcher: for each operation 'in 16 bits', 'in float32' or 'as it comes'. The tables
of CUDA and of the CPU differ. A fake tensor has a device, a shape and a type but no memory, and goes through the same
dispatcher, so it tells what CUDA would do. The lists themselves: https://docs.pytorch.org/docs/stable/amp.html
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

Operation = Callable[
    [Tensor, Tensor, Tensor], Tensor
]  # of a 16-bit tensor, a float32 tensor and class numbers

OPERATIONS: dict[str, Operation] = {
    "linear": lambda half, full, labels: F.linear(full, full),
    "matmul, bmm": lambda half, full, labels: half @ full,
    "gelu": lambda half, full, labels: F.gelu(half),
    "16-bit + float32": lambda half, full, labels: half + full,
    "softmax": lambda half, full, labels: half.softmax(-1),
    "layer_norm": lambda half, full, labels: F.layer_norm(half, half.shape[-1:]),
    "sum": lambda half, full, labels: half.sum(),
    "exp, log, pow": lambda half, full, labels: half.exp(),
    "cross_entropy": lambda half, full, labels: F.cross_entropy(half, labels),
}


def computed_in(device: str, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """Operation → the type of its result under autocast, for the operations of an encoder and its loss.

    device: "cpu" or "cuda". dtype: torch.bfloat16 or torch.float16.

    >>> computed_in("cpu", torch.bfloat16)["linear"]
    torch.bfloat16
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(), _autocast_on(device, dtype):
        full = torch.empty(8, 8, device=device)
        half, labels = full.to(dtype), torch.zeros(8, dtype=torch.long, device=device)
        return {name: operation(half, full, labels).dtype for name, operation in OPERATIONS.items()}


@contextlib.contextmanager
def _autocast_on(device: str, dtype: torch.dtype) -> Iterator[None]:
    """What `torch.autocast` does, without its refusal where no such device is there."""
    before = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    torch.set_autocast_enabled(device, True)
    torch.set_autocast_dtype(device, dtype)
    try:
        yield
    finally:
        torch.set_autocast_enabled(device, before[0])
        torch.set_autocast_dtype(device, before[1])
        torch.clear_autocast_cache()
