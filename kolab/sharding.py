"""Weights shared out among the processes: FSDP2 of torch, by Accelerate, as `accelerate launch --config_file` asks.

Each process keeps one part of every weight, of its gradient and of the optimizer's state, and gathers a layer's weights
only while it computes with them. `fit` shares out a copy of the model: what the caller holds stays an ordinary module,
and has the whole weights again at the end. So has everything that is written into a file.
"""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from accelerate.utils.environment import parse_flag_from_env
from packaging.version import Version
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, distribute_tensor

from kolab.errors import ConfigError, TrainingError
from kolab.processes import launched

# Under 2.8 a gradient on two processes was twice the true one (on a CPU, gloo); what lies between was not tried.
OLDEST = Version("2.13")
CONFIG = Path(__file__).parent / "recipes" / "accelerate" / "fsdp.yaml"
# What else a launcher can ask for, by the name after ACCELERATE_USE_, and why `fit` does not do it.
_NEVER = {
    "DEEPSPEED": "DeepSpeed takes the backward pass, the clipping and the optimizer's step out of kl.fit's hands, and "
    "Accelerate leaves it aside on a CPU, so nobody could check here that the gradients stay exact",
    "MEGATRON_LM": "Megatron-LM brings models and a loop of its own",
    "PARALLELISM_CONFIG": "kl.fit divides batches and weights among the processes, not single layers or texts",
}
# Settings of FSDP that would change the result, or that could not be tried: name in the file, value, cure.
_SETTINGS = {
    "fsdp_activation_checkpointing": (
        "true",
        "Accelerate would draw other dropout in the second forward pass, so the gradient would be wrong; call "
        "model.encoder.gradient_checkpointing_enable() instead",
    ),
    "fsdp_offload_params": ("true", "it has never been tried with kl.fit; leave it out"),
    "fsdp_auto_wrap_policy": (
        "SIZE_BASED_WRAP",
        "it can cut through the embeddings, where torch stops; take TRANSFORMER_BASED_WRAP",
    ),
}


def asked(precision: str, device: torch.device) -> FullyShardedDataParallelPlugin | None:
    """Accelerate's plugin with what the launcher has put into the environment; None where weights stay whole.

    precision: resolved. One process alone has nobody to share with: it trains as without a launcher.
    Raises ConfigError for a launcher's wish that `fit` cannot fulfil exactly.
    """
    for name, reason in _NEVER.items():
        if parse_flag_from_env(f"ACCELERATE_USE_{name}"):
            raise ConfigError(
                f"The launcher asks for {name}, which kl.fit does not do: {reason}. To split the weights among the "
                f"processes take FSDP: accelerate launch --config_file {CONFIG} …; where a model fits on every device, "
                "torchrun is faster."
            )
    if not parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return None
    if launched()[1] == 1:
        os.environ["ACCELERATE_USE_FSDP"] = "false"  # Accelerate would look there again
        return None
    _check_settings(precision, device)
    # Every process has loaded the whole model, and the first one's weights are sent to all (`_same_everywhere`). With
    # this flag transformers would leave the models of all later runs empty on the other processes.
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    # A policy without types: bf16 is autocast's work, as it is without sharding, and gradients are summed in float32.
    return FullyShardedDataParallelPlugin(
        fsdp_version=2, mixed_precision_policy=MixedPrecisionPolicy(), cpu_ram_efficient_loading=False
    )


def _check_settings(precision: str, device: torch.device) -> None:
    if Version(torch.__version__) < OLDEST:
        raise ConfigError(
            f"FSDP needs torch {OLDEST} or newer, with which the gradients are tested; this is {torch.__version__}. "
            "Under 2.8 they came out several times too large. torchrun works with any torch that the course allows."
        )
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise ConfigError(
            f"The launcher asks for version {version} of FSDP; kl.fit works with version 2: write fsdp_version: 2, as "
            f"{CONFIG} does."
        )
    for name, (value, cure) in _SETTINGS.items():
        if os.environ.get(name.upper(), "").lower() == value.lower():
            raise ConfigError(f"The launcher's {name} is {value}: {cure}.")
    if os.environ.get("FSDP_IGNORED_MODULES"):
        raise ConfigError("fsdp_ignored_modules leaves weights behind that nobody keeps equal; leave it out.")
    if precision == "fp16":
        raise ConfigError(
            "precision='fp16' has never been tried with weights shared out by FSDP; take 'bf16' or 'fp32'."
        )
    default = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if device.type == "cpu" and default is not None:
        raise ConfigError(
            f"FSDP would put the weights on {default.type}, but the run is on the CPU: hide the GPU, by "
            "CUDA_VISIBLE_DEVICES= before the command."
        )


