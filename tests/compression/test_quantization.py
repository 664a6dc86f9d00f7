from __future__ import annotations

import copy
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch as th
from agents import Images, agent, dict_agent, images
from gymnasium import spaces
from helpers import parameters_match
from stable_baselines3 import PPO
from torch import nn

from sb3_efficient import compress, load_policy, make_engine, policy_kwargs
from sb3_efficient.compression import CompressedPolicy, StaticInt8, list_methods
from sb3_efficient.errors import ObservationError, OptionError
from sb3_efficient.evaluation.agreement import sqnr
from sb3_efficient.extractors import EncoderExtractor
from sb3_efficient.onnx_graph import constant

METHODS = ("dynamic-int8", "dynamic-float16", "static-int8", "static-float16")


@cache
def compressed(method: str, algorithm: str = "ppo") -> CompressedPolicy:
    return compress(agent(algorithm), method, calibration=images(256))


@pytest.mark.parametrize(
    ("method", "least", "most"),
    # Most weights of this small policy are in the convolutions, which dynamic-int8 leaves alone
    [("static-int8", 0.2, 0.27), ("dynamic-int8", 0.5, 0.8), ("dynamic-float16", 0.45, 0.52)],
)
def test_size_in_relation_to_float32(method: str, least: float, most: float) -> None:
    assert least < compressed(method).n_bytes / compressed("").n_bytes < most


def test_float16_is_half_as_large_either_way() -> None:
    assert compressed("static-float16").n_bytes == pytest.approx(compressed("dynamic-float16").n_bytes, rel=0.02)


@pytest.mark.parametrize("algorithm", ["ppo", "ppo impala", "ppo tiny-rl", "qrdqn"])
@pytest.mark.parametrize("method", METHODS)
def test_acts_nearly_as_before(method: str, algorithm: str) -> None:
    model = agent(algorithm)
    found, _ = compressed(method, algorithm).predict(images(256), deterministic=True)
    expected, _ = model.predict(images(256), deterministic=True)
    assert (found == expected).mean() > (0.99 if "float16" in method else 0.9)
    assert parameters_match(model.policy, agent(algorithm).policy)


HEADS = ["sac", "td3", "ppo box", "ppo multi-discrete", "ppo multi-binary", "ppo gsde", "sac gsde"]


@pytest.mark.parametrize("algorithm", HEADS)
def test_outputs_of_other_heads(algorithm: str) -> None:
    before, after = (compressed(m, algorithm).engine().outputs(images(64)) for m in ("", "static-int8"))
    assert before.keys() == after.keys()
    for name, expected in before.items():
        assert np.abs(after[name] - expected).max() <= 0.1 * np.abs(expected).max(), name


@pytest.mark.parametrize("method", ["static-int8", "dynamic-int8"])
def test_small_deviations_stay(method: str) -> None:
    """Of gSDE, where one unit is 20 times as large as the others, and counts as much."""
    model, k = agent("ppo gsde", policy_kwargs={"net_arch": []}), 20
    layer = model.policy.features_extractor.linear[0]
    with th.no_grad():
        unit = int(model.policy.extract_features(th.as_tensor(images(64))).mean(0).argmax())
        layer.weight[unit] *= k
        layer.bias[unit] *= k
        model.policy.action_net.weight[:, unit] /= k
        model.policy.log_std[unit] -= np.log(k)
    policy = compress(model, method, calibration=images(64))
    for seen in (images(8), np.zeros_like(images(1))):
        expected = make_engine(model, "eager").outputs(seen)["log_std"]
        np.testing.assert_allclose(policy.engine().outputs(seen)["log_std"], expected, atol=0.2)


