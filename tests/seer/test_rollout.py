"""The on-policy algorithms, learning from latents what they would learn from images."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import set_random_seed
from test_policies import model

from sb3_efficient import accelerate, policy_kwargs
from sb3_efficient.envs import CatchEnv as CatchEnv
from sb3_efficient.errors import ConflictError
from sb3_efficient.seer import SEERCallback
from sb3_efficient.seer.encoder import LatentEncoder, encoders
from sb3_efficient.seer.frozen import FrozenForward
from sb3_efficient.seer.rollout import is_latent_rollout, latent_rollout

ON_POLICY = ["ppo", "a2c", "trpo", "ppo_lstm", "ppo_mask"]


def make(algo: str, **options: Any) -> BaseAlgorithm:
    return model(algo, policy_kwargs={**policy_kwargs("nature", algo), **options})


def frozen_weights(agent: BaseAlgorithm) -> list[th.Tensor]:
    return [p.detach().clone() for copies in encoders(agent) for e in copies for p in e.cnn.parameters()]


def head_weights(agent: BaseAlgorithm) -> th.Tensor:
    named = agent.policy.named_parameters()
    return th.cat([p.detach().flatten().clone() for name, p in named if ".cnn." not in name])


@pytest.mark.parametrize("algo", ON_POLICY)
def test_every_algorithm_trains_on_and_its_encoder_stands_still(algo: str) -> None:
    agent: Any = make(algo)
    agent.learn(40)
    before, heads = frozen_weights(agent), head_weights(agent)
    agent.learn(80, callback=SEERCallback(1, "conv"), reset_num_timesteps=True)
    assert is_latent_rollout(agent.rollout_buffer)
    assert isinstance(vars(agent.policy.features_extractor)["forward"], FrozenForward)
    assert all(th.equal(p, q) for p, q in zip(frozen_weights(agent), before, strict=True))
    assert not th.equal(head_weights(agent), heads)
    assert all(p.grad is None for e in encoders(agent)[0] for p in e.cnn.parameters())


@pytest.mark.parametrize("algo", ON_POLICY)
@pytest.mark.parametrize("depth", [2, "features"])
def test_an_update_from_latents_is_the_update_from_images(algo: str, depth: Any) -> None:
    """The frozen encoder in front of images, or latents: the same minibatches give the same heads."""
    from_images, from_latents = collected(algo, depth), collected(algo, depth)
    start = head_weights(from_images)
    from_latents.rollout_buffer = latent_rollout(
        from_latents.rollout_buffer, LatentEncoder(from_latents, depth, "float32")
    )
    for agent in (from_images, from_latents):
        set_random_seed(7)
        agent.train()
    moved = (head_weights(from_images) - start).norm()
    assert moved > 0
    assert (head_weights(from_latents) - head_weights(from_images)).norm() < 1e-3 * moved


def test_a_hundred_updates_from_latents_are_those_from_images() -> None:
    from_images, from_latents = collected("ppo", "conv"), collected("ppo", "conv")
    start = head_weights(from_images)
    from_latents.rollout_buffer = latent_rollout(
        from_latents.rollout_buffer, LatentEncoder(from_latents, "conv", "float32")
    )
    for agent in (from_images, from_latents):
        set_random_seed(7)
        agent.n_epochs = 100
        agent.train()
        assert agent._n_updates == 100
    assert (head_weights(from_images) - start).abs().max() > 1e-3
    th.testing.assert_close(head_weights(from_latents), head_weights(from_images), rtol=1e-4, atol=1e-6)


def collected(algo: str, depth: Any) -> Any:
    """Frozen, with a rollout of images that is about to be learnt from."""
    agent: Any = make(algo)
    set_random_seed(5)
    _, callback = agent._setup_learn(1000)
    LatentEncoder(agent, depth, "float32").freeze()
    agent.collect_rollouts(agent.env, callback, agent.rollout_buffer, agent.n_steps)
    agent._update_current_progress_remaining(16, 1000)
    return agent


def test_separate_encoders_of_actor_and_critic() -> None:
    agent: Any = make("ppo", share_features_extractor=False)
    agent.learn(40)
    agent.learn(60, callback=SEERCallback(1, "conv"))
    parts = LatentEncoder(agent, "conv").parts
    assert [part.columns for part in parts] == [slice(0, 64), slice(64, 128)]
    assert agent.rollout_buffer.obs_shape == (128,)


def test_bottom_up_lifts_the_rollout() -> None:
    agent: Any = make("ppo")
    agent.learn(20)
    agent.learn(200, callback=SEERCallback(depth=[(1, 1), (50, 2), (100, "features")]))
    assert agent.rollout_buffer.obs_shape == (512,)
    assert agent.seer["depth"] == "features"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stock", [True, False])
def test_together_with_accelerate(precision: str, stock: bool) -> None:
    agent: Any = model("ppo") if stock else make("ppo")
    accelerate(agent, precision=precision, keep_memory=False)
    agent.learn(40)
    agent.learn(60, callback=SEERCallback(1, 2))
    forward = vars(agent.policy.features_extractor)["forward"]
    assert forward.numbers.precision == precision
    # Latents are stored already: whatever is asked, the layers that made them stay as they are
    report = accelerate(agent, precision="bf16" if precision == "fp32" else "fp32", keep_memory=False)
    assert "is frozen" in str(report)
    assert vars(agent.policy.features_extractor)["forward"] is forward
    assert forward.numbers.precision == precision
    assert is_latent_rollout(agent.rollout_buffer)


class PutIn(BaseCallback):
    """Other weights, at a number of timesteps."""

    def __init__(self, weights: Any, at: int) -> None:
        super().__init__()
        self.weights, self.at = weights, at

    def _on_step(self) -> bool:
        if self.num_timesteps == self.at:
            self.model.set_parameters(self.weights)
        return True


def test_no_rollout_has_latents_of_two_encoders() -> None:
    agent: Any = make("ppo")
    agent.learn(40, callback=SEERCallback(17, "conv"))
    own, others = copy.deepcopy(agent.get_parameters()), make("ppo").get_parameters()
    # The same weights are the same encoder
    agent.learn(64, callback=[SEERCallback(17, "conv"), PutIn(own, 24)])
    with pytest.raises(ConflictError, match="Other weights were put into the frozen layers in the middle of a rollout"):
        agent.learn(64, callback=[SEERCallback(17, "conv"), PutIn(others, 24)])
    agent.set_parameters(others)
    agent.learn(64, callback=SEERCallback(17, "conv"))
    assert is_latent_rollout(agent.rollout_buffer)


def test_rollouts_on_the_device_become_latents() -> None:
    agents: list[Any] = [make("ppo"), make("ppo")]
    for agent, on_device in zip(agents, (False, True), strict=True):
        accelerate(agent, precision="fp32", device_rollouts=on_device, keep_memory=False)
        set_random_seed(5)
        agent.learn(60, callback=SEERCallback(20, "conv"))
        assert is_latent_rollout(agent.rollout_buffer)
    assert th.equal(*map(head_weights, agents))


def test_frozen_layers_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(th, "compile", lambda function, **_: function)
    agent: Any = model("ppo")
    accelerate(agent, precision="fp32", compile=True, keep_memory=False)
    extractor = agent.policy.features_extractor
    assert extractor._compiled_call_impl is not None
    agent.learn(60, callback=SEERCallback(20, "conv"))
    report = accelerate(agent, precision="fp32", compile=True, keep_memory=False)
    assert extractor._compiled_call_impl is None
    assert "NatureCNN is frozen, or has another forward of its own: not compiled" in str(report)


def test_stock_agents_need_no_other_network() -> None:
    agent: Any = model("ppo")
    agent.learn(20)
    before = frozen_weights(agent)
    agent.learn(60, callback=SEERCallback(1, "conv"))
    assert all(th.equal(p, q) for p, q in zip(frozen_weights(agent), before, strict=True))


def test_the_encoder_sees_every_image_once() -> None:
    agent: Any = model("ppo", make_vec_env("Catch-v0", 2), policy_kwargs=policy_kwargs("nature", "ppo"))
    agent.learn(20)
    rows: list[int] = []

    class Count(SEERCallback):
        def _on_rollout_start(self) -> None:
            super()._on_rollout_start()
            if self.encoder is not None and not rows:
                rows.append(0)
                self.encoder.parts[0].frozen.register_forward_hook(
                    lambda _, inputs, __: rows.append(len(inputs[0])), always_call=True
                )

    agent.learn(32 * 4, callback=Count(1))
    assert sum(rows) == 32 * 3 + 2, "three rollouts, and the values of the images behind the last"