def enter(accelerator: Accelerator, plugin: FullyShardedDataParallelPlugin | None) -> None:
    """Makes sure that the Accelerator shards: on a CPU its AcceleratorState (1.15) never looks at the plugin."""
    if plugin is not None:
        # Both: the second copies from the first whenever somebody asks for it.
        for state in (PartialState(), accelerator.state):
            state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = plugin


def share_out(
    accelerator: Accelerator, model: nn.Module, optimizer_of: Callable[[nn.Module], torch.optim.Optimizer]
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A sharded copy of `model`, and the optimizer of its parts. All processes begin with the first one's weights."""
    shared = copy.deepcopy(model.to("cpu"))
    _same_everywhere(shared, accelerator.device)
    plugin = accelerator.state.fsdp_plugin
    plugin.transformer_cls_names_to_wrap = _layers(shared, plugin.transformer_cls_names_to_wrap)
    shared = accelerator.prepare_model(shared, device_placement=False, evaluation_mode=True)  # autocast only
    shared, optimizer = accelerator.prepare(shared, optimizer_of(shared))
    if not is_sharded(shared):  # each process would train by itself
        raise TrainingError(
            "Accelerate has not shared out the model; launch with torchrun instead, without FSDP."
        )
    return shared, optimizer


@torch.no_grad()
def _same_everywhere(model: nn.Module, device: torch.device) -> None:
    """What DistributedDataParallel does by itself: a head drawn at random is the first process's on all of them."""
    for tensor in [*model.parameters(), *model.buffers()]:
        sent = tensor.detach().to(device).contiguous()
        torch.distributed.broadcast(sent, 0)
        tensor.copy_(sent)


def _layers(model: nn.Module, wanted: Sequence[str] | None) -> list[str]:
    """The classes of the modules that are gathered as one: those asked for, or the encoder's layers.

    Not the embeddings, which transformers counts among them: Accelerate shards their table by itself, and torch does
    not shard a weight twice.
    """
    if wanted is None:
        wanted = [n for m in model.modules() for n in getattr(m, "_no_split_modules", None) or ()]
    blocks = {type(m).__name__: m for m in model.modules() if type(m).__name__ in set(wanted)}
    if missing := sorted(set(wanted) - set(blocks)):
        known = sorted({type(m).__name__ for m in model.modules() if type(m).__name__.endswith("Layer")})
        raise ConfigError(
            f"fsdp_transformer_layer_cls_to_wrap names {', '.join(missing)}, which this model does not have; "
            f"its layers are {', '.join(known) or 'of no such name'}. Leave the line out, and they are found."
        )
    return sorted(n for n, m in blocks.items() if not any(isinstance(x, nn.Embedding) for x in m.modules()))


def is_sharded(model: nn.Module) -> bool:
    """Whether every process has to take part in every forward pass of a model."""
    return isinstance(model, FSDPModule)


def regroup(model: nn.Module) -> None:
    """Lets go of gathered weights, so that the model's parameters are this process's parts again."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def local(tensor: Tensor) -> Tensor:
    """This process's part of a shared-out tensor; any other tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensors: Mapping[str, Tensor], keep: bool = True) -> dict[str, Tensor]:
    """The tensors put together, on the CPU, for the processes that keep them; all have to call it."""
    found = {}
    for name, value in tensors.items():
        value = value.detach()
        value = value.full_tensor() if isinstance(value, DTensor) else value
        if keep:
            found[name] = value.to("cpu", copy=True)
    return found


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor as this process's part of it, shared out as `like` is; no other process is asked."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def optimizer_parts(slots: Mapping[str, Tensor], parameters: Sequence[Tensor]) -> dict[str, Tensor]:
    """Whole slots of an optimizer, named "7.exp_avg" for the seventh parameter, shared out as the parameters are."""
    return {name: part_of(value, parameters[int(name.split(".", 1)[0])]) for name, value in slots.items()}


def clip(parameters: Sequence[Tensor], limit: float) -> Tensor:
    """Clips by the norm of the whole gradient, and returns it as it was before."""
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
