"""Whether a network acts as the policy that it was taken from: tried on a few random observations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch as th
from gymnasium import spaces
from torch import nn

from sb3_efficient.errors import OptionError
from sb3_efficient.generators import kept_generators
from sb3_efficient.modes import acting

if TYPE_CHECKING:
    from sb3_efficient.engines.head import Head
    from sb3_efficient.engines.network import ActingNetwork

_BATCH = 4
#: What may differ, as a part of the largest number: where both compute in float32, and where the policy rounds
_EXACT, _ROUNDED = 1e-3, 0.1
#: Of outputs that are all zero
_LEAST = 1e-5


def random_observations(inputs: Mapping[str, spaces.Space], n: int) -> dict[str, np.ndarray]:
    """
    :param inputs: Spaces by name
    :param n: How many of each
    :return: (n, ...) each, always the same
    """
    rng = np.random.default_rng(0)
    return {name: _random(space, n, rng) for name, space in inputs.items()}


def observations_of(feed: dict[str, Any], observation_space: spaces.Space) -> Any:
    """
    :param feed: An entry for each of the network's inputs
    :param observation_space: Of the policy
    :return: What its ``predict`` takes
    """
    return feed if isinstance(observation_space, spaces.Dict) else feed["observation"]


def check_alike(network: ActingNetwork, policy: Any) -> None:
    """
    Refuse a policy whose methods make something else of its layers than those of SB3 do.

    :param network: Taken from the policy
    :param policy: Of an SB3 or contrib model; it stays as it is
    """
    feed = random_observations(network.inputs, _BATCH)
    observations = observations_of(feed, network.observation_space)
    with th.no_grad(), kept_generators(), acting(policy), _not_compiled(policy):
        actions, _ = policy.predict(observations, deterministic=True)
        expected = _outputs(network.head.kind, policy, policy.obs_to_tensor(observations)[0])
        found = network(*map(th.as_tensor, feed.values()))
    tolerance = _tolerance(policy)
    sizes = _sizes(network.head)
    # Distributions know their logits up to what is added to all
    comparable = [_normalized(found[0], sizes)] if "categorical" in network.head.kind else found
    near = all(
        one.shape == other.shape and (one - other.cpu()).abs().max() <= tolerance * raw.abs().max() + _LEAST
        for one, other, raw in zip(comparable, expected, found, strict=True)
    )
    if not near or _distance(network.head, [f.numpy() for f in found], actions, sizes) > 2 * tolerance:
        raise OptionError(
            f"Engines compute the layers of SB3's policies as SB3 does, and {type(policy).__name__} makes something "
            "else of the same observations, by a method or a network of its own: let the model itself predict."
        )


def _tolerance(policy: Any) -> float:
    """``accelerate`` and extractors may compute in bfloat16, SEER rounds latents, and GPUs what they multiply."""
    own = any("forward" in vars(m) or getattr(m, "precision", "fp32") != "fp32" for m in policy.modules())
    return _ROUNDED if own or policy.device.type != "cpu" else _EXACT


def _outputs(kind: str, policy: Any, observations: Any) -> list[th.Tensor]:
    """What the policy's own methods give for the network's outputs."""
    if kind == "greedy":
        quantiles = getattr(policy, "quantile_net", None)
        return [policy.q_net(observations) if quantiles is None else quantiles(observations).mean(dim=1)]
    if kind == "deterministic":
        return [policy.actor(observations)]
    found = _distribution(policy, observations)
    if "gaussian" in kind:
        return [found.distribution.mean, found.distribution.stddev.log()]
    # One, or one for each action, which sb3-contrib has under another name
    parts = vars(found).get("distributions") or found.distribution
    return [th.cat([part.logits for part in (parts if isinstance(parts, list) else [parts])], dim=1)]


def _distribution(policy: Any, observations: Any) -> Any:
    """Of actions, before they are squashed."""
    if not hasattr(policy, "actor"):
        return policy.get_distribution(observations)
    mean, log_std, options = policy.actor.get_action_dist_params(observations)
    return policy.actor.action_dist.proba_distribution(mean, log_std, **options)


def _sizes(head: Head) -> list[int]:
    """How many outputs belong to each discrete action; none where actions are real numbers or switches."""
    space: Any = head.action_space
    if isinstance(space, spaces.MultiDiscrete):
        return space.nvec.tolist()
    return [int(space.n)] if isinstance(space, spaces.Discrete) else []


def _normalized(logits: th.Tensor, sizes: list[int]) -> th.Tensor:
    return th.cat([part.log_softmax(dim=1) for part in th.split(logits, sizes, dim=1)], dim=1)


def _distance(head: Head, outputs: list[np.ndarray], actions: np.ndarray, sizes: list[int]) -> float:
    """How far actions are from the best, as a part of the largest output: greedy ones may differ where two tie."""
    own = head.act(outputs, deterministic=True, rng=np.random.default_rng(0))
    if own.shape != actions.shape:
        return float("inf")
    largest = np.abs(outputs[0]).max() + _LEAST
    if head.kind == "bernoulli":
        return float(np.abs(outputs[0])[own != actions].max(initial=0) / largest)
    if not sizes:
        return float(np.abs(own - actions).max() / max(largest, np.abs(own).max()))
    blocks = np.split(outputs[0], np.cumsum(sizes)[:-1], axis=1)
    chosen = actions.reshape(len(actions), -1).T
    lost = [block.max(axis=1) - block[np.arange(len(block)), one] for block, one in zip(blocks, chosen, strict=True)]
    return float(np.max(lost) / largest)


@contextmanager
def _not_compiled(policy: nn.Module) -> Iterator[None]:
    """Nothing is compiled for these few."""
    before = [(module, module._compiled_call_impl) for module in policy.modules()]
    for module, _ in before:
        module._compiled_call_impl = None
    try:
        yield
    finally:
        for module, compiled in before:
            module._compiled_call_impl = compiled


def _random(space: spaces.Space, n: int, rng: np.random.Generator) -> np.ndarray:
    shape = (n, *(space.shape or ()))
    if isinstance(space, spaces.Discrete):
        return rng.integers(0, space.n, shape)
    if space.dtype == np.uint8:
        return rng.integers(0, 256, shape, np.uint8)
    return rng.random(shape).astype(space.dtype)
