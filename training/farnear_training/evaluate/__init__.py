"""How good a model is: its figures in training (`evaluate`), and a bundle's, with a report (`farnear evaluate`).

What needs Torch is imported when it is asked for, so that `farnear --help` stays quick.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farnear_training.evaluate.network import Evaluation, embed, evaluate

__all__ = ["Evaluation", "embed", "evaluate"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from farnear_training.evaluate import network

    found: object = getattr(network, name)
    return found
