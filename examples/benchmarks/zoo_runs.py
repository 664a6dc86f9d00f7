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
returns (mean of the last 100 games, also as logged). Rows that exist with the same settings are skipped, so an
interrupted series goes on where it stopped: to measure again what is committed here, name another folder with
--results. With --save-freq a run that was killed goes on from its last checkpoint, steps and schedules counted on (not
for algorithms with replay buffers, which are not in a checkpoint). runs.py is the queue that calls this.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import signal
import subprocess
import sys
import zipfile
from functools import partialmethod
from pathlib import Path
from typing import Any

import matplotlib
from common import RESULTS, count, run_program
from zoo_log import Log, read, watch_memory

from sb3_efficient.atomic import check_writable, inherited, locked, replace_file
from sb3_efficient.machine import machine
from sb3_efficient.policies import is_off_policy

matplotlib.use("Agg")
import matplotlib.pyplot as plt

#: Of a curve in a row
POINTS = 60


def main() -> None:
    if sys.argv[1:2] == ["--go-on"]:
        go_on(sys.argv[2:])
        return
    arguments = parser().parse_args()
    # So that the trainer is ended with us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    file = arguments.results / f"{arguments.name or f'{arguments.env}_{arguments.algo}'}.json"
    check_writable(file)
    for seed in arguments.seeds if not arguments.redraw else []:
        for extractor in arguments.extractors:
            if any(settings(extractor, seed, arguments).items() <= row.items() for row in read(file)):
                print(f"{extractor}, seed {seed}: there already")
                continue
            row = train(extractor, seed, arguments)
            if row is None:
                continue
            change(file, row)
            print({key: value for key, value in row.items() if key not in ("curve", "machine")})
    if rows := read(file):
        draw(rows, file.with_suffix(".png"))


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--env", default="PongNoFrameskip-v4")
    options.add_argument("--algo", default="ppo")
    options.add_argument("--conf", help="as rl-zoo3's -conf (default: the zoo's own file)")
    options.add_argument("--extractors", nargs="+", default=["nature", "impala"], help="stock: SB3's own NatureCNN")
    options.add_argument("--params", nargs="+", default=[], help="further hyper-parameters, as behind -params")
    options.add_argument("--label", help="in the picture, default: the extractor")
    options.add_argument("--name", help="of the files, default: <env>_<algo>")
    options.add_argument("--precision", default="bf16", choices=["fp32", "bf16", "auto"])
    options.add_argument("--steps", type=count, default=-1, help="default: as the configuration says")
    options.add_argument("--seeds", type=int, nargs="+", default=[1])
    options.add_argument("--threads", type=count, default=1)
    options.add_argument("--vec-env", choices=["dummy", "subproc"], default="dummy", help="as of rl-zoo3")
    options.add_argument("--save-freq", type=count, default=-1, help="steps between checkpoints (default: none)")
    options.add_argument("--until", type=count, help="end at this checkpoint, with which other runs begin: no row")
    options.add_argument("--logs", type=Path, default=Path("logs/zoo_runs"), help="where the zoo puts its agents")
    options.add_argument("--results", type=Path, default=RESULTS, help="where the rows and the picture go")
    options.add_argument("--redraw", action="store_true", help="draw the picture again and train nothing")
    return options


def change(file: Path, row: dict[str, Any] | None, instead_of: dict[str, Any] | None = None) -> None:
    """
    Other series may write to the same file.

    :param file: Of results
    :param row: That is added, if any
    :param instead_of: The one that is taken out, if any
    """
    file.parent.mkdir(exist_ok=True, parents=True)
    with locked(file):
        rows = [other for other in read(file) if other != instead_of] + ([] if row is None else [row])
        rows.sort(key=lambda row: (row["env"], row["algo"], row["label"], row["seed"]))
        replace_file(file, ("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n").encode())


