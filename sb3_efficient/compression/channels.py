"""Whole channels left out: a smaller network of the same kind, and so an ordinary SB3 model."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from sb3_efficient.compression.copying import copied, forget_moments
from sb3_efficient.compression.gradients import compute_gradients
from sb3_efficient.compression.groups import (
    IMPORTANCES,
    NEED_GRADIENTS,
    Group,
    check_order,
    groups,
    remove_channels,
)
from sb3_efficient.compression.layers import layer_name
from sb3_efficient.compression.networks import Networks, networks
from sb3_efficient.compression.recipe import ModelMethod, register_method
from sb3_efficient.compression.size import acting_bytes, acting_macs
from sb3_efficient.errors import ConflictError, OptionError, suggestion
from sb3_efficient.exploration import explore_anew
from sb3_efficient.extractors import EncoderExtractor, NatureExtractor
from sb3_efficient.generators import kept_generators
from sb3_efficient.options import check_name, fraction, number, whole_number

DEFAULT_RATIO = 0.5
_HALVINGS = 12


@register_method("channel-pruning")
@dataclass(frozen=True)
class ChannelPruning(ModelMethod):
    """
    Leave out the channels of convolutions, and the units of hidden layers, that matter least.

    Every layer is pruned by the same ratio, in the networks of actor and critic alike (SB3 builds both from the same
    ``policy_kwargs``), each by its own importance; layers that are added up are pruned together. The widths are
    written into ``policy_kwargs``, and NatureCNN becomes the extractor ``nature``, the same function with widths of
    choice. Targets become copies of the networks that they follow, and the optimizers start anew.

    :param ratio: Part of the channels that is left out, in [0, 1); 0.5 if no target is given
    :param importance: ``"l1"``, ``"l2"``, ``"fpgm"``, ``"taylor"`` (needs observations) or ``"random"``
    :param layers: Ratios of single layers of the extractor, as ``{"linear.0": 0.9}``, and of all hidden layers behind
        it, as ``{"net_arch": 0}``
    :param speedup: In place of ``ratio``: how many times fewer multiply-accumulates acting shall take
    :param bytes: In place of ``ratio``: what the weights that act may take in float32
    :param seed: Of ``"random"``
    """

    ratio: float | None = None
    importance: str = "l1"
    layers: Mapping[str, float] | None = None
    speedup: float | None = None
    bytes: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        given = [name for name in ("ratio", "speedup", "bytes") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConflictError(f"{' and '.join(given)} both say how much to prune: give one of them.")
        if not isinstance(self.layers or {}, Mapping):
            raise OptionError(f"layers must be ratios by name, as {{'linear.0': 0.9}}, got {self.layers!r}.")
        for name, value in {"ratio": self._ratio, **(self.layers or {})}.items():
            fraction(name, value)
        check_name("importance", self.importance, IMPORTANCES)
        if self.speedup is not None:
            number("speedup", self.speedup, least=1)
        if self.bytes is not None:
            whole_number("bytes", self.bytes)
        whole_number("seed", self.seed, least=0)

    @property
    def needs_observations(self) -> bool:  # type: ignore[override]
        return self.importance in NEED_GRADIENTS

    @property
    def _ratio(self) -> float:
        return DEFAULT_RATIO if self.ratio is None else self.ratio

    @property
    def _has_target(self) -> bool:
        return self.speedup is not None or self.bytes is not None

    def check(self, model: BaseAlgorithm) -> None:
        networks(model)
        # Critics judge actions that are drawn
        with kept_generators():
            # In a copy nothing is frozen; what takes no gradients would not be found
            self._check(copied(model))

    def apply(self, model: BaseAlgorithm, *, teacher: BaseAlgorithm, observations: np.ndarray | None) -> BaseAlgorithm:
        pruned = copied(model)
        with kept_generators():
            self._check(pruned)
            th.manual_seed(self.seed)
            return self._pruned(pruned, observations)

    def _check(self, model: BaseAlgorithm) -> None:
        found = networks(model)
        extractor_class = model.policy.features_extractor_class
        options = inspect.signature(extractor_class.__init__).parameters
        if extractor_class is not NatureCNN and "channels" not in options:
            raise OptionError(
                f"channel-pruning writes the pruned widths into the extractor's option 'channels', which "
                f"{extractor_class.__name__} does not have. Extractors of this package do, and SB3's NatureCNN is "
                "replaced by one."
            )
        linear, hidden = _linear_layers(_extractor(model.policy))
        if len(linear) != len(hidden):
            raise OptionError(
                f"channel-pruning writes the pruned widths of linear layers into the extractor's options, and "
                f"{extractor_class.__name__} has {len(linear)} of them and the options {list(hidden)}. Name the option "
                "of each, in their order, in its attribute 'hidden', as EncoderExtractor does."
            )
        structure = groups(found, _image_shape(model))
        names = {_key(layer) for group in structure for layer in group.layers}
        for name in self.layers or {}:
            if name not in names:
                hint = suggestion(str(name), names)
                raise OptionError(f"There is no layer {name!r} to prune.{hint} Found: {', '.join(sorted(names))}.")
        self._widths(structure, 0 if self._has_target else self._ratio)
        check_order(found, _image_shape(model))
        # Layers that are added to the features are as wide as these, whoever built them
        alone = any({*map(_key, group.layers)} == {"net_arch"} for group in structure)
        if alone and found.foreign and (self.layers or {}).get("net_arch", self._has_target or self._ratio):
            raise OptionError(
                "channel-pruning writes the pruned widths into net_arch, by which SB3 builds its own networks, and "
                f"{type(model.policy).__name__} has {type(found.foreign[0]).__name__}: leave its widths as they are "
                "with layers={'net_arch': 0}."
            )
        if self._has_target:
            _make_copyable(model.policy)
            self._target(found, _image_shape(model))

    def _pruned(self, pruned: Any, observations: np.ndarray | None) -> BaseAlgorithm:
        """What it is given is pruned."""
        found, shape = networks(pruned), _image_shape(pruned)
        _make_copyable(pruned.policy)
        structure = groups(found, shape)
        ratio = self._ratio_for_target(found, shape) if self._has_target else self._ratio
        if observations is not None and self.needs_observations:
            compute_gradients(found, observations)
        remove_channels(found, shape, self._widths(structure, ratio), self.importance)
        for name in found.targets:
            setattr(pruned.policy, name, copy.deepcopy(getattr(pruned.policy, name.removesuffix("_target"))))
        pruned.policy_kwargs = _policy_kwargs(pruned, found)
        forget_moments(pruned.policy)
        return copied(pruned)

    def _widths(self, structure: list[Group], ratio: float) -> dict[tuple[str, ...], int]:
        widths = {}
        for group in structure:
            keys = {_key(layer) for layer in group.layers}
            chosen = {value for name, value in (self.layers or {}).items() if name in keys} or {ratio}
            if len(chosen) > 1:
                raise ConflictError(
                    f"The layers {', '.join(sorted(keys))} are added up and pruned together: "
                    f"give one ratio for them, got {', '.join(map(str, sorted(chosen)))}."
                )
            widths[group.layers] = round(group.width * (1 - chosen.pop()))
            if widths[group.layers] < 1:
                raise OptionError(
                    f"Nothing would be left of {' and '.join(sorted(keys))}, which has {group.width} channels: "
                    "choose a lower pruning ratio, or one of its own for it with layers=."
                )
        return widths

    def _ratio_for_target(self, found: Networks, shape: tuple[int, ...]) -> float:
        """The lowest ratio that reaches the target; sizes do not depend on which channels are left out."""
        excess, high = self._target(found, shape)
        low = 0.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) > 0 else (low, middle)
        return high

    def _target(self, found: Networks, shape: tuple[int, ...]) -> tuple[Callable[[float], float], float]:
        """
        :return: By how much acting exceeds the target when pruned by a ratio, and the highest ratio, which reaches it
        """
        structure = groups(found, shape)
        free = [g.width for g in structure if not {_key(layer) for layer in g.layers} & set(self.layers or {})]
        cost: Callable[..., int] = acting_macs if self.speedup is not None else acting_bytes
        limit = float(self.bytes or 0) if self.speedup is None else cost(found, shape) / self.speedup

        def excess(ratio: float) -> float:
            trial = type(found)(copy.deepcopy(found.policy))
            remove_channels(trial, shape, self._widths(structure, ratio), "l1")
            return cost(trial, shape) - limit

        # The narrowest layer keeps one channel
        high = 1 - 1 / min(free, default=1)
        if (over := excess(high)) > 0:
            asked = f"speedup={self.speedup:g}" if self.speedup is not None else f"bytes={self.bytes}"
            raise OptionError(
                f"{asked} cannot be reached: with one channel left in the narrowest layer, acting takes "
                f"{limit + over:,.0f} {'multiply-accumulates' if self.speedup is not None else 'bytes'} of "
                f"{cost(found, shape):,}. Give the widest layers higher ratios of their own with layers=."
            )
        return excess, high


def _policy_kwargs(pruned: Any, found: Networks) -> dict[str, Any]:
    policy = pruned.policy
    extractor = _extractor(policy)
    stock = policy.features_extractor_class is NatureCNN
    replaced = getattr(extractor, "replaced_by_channels", ())
    options = {k: v for k, v in policy.features_extractor_kwargs.items() if k not in replaced}
    options["channels"] = [layer.out_channels for layer in extractor.modules() if isinstance(layer, nn.Conv2d)]
    linear, hidden = _linear_layers(extractor)
    options.update(zip(hidden, (layer.out_features for layer in linear), strict=True))
    return {
        **pruned.policy_kwargs,
        "features_extractor_class": NatureExtractor if stock else policy.features_extractor_class,
        "features_extractor_kwargs": options,
        # What SB3 takes for none given depends on the extractor
        "net_arch": policy.net_arch if found.foreign else found.net_arch(),
    }


def _extractor(policy: Any) -> nn.Module:
    return next(module for module in policy.modules() if isinstance(module, policy.features_extractor_class))


def _linear_layers(extractor: nn.Module) -> tuple[list[nn.Linear], tuple[str, ...]]:
    """And the options that they are made by."""
    layers = [layer for layer in extractor.modules() if isinstance(layer, nn.Linear)]
    # SB3's NatureCNN does not say it
    return layers, getattr(extractor, "hidden", ("features_dim",))


def _key(layer: str) -> str:
    """``cnn.0`` for the same layer of every extractor, ``net_arch`` for all behind them."""
    return layer_name(layer) if "features_extractor." in layer else "net_arch"


def _image_shape(model: BaseAlgorithm) -> tuple[int, ...]:
    return tuple(model.observation_space.shape or ())


def _make_copyable(policy: Any) -> None:
    """For trials, and traced in float32."""
    for module in policy.modules():
        if isinstance(module, EncoderExtractor):
            module.precision = "fp32"
    # Drawn with gradients at first, which no copy can be made of
    explore_anew(policy)
