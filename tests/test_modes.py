from __future__ import annotations

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.envs import FakeImageEnv

from sb3_efficient.modes import acting


def test_each_layer_is_in_its_own_mode_again() -> None:
    policy = PPO("CnnPolicy", FakeImageEnv(screen_height=36, screen_width=36)).policy
    policy.set_training_mode(True)
    policy.features_extractor.eval()  # as a frozen encoder
    before = [module.training for module in policy.modules()]

    def fail() -> None:
        with acting(policy):
            assert not any(module.training for module in policy.modules())
            raise ValueError("in between")

    with pytest.raises(ValueError, match="in between"):
        fail()
    assert [module.training for module in policy.modules()] == before
    assert len(set(before)) == 2
