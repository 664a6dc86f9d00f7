from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import onnxruntime as ort
import pytest
import torch as th
from agents import AGENTS, BOX, Images, agent, dict_agent, images
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_efficient import accelerate, compress, make_engine
from sb3_efficient.engines import Engine, list_engines
from sb3_efficient.errors import MissingExtraError, ObservationError, OptionError, UnknownNameError

NAMES = ("eager", "onnxruntime")


@pytest.mark.parametrize("algorithm", AGENTS)
@pytest.mark.parametrize("name", list_engines())
def test_acts_as_the_model_does(name: str, algorithm: str) -> None:
    model = agent(algorithm)
    before = [p.clone() for p in model.policy.parameters()]
    try:
        engine = make_engine(model, name)
    except MissingExtraError as error:
        pytest.skip(str(error))
    for n in (1, 7):
        expected, _ = model.predict(images(n), deterministic=True)
        found, state = engine.predict(images(n), deterministic=True)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        assert state is None
    single, _ = engine.predict(images(1)[0], deterministic=True)
    expected, _ = model.predict(images(1)[0], deterministic=True)
    assert type(single) is type(expected)
    assert single.shape == expected.shape
    assert all(th.equal(p, q) for p, q in zip(before, model.policy.parameters(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_raw_outputs(name: str) -> None:
    model = agent("dqn")
    batch = images(3)
    q_values = model.q_net(th.as_tensor(batch)).detach().numpy()
    found = make_engine(model, name).outputs(batch)
    assert list(found) == ["q_values"]
    np.testing.assert_allclose(found["q_values"], q_values, atol=1e-4)
    assert list(make_engine(agent("sac"), "eager").outputs(batch)) == ["mean", "log_std"]
    assert list(make_engine(agent("td3"), "eager").outputs(batch)) == ["action"]


def test_quantiles_are_averaged_in_the_weights() -> None:
    model = agent("qrdqn")
    batch = images(3)
    mean = model.quantile_net(th.as_tensor(batch)).mean(dim=1).detach().numpy()
    np.testing.assert_allclose(make_engine(model, "eager").outputs(batch)["q_values"], mean, atol=1e-4)


def test_policy_is_as_good_as_model() -> None:
    model = agent()
    one, other = make_engine(model, "eager"), make_engine(model.policy, "eager")
    np.testing.assert_array_equal(one.outputs(images(2))["logits"], other.outputs(images(2))["logits"])


@pytest.mark.parametrize("algorithm", ["ppo", "ppo multi-discrete", "ppo multi-binary", "ppo box", "sac"])
def test_chance_has_the_distribution_of_the_model(algorithm: str) -> None:
    model = agent(algorithm)
    many = images(1).repeat(4000, axis=0)
    engine = make_engine(model, "eager")
    engine.set_random_seed(1)
    found, _ = engine.predict(many)
    expected, _ = model.predict(many)
    assert found.dtype == expected.dtype
    assert found.std(axis=0).min() > 0
    np.testing.assert_allclose(found.mean(axis=0), expected.mean(axis=0), atol=0.12)
    np.testing.assert_allclose(found.std(axis=0), expected.std(axis=0), atol=0.12)


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("ppo", {"squash_output": False}),
        ("ppo", {"squash_output": True, "full_std": False, "net_arch": [24]}),
        ("sac", {}),
        ("tqc", {"use_expln": True, "clip_mean": 0.5}),
    ],
)
def test_state_dependent_exploration_has_the_deviation_of_the_model(algorithm: str, options: dict[str, Any]) -> None:
    model = agent(algorithm, env=Images(BOX), use_sde=True, policy_kwargs=options)
    n = 4000
    many = images(3).repeat(n, axis=0)
    # One draw of the exploration matrix for each observation
    model.policy.reset_noise(len(many))
    expected, _ = model.predict(many)
    for name in NAMES:
        engine = make_engine(model, name)
        engine.set_random_seed(1)
        found, _ = engine.predict(many)
        assert found.dtype == expected.dtype
        for one, other in zip(np.split(found, 3), np.split(expected, 3), strict=True):
            np.testing.assert_allclose(one.mean(axis=0), other.mean(axis=0), atol=0.12)
            np.testing.assert_allclose(one.std(axis=0), other.std(axis=0), rtol=0.06)
        deterministic, _ = model.predict(images(7), deterministic=True)
        np.testing.assert_allclose(engine.predict(images(7), deterministic=True)[0], deterministic, atol=1e-4)


def test_seed_repeats_the_actions() -> None:
    engine = make_engine(agent(), "eager")
    actions = []
    for seed in (3, 3, 4):
        engine.set_random_seed(seed)
        actions.append(engine.predict(images(50))[0])
    assert (actions[0] == actions[1]).all()
    assert (actions[0] != actions[2]).any()


@pytest.mark.parametrize("name", [*NAMES, "reuse", "reuse in int8"])
@pytest.mark.parametrize("again", [copy.deepcopy, lambda engine: pickle.loads(pickle.dumps(engine))])
def test_copies_act_as_what_they_are_of(name: str, again: Callable[[Engine], Engine]) -> None:
    if name == "reuse in int8":
        engine = make_engine(compress(agent("ppo multi-binary"), "static-int8", calibration=images(32)), "reuse")
    else:
        engine = make_engine(agent(), name)
    engine.set_random_seed(3)
    engine.predict(images(2))
    other = again(engine)
    assert type(other) is type(engine)
    for _ in range(3):
        np.testing.assert_array_equal(other.predict(images(20))[0], engine.predict(images(20))[0])


def test_masked_actions_are_never_taken() -> None:
    model = agent("maskable")
    engine = make_engine(model, "eager")
    masks = np.zeros((200, 6), bool)
    masks[:, [1, 4]] = True
    assert set(engine.predict(images(200), action_masks=masks)[0]) == {1, 4}
    found, _ = engine.predict(images(200), deterministic=True, action_masks=masks)
    expected, _ = model.predict(images(200), deterministic=True, action_masks=masks)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(OptionError, match="action_masks are for discrete actions of PPO, and this head is 'greedy'"):
        make_engine(agent("dqn"), "eager").predict(images(1), action_masks=masks[:1])


@pytest.mark.parametrize("name", NAMES)
def test_dictionaries_of_observations(name: str) -> None:
    model = dict_agent()
    engine = make_engine(model, name)
    batch = {"numbers": np.float32([[0.5, -0.5], [1, 0]]), "image": images(2), "mode": np.array([0, 2])}
    np.testing.assert_array_equal(
        engine.predict(batch, deterministic=True)[0], model.predict(batch, deterministic=True)[0]
    )
    one = {key: value[0] for key, value in batch.items()}
    assert engine.predict(one, deterministic=True)[0] == model.predict(one, deterministic=True)[0]
    with pytest.raises(ObservationError, match=r"a dictionary of image, mode, numbers, got \['image'\]"):
        engine.predict({"image": images(2)})


def test_channel_last_images_are_transposed() -> None:
    engine = make_engine(agent(), "eager")
    batch = images(5)
    expected = engine.outputs(batch)["logits"]
    np.testing.assert_array_equal(engine.outputs(np.moveaxis(batch, 1, -1))["logits"], expected)
    single, _ = engine.predict(np.moveaxis(batch[0], 0, -1))
    assert single.shape == ()


def test_sb3_evaluates_an_engine() -> None:
    model = agent()
    env = model.get_env()
    assert env is not None
    rewards, lengths = evaluate_policy(make_engine(model, "eager"), env, 2, return_episode_rewards=True, warn=False)
    assert len(rewards) == len(lengths) == 2


def test_what_accelerate_and_bf16_changed_is_left_out() -> None:
    plain, fast = agent(), agent()
    expected = make_engine(plain, "eager").outputs(images(4))["logits"]
    accelerate(fast, precision="fp32", fused_optimizer=False, keep_memory=False)
    np.testing.assert_allclose(make_engine(fast, "eager").outputs(images(4))["logits"], expected, atol=1e-5)
    assert "forward" in vars(fast.policy.features_extractor)


def test_images_are_divided_once_however_the_model_does_it() -> None:
    kwargs = agent("ppo nature").policy_kwargs
    for normalize in (True, False):
        kwargs = {**kwargs, "normalize_images": normalize}
        kwargs["features_extractor_kwargs"] = {"features_dim": 64, "normalized_image": normalize}
        model = PPO("CnnPolicy", Images(), policy_kwargs=kwargs, device="cpu")
        with th.no_grad():
            expected = model.policy.get_distribution(th.as_tensor(images(2))).distribution.logits
        logits = th.as_tensor(make_engine(model, "eager").outputs(images(2))["logits"]).log_softmax(dim=1)
        np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_engine_keeps_the_weights_it_was_made_with() -> None:
    model = agent()
    engine = make_engine(model, "eager")
    before = engine.outputs(images(1))["logits"]
    with th.no_grad():
        model.policy.action_net.weight.zero_()
    np.testing.assert_array_equal(engine.outputs(images(1))["logits"], before)


def test_engines_compute_on_the_threads_they_were_made_with(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = agent(), []
    engine = make_engine(model, "eager", threads=2)
    assert engine.threads == 2
    hook = th.nn.modules.module.register_module_forward_hook(lambda *_: seen.append(th.get_num_threads()))
    try:
        engine.predict(images(1))
    finally:
        hook.remove()
    assert {*seen} == {2}
    assert th.get_num_threads() == 1
    asked: list[int] = []
    make_session = ort.InferenceSession

    def session(content: bytes, options: Any, **rest: Any) -> Any:
        asked.append(options.intra_op_num_threads)
        return make_session(content, options, **rest)

    monkeypatch.setattr(ort, "InferenceSession", session)
    make_engine(model, "onnxruntime", threads=2).predict(images(1))
    assert {*asked} == {2}
    with pytest.raises(OptionError, match="threads must be a whole number of at least 1, got 0"):
        make_engine(agent(), threads=0)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (images(2)[:, :, 1:], r"has shape \(2, 2, 35, 36\), and the policy takes \(2, 36, 36\), or a batch"),
        (images(2)[0, 0], r"has shape \(36, 36\), and the policy takes"),
        (images(2) / 255, "has dtype float64, and the policy takes uint8: pass what the environment gives"),
        ((images(1), {}), r"env.reset\(\) of Gymnasium returns \(observation, info\), pass only the first"),
    ],
)
def test_wrong_observations_are_refused(observation: object, message: str) -> None:
    with pytest.raises(ObservationError, match=message):
        make_engine(agent(), "eager").predict(observation)


