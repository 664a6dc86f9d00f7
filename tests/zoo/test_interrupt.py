"""Ctrl-C in the zoo: callbacks of this package leave an ordinary agent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.envs import FakeImageEnv

from sb3_efficient.compression import PruningCallback, QATCallback
from sb3_efficient.compression.quantization_aware import rounded_weights
from sb3_efficient.zoo import interrupt


class Foreign(BaseCallback):
    """Not of this package."""

    n_ended = 0

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self.n_ended += 1


def as_the_zoo(self: Any, model: PPO) -> None:
    """What ``ExperimentManager.learn`` does about callbacks."""
    try:
        model.learn(32, callback=self.callbacks)
    except KeyboardInterrupt:
        pass
    finally:
        self.callbacks[0].on_training_end()


def train(is_interrupted: bool) -> tuple[PPO, Foreign]:
    def interrupting(*_: object) -> bool:
        if model.num_timesteps == 24 and is_interrupted:
            raise KeyboardInterrupt
        return True

    env = FakeImageEnv(screen_height=36, screen_width=36, discrete=True)
    model = PPO("CnnPolicy", env, n_steps=8, batch_size=8, n_epochs=1)
    foreign = Foreign()
    callbacks = [ConvertCallback(interrupting), PruningCallback(0.5, start=0, end=0.5), QATCallback(0.1), foreign]
    interrupt.learn(as_the_zoo)(SimpleNamespace(callbacks=callbacks), model)
    assert not model.policy.optimizer._optimizer_step_post_hooks
    assert not [layer for layer in model.policy.modules() if "forward" in vars(layer)]
    weight = model.policy.features_extractor.cnn[0].weight
    assert (weight == 0).any()
    th.testing.assert_close(rounded_weights(weight), weight)
    return model, foreign


def test_callbacks_end() -> None:
    model, foreign = train(True)
    assert model.num_timesteps == 24
    assert foreign.n_ended == 0


def test_they_end_once_where_training_does() -> None:
    model, foreign = train(False)
    assert model.num_timesteps == 32
    assert foreign.n_ended == 1
