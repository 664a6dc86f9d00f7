"""
One interface to every runtime: ``predict`` with SB3's meaning.

Shapes: ``B`` batch, ``C H W`` image, ``A`` numbers of the action space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space

from sb3_efficient.engines.graph import ActingGraph
from sb3_efficient.engines.network import ActingNetwork, input_spaces
from sb3_efficient.errors import ObservationError

Observation = np.ndarray | dict[str, np.ndarray]


class Engine(ABC):
    """
    A policy that only acts. ``evaluate_policy`` and loops around ``model.predict`` take it in place of the model.

    :param source: What it computes. A copy of an engine, also in another process, is made of the same, as runtimes
        cannot be copied
    :param threads: That the network may compute on
    :param options: Further ones of the subclass
    """

    #: Last steps of the recipes whose compressed policies it runs: None all, none of them if it takes only models
    last_steps: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, source: ActingNetwork | ActingGraph, threads: int, **options: Any) -> None:
        self.observation_space: spaces.Space = source.observation_space
        self.action_space = source.head.action_space
        self.threads = threads
        self.head = source.head
        self._source = source
        self._options = options
        self._outputs = source.outputs
        self._inputs = input_spaces(self.observation_space)
        self._single = None if isinstance(self.observation_space, spaces.Dict) else self.observation_space
        self._rng = np.random.default_rng()

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self._source, self.threads, self._options, self._rng)

    @abstractmethod
    def _run(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """
        :param feed: A batch for each input
        :return: The network's outputs, (B, A) each
        """

    def predict(
        self,
        observation: Observation,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        :param observation: One, or a batch; channel-last images are transposed, as SB3 does
        :param state: Handed back as it is: the policy has none
        :param episode_start: Not needed
        :param deterministic: Whether to take the most probable action. DQN's random actions (``exploration_rate``) are
            part of training: here its actions are always those of the highest value. With ``use_sde=True`` noise is
            drawn anew for each observation, where SB3 keeps one exploration matrix until ``reset_noise``.
        :param action_masks: Which actions are allowed, as MaskablePPO's ``predict`` takes them
        :return: Actions, and ``state``
        """
        feed, is_batch = self._feed(observation)
        actions = self.head.act(self._run(feed), deterministic, self._rng, action_masks)
        return (actions if is_batch else actions.squeeze(axis=0)), state

    def outputs(self, observations: Observation) -> dict[str, np.ndarray]:
        """
        :param observations: One, or a batch
        :return: What the network says, by name (``logits``, ``q_values``, ``mean``, ...), (B, A) each
        """
        return dict(zip(self._outputs, self._run(self._feed(observations)[0]), strict=True))

    def set_random_seed(self, seed: int | None = None) -> None:
        """
        :param seed: The same one gives the same actions to the same observations
        """
        self._rng = np.random.default_rng(seed)

    def _feed(self, observation: Any) -> tuple[dict[str, np.ndarray], bool]:
        """A batch for each input, and whether it was one."""
        if self._single is not None:
            batch, is_batch = _batch(observation, self._single, "The observation")
            return {"observation": batch}, is_batch
        if not isinstance(observation, dict) or observation.keys() != self._inputs.keys():
            found = sorted(observation) if isinstance(observation, dict) else type(observation).__name__
            raise ObservationError(f"The policy takes a dictionary of {', '.join(self._inputs)}, got {found}.")
        parts = {key: _batch(observation[key], space, repr(key)) for key, space in self._inputs.items()}
        lengths = {key: len(batch) for key, (batch, _) in parts.items()}
        if len({*lengths.values()}) > 1:
            raise ObservationError(f"All entries of an observation must be batches of one size, got {lengths}.")
        return {key: batch for key, (batch, _) in parts.items()}, any(is_batch for _, is_batch in parts.values())


def _made_again(
    cls: type[Engine],
    source: ActingNetwork | ActingGraph,
    threads: int,
    options: dict[str, Any],
    rng: np.random.Generator,
) -> Engine:
    engine = cls(source, threads, **options)
    engine._rng = rng
    return engine


def _batch(observation: Any, space: spaces.Space, name: str) -> tuple[np.ndarray, bool]:
    if not isinstance(observation, np.ndarray):
        if isinstance(observation, tuple):
            raise ObservationError(
                f"{name} is a tuple: env.reset() of Gymnasium returns (observation, info), pass only the first."
            )
        observation = np.asarray(observation)
    shape, dtype = space.shape, space.dtype
    if observation.dtype != dtype:
        observation = _cast(observation, space, name)
    is_batch = observation.shape != shape
    if observation.shape[is_batch:] == shape:
        _check_classes(observation, space, name)
        return np.ascontiguousarray(observation if is_batch else observation[None]), is_batch
    if is_image_space(space) and observation.ndim in (3, 4):
        transposed = np.moveaxis(observation, -1, -3)
        if transposed.shape[-3:] == shape:
            return _batch(transposed, space, name)
    raise ObservationError(
        f"{name} has shape {observation.shape}, and the policy takes {shape}, or a batch of them (B, ...)."
    )


def _check_classes(observation: np.ndarray, space: spaces.Space, name: str) -> None:
    """torch refuses a class that there is not, runtimes make nothing of it."""
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        n = space.n if isinstance(space, spaces.Discrete) else space.nvec
        if not ((observation >= 0) & (observation < n)).all():
            raise ObservationError(f"{name} must be at least 0 and less than {n}, got {observation}.")


def _cast(observation: np.ndarray, space: spaces.Space, name: str) -> np.ndarray:
    """As numpy casts within a kind, or to a larger one; an image of floats may hold anything."""
    if np.can_cast(observation.dtype, np.dtype(space.dtype), "same_kind") and not is_image_space(space):
        return observation.astype(space.dtype)
    raise ObservationError(
        f"{name} has dtype {observation.dtype}, and the policy takes {space.dtype}: "
        "pass what the environment gives, without scaling."
    )