def optimized(policy: CompressedPolicy, path: Any) -> onnx.ModelProto:
    """What ONNX Runtime makes of the graph."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    ort.InferenceSession(policy.proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(path)


@cache
def compressed_with_biases(algorithm: str = "ppo") -> CompressedPolicy:
    """As of a trained agent, whose biases are not zero, from observations in which no pixel is white."""
    model = copy.deepcopy(agent(algorithm))
    generator = th.Generator().manual_seed(0)
    with th.no_grad():
        for name, parameter in model.policy.named_parameters():
            if name.endswith("bias"):
                parameter.add_(0.1 * th.randn(parameter.shape, generator=generator))
    return compress(model, "static-int8", calibration=images(256) // 2)


def test_weights_have_a_scale_for_every_output() -> None:
    graph = compressed("static-int8").proto.graph
    makers = {node.output[0]: node for node in graph.node}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    weights = [makers[node.input[1]] for node in layers]
    assert [constant(graph, weight.input[1]).size for weight in weights] == [32, 64, 64, 512, 6]


def test_one_picture_does_not_decide_on_the_range() -> None:
    """Without biases all activations are as large as the pixels are."""
    bright, dark = images(32), images(320) // 16

    def scales(observations: np.ndarray) -> np.ndarray:
        graph = compress(agent(), "static-int8", calibration=observations).proto.graph
        quantize = [node for node in graph.node if node.op_type == "QuantizeLinear"]
        return np.array([constant(graph, node.input[1]) for node in quantize])

    assert (scales(np.concatenate([dark, bright])) < 0.3 * scales(bright)).all()


def test_calibration_looks_at_all_parts_of_the_observations() -> None:
    for n, expected in ((10, [0, 3, 6, 9]), (3, [0, 1, 2])):
        (batch,) = StaticInt8(images=4).batches("observation", np.arange(n))
        np.testing.assert_array_equal(batch["observation"], expected)
    assert [len(batch["image"]) for batch in StaticInt8(images=70).batches("image", images(100))] == [24, 23, 23]


def test_biases_follow_the_scale_of_pixels() -> None:
    """Calibrated on dark images, whose scale is another than that of pixels."""
    model, dark = agent("ppo nature"), images(64) // 4
    with th.no_grad():
        model.policy.features_extractor.cnn[0].bias.uniform_(-0.2, 0.2)
    exact = make_engine(model, "eager").outputs(dark)["logits"]
    found = compress(model, "static-int8", calibration=dark).engine().outputs(dark)["logits"]
    assert np.linalg.norm(found - exact) < 0.05 * np.linalg.norm(exact)


def test_nature_computes_in_int8_from_the_image_to_the_logits(tmp_path: Any) -> None:
    graph = optimized(compressed_with_biases(), tmp_path / "optimized.onnx").graph
    operators = Counter(node.op_type for node in graph.node)
    assert operators["QLinearConv"] == 3
    assert operators["QGemm"] == 2
    # Layout only: no float image, and no rounding on the way
    assert set(operators) == {"QLinearConv", "QGemm", "Transpose", "Reshape"}


def test_residual_blocks_compute_in_int8(tmp_path: Any) -> None:
    graph = optimized(compressed_with_biases("ppo impala"), tmp_path / "optimized.onnx").graph
    operators = Counter(node.op_type for node in graph.node)
    assert operators["QLinearConv"] == 15
    assert operators["QLinearAdd"] == 6
    assert not {"QuantizeLinear", "DequantizeLinear", "Relu", "Conv", "Add"} & set(operators)


@pytest.mark.parametrize(
    ("pool", "operator"), [("average", "QLinearGlobalAveragePool"), ("adaptive-max-6", "NhwcMaxPool")]
)
def test_what_is_pooled_at_the_end_is_in_int8(pool: str, operator: str, tmp_path: Any) -> None:
    kwargs = policy_kwargs("impala", PPO, depths=(4,), pool=pool, features_dim=16)
    model = PPO("CnnPolicy", Images(), policy_kwargs=kwargs, device="cpu", seed=0)
    policy = compress(model, "static-int8", calibration=images(64))
    operators = Counter(node.op_type for node in optimized(policy, tmp_path / "optimized.onnx").graph.node)
    assert operators[operator] == (1 if pool == "average" else 2)
    assert not {"DequantizeLinear", "ReduceMean", "Add"} & set(operators)


def test_dynamic_int8_leaves_convolutions_alone() -> None:
    operators = Counter(node.op_type for node in compressed("dynamic-int8").proto.graph.node)
    assert operators["Conv"] == 3
    assert operators["MatMulInteger"] == 2


@pytest.mark.parametrize("method", METHODS)
def test_recipe_is_in_the_file(method: str, tmp_path: Any) -> None:
    loaded = load_policy(compressed(method).save(tmp_path / "a.policy"))
    assert [str(step) for step in loaded.recipe] == [method]
    found, expected = (p.engine().outputs(images(8))["logits"] for p in (loaded, compressed(method)))
    np.testing.assert_array_equal(found, expected)


def test_methods_by_name() -> None:
    assert set(METHODS) <= set(list_methods())


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        (None, r"'static-int8' needs observations: compress\(model, recipe, calibration=observations\)"),
        (images(64)[:, :1], r"must be an array \(N, 2, 36, 36\) of uint8, .* got \(64, 1, 36, 36\) of uint8"),
        (images(64) / 255, r"as the environment gives them, got \(64, 2, 36, 36\) of float64"),
        (images(64)[0], r"got \(2, 36, 36\) of uint8"),
        (list(images(64)), "got list"),
        (images(31), "needs at least 32 observations, better some hundreds from many episodes, got 31"),
        (images(1).repeat(40, axis=0), "All 40 calibration observations are the same: record them in play"),
    ],
)
def test_bad_calibration_is_refused(observations: Any, message: str) -> None:
    with pytest.raises((ObservationError, OptionError), match=message):
        compress(agent(), "static-int8", calibration=observations)


def test_views_of_observations() -> None:
    flipped = images(64)[..., ::-1]
    recipe = ["distillation(steps=2, batch_size=8)", "static-int8"]
    found, expected = (compress(agent(), recipe, calibration=views) for views in (flipped, flipped.copy()))
    np.testing.assert_array_equal(found.predict(flipped)[0].shape, (64,))
    for name, values in expected.engine().outputs(flipped).items():
        np.testing.assert_array_equal(found.engine().outputs(flipped)[name], values)


def test_images_that_are_no_bytes() -> None:
    env = Images()
    env.observation_space = spaces.Box(0, 255, (2, 36, 36), np.float64)
    model = PPO("CnnPolicy", env, policy_kwargs=policy_kwargs("nature", PPO), device="cpu", seed=0)
    observations = images(64).astype(np.float64)
    with pytest.raises(ObservationError, match="hold infinities or numbers that are none"):
        compress(model, "static-int8", calibration=np.where(observations == 255, np.inf, observations))
    found = compress(model, "static-int8", calibration=observations).engine().outputs(observations)["logits"]
    expected = make_engine(model, "eager").outputs(observations)["logits"]
    assert sqnr(found, expected) > 20


def test_observations_are_looked_at_only_where_they_are_needed() -> None:
    assert compress(agent(), "dynamic-float16", calibration=images(16)).recipe[0].name == "dynamic-float16"


@pytest.mark.parametrize("method", ["dynamic-int8", "dynamic-float16", "static-float16"])
def test_dictionaries(method: str) -> None:
    model = dict_agent()
    observations = {key: np.stack([space.sample() for _ in range(8)]) for key, space in model.observation_space.items()}
    made = compress(model, method).engine().outputs(observations)["logits"]
    expected = make_engine(model, "eager").outputs(observations)["logits"]
    np.testing.assert_allclose(made, expected, atol=0.05)


def test_first_layers_that_are_no_convolution_read_numbers() -> None:
    """SB3's MlpPolicy flattens images."""
    model = PPO("MlpPolicy", Images(), n_steps=16, batch_size=16, seed=0, device="cpu")
    batch = images(64)
    expected = make_engine(model, "eager").outputs(batch)["logits"]
    found = make_engine(compress(model, "static-int8", calibration=batch), "onnxruntime").outputs(batch)["logits"]
    np.testing.assert_allclose(found, expected, atol=0.05)


