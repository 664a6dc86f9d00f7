"""How raw outputs of a network become actions, as data and in numpy: what SB3's ``predict`` does behind the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_efficient.errors import OptionError
from sb3_efficient.options import check_name
from sb3_efficient.space_config import space_from_config, space_to_config

Outputs = Sequence[np.ndarray]


@dataclass(frozen=True)
class Head:
    """
    :param kind: One of ``KINDS``
    :param action_space: Of the policy
    """

    kind: str
    action_space: spaces.Space

    def __post_init__(self) -> None:
        check_name("head", self.kind, KINDS)
        if not isinstance(self.action_space, KINDS[self.kind][1]):
            raise OptionError(f"A {self.kind} head does not give actions of {self.action_space}.")

    @property
    def maskable(self) -> bool:
        """Whether there can be actions that are not allowed."""
        return "categorical" in self.kind

    def act(
        self,
        outputs: Outputs,
        deterministic: bool,
        rng: np.random.Generator,
        action_masks: np.ndarray | None = None,
    ) -> np.ndarray:
        """
        :param outputs: Of the network, (B, A) each
        :param deterministic: Whether to take the most probable action
        :param rng: Source of all chance
        :param action_masks: Which discrete actions are allowed, (B, A), as MaskablePPO takes them
        :return: (B, *shape of the action space)
        """
        if action_masks is not None:
            outputs = [_masked(self, outputs[0], action_masks)]
        return KINDS[self.kind][0](self.action_space, outputs, None if deterministic else rng)

    def to_config(self) -> dict[str, Any]:
        """
        :return: What :meth:`from_config` takes, ready for JSON
        """
        return {"kind": self.kind, "action_space": space_to_config(self.action_space)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Head:
        """
        :param config: What :meth:`to_config` gave
        """
        return cls(config["kind"], space_from_config(config["action_space"]))


def _masked(head: Head, logits: np.ndarray, action_masks: np.ndarray) -> np.ndarray:
    if not head.maskable:
        raise OptionError(f"action_masks are for discrete actions of PPO, and this head is {head.kind!r}.")
    if np.size(action_masks) != logits.size:
        raise OptionError(
            f"action_masks must be of shape {logits.shape}, one for each action of each environment, got shape "
            f"{np.shape(action_masks)}."
        )
    # sb3-contrib's MaskableCategorical puts the same number there
    return np.where(np.asarray(action_masks, dtype=bool).reshape(logits.shape), logits, np.float32(-1e8))


def _categorical(space: Any, outputs: Outputs, rng: np.random.Generator | None) -> np.ndarray:
    return _draw(outputs[0], rng)


def _multi_categorical(space: Any, outputs: Outputs, rng: np.random.Generator | None) -> np.ndarray:
    blocks = np.split(outputs[0], np.cumsum(space.nvec.ravel())[:-1], axis=1)
    return np.stack([_draw(logits, rng) for logits in blocks], axis=1).reshape(-1, *space.shape)


def _bernoulli(space: Any, outputs: Outputs, rng: np.random.Generator | None) -> np.ndarray:
    logits = outputs[0] if rng is None else outputs[0] + rng.logistic(size=outputs[0].shape)
    # Numbers of SB3's kind
    return (logits > 0).astype(np.float32)


def _greedy(space: Any, outputs: Outputs, rng: np.random.Generator | None) -> np.ndarray:
    return outputs[0].argmax(axis=1)


def _gaussian(space: Any, outputs: Outputs, rng: np.random.Generator | None) -> np.ndarray:
    return np.clip(_normal(outputs, rng).reshape(-1, *space.shape), space.low, space.high)


def _squashed_gaussian(space: Any, outputs: Outputs, rng: np.random.Generator | None) -> np.ndarray:
    return _unscaled(space, np.tanh(_normal(outputs, rng)))


def _deterministic(space: Any, outputs: Outputs, rng: np.random.Generator | None) -> np.ndarray:
    return _unscaled(space, outputs[0])


def _draw(logits: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    if rng is None:
        return logits.argmax(axis=1)
    # Gumbel's trick: no softmax, and no overflow; in float64, because in float32 a zero is drawn once in some million
    return (logits - np.log(rng.standard_exponential(logits.shape))).argmax(axis=1)


def _normal(outputs: Outputs, rng: np.random.Generator | None) -> np.ndarray:
    mean, log_std = outputs
    return mean if rng is None else mean + np.exp(log_std) * rng.standard_normal(mean.shape, np.float32)


def _unscaled(space: spaces.Box, actions: np.ndarray) -> np.ndarray:
    """From [-1, 1] to [low, high]."""
    return space.low + 0.5 * (actions.reshape(-1, *space.shape) + 1.0) * (space.high - space.low)


_Decide = Callable[[Any, Outputs, np.random.Generator | None], np.ndarray]
#: Name -> how it decides, and the action space that it is for
KINDS: dict[str, tuple[_Decide, type[spaces.Space]]] = {
    "categorical": (_categorical, spaces.Discrete),
    "multi-categorical": (_multi_categorical, spaces.MultiDiscrete),
    "bernoulli": (_bernoulli, spaces.MultiBinary),
    "greedy": (_greedy, spaces.Discrete),
    "gaussian": (_gaussian, spaces.Box),
    "squashed-gaussian": (_squashed_gaussian, spaces.Box),
    "deterministic": (_deterministic, spaces.Box),
}
