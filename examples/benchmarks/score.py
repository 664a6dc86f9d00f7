"""
Score an agent in whole games: in SB3's Atari pipeline, as the zoo has it, and in AleVecEnv.

    python examples/benchmarks/score.py examples/agents/ppo/PongNoFrameskip-v4_1/PongNoFrameskip-v4.zip

Actions are sampled, as the zoo does on Atari; returns are raw scores of whole games, not clipped. Writes
results/score_<algo>_<env>_<n>.json. For agents of PPO, A2C, DQN or QR-DQN on the zoo's Atari settings.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import ale_py
import gymnasium as gym
import numpy as np
import torch as th
from common import RESULTS, count, run_program
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecFrameStack, VecTransposeImage

from sb3_efficient.envs import AleVecEnv
from sb3_efficient.machine import machine
from sb3_efficient.policies import find_algorithm
from sb3_efficient.zoo.record import read_record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent", type=Path, help="zip in the zoo's layout: .../<algo>/<env>_<n>/<env>.zip")
    parser.add_argument("--games", type=count, default=100)
    parser.add_argument("--n-envs", type=count, default=8)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--threads", type=count, default=1)
    arguments = parser.parse_args()
    if not arguments.agent.is_file() or len(arguments.agent.parts) < 3:
        parser.error(f"{arguments.agent} is no file .../<algo>/<env>_<n>/<env>.zip")
    th.set_num_threads(arguments.threads)
    gym.register_envs(ale_py)
    algo, env_id = arguments.agent.parents[1].name, arguments.agent.stem
    model = find_algorithm(algo).load(arguments.agent, device="cpu")
    sb3 = make_atari_env(env_id, arguments.n_envs, seed=arguments.seed)
    pipelines = {
        "AtariWrapper": VecTransposeImage(VecFrameStack(sb3, 4)),
        "AleVecEnv": AleVecEnv(env_id, arguments.n_envs, arguments.seed),
    }
    rows = []
    for name, env in pipelines.items():
        th.manual_seed(arguments.seed)
        start = time.perf_counter()
        returns, _ = evaluate_policy(model, env, arguments.games, deterministic=False, return_episode_rewards=True)
        assert isinstance(returns, list)
        error = float(np.std(returns, ddof=1) / np.sqrt(len(returns)))
        rows.append(
            {
                "pipeline": name,
                "games": len(returns),
                "mean": round(float(np.mean(returns)), 3),
                "standard_error": round(error, 3),
                "lowest": min(returns),
                "highest": max(returns),
                "seconds": round(time.perf_counter() - start, 1),
            }
        )
        print(rows[-1])
        env.close()
    # An agent that was continued counts its last run only
    steps = read_record(arguments.agent.parent).get("n_timesteps", model.num_timesteps)
    content = {"algo": algo, "env": env_id, "steps": steps, "seed": arguments.seed, "rows": rows}
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"score_{algo}_{arguments.agent.parent.name}.json"
    file.write_text(json.dumps({**content, "machine": machine()}, indent=1) + "\n")


if __name__ == "__main__":
    run_program(main)
