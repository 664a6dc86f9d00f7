"""Policies whose methods prepare observations themselves, as SB3's own predict_values does."""

from __future__ import annotations

from typing import Any

import torch as th
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.dqn.policies import CnnPolicy, QNetwork
from test_policies import model

from sb3_efficient.seer import SEERCallback


class OwnEvaluation(ActorCriticCnnPolicy):
    def evaluate_actions(self, obs: Any, actions: th.Tensor) -> Any:
        features = super(ActorCriticPolicy, self).extract_features(obs, self.features_extractor)
        latent_pi, latent_vf = self.mlp_extractor(features)
        distribution = self._get_action_dist_from_latent(latent_pi)
        return self.value_net(latent_vf), distribution.log_prob(actions), distribution.entropy()


class OwnForward(QNetwork):
    def forward(self, obs: Any) -> th.Tensor:
        return self.q_net(self.features_extractor(preprocess_obs(obs, self.observation_space, self.normalize_images)))


class OwnNetwork(CnnPolicy):
    def make_q_net(self) -> OwnForward:
        return OwnForward(**self._update_features_extractor(self.net_args, None)).to(self.device)


def learnt(algo: str, policy: Any) -> list[th.Tensor]:
    agent: Any = model(algo, policy=policy)
    agent.learn(80, callback=SEERCallback(40, 2, latent_dtype="float32"))
    assert agent.seer["timesteps"] >= 40
    return [parameter.detach() for parameter in agent.policy.parameters()]


def test_they_learn_from_latents_what_those_of_sb3_learn() -> None:
    for algo, policy in (("ppo", OwnEvaluation), ("dqn", OwnNetwork)):
        for found, expected in zip(learnt(algo, policy), learnt(algo, "CnnPolicy"), strict=True):
            th.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_they_are_given_images_as_ever() -> None:
    agent: Any = model("ppo", policy=OwnEvaluation)  # type: ignore[arg-type]
    agent.learn(80, callback=SEERCallback(40, 2, latent_dtype="float32"))
    images = th.as_tensor(agent.env.reset())
    with th.no_grad():
        actions, values, log_prob = agent.policy(images)
        found_values, found_log_prob, _ = agent.policy.evaluate_actions(images, actions)
    th.testing.assert_close(found_values, values)
    th.testing.assert_close(found_log_prob, log_prob)
