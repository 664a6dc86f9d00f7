"""
Features extractors by name.

``register_extractor`` puts a class, or a class with preset options, under a name;
``make_extractor`` builds it; ``list_extractors`` lists what there is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from sb3_efficient.errors import EfficientError
from sb3_efficient.extractors.base import EncoderExtractor
from sb3_efficient.extractors.conv2 import Conv2Extractor
from sb3_efficient.extractors.dict import DictExtractor
from sb3_efficient.extractors.impala import ImpalaExtractor
from sb3_efficient.extractors.nature import NatureExtractor
from sb3_efficient.extractors.nn_bench import NNBenchLargeExtractor, NNBenchSmallExtractor
from sb3_efficient.extractors.reuse import ReuseConv2Extractor, ReuseExtractor, ReuseImpalaExtractor
from sb3_efficient.extractors.tiny_rl import TinyRLActorCriticPolicy, TinyRLExtractor
from sb3_efficient.options import check_names
from sb3_efficient.registry import Registry

__all__ = [
    "Conv2Extractor",
    "DictExtractor",
    "EncoderExtractor",
    "ImpalaExtractor",
    "NNBenchLargeExtractor",
    "NNBenchSmallExtractor",
    "NatureExtractor",
    "ReuseConv2Extractor",
    "ReuseExtractor",
    "ReuseImpalaExtractor",
    "TinyRLActorCriticPolicy",
    "TinyRLExtractor",
    "find_extractor",
    "list_extractors",
    "make_extractor",
    "register_extractor",
]

ExtractorClass = TypeVar("ExtractorClass", bound=type[BaseFeaturesExtractor])


@dataclass(frozen=True)
class Entry:
    """What a name stands for: a class, options set beforehand, and whether it is a network of a benchmarked paper."""

    extractor_class: type[BaseFeaturesExtractor]
    preset: dict[str, Any] = field(default_factory=dict)
    paper: bool = False

    def options(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """
        :param name: The registered name, for the error message
        :param options: Options of the user
        :return: The preset options, with those of the user over them
        """
        constructor = self.extractor_class.__init__
        self_and_space = list(inspect.signature(constructor).parameters)[:2]
        check_names(f"Extractor {name!r}", options, constructor, given=self_and_space)
        return {**self.preset, **options}


_REGISTRY: Registry[Entry] = Registry("extractor")


def register_extractor(
    name: str, extractor_class: ExtractorClass | None = None, *, paper: bool = False, **preset: Any
) -> Callable[[ExtractorClass], ExtractorClass]:
    """
    Put a features extractor under a name, as a decorator or as a plain call::

        @register_extractor("my-net")
        class MyExtractor(EncoderExtractor): ...

        register_extractor("my-net-x2", MyExtractor, width=2)

    :param name: Lower case words joined by hyphens
    :param extractor_class: The class, constructed as ``extractor_class(observation_space, **options)``. Define it in
        a module that can be imported: saved agents refer to it by module and name. A subclass of
        :class:`EncoderExtractor` takes the option ``normalized_image`` and passes it on.
    :param paper: List it with the networks of the benchmarked papers
    :param preset: Options that the name stands for
    :return: A decorator that registers a class and returns it
    """

    def register(cls: ExtractorClass) -> ExtractorClass:
        if not (inspect.isclass(cls) and issubclass(cls, BaseFeaturesExtractor)):
            raise EfficientError(f"Extractor {name!r} must be a class derived from BaseFeaturesExtractor, got {cls!r}.")
        entry = Entry(cls, {}, paper)
        if issubclass(cls, EncoderExtractor):
            # policy_kwargs() says which float images SB3 will hand over
            entry.options(name, {"normalized_image": False})
        _REGISTRY.register(name, Entry(cls, entry.options(name, preset), paper))
        return cls

    if extractor_class is not None:
        register(extractor_class)
    return register


def list_extractors(papers: bool = False) -> list[str]:
    """
    :param papers: List the networks of the benchmarked papers instead of those meant for use
    :return: Registered names, in order
    """
    return [name for name, entry in _REGISTRY.items() if entry.paper == papers]


def find_extractor(name: str) -> Entry:
    """
    :param name: A registered name
    :return: The class and options behind it
    """
    return _REGISTRY[name]


def make_extractor(name: str, observation_space: spaces.Space, **kwargs: Any) -> BaseFeaturesExtractor:
    """
    Build a features extractor. It takes raw uint8 batches, and float batches in [0, 1].

    :param name: A registered name, see :func:`list_extractors`
    :param observation_space: Channel-first image space (C, H, W), or a dictionary with images
    :param kwargs: Options of the extractor, ``precision`` among them
    """
    entry = find_extractor(name)
    return entry.extractor_class(observation_space, **entry.options(name, kwargs))


register_extractor("nature", NatureExtractor)
register_extractor("impala", ImpalaExtractor)
register_extractor("impala-x2", ImpalaExtractor, width=2)
register_extractor("impala-x4", ImpalaExtractor, width=4)
register_extractor("impoola", ImpalaExtractor, pool="average")
register_extractor("reuse-conv", ReuseExtractor)
register_extractor("reuse-impala", ReuseImpalaExtractor)

register_extractor("nn-bench-small", NNBenchSmallExtractor, paper=True)
register_extractor("nn-bench-large", NNBenchLargeExtractor, paper=True)
register_extractor("conv2", Conv2Extractor, paper=True)
register_extractor("tiny-rl", TinyRLExtractor, paper=True)
register_extractor("reuse-conv2", ReuseConv2Extractor, paper=True)