class Behind(EncoderExtractor):
    """A convolution, its ReLU, and a layer behind it that runtimes do not have in int8."""

    def __init__(self, space: Any, *, layer: Any, features_dim: int = 64, normalized_image: bool = True) -> None:
        cnn = nn.Sequential(nn.Conv2d(2, 16, 4, 4), nn.ReLU(), layer, nn.Flatten())
        super().__init__(space, cnn, {"features_dim": features_dim}, normalized_image=normalized_image)


@pytest.mark.parametrize("layer", [nn.AvgPool2d(3), nn.LayerNorm([16, 9, 9]), nn.LPPool2d(2, 3)])
def test_what_is_clipped_at_zero_stays_so(layer: nn.Module) -> None:
    """The quantizer leaves out a ReLU where rounding clips as well, and no rounding may be left."""
    kwargs = {"features_extractor_class": Behind, "features_extractor_kwargs": {"layer": layer}}
    model, batch = agent("ppo", policy_kwargs=kwargs), images(64)
    expected = make_engine(model, "eager").outputs(batch)["logits"]
    policy = compress(model, "static-int8", calibration=batch)
    assert sqnr(policy.engine().outputs(batch)["logits"], expected) > 20


def test_outputs_that_happen_to_be_positive_may_become_negative() -> None:
    model, batch = agent("dqn"), images(64)
    with th.no_grad():
        list(model.q_net.parameters())[-1].add_(5)
    proto = compress(model, "static-int8", calibration=batch).proto
    assert (make_engine(model, "eager").outputs(batch)["q_values"] > 0).all()
    made = {output: node.op_type for node in proto.graph.node for output in node.output}
    assert made["q_values"] == "Gemm"


def test_dictionaries_and_other_things_are_refused() -> None:
    with pytest.raises(ObservationError, match="Calibration knows observations that are one array, and the policy"):
        compress(dict_agent(), "static-int8", calibration=images(64))
    with pytest.raises(OptionError, match=r"compress takes a Stable-Baselines3 model, such as PPO.load\(path\), got 3"):
        compress(3, "static-int8")  # type: ignore[arg-type]


class Factors(EncoderExtractor):
    """A linear layer whose product and bias have factors."""

    def __init__(self, space: spaces.Space) -> None:
        super().__init__(space, nn.Sequential(nn.Conv2d(2, 8, 8, 4), nn.ReLU(), nn.Flatten(), Multiplied()), {})


class Multiplied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8 * 64, 32)

    def forward(self, x: th.Tensor) -> th.Tensor:
        return th.addmm(self.linear.bias, x, self.linear.weight.T, alpha=0.5, beta=30.0)


@pytest.mark.parametrize("method", ["static-int8", "dynamic-int8"])
def test_factors_of_a_linear_layer(method: str) -> None:
    model = PPO("CnnPolicy", Images(), policy_kwargs={"features_extractor_class": Factors, "net_arch": []})
    expected = make_engine(model, "eager").outputs(images(64))["logits"]
    found = make_engine(compress(model, method, calibration=images(64))).outputs(images(64))["logits"]
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
