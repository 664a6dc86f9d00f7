from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch as th
from agents import Images, images
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.common.vec_env import DummyVecEnv
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

from sb3_efficient import SEERCallback, accelerate, make_engine, make_extractor, policy_kwargs
from sb3_efficient.compression.straight_through import coarsen
from sb3_efficient.errors import ConflictError, OptionError, UnknownNameError

NAMES = ("reuse-conv", "reuse-impala", "reuse-conv2")
BASES = {"reuse-conv": "nature", "reuse-impala": "impala", "reuse-conv2": "conv2"}
SPACE = spaces.Box(0, 255, (2, 36, 36), np.uint8)


def make(name: str, **options: Any) -> Any:
    th.manual_seed(0)
    return make_extractor(name, SPACE, **options)


def batch(n: int = 3, seed: int = 0) -> th.Tensor:
    return th.as_tensor(images(n, seed))


def check(extractor: Any, observations: th.Tensor | None = None) -> None:
    """Features without gradients are those with gradients."""
    observations = batch() if observations is None else observations
    expected = extractor(observations).detach()
    with th.no_grad():
        th.testing.assert_close(extractor(observations), expected, rtol=1e-4, atol=1e-5)
        th.testing.assert_close(extractor.encode(observations), extractor.cnn(extractor.pixels(observations)))


def test_first_frame_under_autocast(name: str) -> None:
    extractor, observations = make(name), batch()
    with th.no_grad():
        with th.autocast("cpu", dtype=th.bfloat16):
            features = extractor(observations)
            assert extractor.plans == {}
        th.testing.assert_close(features.float(), extractor(observations), rtol=0.05, atol=0.05)
        assert extractor.plans != {}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace", "ignore:Converting a tensor")
def test_gradients_of_the_pixels_and_traces(name: str) -> None:
    extractor, pixels = make(name), (batch().float() / 255).requires_grad_()
    (gradient,) = th.autograd.grad(extractor(pixels).sum(), pixels)
    assert gradient.any()
    with th.no_grad():
        traced = th.jit.trace(extractor, batch())
        th.testing.assert_close(traced(batch(seed=1)), extractor(batch(seed=1)), rtol=1e-4, atol=1e-5)


def test_same_parameters_and_function_as_the_network_it_is_named_after(name: str) -> None:
    extractor, base = make(name), make_extractor(BASES[name], SPACE)
    base.load_state_dict(extractor.state_dict())
    assert list(base.state_dict()) == list(extractor.state_dict())
    with th.no_grad():
        for seed in range(3):
            th.testing.assert_close(extractor(batch(seed=seed)), base(batch(seed=seed)), rtol=1e-4, atol=1e-5)


def test_without_gradients_only_what_changed_is_computed(name: str) -> None:
    extractor, observations = make(name), batch(1)
    with th.no_grad():
        extractor(observations)
        first = extractor.plans["features" if "features" in extractor.plans else "latents"].work_left
        for _ in range(9):
            extractor(observations)
        last = extractor.plans["features" if "features" in extractor.plans else "latents"].work_left
    assert last < first / 5
    seen = len(extractor.plans)
    extractor(observations).sum().backward()
    assert len(extractor.plans) == seen


def _step(extractor: Any) -> None:
    optimizer = th.optim.SGD(extractor.parameters(), lr=1e-4)
    extractor(batch()).sum().backward()
    optimizer.step()


def _load(extractor: Any) -> None:
    extractor.load_state_dict({k: v * 1.5 for k, v in extractor.state_dict().items()})


def _polyak(extractor: Any) -> None:
    other = copy.deepcopy(extractor)
    with th.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    polyak_update(other.parameters(), extractor.parameters(), 0.01)


def _fused(extractor: Any) -> None:
    optimizer = th.optim.Adam(extractor.parameters(), fused=True)
    extractor(batch()).sum().backward()
    optimizer.step()


def _new_layer(extractor: Any) -> None:
    """Somewhere in the middle."""
    parent, name, old = next(
        (m, n, c) for m in extractor.modules() for n, c in m.named_children() if isinstance(c, th.nn.Conv2d)
    )
    th.manual_seed(1)
    other = th.nn.Conv2d(old.in_channels, old.out_channels, old.kernel_size, old.stride, old.padding)
    setattr(parent, name, other)


def _new_parameter(extractor: Any) -> None:
    first = next(m for m in extractor.modules() if isinstance(m, th.nn.Conv2d))
    first.bias = th.nn.Parameter(th.ones(len(first.bias)))


def _data(extractor: Any) -> None:
    for parameter in extractor.parameters():
        parameter.data = parameter.data * 1.2


