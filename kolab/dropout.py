"""Dropout of a model that is already there. A setting in its configuration comes too late for that."""

from torch import nn

from kolab.errors import ConfigError

_FLOATS = ("attention_dropout",)  # ModernBERT's attention keeps its rate as a plain number


def dropout_rates(model: nn.Module) -> dict[float, int]:
    """The rates that a model really applies in training, and in how many places: {0.1: 20}.

    >>> dropout_rates(nn.Sequential(nn.Dropout(0.1), nn.Linear(2, 2), nn.Dropout(0.1)))
    {0.1: 2}
    """
    found: dict[float, int] = {}
    for module in model.modules():
        rates = [module.p] if isinstance(module, nn.Dropout) else []
        rates += [
            float(getattr(module, name)) for name in _FLOATS if isinstance(getattr(module, name, None), float)
        ]
        for rate in rates:
            found[rate] = found.get(rate, 0) + 1
    return found


def set_dropout(model: nn.Module, rate: float) -> int:
    """Give every dropout of a model this rate, in attention too; returns in how many places.

    `config.hidden_dropout_prob = 0.3` on a model that has been built changes nothing: its layers have read 0.1 when
    they were made, and keep it. (Srivastava et al., 2014, *Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting*.)

    Raises ConfigError for a rate outside [0, 1), or a model that has no dropout to set.
    """
    if not 0.0 <= rate < 1.0:
        raise ConfigError(f"The dropout rate is {rate}; it has to be at least 0 and below 1 (0.1 is usual).")
    places = 0
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p, places = rate, places + 1
        for name in _FLOATS:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, rate)
                places += 1
    if not places:
        raise ConfigError(
            "This model has no dropout: it was built with a rate of 0 that left the layers out."
        )
    return places
