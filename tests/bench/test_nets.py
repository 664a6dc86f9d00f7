"""The command ``bench nets``, on one small network with few images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from helpers import Run

from sb3_efficient import cli
from sb3_efficient.bench.frameworks import FRAMEWORKS, Variant, build
from sb3_efficient.bench.nets import FEEDS, ONE_FRAME, QUICK, Plan, measure
from sb3_efficient.bench.nets_report import draw, tables
from sb3_efficient.bench.network import LEARNING_RATE, N_CLASSES, Network, frames, images
from sb3_efficient.errors import OptionError, UnavailableError, UnknownNameError

# torch's compiler warns of parts of torch when it is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")

SMALL = "nn-bench-small"
KINDS = tuple((work, 2, feed) for work in ("train", "infer") for feed in ("contiguous", "loader"))
TINY = Plan(samples=8, rounds=2, seconds=10.0, kinds=KINDS)


def _variants(framework: str, name: str = SMALL) -> dict[str, Variant]:
    try:
        return build(framework, Network(name))
    except UnavailableError as error:
        pytest.skip(str(error))


def test_networks_are_the_sources() -> None:
    assert Network(SMALL).macs == pytest.approx(3.63e6, rel=0.01)
    for name, n in ((SMALL, 1_345_082), ("nn-bench-large", 1_689_258)):
        assert sum(p.numel() for module in Network(name).modules() for p in module.parameters()) == n


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_variants_compute_the_network(framework: str) -> None:
    observations, labels = images(8)
    for name, variant in _variants(framework).items():
        if name == "compile":
            continue  # a minute; the command's test has it
        assert variant.infer is not None
        assert variant.settings
        found = variant.infer(observations)
        assert found.shape == (8,)
        assert set(found) <= set(range(N_CLASSES))
        if variant.train is not None:
            for _ in range(300):
                variant.train(observations[:4], labels[:4])
            np.testing.assert_array_equal(variant.infer(observations[:4]), labels[:4])


def test_same_weights_and_outputs_in_torch_and_onnxruntime() -> None:
    observations, _ = images(64)
    eager = _variants("pytorch")["eager"].infer
    fp32 = _variants("onnxruntime")["fp32"].infer
    assert eager is not None
    assert fp32 is not None
    assert (eager(observations) == fp32(observations)).mean() > 0.95


def test_a_training_step_is_plain_sgd() -> None:
    network = Network(SMALL)
    convolutions, linear, output = network.modules()
    observations, labels = images(4)
    loss = th.nn.functional.cross_entropy(
        output(linear(convolutions(th.from_numpy(observations).float() / 255))), th.from_numpy(labels)
    )
    (gradient,) = th.autograd.grad(loss, output[-1].bias if isinstance(output, th.nn.Sequential) else output.bias)
    from sb3_efficient.bench.frameworks import pytorch

    forward, parameters = pytorch.plain(network)
    variant = pytorch.variant(forward, parameters, "")
    before = parameters[-1].detach().clone()
    assert variant.train is not None
    variant.train(observations, labels)
    th.testing.assert_close(parameters[-1].detach(), before - LEARNING_RATE * gradient)


@pytest.mark.parametrize("feed", list(FEEDS))
def test_feeds_give_the_images_in_order(feed: str) -> None:
    data = images(7)
    batches = FEEDS[feed](data, 3)
    for start in (0, 3, 0):
        observations, labels = next(batches)
        np.testing.assert_array_equal(observations, data[0][start : start + 3])
        np.testing.assert_array_equal(labels, data[1][start : start + 3])


def test_rows_and_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fake(framework: str, network: Network) -> dict[str, Variant]:
        if framework == "flax":
            raise UnavailableError("flax is not installed")
        infer = Variant(lambda batch: np.zeros(len(batch)), settings="zeros")
        return {"eager": Variant(infer.infer, lambda batch, labels: None), "other": infer}

    monkeypatch.setattr("sb3_efficient.bench.nets.build", fake)
    rows = [row for found in measure(Network(SMALL), ["pytorch", "flax"], TINY) for row in found]
    assert rows[0]["skipped"] == "flax is not installed"
    kinds = {(row["work"], row["feed"], row["variant"]) for row in rows[1:]}
    assert kinds == {
        *((work, feed, "eager") for work in ("train", "infer") for feed in ("contiguous", "loader")),
        *(("infer", feed, "other") for feed in ("contiguous", "loader")),
    }
    assert all(row["n"] == 2 and row["unit"] == "ms a batch" for row in rows[1:])
    text = tables(rows)
    assert "| pytorch eager |" in text
    assert "nn-bench-small: flax is not installed" in text
    draw(rows, tmp_path / "nets.png")
    assert (tmp_path / "nets.png").stat().st_size > 5000


def test_rows_of_a_gpu_are_compared_with_its_own_and_say_how_busy_it_is() -> None:
    kind = {"network": SMALL, "threads": 1, "work": "infer", "batch": 16, "feed": "contiguous"} | {
        "percent_of_peak": 3.2
    }
    rows = [
        {**kind, "framework": "pytorch", "variant": "eager", "median": 4.0},
        {**kind, "framework": "cuda", "variant": "eager", "median": 0.5, "gpu_utilization": 38.0},
        {**kind, "framework": "cuda", "variant": "graphs", "median": 0.25, "gpu_utilization": None},
    ]
    text = tables(rows)
    assert "| pytorch eager | 4 (3 %) |" in text
    assert "| cuda eager | 0.5 (3 %; GPU 38 %) |" in text
    assert "| cuda graphs | 0.25 (2.0x; 3 %) |" in text
    assert "how busy the GPU is" in text
    assert "GPU" not in tables(rows[:1])


@pytest.mark.skipif(th.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_rows_are_skipped() -> None:
    rows = [row for found in measure(Network(SMALL), ["cuda"], TINY) for row in found]
    assert [row["skipped"] for row in rows] == [
        "The framework 'cuda' needs a GPU that torch can compute on, and finds none."
    ]


def test_goes_on_behind_the_last_row() -> None:
    def row(framework: str, kind: tuple[str, int, str]) -> dict[str, Any]:
        return {"framework": framework, **dict(zip(("work", "batch", "feed"), kind, strict=True)), "n": 2}

    kinds = (*KINDS, ("infer", 1, "frames"))
    plan = Plan(kinds=kinds)
    # Without training, and interrupted
    rows = [row("onnxruntime", KINDS[2]), row("pytorch", kinds[-1]), {"framework": "flax", "skipped": "why"}]
    assert plan.missing(rows, "onnxruntime") == kinds[3:]
    assert plan.missing([row("onnxruntime", KINDS[0]), *rows], "onnxruntime") == kinds[3:], "not behind the first one"
    assert plan.missing(rows, "pytorch") == ()
    assert plan.missing(rows, "flax") == kinds
    assert plan.missing(rows, "reuse") == kinds
    # Which has only the one that all have
    assert {plan.kinds[-1] for plan in (Plan(), QUICK)} == {(*ONE_FRAME, "frames")}
    assert plan.missing([row("reuse", kinds[-1])], "reuse") == ()


def test_what_changed_is_measured_on_frames_in_order() -> None:
    kinds = (("infer", 2, "contiguous"), ("infer", 1, "contiguous"), ("infer", 1, "frames"))
    plan = Plan(samples=40, rounds=2, seconds=10.0, kinds=kinds)
    rows = [row for found in measure(Network(SMALL), ["onnxruntime", "reuse"], plan) for row in found]
    kinds = {(row["framework"], row["batch"], row["feed"]) for row in rows}
    assert kinds == {
        *(("onnxruntime", batch, "contiguous") for batch in (1, 2)),
        *((framework, 1, "frames") for framework in ("onnxruntime", "reuse")),
    }
    observations, _ = frames(50)
    assert 0 < (observations[1:] != observations[:-1]).mean() < 0.1
    np.testing.assert_array_equal(observations[1:, :-1], observations[:-1, 1:])


@pytest.mark.parametrize("framework", ["flax", "tensorflow"])
def test_layers_without_a_counterpart_are_named(framework: str) -> None:
    _variants(framework)  # skips what is not installed
    with pytest.raises(OptionError, match="'impala' has a"):
        build(framework, Network("impala"))


def test_command(script: Run, tmp_path: Path) -> None:
    quick = ("bench", "nets", "--quick", "--networks", SMALL, "--frameworks", "onnxruntime", "--results", "found")
    done = script("-m", "sb3_efficient", *quick)
    assert "| onnxruntime int8 |" in done.stdout
    content = json.loads((tmp_path / "found" / "nets_quick.json").read_text())
    assert {row["variant"] for row in content["rows"]} == {"fp32", "int8"}
    assert content["machine"]["cores"] >= 1
    before = (tmp_path / "found" / "nets_quick.json").stat().st_mtime_ns
    script("-m", "sb3_efficient", *quick)  # everything is there already
    assert (tmp_path / "found" / "nets_quick.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--networks", "imapla"), "Did you mean 'impala'?"),
        (("--frameworks", "pytorhc"), "Did you mean 'pytorch'?"),
        (("--threads", "0"), "--threads must be a whole number of at least 1"),
        (("--results", "file/below"), "Results cannot be written to"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("not a folder")
    assert cli.main(["bench", "nets", *options]) == 1
    assert message in capsys.readouterr().err


def test_what_is_registered_is_measured_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sb3_efficient.bench.frameworks.FRAMEWORKS", (*FRAMEWORKS, "a-new-one"))
    asked: list[list[str]] = []
    monkeypatch.setattr("sb3_efficient.cli.nets._measure", lambda *arguments: asked.append(arguments[3]))
    cli.main(["bench", "nets", "--child", "--networks", SMALL, "--results", str(tmp_path)])
    assert asked == [["pytorch", "cuda", "onnxruntime", "reuse", "openvino", "flax", "tensorflow", "a-new-one"]]


def test_unknown_framework() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'flax'"):
        build("flaxx", Network(SMALL))