@pytest.mark.parametrize("change", [_step, _fused, _load, _polyak, _data, _new_parameter, _new_layer])
def test_new_weights_void_what_was_computed(name: str, change: Any) -> None:
    extractor = make(name)
    check(extractor)
    change(extractor)
    check(extractor)


def _coarse(extractor: Any) -> None:
    coarsen(next(m for m in extractor.modules() if isinstance(m, th.nn.Conv2d)), lambda w: w.round(decimals=1))


def _hook(extractor: Any) -> None:
    extractor.cnn.register_forward_hook(lambda _module, _inputs, output: output * 2)


def _parametrized(extractor: Any) -> None:
    weight_norm(next(m for m in extractor.modules() if isinstance(m, th.nn.Conv2d)))


def _masked(extractor: Any) -> None:
    prune.l1_unstructured(next(m for m in extractor.modules() if isinstance(m, th.nn.Conv2d)), "weight", 0.5)


@pytest.mark.parametrize("change", [_coarse, _hook, _parametrized, _masked])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_layers_that_something_else_is_done_to_are_left_to_the_network(name: str, change: Any) -> None:
    """As during quantization-aware training."""
    extractor = make(name)
    check(extractor)
    frames = [plan.frames for plan in extractor.plans.values()]
    change(extractor)
    observations = batch(seed=1)
    with th.no_grad():
        expected = extractor.project(extractor.cnn(extractor.pixels(observations)))
        th.testing.assert_close(extractor(observations), expected, rtol=0, atol=0)
    th.testing.assert_close(extractor(observations), expected, rtol=1e-4, atol=1e-5)
    assert [plan.frames for plan in extractor.plans.values()] in (frames, [])


def test_device_and_number_format(name: str) -> None:
    extractor = make(name)
    check(extractor)
    extractor.double()
    with th.no_grad():
        assert extractor.cnn(batch().double()).dtype == th.float64
        with pytest.raises(RuntimeError, match="dtype|type"):
            extractor(batch())
    extractor.float()
    check(extractor)
    moved = copy.deepcopy(extractor).to("meta").to_empty(device="cpu")
    moved.load_state_dict(extractor.state_dict())
    check(moved)
    extractor.eval()
    check(extractor)
    extractor.train()
    check(extractor)


def test_images_as_sb3_prepares_them(name: str) -> None:
    raw, scaled = make(name, normalized_image=False), make(name)
    with th.no_grad():
        raw(batch().float())
        scaled(batch().float() / 255)
    assert raw.plans
    assert scaled.plans
    check(raw, batch().float())
    check(scaled, batch().float() / 255)
    # No image of bytes
    check(scaled, th.rand(2, 2, 36, 36))


def test_batches_that_are_no_environments_are_left_to_the_network() -> None:
    extractor = make("reuse-conv", rows=2)
    with th.no_grad():
        extractor(batch(3))
        assert not extractor.plans
        extractor(batch(2))
        assert extractor.plans
    check(extractor, batch(5))


def test_copies_and_files_hold_nothing_that_was_seen(name: str) -> None:
    extractor = make(name)
    check(extractor)
    for other in (copy.deepcopy(extractor), pickle.loads(pickle.dumps(extractor))):
        assert not other.plans
        check(other)
    assert extractor.plans


def test_a_copy_of_a_compiled_one_has_weights_of_its_own(name: str) -> None:
    extractor = make(name)
    extractor._compiled_call_impl = lambda images: extractor._call_impl(images)
    other = pickle.loads(pickle.dumps(copy.deepcopy(extractor)))
    for parameter in other.parameters():
        parameter.data.zero_()
    with th.no_grad():
        assert not other(batch(2)).any()


def test_bf16_is_left_to_the_network(name: str) -> None:
    extractor = make(name, precision="bf16")
    with th.no_grad():
        extractor(batch())
    assert not extractor.plans


def test_rows_of_convolutions_to_choose_from() -> None:
    small = make("reuse-conv", base="conv2", filters=10, kernel=5, stride=(2, 1))
    shapes = [tuple(m.weight.shape) for m in small.cnn if isinstance(m, th.nn.Conv2d)]
    assert shapes == [(10, 2, 5, 5), (20, 10, 5, 5)]
    assert len(small.linear) == 0
    check(small)
    assert [m.out_channels for m in make("reuse-conv", filters=16).cnn if hasattr(m, "out_channels")] == [16, 32, 32]
    with pytest.raises(UnknownNameError, match=r"Unknown base 'natur'\. Did you mean 'nature'\? Known: nature, nn-ben"):
        make("reuse-conv", base="natur")
    with pytest.raises(OptionError, match="base='impala' has an extractor of its own: take 'reuse-impala'"):
        make("reuse-conv", base="impala")
    with pytest.raises(OptionError, match="kernel must be one number, or one for each of the 3 convolutions, got "):
        make("reuse-conv", kernel=(3, 3))
    with pytest.raises(ConflictError, match="channels names the filters of each convolution: leave out filters"):
        make("reuse-conv", filters=3, channels=(3, 3, 3))


