"""Every example runs, with few steps."""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import PAGES, Run, text_of
from stable_baselines3 import PPO

from sb3_efficient.errors import ArtifactError, OptionError

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_script(script: Run, tmp_path: Path) -> None:
    done = script(str(EXAMPLES / "01_impala_by_name.py"), "--steps", "16", "--extractor", "nature")
    assert "saved to impala_pong.zip" in done.stdout
    assert (tmp_path / "impala_pong.zip").exists()


@pytest.mark.parametrize("options", [(), ("--plain",)])
def test_fast_script(script: Run, tmp_path: Path, options: tuple[str, ...]) -> None:
    done = script(str(EXAMPLES / "03_fast_atari.py"), "--steps", "16", *options)
    assert "saved to fast_pong.zip" in done.stdout
    assert ("accelerate: PPO on cpu" in done.stdout) == (not options)
    assert "ms per 1000 steps" in done.stdout


def test_seer_ppo(script: Run, tmp_path: Path) -> None:
    small = ("--steps", "2048", "--extractor", "nature", "--freeze-at", "1025", "--depth", "2")
    done = script(str(EXAMPLES / "04_seer_ppo.py"), *small)
    assert "SEER: frozen up to 2 at 2048 timesteps" in done.stdout
    assert "saved to seer_pong.zip" in done.stdout
    assert (tmp_path / "seer_pong.zip").stat().st_size < 8e6


@pytest.mark.parametrize(("depth", "size"), [("features", 1048), ("conv", 6296)])
def test_seer_dqn(script: Run, depth: str, size: int) -> None:
    small = ("--steps", "400", "--buffer-size", "300", "--learning-starts", "40", "--depth", depth)
    done = script(str(EXAMPLES / "05_seer_dqn.py"), *small)
    assert f"before the freeze, {size} after; room for 300 and for " in done.stdout
    assert "saved, loaded and trained on: 440 steps" in done.stdout


def test_reuse(script: Run, tmp_path: Path) -> None:
    small = ("--steps", "12", "--frames", "3", "--picture", "reuse.png")
    done = script(str(EXAMPLES / "06_reuse_play.py"), *small)
    assert "affected positions, overwritten" in done.stdout
    assert "Stable-Baselines3: " in done.stdout
    assert (tmp_path / "reuse.png").stat().st_size > 5000
    assert 5000 < (tmp_path / "reuse.gif").stat().st_size < 1e6


def test_tables_of_the_reuse_paper(script: Run, tmp_path: Path) -> None:
    small = ("--games", "Pong", "--steps", "30", "--repeats", "1", "--dense-seconds", "0.1")
    command = (str(EXAMPLES / "benchmarks" / "reuse_tables.py"), *small)
    tables = ("--tables", "INFERENCE_D4 20/40", "TRAINING_D4 20/40")
    where = {"SB3_EFFICIENT_RESULTS": str(tmp_path)}
    done = script(*command, *tables, **where)
    assert "1/2 INFERENCE_D4 20/40" in done.stdout
    assert "| training, 20/40 filters, 53x40 | 1 |" in (tmp_path / "reuse_tables.md").read_text()
    rows = json.loads((tmp_path / "reuse_tables.json").read_text())["rows"]
    assert [row["table"] for row in rows] == ["INFERENCE_D4 20/40", "TRAINING_D4 20/40"]
    assert all(row["error"] < 1e-3 for row in rows)
    assert (tmp_path / "reuse_tables_training_d4_20_40.png").exists()
    # Finished rows are not measured again
    assert "1/2" not in script(*command, *tables, **where).stdout


def test_compress(script: Run, tmp_path: Path) -> None:
    small = ("--steps", "2", "--observations", "200", "--episodes", "0")
    done = script(str(EXAMPLES / "07_compress.py"), *small)
    assert "| original | 6,7" in done.stdout
    assert "saved to compressed_pong.policy\nloaded from there, it returns " in done.stdout
    assert (tmp_path / "compressed_pong.policy").stat().st_size < 3e5


def test_zoo_commands(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "STEPS": "1024", "EXTRACTOR": "nature", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["sh", str(EXAMPLES / "02_zoo.sh")], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list(tmp_path.glob("logs/ppo/*/PongNoFrameskip-v4.zip"))) == 2


def test_nothing_is_left_out() -> None:
    scripts = sorted(file.name for file in EXAMPLES.iterdir() if file.is_file())
    assert scripts == [
        "01_impala_by_name.py",
        "02_zoo.sh",
        "03_fast_atari.py",
        "04_seer_ppo.py",
        "05_seer_dqn.py",
        "06_reuse_play.py",
        "07_compress.py",
    ]


PROGRAMS = [file for file in sorted((EXAMPLES / "benchmarks").glob("*.py")) if "__main__" in file.read_text()]


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda file: file.name)
def test_benchmarks_explain_themselves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    """In this process, as its imports are what takes long."""
    monkeypatch.setattr(sys, "argv", [str(file), "--help"])
    monkeypatch.syspath_prepend(file.parent)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(file), run_name="__main__")
    assert ended.value.code == 0
    assert f"usage: {file.name}" in capsys.readouterr().out


