"""
What the convergence criterion of SEER sees: how every stage of an encoder changed from checkpoint to checkpoint.

    python examples/benchmarks/settling.py logs/agents/ppo/PongNoFrameskip-v4_1

For each checkpoint, rl_model_<steps>_steps.zip of a run of the zoo (see publish_agent.py), and for a network as it is
initialised (step 0): linear CKA of each stage's activations with those of the checkpoint before and of the last, on 256
frames that the last one plays, and how far its weights are from the last, relative to these. "padded" is the CKA with
the checkpoint before where eight of the frames are the first of a game, in stacks padded with black. Rows go to
results/settling.json, the table beside it. Seconds per checkpoint.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from common import count, open_rows, run_program, write_table

from sb3_efficient.envs import AleVecEnv
from sb3_efficient.errors import ArtifactError
from sb3_efficient.policies import find_algorithm
from sb3_efficient.seer.criterion import N_PROBES, activations, linear_cka
from sb3_efficient.seer.encoder import encoders
from sb3_efficient.seer.stages import layers, n_layers, n_stages

KEYS = ("algo", "env", "seed", "steps")
N_ENVS, EVERY = 8, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help=".../<algo>/<env>_<n>, a run with checkpoints")
    parser.add_argument("--every", type=count, default=100_000, help="timesteps between the checkpoints looked at")
    parser.add_argument("--rewrite", action="store_true", help="write the table again, look at nothing")
    arguments = parser.parse_args()
    if not arguments.rewrite:
        if arguments.run is None:
            parser.error("the folder of a run is needed")
        look(arguments.run, arguments.every)
    write_table("settling", table(open_rows("settling", KEYS).rows))


def look(run: Path, every: int) -> None:
    th.set_num_threads(1)
    algo, env_id = run.parent.name, run.name.rpartition("_")[0]
    files = {steps: file for file in run.glob("rl_model_*_steps.zip") if (steps := steps_of(file)) % every == 0}
    if len(files) < 2:
        raise ArtifactError(f"{run} has {len(files)} checkpoints at multiples of {every} steps, rl_model_*_steps.zip.")
    load = find_algorithm(algo).load
    last = load(files[max(files)], device="cpu")
    images, padded = played(last, env_id)
    fresh = type(last)("CnnPolicy", last.env, policy_kwargs=last.policy_kwargs, seed=last.seed, device="cpu")
    before, end = None, activations(last, images)
    rows = []
    for steps, file in [(0, None), *sorted(files.items())]:
        model = load(file, device="cpu") if file else fresh
        numbers = {
            "before": similar(activations(before, images), activations(model, images)) if before else [],
            "padded": similar(activations(before, padded), activations(model, padded)) if before else [],
            "last": similar(activations(model, images), end),
            "weights": [distance(*pair) for pair in zip(stages(model), stages(last), strict=True)],
        }
        row = dict(zip(KEYS, (algo, env_id, last.seed, steps), strict=True))
        rows.append({**row, **{name: [round(x, 5) for x in values] for name, values in numbers.items()}})
        print(rows[-1])
        before = model
    open_rows("settling", KEYS).add(rows)


def similar(ours: list[th.Tensor], theirs: list[th.Tensor]) -> list[float]:
    return [linear_cka(*pair) for pair in zip(ours, theirs, strict=True)]


def steps_of(file: Path) -> int:
    return int(file.stem.split("_")[2])


def played(model: Any, env_id: str) -> tuple[np.ndarray, np.ndarray]:
    """
    :return: (256, C, H, W), frames of eight games that the model plays; and the same, but for the first of each game
    """
    model.set_env(AleVecEnv(env_id, N_ENVS, 0, num_threads=1))
    model.set_random_seed(0)
    seen, first = [], model.env.reset()
    observations = first
    while len(seen) * N_ENVS < N_PROBES:
        for _ in range(EVERY):
            observations, *_ = model.env.step(model.predict(observations)[0])
        seen.append(observations.copy())
    return np.concatenate(seen), np.concatenate([first, *seen[1:]])


def stages(model: Any) -> list[th.Tensor]:
    """
    :return: All weights of each stage in one vector
    """
    extractor = encoders(model)[0][0]
    ends = [0, *(n_layers(extractor, stage) for stage in range(1, n_stages(extractor) + 1))]
    parts = [th.nn.Sequential(*layers(extractor)[a:b]) for a, b in pairwise(ends)]
    return [th.nn.utils.parameters_to_vector(part.parameters()).detach() for part in parts]


def distance(ours: th.Tensor, last: th.Tensor) -> float:
    return float((ours - last).norm() / last.norm())


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line a checkpoint, a number a stage."""
    heads = "CKA with the one before | the same, padded | CKA with the last | weights from the last"
    lines = [f"| run | steps | {heads} |", "|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: (row["env"], row["seed"], row["steps"])):
        game = row["env"].removesuffix("NoFrameskip-v4")
        cells = [" ".join(f"{x:.4f}" for x in row[name]) for name in ("before", "padded", "last")]
        weights = " ".join(f"{x:.2f}" for x in row["weights"])
        lines.append(f"| {game}, seed {row['seed']} | {row['steps']:,} | {' | '.join(cells)} | {weights} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_program(main)