def _learner(algorithm: Any, name: str, **options: Any) -> Any:
    return algorithm(
        "CnnPolicy", Images(), policy_kwargs=policy_kwargs(name, algorithm), device="cpu", seed=0, **options
    )


@pytest.mark.parametrize(("algorithm", "options"), [(PPO, {"n_steps": 32, "batch_size": 16}), (A2C, {"n_steps": 32})])
def test_rollouts_are_those_of_the_dense_network(algorithm: Any, options: dict[str, Any]) -> None:
    reusing, plain = (_learner(algorithm, name, **options) for name in ("reuse-conv", "nature"))
    plain.policy.load_state_dict(reusing.policy.state_dict())
    for model in (reusing, plain):
        model.set_random_seed(0)
        model.env.envs[0].observation_space.seed(0)
        model.learn(32)
    one, other = reusing.rollout_buffer, plain.rollout_buffer
    np.testing.assert_array_equal(one.actions, other.actions)
    np.testing.assert_allclose(one.values, other.values, atol=1e-4)
    np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-4)
    assert reusing.policy.features_extractor.plans["features"].frames >= 32
    # After the update, too
    check(reusing.policy.features_extractor, batch().float())


def test_evaluation_between_rollouts_changes_nothing(tmp_path: Any) -> None:
    """Two environments train, another one evaluates, and all come to the same extractor."""
    found = []
    for name, n_evaluations in (("reuse-conv", 16), ("nature", 10**9)):
        env = DummyVecEnv([Images, Images])
        model = PPO(
            "CnnPolicy", env, policy_kwargs=policy_kwargs(name, PPO), n_steps=32, batch_size=32, n_epochs=1,
            device="cpu", seed=0,
        )  # fmt: skip
        for game in env.envs:
            game.observation_space.seed(0)
        other = Images()
        other.observation_space.seed(7)
        model.learn(64, callback=EvalCallback(Monitor(other), eval_freq=n_evaluations, n_eval_episodes=1, verbose=0))
        found.append(model.rollout_buffer)
    np.testing.assert_array_equal(found[0].actions, found[1].actions)
    np.testing.assert_allclose(found[0].values, found[1].values, atol=1e-4)


def test_updates_compile_nothing_new(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What updates need is there before the first action."""
    done: list[str] = []
    monkeypatch.setattr("sb3_efficient.reuse.updating.warm_up", lambda: done.append(name))
    with th.no_grad():
        extractor = make(name)
        extractor(batch())
        extractor(batch())
    assert done == ([] if name == "reuse-conv" else [name])


def test_a_bias_that_is_taken_away_and_put_back(name: str) -> None:
    with th.no_grad():
        extractor = make(name)
        before, convolution = (
            extractor(batch()).clone(),
            next(m for m in extractor.modules() if type(m) is th.nn.Conv2d),
        )
        bias, convolution.bias = convolution.bias, None
        assert not th.allclose(extractor(batch()), before)
        convolution.bias = bias
        th.testing.assert_close(extractor(batch()), before, rtol=1e-4, atol=1e-5)


def test_off_policy_training() -> None:
    model = _learner(DQN, "reuse-conv", buffer_size=64, learning_starts=16, target_update_interval=10)
    model.learn(60)
    for network in (model.q_net, model.q_net_target):
        check(network.features_extractor, batch().float())


def test_frozen_encoder_and_accelerate(tmp_path: Any) -> None:
    model = _learner(PPO, "reuse-conv", n_steps=32, batch_size=16)
    accelerate(model, precision="fp32", keep_memory=False)
    model.learn(100, callback=SEERCallback(freeze_at=40, depth="conv"))
    assert model.policy.features_extractor.plans["latents"].frames > 0
    model.save(tmp_path / "model.zip")
    loaded = PPO.load(tmp_path / "model.zip", device="cpu")
    assert not loaded.policy.features_extractor.plans
    found, expected = (make_engine(loaded, engine).outputs(images(2))["logits"] for engine in ("reuse", "eager"))
    np.testing.assert_allclose(found, expected, atol=1e-4)