def measured(name: str, result: str | None = None) -> tuple[Any, list[dict[str, Any]]]:
    """A benchmark's module, and the rows that it wrote."""
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", EXAMPLES / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # Where a script finds the ones beside it
        patch.syspath_prepend(EXAMPLES / "benchmarks")
        spec.loader.exec_module(benchmark)
    return benchmark, json.loads((EXAMPLES / "benchmarks" / "results" / f"{result or name}.json").read_text())["rows"]


def test_a_run_without_an_agent_is_not_published(tmp_path: Path) -> None:
    publish, _ = measured("publish_agent", "sbx")
    with pytest.raises(ArtifactError, match="holds neither Catch-v0.zip nor a checkpoint: give the folder of a run th"):
        publish.agent_of(tmp_path, "Catch-v0")


def test_figures_of_sbx_in_the_pages_are_the_measured_ones() -> None:
    _, rows = measured("against_sbx", "sbx")
    fps = {(row["variant"], row["threads"]): row["median"] for row in rows}
    sbx, plain, ours = ([fps[name, n] for n in (1, 2)] for name in ("SBX", "plain SB3", "accelerate + AleVecEnv"))
    assert (
        f"SBX makes {sbx[0]:.0f} and {sbx[1]:.0f} steps a second on one and two threads, plain SB3 {plain[0]:.0f} and "
        f"{plain[1]:.0f}, `accelerate` with `AleVecEnv` {ours[0]:.0f} and {ours[1]:.0f}: {ours[0] / sbx[0]:.1f} and "
        f"{ours[1] / sbx[1]:.1f} times SBX"
    ) in text_of(*PAGES)


def test_seer_benchmark_measures(script: Run) -> None:
    small = ("--quick", "--only", "memory", "conversion", "--transitions", "100")
    done = script(str(EXAMPLES / "benchmarks" / "seer.py"), *small)
    first_cells = [line.split(" | ")[0] for line in done.stdout.splitlines()]
    assert "| latents, `'features'`" in first_cells
    assert first_cells.count("| 100, Nature") == 2


@pytest.mark.long
def test_replay_buffers_are_measured(script: Run) -> None:
    done = script(str(EXAMPLES / "benchmarks" / "replay.py"), "--quick")
    head, _, row = (line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("|"))
    assert head == ["SB3's `ReplayBuffer`", "`FrameReplayBuffer`", '`compress="zlib"`', '`compress="zstd"`']
    assert row[0] == "Pong"
    sizes = [float(cell.split()[0].replace(",", "")) for cell in row[1:]]
    assert sizes[0] > 5 * sizes[1] > 5 * max(sizes[2:])


@pytest.mark.long
def test_compress_benchmark_measures(script: Run, tmp_path: Path) -> None:
    small = ("--quick", "--only", "recipes", "returns", "--recipes", "static-int8", "--observations", "100")
    done = script(str(EXAMPLES / "benchmarks" / "compress.py"), *small, "--episodes", "1")
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| Pong Nature")]
    assert [row[1] for row in rows] == ["original", "static-int8"]
    assert float(rows[1][2].partition("(")[2].rstrip("x)")) < 0.27
    assert rows[1][-1] == "1, not shown |"
    # A call that was stopped goes on with what there is
    found = {file.suffix for file in tmp_path.glob("logs/compress/quick/Pong-Nature/*")}
    assert found == {".safetensors", ".policy", ".json"}


