from __future__ import annotations

import copy
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from played import frames
from stable_baselines3 import PPO
from torch import nn

from sb3_efficient import make_engine, make_extractor, policy_kwargs
from sb3_efficient.compiled.linear import REFRESH
from sb3_efficient.engines import ActingNetwork
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.errors import OptionError
from sb3_efficient.extractors.impala import Residual
from sb3_efficient.reuse.changes.network import read_layers
from sb3_efficient.reuse.changes.reuser import Announced, Reuser

SHAPE = (4, 84, 84)


def extractor(name: str, shape: tuple[int, int, int] = SHAPE, **options: Any) -> Any:
    th.manual_seed(1)
    return make_extractor(name, spaces.Box(0, 255, shape, np.uint8), **options)


def reuser(source: Any, shape: tuple[int, int, int] = SHAPE, **options: Any) -> Reuser:
    network, (linear, *_) = read_layers([*source.cnn, *source.linear], shape)
    network.linear, network.activation = [linear], True
    return Reuser(network, **options)


def dense(source: Any, images: np.ndarray) -> np.ndarray:
    with th.no_grad():
        return source(th.as_tensor(images)).numpy()  # type: ignore[no-any-return]


NETWORKS = {
    "nature": ("nature", {}),
    "pruned nature": ("nature", {"channels": (13, 24, 35), "features_dim": 100}),
    "impala": ("impala", {}),
    "strided": ("impala", {"downsample": "strided", "width": 0.6}),
    "impoola": ("impoola", {}),
    "adaptive": ("impala", {"pool": "adaptive-max-6", "width": 2}),
    "pruned impala": ("impala", {"channels": (9, 3, 9, 20, 9, 17, 5, 17, 8, 17)}),
    "small": ("nn-bench-small", {}),
    "large": ("nn-bench-large", {}),
    "conv2": ("conv2", {"filters": 5, "features_dim": 24}),
}


@pytest.mark.parametrize("game", ["Pong", "Seaquest"])
@pytest.mark.parametrize("network", NETWORKS)
def test_equals_the_dense_network_on_real_frames(network: str, game: str) -> None:
    name, options = NETWORKS[network]
    source, played = extractor(name, **options), frames(game)[:: 1 if network == "nature" else 6]
    fast = reuser(source)
    errors = [np.abs(fast(x) - dense(source, x)).max() for x in played]
    assert max(errors) < 1e-5
    # Nor does it grow
    assert max(errors[-20:]) < 2 * max(errors[:20]) + 1e-6


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_any_images_in_any_order(data: st.DataObject) -> None:
    side = st.integers(9, 90)
    shape = (data.draw(st.integers(1, 5)), data.draw(side), data.draw(side))
    source = extractor("impala", shape, depths=(3, 8), features_dim=24)
    fast, rng = reuser(source, shape), np.random.default_rng(data.draw(st.integers(0, 9)))
    images = rng.integers(0, 256, (3, *shape), np.uint8)
    for _ in range(6):
        n = data.draw(st.integers(1, 3))
        images[:, :, data.draw(st.integers(0, 8)) :: data.draw(st.integers(1, 50))] = data.draw(st.integers(0, 255))
        images = images[rng.permutation(3)]
        batch = np.ascontiguousarray(images[:n])
        np.testing.assert_allclose(fast(batch), dense(source, batch), atol=1e-5)


def test_nothing_and_everything_changed() -> None:
    source = extractor("nature")
    fast = reuser(source)
    one, other = frames("Pong")[0], frames("Seaquest")[7]
    first = fast(one)
    fast.counts[:] = 0
    np.testing.assert_array_equal(fast(one), first)
    assert (fast.counts == 0).all()
    for images in (other, 255 - other, one):
        np.testing.assert_allclose(fast(images), dense(source, images), atol=1e-5)
    np.testing.assert_allclose(fast(one), first, atol=1e-6)


def test_games_that_begin_anew() -> None:
    """A life is lost, a game is over: the whole stack of frames is another one."""
    source, played = extractor("nature"), frames("Breakout", 300, n_envs=2)
    fast = reuser(source)
    changed = [(now != before).mean() for before, now in pairwise(played)]
    assert max(changed) > 10 * np.median(changed)
    errors = [np.abs(fast(images) - dense(source, images)).max() for images in played]
    assert max(errors) < 1e-5


def test_environments_that_take_turns_in_one_row() -> None:
    source = extractor("nature")
    fast = reuser(source)
    for pair in zip(frames("Pong")[:40], frames("Seaquest")[:40], strict=True):
        for images in pair:
            np.testing.assert_allclose(fast(images), dense(source, images), atol=1e-5)


def test_batches_of_any_size() -> None:
    source, played = extractor("nature"), frames("Pong", 60, n_envs=3)
    fast = reuser(source)
    for t, images in enumerate(played):
        batch = np.ascontiguousarray(images[: 1 + t % 3])
        np.testing.assert_allclose(fast(batch), dense(source, batch), atol=1e-5)
    assert fast.rows == 3


