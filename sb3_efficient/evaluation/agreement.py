"""How near a policy is to its original on recorded observations, before any game is played."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from sb3_efficient.engines import Engine

_BATCH = 256


@dataclass(frozen=True)
class Agreement:
    """
    :param actions: Share of observations with the same greedy action, in [0, 1]; None where actions are real numbers,
        of which no two are the same
    :param sqnr: Signal-to-quantization-noise ratio of the first output (logits, Q values, mean or action), dB
    """

    actions: float | None
    sqnr: float


def agreement(engine: Engine, original: Engine, observations: np.ndarray) -> Agreement:
    """
    :param engine: Of the policy
    :param original: Of the policy that it was made from
    :param observations: (N, C, H, W), uint8
    """
    greedy, signals, values, rng = [], [], [], np.random.default_rng(0)
    for start in range(0, len(observations), _BATCH):
        batch = observations[start : start + _BATCH]
        own, its = (list(e.outputs(batch).values()) for e in (engine, original))
        chosen, expected = (original.head.act(found, deterministic=True, rng=rng) for found in (own, its))
        greedy.append((chosen == expected).reshape(len(batch), -1).all(axis=1))
        values.append(own[0])
        signals.append(its[0])
    real = isinstance(original.action_space, spaces.Box)
    share = None if real else float(np.concatenate(greedy).mean())
    return Agreement(share, sqnr(np.concatenate(values), np.concatenate(signals)))


def sqnr(values: np.ndarray, signals: np.ndarray) -> float:
    """
    10 log10 of the power of the signal over that of the error.

    :param values: What came out
    :param signals: What should have, of the same shape
    :return: dB; infinite where nothing differs, and not a number where an output is none
    """
    # float32 sums of many squares would be the noise that is measured
    signals = signals.astype(np.float64)
    noise = np.square(values - signals).sum()
    if noise == 0:
        return float("inf")
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.square(signals).sum() / noise))