def test_moving_the_first_layer_on_is_exact(script: Run) -> None:
    done = script(str(EXAMPLES / "benchmarks" / "reuse_first_layer.py"), "--quick", "--networks", "nature")
    (row,) = (line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| nature"))
    torch, overwritten, _ = (float(cell.split()[0]) for cell in row[2:5])
    assert torch > overwritten > 0
    assert all(0 < float(error) < 1e-4 for error in row[-1].split(", "))


def test_first_convolution_on_blocks(script: Run) -> None:
    done = script(str(EXAMPLES / "benchmarks" / "first_convolution.py"), "--quick", "--only", "int8")
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| `")]
    assert [row[:2] for row in rows[:4]] == [["`nature`", f"int8, {batch}"] for batch in (1, 8, 16, 128)]
    assert all(float(row[-1].split()[0]) > 0 for row in rows)


@pytest.mark.long
def test_parts_of_an_update_are_measured(script: Run) -> None:
    done = script(str(EXAMPLES / "benchmarks" / "update_parts.py"), "--quick", "--updates", "20")
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    alone = [["loss", "QR-DQN"], ["loss", "TQC"], ["pooling", "Impala, fp32"]]
    assert [row[:2] for row in rows] == [*alone, ["training", "DQN"], ["Adam's step", "DQN"]]
    assert all(float(cell.split()[0]) > 0 for row in rows for cell in row[4:] if cell)
    # Nothing has died away after so few
    assert rows[-1][3] == "0%"


def test_figures_of_update_parts_in_the_pages_are_the_measured_ones() -> None:
    _, rows = measured("update_parts")
    found = {(row["what"], row["algo"], row["way"]): row for row in rows}
    shares = [row["denormal_share"] for row in rows if "denormal_share" in row]
    updates = found["training", "ppo", "zero"]["updates"]
    ratios = {
        (what, algo): found[what, algo, "zero"]["median"] / found[what, algo, "kept"]["median"]
        for what in ("training", "Adam's step")
        for algo in ("ppo", "dqn", "qrdqn")
    }
    ppo, dqn, qrdqn = (ratios["training", algo] for algo in ("ppo", "dqn", "qrdqn"))
    steps = [1 / ratio for (what, _), ratio in ratios.items() if what != "training"]
    losses = [found["loss", algo, way]["median"] for algo in ("qrdqn", "tqc") for way in ("sorted", "plain")]
    pooling = [found["pooling", f"impala {p}", w]["median"] for p in ("bf16", "fp32") for w in ("compiled", "plain")]
    text = text_of(*PAGES)
    for words in (
        f"minibatches of 256 take {pooling[0]:.0f} ms instead of {pooling[1]:.0f} in bf16, and {pooling[2]:.0f} "
        f"instead of {pooling[3]:.0f} in float32",
        f"{100 * min(shares):.0f} to {max(shares):.0%} of NatureCNN's after {updates:,}",
        f"PPO is {ppo:.1f} times, DQN {dqn:.1f} and QR-DQN {qrdqn:.1f} times as fast",
        f"Adam's step alone {min(steps):.1f} to {max(steps):.1f} times",
        f"takes {losses[0]:.1f} ms with the sizes of QR-DQN, sb3-contrib's {losses[1]:.0f} (TQC: {losses[2]:.1f} and "
        f"{losses[3]:.0f})",
    ):
        assert words in text


def test_reuse_benchmark_measures(script: Run) -> None:
    small = ("--quick", "--only", "updates", "--networks", "conv2 20/40", "--games", "Pong")
    done = script(str(EXAMPLES / "benchmarks" / "reuse_updates.py"), *small)
    (row,) = (line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| conv2"))
    assert row[1:3] == ["80", "Pong"]
    assert float(row[3].removesuffix(" times")) > 50
    # Dense in float32, and from patches
    assert float(row[4]) > float(row[6]) > 0


def test_figures_of_the_environments_in_the_pages_are_the_measured_ones() -> None:
    benchmark, rows = measured("environments")
    one, two = (benchmark.ratios(rows, "ale", threads) for threads in (1, 2))
    others = [statistics.median(benchmark.ratios(rows, "subproc", threads).values()) for threads in (2, 1)]
    slowest, fastest = (end(two, key=two.get) for end in (min, max))
    names = {game: game.removesuffix("NoFrameskip-v4").replace("MsPacman", "Ms. Pac-Man") for game in two}
    assert (
        f"{statistics.median(two.values()):.1f} times the steps on two cores ({two[slowest]:.1f} in {names[slowest]} "
        f"to {two[fastest]:.1f} in {names[fastest]}), {statistics.median(one.values()):.1f} times on one; "
        f"`SubprocVecEnv` {others[0]:.2f} and {others[1]:.2f} times"
    ) in text_of(*PAGES)


def test_games_of_a_run_end_at_its_timesteps(tmp_path: Path) -> None:
    benchmark, _ = measured("branches")
    for i, lengths in enumerate([(400, 40), (80, 80)]):
        lines = [f"{i}.{j},{length},{i + j}" for j, length in enumerate(lengths)]
        (tmp_path / f"{i}.monitor.csv").write_text("\n".join(['#{"t_start": 0.0}', "r,l,t", *lines]))
    games = benchmark.finished_games(tmp_path)
    assert games[["r", "step"]].to_numpy().tolist() == [[1.0, 40], [1.1, 80], [0.0, 200], [0.1, 220]]
    with pytest.raises(OptionError, match="name the folder of a run of the zoo"):
        benchmark.finished_games(tmp_path / "none")


def test_random_convolutions_are_those_of_the_arms_seed() -> None:
    benchmark, rows = measured("branches")

    def filters(seed: int) -> torch.Tensor:
        model = PPO("CnnPolicy", "Catch-v0", n_steps=64, seed=1)
        before = model.policy.features_extractor.linear[0].weight.clone()
        benchmark.forget(model, seed)
        assert torch.equal(model.policy.features_extractor.linear[0].weight, before), "only convolutions"
        return model.policy.features_extractor.cnn[0].weight

    assert torch.equal(filters(3), filters(3))
    assert not torch.equal(filters(2), filters(3))
    ends = [(row["env"], row["checkpoint"], row["arm"], str(row["curve"])) for row in rows]
    assert len(ends) == len(set(ends)), "two seeds made one run"
