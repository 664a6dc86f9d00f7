"""
A trained policy made smaller and faster.

``compress`` applies a recipe, ``prune`` one step of it that gives a model; ``load_policy`` reads what ``compress``
made; ``list_methods`` lists what recipes consist of.
"""

from sb3_efficient.compression.binary import Binary
from sb3_efficient.compression.channels import ChannelPruning
from sb3_efficient.compression.compress import compress
from sb3_efficient.compression.distillation import Distillation
from sb3_efficient.compression.magnitude import LnStructured, MagnitudePruning
from sb3_efficient.compression.policy import CompressedPolicy, load_policy
from sb3_efficient.compression.prune import prune
from sb3_efficient.compression.pruning_callback import PruningCallback
from sb3_efficient.compression.quantization import DynamicFloat16, DynamicInt8, StaticFloat16, StaticInt8
from sb3_efficient.compression.quantization_aware import QATCallback, QuantizationAware
from sb3_efficient.compression.recipe import METHODS, make_method, make_recipe

__all__ = [
    "Binary",
    "ChannelPruning",
    "CompressedPolicy",
    "Distillation",
    "DynamicFloat16",
    "DynamicInt8",
    "LnStructured",
    "MagnitudePruning",
    "PruningCallback",
    "QATCallback",
    "QuantizationAware",
    "StaticFloat16",
    "StaticInt8",
    "compress",
    "list_methods",
    "load_policy",
    "make_method",
    "make_recipe",
    "prune",
]


def list_methods() -> list[str]:
    """
    :return: Registered names, in order
    """
    return list(METHODS)
