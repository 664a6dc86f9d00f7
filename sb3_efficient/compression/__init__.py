"""
A trained policy made smaller and faster.

``compress`` applies a recipe; ``load_policy`` reads what it made; ``list_methods`` lists what recipes consist of.
"""

from sb3_efficient.compression.compress import compress
from sb3_efficient.compression.policy import CompressedPolicy, load_policy
from sb3_efficient.compression.quantization import DynamicFloat16, DynamicInt8, StaticFloat16, StaticInt8
from sb3_efficient.compression.recipe import METHODS, make_method, make_recipe

__all__ = [
    "CompressedPolicy",
    "DynamicFloat16",
    "DynamicInt8",
    "StaticFloat16",
    "StaticInt8",
    "compress",
    "list_methods",
    "load_policy",
    "make_method",
    "make_recipe",
]


def list_methods() -> list[str]:
    """
    :return: Registered names, in order
    """
    return list(METHODS)