def test_large_batches_take_turns_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    source = extractor("nature")
    fast, played = reuser(source), np.concatenate(frames("Pong", 60, n_envs=3))  # type: ignore[arg-type]
    monkeypatch.setattr("sb3_efficient.reuse.changes.reuser.MEMORY", 7 * fast.program.state_bytes)
    for batch in (played, played[:3], played[::-1].copy()):
        np.testing.assert_allclose(fast(batch), dense(source, batch), atol=1e-5)
    assert fast.rows == 7
    assert fast.frames == 363
    assert fast(played[:0]).shape == (0, 512)


def test_threads_wait_for_each_other() -> None:
    """Compiled code lets other threads run."""
    source = extractor("nature")
    fast, played = reuser(source), frames("Pong", 60)[:, 0]
    expected = dense(source, played)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda i: fast(played[i : i + 1]), list(range(60)) * 4))
    np.testing.assert_allclose(np.concatenate(found), np.tile(expected, (4, 1)), atol=1e-5)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda fast: pickle.loads(pickle.dumps(fast))])
def test_copies_stand_on_their_own(copied: Any) -> None:
    source = extractor("nature")
    fast, images = reuser(source), frames("Pong")[50]
    expected = fast(images)
    other = copied(fast)
    assert other.rows == 0
    np.testing.assert_array_equal(other(images), expected)
    with th.no_grad():
        source.linear[0].weight.mul_(2)
    fast.load()
    del fast
    np.testing.assert_array_equal(other(images), expected)
    other.load()
    np.testing.assert_array_equal(other(frames("Pong")[51]), copied(other)(frames("Pong")[51]))


@pytest.mark.parametrize("layers", [[nn.Flatten()], [nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]])
def test_networks_without_convolutions(layers: list[nn.Module]) -> None:
    net = nn.Sequential(*layers)
    size = net(th.zeros(1, 3, 21, 17)).numel()
    net.append(nn.Linear(size, 5))
    network, network.linear = read_layers(net, (3, 21, 17))  # type: ignore[assignment]
    fast, rng = Reuser(network), np.random.default_rng(0)
    for n in (1, 2, 1):
        images = rng.integers(0, 256, (n, 3, 21, 17), np.uint8)
        with th.no_grad():
            np.testing.assert_allclose(fast(images), net(th.as_tensor(images) / 255), atol=1e-5)


def test_rounding_does_not_add_up() -> None:
    """Two frames take turns: the running total is that of changes only, but for every thousandth frame."""
    source = extractor("nature")
    fast = reuser(source)
    one, other = frames("Pong")[100], frames("Pong")[101]
    expected = dense(source, one)
    for _ in range((REFRESH - 2) // 2):
        fast(one)
        fast(other)
    assert np.abs(fast(one) - expected).max() < 1e-5


def test_the_running_total_is_made_anew_now_and_then() -> None:
    fast, image = reuser(extractor("nature")), frames("Pong")[100]
    fast(image)
    work = [int(fast.counts[-1])]
    for _ in range(2 * REFRESH + 10):
        fast(image)
        work.append(int(fast.counts[-1]))
    when = np.flatnonzero(np.diff(work)) + 1
    assert len(when) == 2, "nothing changes, and nothing is computed but then"
    assert np.diff(when) == pytest.approx(REFRESH, abs=1)


def test_new_weights_void_everything() -> None:
    source = extractor("impala")
    fast, images = reuser(source), frames("Pong")[50]
    fast(images)
    with th.no_grad():
        for parameter in source.parameters():
            parameter.mul_(1.1)
    fast.load()
    np.testing.assert_allclose(fast(images), dense(source, images), atol=1e-5)
    # A layer that gives the same as before does not hide the new weights of the next
    with th.no_grad():
        source.linear[0].weight.mul_(-2)
    fast.load()
    np.testing.assert_allclose(fast(images), dense(source, images), atol=1e-5)


def test_memory_is_bounded() -> None:
    source = extractor("nature")
    size = reuser(source).program.state_bytes
    with pytest.raises(
        OptionError, match=rf"A batch of 1 needs {size:,} bytes to remember.*memory allows 1,000: allow"
    ):
        reuser(source, memory=1000)
    fast = reuser(source, memory=2 * size)
    images = frames("Pong", 60, n_envs=3)[0]
    fast(images[:2])
    with pytest.raises(OptionError, match=r"A batch of 3 needs .* pass at most 2 observations at a time, or take the"):
        fast(images)
    np.testing.assert_allclose(fast(images[:2]), dense(source, images[:2]), atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.Conv2d(4, 4, 3, groups=2), r"Conv2d\(4, 4, .*groups=2"),
        (nn.Conv2d(4, 4, (3, 5)), r"kernel_size=\(3, 5\)"),
        (nn.Conv2d(4, 4, 3, dilation=2), r"dilation=\(2, 2\)"),
        (nn.Conv2d(4, 4, 3, padding="same"), "padding=same"),
        (nn.MaxPool2d(2, ceil_mode=True), "ceil_mode=True"),
        (nn.BatchNorm2d(4), r"BatchNorm2d\(4,"),
    ],
)
def test_unknown_layers_are_named(layer: nn.Module, name: str) -> None:
    with pytest.raises(OptionError, match=rf"The engine 'reuse' does not know .*{name}.*take the engine 'eager' or"):
        read_layers([layer, nn.Flatten()], SHAPE)


