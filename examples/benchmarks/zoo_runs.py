"""
Train extractors through rl-zoo3's own command, same settings and seeds, and keep what came of it.

    python examples/benchmarks/zoo_runs.py --env PongNoFrameskip-v4 --steps 200000 --extractors nature impala
    python examples/benchmarks/zoo_runs.py --env Catch-v0 --conf sb3_efficient.hyperparams.ppo --seeds 1 2 3
    python examples/benchmarks/zoo_runs.py --env Catch-v0 --conf sb3_efficient.hyperparams.ppo --seeds 1 2 3 4 5 \
        --steps 80000 --name Catch-v0_parity --extractors stock --label plain --params ent_coef=0.03
    python examples/benchmarks/zoo_runs.py --env Catch-v0 --conf sb3_efficient.hyperparams.ppo --seeds 1 2 3 4 5 \
        --steps 80000 --name Catch-v0_parity --extractors stock --label accelerated --params ent_coef=0.03 \
        accelerate=True

Each run is one row of <env>_<algo>.json, or another --name: fps as the zoo logs it, peak memory of the process,
returns. Rows that exist with the same settings are skipped, so an interrupted series goes on where it stopped: to
measure again what is committed here, name another folder with --results. --redraw only draws the picture.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import psutil
from common import RESULTS

from sb3_efficient.doctor import machine

matplotlib.use("Agg")
import matplotlib.pyplot as plt

POINTS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="PongNoFrameskip-v4")
    parser.add_argument("--algo", default="ppo")
    parser.add_argument("--conf", help="as rl-zoo3's -conf (default: the zoo's own file)")
    parser.add_argument("--extractors", nargs="+", default=["nature", "impala"], help="stock: SB3's own NatureCNN")
    parser.add_argument("--params", nargs="+", default=[], help="further hyper-parameters, as behind -params")
    parser.add_argument("--label", help="in the picture, default: the extractor")
    parser.add_argument("--name", help="of the files, default: <env>_<algo>")
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16", "auto"])
    parser.add_argument("--steps", type=int, default=-1, help="default: as the configuration says")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--logs", type=Path, default=Path("logs/zoo_runs"), help="where the zoo puts its agents")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the rows and the picture go")
    parser.add_argument("--redraw", action="store_true", help="draw the picture again and train nothing")
    arguments = parser.parse_args()

    arguments.results.mkdir(exist_ok=True, parents=True)
    file = arguments.results / f"{arguments.name or f'{arguments.env}_{arguments.algo}'}.json"
    rows = json.loads(file.read_text()) if file.exists() else []
    for seed in arguments.seeds if not arguments.redraw else []:
        for extractor in arguments.extractors:
            if any(settings(extractor, seed, arguments).items() <= row.items() for row in rows):
                print(f"{extractor}, seed {seed}: there already")
                continue
            row = run(extractor, seed, arguments)
            # Another series may have written in the meantime
            rows = json.loads(file.read_text()) if file.exists() else []
            rows = sorted([*rows, row], key=lambda row: (row["label"], row["seed"]))
            file.write_text(json.dumps(rows, indent=1) + "\n")
            print({key: value for key, value in row.items() if key not in ("curve", "machine")})
    draw(rows, file.with_suffix(".png"), arguments.env, arguments.algo)


def settings(extractor: str, seed: int, arguments: argparse.Namespace) -> dict[str, object]:
    """What makes two runs the same, as a row has it."""
    return {
        "env": arguments.env,
        "algo": arguments.algo,
        "conf": arguments.conf,
        "label": arguments.label or extractor,
        "extractor": extractor,
        "precision": arguments.precision if extractor != "stock" else None,
        "params": arguments.params,
        "seed": seed,
        "steps_asked": arguments.steps,
        "threads": arguments.threads,
    }


def run(extractor: str, seed: int, arguments: argparse.Namespace) -> dict[str, object]:
    folder = arguments.logs / f"{arguments.env}_{arguments.label or extractor}_{seed}"
    command = [sys.executable, "-m", "rl_zoo3.train", "--algo", arguments.algo, "--env", arguments.env]
    ours = [f"features_extractor={extractor}", f"features_extractor_kwargs=dict(precision='{arguments.precision}')"]
    command += ["-params", *(ours if extractor != "stock" else ["features_extractor=None"]), *arguments.params]
    command += ["--seed", str(seed), "--num-threads", str(arguments.threads), "--eval-freq", "-1", "-f", str(folder)]
    command += ["-conf", arguments.conf] if arguments.conf else []
    command += ["-n", str(arguments.steps)] if arguments.steps > 0 else []
    started = time.time()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = _watch_memory(process.pid)
    assert process.stdout is not None
    fps, steps = 0, 0
    for line in process.stdout:
        if match := re.search(r"\| +fps +\| (\d+)", line):
            fps = int(match[1])
        if match := re.search(r"total_timesteps +\| (\d+)", line):
            steps = int(match[1])
            print(f"\r{extractor}, seed {seed}: {steps} steps, {fps} fps", end="", flush=True)
    print()
    if process.wait() != 0:
        raise SystemExit(f"failed: {' '.join(command)}")
    # The zoo numbers its runs, those that were interrupted too
    newest = max(folder.glob(f"*/{arguments.env}_*"), key=lambda path: int(path.name.rpartition("_")[2]))
    curve = learning_curve(newest, steps)
    return {
        **settings(extractor, seed, arguments),
        "steps": steps,
        "fps": fps,
        "hours": round((time.time() - started) / 3600, 3),
        "peak_rss_mb": round(peak[0] / 2**20),
        "final_return": curve[-1][1],
        "curve": curve,
        "machine": machine(),
    }


def _watch_memory(pid: int) -> list[int]:
    """Highest resident memory of a process and its children, bytes, kept up to date in a list of one."""
    peak = [0]

    def watch() -> None:
        try:
            process = psutil.Process(pid)
            while process.is_running():
                family = [process, *process.children(recursive=True)]
                peak[0] = max(peak[0], sum(member.memory_info().rss for member in family))
                time.sleep(0.5)
        except psutil.Error:
            pass

    threading.Thread(target=watch, daemon=True).start()
    return peak


def learning_curve(folder: Path, steps: int) -> list[tuple[int, float]]:
    """
    :param folder: Run with the monitor files of all its environments
    :param steps: Steps of the whole run
    :return: (step, mean return of the last 100 episodes at most), whole games, raw rewards
    """
    episodes = pd.concat(pd.read_csv(file, skiprows=1) for file in folder.glob("*.monitor.csv")).sort_values("t")
    # Lengths are in frames where the game skips frames, so the end of the run gives the scale
    position = episodes["l"].cumsum() / episodes["l"].sum() * steps
    smooth = episodes["r"].rolling(100, min_periods=10).mean()
    at = np.unique(np.linspace(9, len(episodes) - 1, POINTS).astype(int))
    return [(int(position.iloc[i]), round(float(smooth.iloc[i]), 3)) for i in at]


def draw(rows: list[dict], file: Path, env: str, algo: str) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for i, name in enumerate(sorted({row["label"] for row in rows})):
        series = [row for row in rows if row["label"] == name]
        first = series[0]
        note = f"{len(series)} seeds" if series[1:] else f"{first['fps']} fps, {first['peak_rss_mb']} MB"
        label = f"{name} ({note})"
        for row in series:
            axes.plot(*zip(*row["curve"], strict=True), color=f"C{i}", label=label if row is first else None)
    threads = sorted({row["threads"] for row in rows})
    axes.set(xlabel="steps", ylabel="return, mean of 100 games", title=f"{algo.upper()} on {env}, {threads[0]} thread")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=110)
    print(f"picture: {file}")


if __name__ == "__main__":
    main()