def settings(extractor: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
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


def folder_of(extractor: str, seed: int, arguments: argparse.Namespace) -> Path:
    """One for each row, so that nothing is continued with other settings."""
    digest = hashlib.sha256(json.dumps(settings(extractor, seed, arguments)).encode()).hexdigest()[:8]
    name = f"{arguments.algo}_{arguments.env}_{arguments.label or extractor}_{seed}_{digest}"
    return arguments.logs / re.sub(r"[^\w.-]+", "-", name)


def command_of(extractor: str, seed: int, folder: Path, checkpoint: Path | None, arguments: argparse.Namespace) -> list:
    """rl-zoo3's own program, but for the counting of a run that goes on."""
    ours = [f"features_extractor={extractor}", f"features_extractor_kwargs=dict(precision='{arguments.precision}')"]
    words = ["--algo", arguments.algo, "--env", arguments.env, "-f", str(folder), "--seed", str(seed)]
    words += ["--num-threads", str(arguments.threads), "--eval-freq", "-1", "--save-freq", str(arguments.save_freq)]
    words += ["-params", *(ours if extractor != "stock" else ["features_extractor=None"]), *arguments.params]
    words += ["-conf", arguments.conf] if arguments.conf else []
    words += ["--vec-env", arguments.vec_env] if arguments.vec_env != "dummy" else []
    words += ["-n", str(arguments.steps)] if arguments.steps > 0 else []
    if checkpoint is None:
        return [sys.executable, "-m", "rl_zoo3.train", *words]
    return [sys.executable, __file__, "--go-on", *words, "-i", str(checkpoint)]


def go_on(words: list[str]) -> None:
    """
    rl_zoo3.train with -i, but counting on from the agent's steps, in schedules too: as if it had not been interrupted.

    :param words: Command line of rl_zoo3.train
    """
    from rl_zoo3 import train as zoo
    from rl_zoo3.exp_manager import ExperimentManager

    from sb3_efficient.zoo import register

    register()
    learn = ExperimentManager.learn

    def counting(self: Any, model: Any) -> None:
        self.n_timesteps -= model.num_timesteps
        algo = type(model)
        algo.learn = partialmethod(algo.learn, reset_num_timesteps=False)
        learn(self, model)

    ExperimentManager.learn = counting
    sys.argv = ["rl_zoo3.train", *words]
    zoo.train()


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """
    :param folder: Of all attempts at one run
    :return: Steps and file, in order; without what was being written when a run was killed
    """
    found = [(int(file.stem.split("_")[2]), file) for file in folder.rglob("rl_model_*_steps.zip")]
    return sorted(pair for pair in found if _is_whole(pair[1]))


def _is_whole(model: Path) -> bool:
    """A part of one can end with the zips inside, which torch writes, and is taken for one of these."""
    try:
        with zipfile.ZipFile(model) as archive:
            return "data" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def trained(folder: Path, env: str) -> dict[str, Any]:
    """
    :param folder: Of all attempts at one run
    :return: What the zip of the agent says that the last of them left
    """
    # The zoo numbers its attempts
    newest = max(folder.glob(f"*/{env}_*"), key=lambda path: int(path.name.rpartition("_")[2]))
    with zipfile.ZipFile(newest / f"{env}.zip") as agent:
        return json.loads(agent.read("data"))


def train(extractor: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """
    :return: Its row; None if it is to end at a checkpoint
    """
    folder = folder_of(extractor, seed, arguments)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "run", wait=False) as lock:
        there = checkpoints(folder) if not is_off_policy(arguments.algo) else []
        if arguments.until and arguments.until in dict(there):
            print(f"{extractor}, seed {seed}: checkpoint at {arguments.until} steps is there already")
            return None
        start, checkpoint = there[-1] if there else (0, None)
        log = Log(folder / "progress.json", start)
        command = command_of(extractor, seed, folder, checkpoint, arguments)
        # The lock is the trainer's as well: it holds as long as one of us lives
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=inherited(lock))
        try:
            ended = follow(process, log, f"{arguments.label or extractor}, seed {seed}", folder, arguments.until)
        finally:
            process.terminate()
            process.wait()
        if ended:
            return None
    agent = trained(folder, arguments.env) if process.returncode == 0 else {"num_timesteps": 0}
    steps = agent["num_timesteps"]
    # The zoo ends well when it is interrupted
    if steps < max(1, arguments.steps) or not log.points:
        raise SystemExit(f"failed or interrupted: {' '.join(command)}")
    return {
        **settings(extractor, seed, arguments),
        "steps": steps,
        "fps": log.points[-1][3],
        "hours": round(log.points[-1][1] / 3600, 3),
        "seer": agent.get("seer"),
        **summary(log.points),
    }


def summary(points: list[list[Any]]) -> dict[str, Any]:
    """
    :param points: Of a log, with at least one return
    :return: What a row has of them
    """
    every = max(1, len(points) // POINTS)
    curve = [(step, value) for step, _, value, _, _ in points[::-every][::-1] if value is not None]
    peak = max(point[4] for point in points)
    return {"peak_rss_mb": peak, "final_return": curve[-1][1], "curve": curve, "machine": machine()}


def follow(process: subprocess.Popen[str], log: Log, title: str, folder: Path, until: int | None) -> bool:
    """
    Read what a trainer prints until it ends.

    :return: Whether it is to be ended, at the checkpoint that it was for
    """
    peak = watch_memory(process.pid)
    assert process.stdout is not None
    for line in process.stdout:
        if log.read(line, peak[0]):
            step, _, value, fps, _ = log.points[-1]
            print(f"\r{title}: {step} steps, {fps} fps, return {value}", end="", flush=True)
            found = checkpoints(folder)
            if until is not None and until in dict(found):
                print()
                return True
            for _, file in found[:-2] if until is None else []:
                file.unlink()
    print()
    process.wait()
    return False


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """A panel for each game and algorithm, three in a row."""
    panels = list(dict.fromkeys((row["env"], row["algo"]) for row in rows))
    columns = min(3, len(panels))
    n_rows = -(-len(panels) // columns)
    figure = plt.figure(figsize=(6.4 if columns == 1 else 4.6 * columns, 5 * n_rows), layout="constrained")
    for number, (env, algo) in enumerate(panels, start=1):
        panel = figure.add_subplot(n_rows, columns, number)
        own = [row for row in rows if (row["env"], row["algo"]) == (env, algo)]
        # Speeds of several machines are not to be compared, nor where hours were taken out for that reason
        comparable = len({row["machine"]["cpu"] for row in own}) == 1
        for i, name in enumerate(sorted({row["label"] for row in own})):
            series = [row for row in own if row["label"] == name]
            first = series[0]
            speed = f"{first['fps']} fps, " if comparable and first["hours"] else ""
            note = f"{len(series)} seeds" if series[1:] else f"{speed}{first['peak_rss_mb']} MB"
            for row in series:
                label = f"{name} ({note})" if row is first else None
                panel.plot(*zip(*row["curve"], strict=True), color=f"C{i}", label=label)
        threads = sorted({row["threads"] for row in own})
        panel.set(xlabel="steps", ylabel="return, mean of 100 games")
        panel.set_title(f"{algo.upper()} on {env}, {threads[0]} thread")
        panel.grid(alpha=0.3)
        # Below: some panels have lines everywhere
        panel.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.16))
    figure.savefig(file, dpi=110)
    plt.close(figure)
    print(f"picture: {file}")


if __name__ == "__main__":
    run_program(main)
