"""
sb3-efficient: visual reinforcement learning in Stable-Baselines3 that is cheap to train and cheap to run.

Importing this module costs nothing: the names below load what they need on first use. It has to stay
so, because torch imports it in every program of the environment (see ``_autoload``).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sb3_efficient.compression import compress as compress
    from sb3_efficient.compression import load_policy as load_policy
    from sb3_efficient.compression import prune as prune
    from sb3_efficient.engines import export as export
    from sb3_efficient.engines import make_engine as make_engine
    from sb3_efficient.errors import EfficientError as EfficientError
    from sb3_efficient.extractors import EncoderExtractor as EncoderExtractor
    from sb3_efficient.extractors import list_extractors as list_extractors
    from sb3_efficient.extractors import make_extractor as make_extractor
    from sb3_efficient.extractors import register_extractor as register_extractor
    from sb3_efficient.fast import accelerate as accelerate
    from sb3_efficient.policies import policy_kwargs as policy_kwargs
    from sb3_efficient.seer import LatentReplayBuffer as LatentReplayBuffer
    from sb3_efficient.seer import SEERCallback as SEERCallback
    from sb3_efficient.slim import save_slim as save_slim

__version__ = "0.1.0"

_EXPORTS = {
    # extractors
    "list_extractors": "extractors",
    "make_extractor": "extractors",
    "register_extractor": "extractors",
    "EncoderExtractor": "extractors",
    # policies
    "policy_kwargs": "policies",
    # training
    "accelerate": "fast",
    "SEERCallback": "seer",
    "LatentReplayBuffer": "seer",
    # acting
    "make_engine": "engines",
    "export": "engines",
    "compress": "compression",
    "load_policy": "compression",
    "prune": "compression",
    # files
    "save_slim": "slim",
    # errors
    "EfficientError": "errors",
}
__all__ = [*_EXPORTS, "__version__"]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