@pytest.mark.parametrize(
    ("space", "observation", "message"),
    [
        (spaces.Discrete(4), np.array([3, 4]), r"must be at least 0 and less than 4, got \[3 4\]"),
        (spaces.Discrete(4), np.array(-1), "must be at least 0 and less than 4, got -1"),
        (spaces.MultiDiscrete([2, 3]), np.array([[1, 3]]), r"less than \[2 3\], got \[\[1 3\]\]"),
        (
            spaces.Dict({"a": spaces.Discrete(4), "b": spaces.Box(-1, 1, (2,))}),
            {"a": np.zeros(2, int), "b": np.zeros((1, 2), np.float32)},
            "must be batches of one size, got {'a': 2, 'b': 1}",
        ),
        (spaces.Discrete(4), np.array([1.0]), "has dtype float64, and the policy takes int64"),
    ],
)
def test_what_runtimes_would_make_nothing_of_is_refused(space: spaces.Space, observation: Any, message: str) -> None:
    with pytest.raises(ObservationError, match=message):
        make_engine(vector_agent(space)).predict(observation)


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (spaces.Discrete(4), np.array([0, 3], np.uint8)),
        (spaces.Box(-1, 1, (5,)), np.array([[0, 1, 0, 1, 0]])),
        (spaces.Box(-1, 1, (5,)), np.array([True, False, True, True, False])),
    ],
)
def test_other_numbers_are_taken_as_sb3_takes_them(space: spaces.Space, observation: np.ndarray) -> None:
    agent = vector_agent(space)
    expected, _ = agent.predict(observation, deterministic=True)
    np.testing.assert_array_equal(make_engine(agent).predict(observation, deterministic=True)[0], expected)


