"""Which networks of a model can be made faster, and how."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import torch as th
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.tqc import TQC
from sb3_contrib.tqc.policies import Critic
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel, ContinuousCritic
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, NatureCNN
from torch import nn

from sb3_efficient.extractors import EncoderExtractor, blocks
from sb3_efficient.extractors.precision import PRECISIONS, Precision
from sb3_efficient.extractors.reuse import Reusing
from sb3_efficient.fast.compiled import plan_compiled
from sb3_efficient.fast.critic import LeanForward
from sb3_efficient.fast.forward import FastFeatures, FastForward
from sb3_efficient.fast.plan import Plan
from sb3_efficient.generators import kept_generators

#: Below this many images without gradients fp32 is faster (Nature at 1: 0.33 ms, bf16 0.44; at 8: 1.22 and 0.89)
FP32_BELOW = 8
#: Updates in which the critic is given actions with gradients for the actor's loss only
KNOWN_LOSSES = tuple(algo.train for algo in (SAC, TD3, TQC))
SB3_METHODS = tuple(c.extract_features for c in (BaseModel, ActorCriticPolicy, MaskableActorCriticPolicy))


def image_extractors(model: BaseAlgorithm) -> list[BaseFeaturesExtractor]:
    """
    :param model: Any SB3 model
    :return: Its extractors with convolutions; for dictionaries of observations the ones of the images
    """
    found = [m for m in model.policy.modules() if isinstance(m, BaseFeaturesExtractor)]
    return [
        e
        for e in found
        if any(isinstance(m, nn.Conv2d) for m in e.modules())
        and not any(isinstance(m, BaseFeaturesExtractor) for m in e.modules() if m is not e)
    ]


def plan_networks(plan: Plan, model: BaseAlgorithm, precision: Precision, compiled: bool) -> None:
    """
    :param plan: Gets what is to be done
    :param model: Any SB3 model
    :param precision: What the networks are to compute in
    :param compiled: Whether to compile them
    """
    take_pixels = set()
    for extractor in image_extractors(model):
        if isinstance(extractor, EncoderExtractor):
            _plan_ours(plan, model, extractor, precision)
            takes_pixels = True
        else:
            takes_pixels = _plan_other(plan, model, extractor, precision)
        if takes_pixels and extractor._observation_space.dtype == np.uint8:
            take_pixels.add(extractor)
        if compiled:
            plan_compiled(plan, model, extractor)
    for network in model.policy.modules():
        if not take_pixels.isdisjoint(network.modules()):
            _plan_features(plan, network)
        _plan_critic(plan, network, model)


def _plan_ours(plan: Plan, model: Any, extractor: EncoderExtractor, precision: Precision) -> None:
    name = type(extractor).__name__
    if "forward" in vars(extractor):
        plan.leave(f"network: {name} is frozen, and its latents were made in {extractor.precision}")
        return
    asked = (model.policy_kwargs.get("features_extractor_kwargs") or {}).get("precision", "auto")
    if asked != "auto" and asked in PRECISIONS and asked != precision:
        plan.leave(f"network: {name} keeps precision={asked!r}, which was given to it")
    elif extractor.precision != precision:
        plan.set(extractor, "precision", precision)
        stops_reusing = isinstance(extractor, Reusing) and precision != "fp32"
        note = ", in which it reuses nothing while it acts (in fp32 it does)" if stops_reusing else ""
        plan.change(f"network: {name} in {precision}{note}")


def _plan_other(plan: Plan, model: Any, extractor: BaseFeaturesExtractor, precision: Precision) -> bool:
    """
    :return: Whether it is one that takes images as they are, or is going to be
    """
    name = type(extractor).__name__
    present = vars(extractor).get("forward")
    if isinstance(present, FastForward):
        if present.precision != precision:
            plan.set(present, "precision", precision)
            plan.change(f"network: {name} in {precision}")
        return present.scales_pixels
    if present is not None:
        plan.leave(f"network: {name} is frozen, and keeps its number format, or has another forward of its own")
        return False
    if not _same_when_fast(extractor):
        plan.leave(f"network: {name} gives other results when it is run channels-last, or none")
        return False
    space = extractor._observation_space
    scales_pixels = bool(model.policy.normalize_images) and is_image_space(space)
    fp32_below = 0 if isinstance(model, OnPolicyAlgorithm) else FP32_BELOW
    plan.set(extractor, "forward", FastForward(extractor, precision, fp32_below, scales_pixels))
    plan.change(f"network: {name} channels-last, in {precision}")
    return scales_pixels


def _same_when_fast(extractor: BaseFeaturesExtractor) -> bool:
    """Try it: a network of somebody else may depend on how its activations lie in memory."""
    if type(extractor) is NatureCNN:
        return True
    shape = extractor._observation_space.shape or ()
    try:
        trial = copy.deepcopy(extractor).eval()
        device = next(trial.parameters()).device
        # As many as are computed on blocks of pixels, too
        size = (blocks.LEAST, *shape)
        pixels = th.randint(256, size, generator=th.Generator().manual_seed(0), dtype=th.uint8).to(device)
        # A network may draw noise
        with kept_generators(), th.no_grad():
            plain = trial(pixels / 255)
            fast = [FastForward(trial)(images) for images in (pixels, pixels / 255)]
            # As updates have them, which autocast does not widen for what it does not know
            for images in (pixels, pixels / 255):
                FastForward(trial, "bf16")(images)
            # What else is done in training only shall work; its results may be drawn
            trial.train()
            FastForward(trial)(pixels)
            FastForward(trial, "bf16")(pixels)
    except Exception:
        # Somebody else's network may raise anything: hooks that cannot be copied, dictionaries in place of images
        return False
    return all(plain.shape == other.shape and th.allclose(plain, other, rtol=1e-3, atol=1e-4) for other in fast)


def _plan_features(plan: Plan, network: nn.Module) -> None:
    """Hand images over as uint8."""
    if not isinstance(network, BaseModel) or "extract_features" in vars(network):
        return
    if type(network).extract_features not in SB3_METHODS:
        plan.leave(f"images: {type(network).__name__} prepares its observations itself")
    else:
        plan.set(network, "extract_features", FastFeatures(network))
        plan.change("images: reach the network as uint8, not as a float32 copy")


def _plan_critic(plan: Plan, network: nn.Module, model: BaseAlgorithm) -> None:
    """SB3's and contrib's critics of SAC, TD3, TQC; see :class:`LeanForward`."""
    is_critic = type(network).forward in (ContinuousCritic.forward, Critic.forward)
    if not is_critic or "forward" in vars(network) or network.share_features_extractor:
        return
    # As it is where it is not being timed
    if inspect.unwrap(getattr(type(model), "train", print)) not in KNOWN_LOSSES:
        plan.leave(f"critic: the losses of {type(model).__name__} may use gradients that those of SB3 throw away")
    else:
        plan.set(network, "forward", LeanForward(network))
        plan.change("critic: no gradients that are thrown away")