class Other(Residual):
    """As its branch is."""

    def __init__(self, *branch: nn.Module) -> None:
        nn.Module.__init__(self)
        self.branch = nn.Sequential(*branch)


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([Residual(4, 8, 4)], id="of the image"),
        pytest.param([nn.ReLU(), Residual(4, 8, 4)], id="of the image, which a ReLU leaves as it is"),
        pytest.param([nn.Conv2d(4, 4, 3), Other(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())], id="ends in a ReLU"),
        pytest.param([nn.Conv2d(4, 4, 3), Other(nn.MaxPool2d(3, 1, 1))], id="ends in a pooling"),
        pytest.param([nn.Conv2d(4, 4, 3), Other(nn.Identity())], id="empty"),
        pytest.param([nn.Conv2d(4, 4, 3), Other(nn.Conv2d(4, 1, 3, padding=1))], id="repeated"),
        pytest.param([nn.Conv2d(4, 4, 3), Other(Residual(4, 4, 4))], id="within another one"),
    ],
)
def test_other_residuals_are_refused(layers: list[nn.Module]) -> None:
    with pytest.raises(OptionError, match=r"knows residuals that add the result of a convolution to a map of the same"):
        read_layers([*layers, nn.Flatten()], SHAPE)


#: Trained agents where there is one
AGENTS = Path(__file__).parents[2] / "examples" / "agents" / "ppo"
TRAINED = {
    ("nature", "Pong"): "PongNoFrameskip-v4_1",
    ("impala", "Pong"): "PongNoFrameskip-v4_2",
    ("nature", "Qbert"): "QbertNoFrameskip-v4_1",
}


@pytest.mark.long
@pytest.mark.parametrize("game", ["Pong", "Seaquest", "Breakout", "Qbert"])
@pytest.mark.parametrize("name", ["nature", "impala"])
def test_ten_thousand_frames(name: str, game: str) -> None:
    env = AleVecEnv(f"{game}NoFrameskip-v4", n_envs=1, seed=0)
    if trained := TRAINED.get((name, game)):
        model = PPO.load(AGENTS / trained / f"{game}NoFrameskip-v4.zip", device="cpu")
    else:
        model = PPO("CnnPolicy", env, policy_kwargs=policy_kwargs(name, PPO), device="cpu", seed=0)
    network = ActingNetwork(model)
    steps, (linear, *_) = read_layers(network.extractors[0][1:], SHAPE)  # type: ignore[index]
    steps.linear, steps.activation = [linear], True
    # Stable-Baselines3 divides by 255, or our own extractors do
    fast, features = Reuser(steps), th.nn.Sequential(*network.extractors[0])  # type: ignore[arg-type]
    engine, reference = make_engine(model, "reuse"), make_engine(model, "eager")
    errors, ties, images, rng, action = [], 0, env.reset(), np.random.default_rng(0), 0
    for _ in range(10_000):
        errors.append(np.abs(fast(images) - dense(features, images)).max())
        one, other = (e.outputs(images)["logits"][0] for e in (engine, reference))
        if one.argmax() != other.argmax():
            second, first = np.sort(other)[-2:]
            assert first - second < 1e-4
            ties += 1
        # As trained agents act; the others at random, holding on to what they do
        chance = 0.05 if trained else 0.3
        action = int(rng.integers(len(other))) if rng.random() < chance else int(other.argmax()) if trained else action
        images = env.step(np.array([action]))[0]
    env.close()
    first_thousand, last_thousand = max(errors[:1000]), max(errors[-1000:])
    print(
        f"\n{name} {game}, {'trained' if trained else 'random'} weights: largest error {max(errors):.1e}, of the first "
        f"thousand {first_thousand:.1e}, of the last {last_thousand:.1e}; {ties} actions differ, all of them ties"
    )
    assert max(errors) < 1e-4
    assert last_thousand < 3 * first_thousand


def test_long_preparations_are_announced(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    reuser(extractor("nature"))
    assert "compiling" not in capsys.readouterr().err
    monkeypatch.setattr("sb3_efficient.reuse.changes.reuser.PATIENCE", 0.01)
    with Announced():
        time.sleep(0.3)
    assert "compiling the reuse kernels for this CPU; they are kept on disk" in capsys.readouterr().err