def vector_agent(space: spaces.Space) -> PPO:
    class Env(gym.Env[Any, np.int64]):
        observation_space = space
        action_space = spaces.Discrete(3)

    return PPO("MultiInputPolicy" if isinstance(space, spaces.Dict) else "MlpPolicy", Env(), device="cpu")


def test_models_that_no_engine_knows_are_refused() -> None:
    with pytest.raises(OptionError, match=r"Engines do not keep the state of recurrent policies yet.*RecurrentActor"):
        make_engine(RecurrentPPO("CnnLstmPolicy", Images(), policy_kwargs={"lstm_hidden_size": 8}))
    masked = MaskablePPO("CnnPolicy", Images(spaces.MultiBinary(3)), n_steps=8)
    with pytest.raises(OptionError, match="Engines do not know MultiBinary actions of MaskablePPO"):
        make_engine(masked)
    with pytest.raises(OptionError, match=r"acts for a Stable-Baselines3 model, such as PPO.load\(path\), got 3"):
        make_engine(3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(bad: float) -> None:
    model = PPO("CnnPolicy", Images())
    model.policy.action_net.bias.data[0] = bad
    for make in (make_engine, partial(make_engine, name="reuse"), partial(compress, recipe="channel-pruning")):
        with pytest.raises(OptionError, match="not finite numbers, 1 of its arrays, the first of them action_net.bias"):
            make(model)


def test_engines_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list_engines() == ["eager", "onnxruntime", "openvino", "reuse"]
    with pytest.raises(UnknownNameError, match=r"Unknown engine 'onnxruntme'\. Did you mean 'onnxruntime'\?"):
        make_engine(agent(), "onnxruntme")
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    monkeypatch.delitem(__import__("sys").modules, "sb3_efficient.engines.openvino", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'sb3-efficient\[openvino\]', or use the engine 'onnxr"):
        make_engine(agent(), "openvino")


def test_openvino_acts_as_the_model_does() -> None:
    pytest.importorskip("openvino")
    for algorithm in ("ppo impala", "sac"):
        model = agent(algorithm)
        found, _ = make_engine(model, "openvino").predict(images(7), deterministic=True)
        expected, _ = model.predict(images(7), deterministic=True)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("overflows", [True, False])
def test_openvino_warns_of_int8_that_overflows(monkeypatch: pytest.MonkeyPatch, overflows: bool) -> None:
    pytest.importorskip("openvino")
    model = agent()
    policy = compress(model, "static-int8", calibration=images(32))
    monkeypatch.setattr("sb3_efficient.engines.openvino.int8_overflows", lambda: overflows)
    make_engine(model, "openvino")
    with pytest.warns(match=r"has no VNNI") if overflows else contextlib.nullcontext():
        make_engine(policy, "openvino")


@pytest.mark.parametrize("overflows", [True, False])
def test_onnx_runtime_is_slowed_only_where_int8_overflows(monkeypatch: pytest.MonkeyPatch, overflows: bool) -> None:
    monkeypatch.setattr("sb3_efficient.engines.onnxruntime.int8_overflows", lambda: overflows)
    engine: Any = make_engine(agent(), "onnxruntime")
    options = engine._session.get_session_options()
    with contextlib.nullcontext() if overflows else pytest.raises(RuntimeError, match="not"):
        assert options.get_session_config_entry("session.x64quantprecision") == "1"


def test_making_an_engine_draws_no_random_numbers() -> None:
    model = agent("qrdqn")
    before = th.get_rng_state()
    make_engine(model)
    assert th.equal(th.get_rng_state(), before)
