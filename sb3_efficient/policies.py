"""From a name to the ``policy_kwargs`` of a stock SB3 policy: no policy class of our own is needed."""

from __future__ import annotations

from contextlib import suppress
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from sb3_efficient.errors import EfficientError, ObservationError, OptionError
from sb3_efficient.extractors import EncoderExtractor, find_extractor
from sb3_efficient.options import check_name

#: rl-zoo3's names, and ``ppo_mask`` (the zoo has no name for MaskablePPO, sb3-contrib's module has)
ALGORITHMS = {
    "a2c": "stable_baselines3:A2C",
    "ars": "sb3_contrib:ARS",
    "crossq": "sb3_contrib:CrossQ",
    "ddpg": "stable_baselines3:DDPG",
    "dqn": "stable_baselines3:DQN",
    "ppo": "stable_baselines3:PPO",
    "ppo_lstm": "sb3_contrib:RecurrentPPO",
    "ppo_mask": "sb3_contrib:MaskablePPO",
    "qrdqn": "sb3_contrib:QRDQN",
    "sac": "stable_baselines3:SAC",
    "td3": "stable_baselines3:TD3",
    "tqc": "sb3_contrib:TQC",
    "trpo": "sb3_contrib:TRPO",
}
#: Those that have one action for an observation; sampled are only the random actions of training
GREEDY = ("ddpg", "dqn", "qrdqn", "td3")


def policy_kwargs(name: str, algo: type[BaseAlgorithm] | str, **kwargs: Any) -> dict[str, Any]:
    """
    The ``policy_kwargs`` that put a registered extractor into ``CnnPolicy``, ``CnnLstmPolicy`` or
    ``MultiInputPolicy``::

        PPO("CnnPolicy", env, policy_kwargs=policy_kwargs("impala", PPO, width=2))

    The layers behind the extractor are those that SB3 puts behind its NatureCNN for this algorithm; without
    them it would add two layers behind any other extractor, and comparisons would be confounded. Images reach
    our extractors unscaled (``normalize_images=False``) and are divided by 255 there, once. ``normalized_image=True``
    is for float images that are scaled already, by a ``VecNormalize`` for instance; they are taken as they are. A
    registered class that is no :class:`EncoderExtractor` gets images from SB3 in [0, 1] as ever. Everything else that
    ``policy_kwargs`` can hold may be added to the result (not ``normalize_images``: pixels would be divided twice).

    :param name: A registered name, see :func:`sb3_efficient.list_extractors`
    :param algo: Algorithm class, or its rl-zoo3 name
    :param kwargs: Options of the extractor; they are checked here, before any environment exists
    """
    algo_class = find_algorithm(algo)
    entry = find_extractor(name)
    options = entry.options(name, kwargs)
    chosen = {
        "features_extractor_class": entry.extractor_class,
        "features_extractor_kwargs": options,
        "net_arch": _head(algo_class),
    }
    if issubclass(entry.extractor_class, EncoderExtractor):
        options.setdefault("normalized_image", False)
        _try_out(entry.extractor_class, options)
        # uint8 is divided either there or here: the extractor cannot tell a float that SB3 made from one that it left
        chosen["normalize_images"] = bool(options["normalized_image"])
    return chosen


def is_off_policy(algo: str) -> bool:
    """
    :param algo: rl-zoo3 name of an algorithm
    :return: Whether it learns from a replay buffer
    """
    return issubclass(find_algorithm(algo), OffPolicyAlgorithm)


def find_algorithm(algo: type[BaseAlgorithm] | str) -> type[BaseAlgorithm]:
    """
    :param algo: Algorithm class, or its rl-zoo3 name
    :return: The class, if it has a policy for images
    """
    if isinstance(algo, str):
        check_name("algorithm", algo, ALGORITHMS)
        algo = resolve_name(ALGORITHMS[algo])
    if not (isinstance(algo, type) and issubclass(algo, BaseAlgorithm)):
        raise OptionError(f"algo must be an SB3 algorithm class or its rl-zoo3 name, got {algo!r}.")
    if not {"CnnPolicy", "CnnLstmPolicy"} & algo.policy_aliases.keys():
        raise EfficientError(
            f"{algo.__name__} has no policy for images (it offers {', '.join(algo.policy_aliases)}), "
            "so it takes no features extractor. Choose another algorithm, such as PPO, DQN or SAC."
        )
    return algo


def _head(algo_class: type[BaseAlgorithm]) -> list[int]:
    """SB3's ``net_arch`` behind NatureCNN: nothing where actions are discrete or on-policy, otherwise two layers."""
    return [] if issubclass(algo_class, (OnPolicyAlgorithm, DQN, QRDQN)) else [256, 256]


def _try_out(extractor_class: type[EncoderExtractor], options: dict[str, Any]) -> None:
    """Let the constructor check the options, on a large image that costs no memory."""
    space = spaces.Box(0, 255, (4, 256, 256), np.uint8)
    try:
        with th.device("meta"), suppress(ObservationError):
            extractor_class(space, **options)
    except RuntimeError as error:
        raise OptionError(f"{extractor_class.__name__} cannot be built with {options}: {error}") from error
