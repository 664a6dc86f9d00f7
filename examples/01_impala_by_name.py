"""
Impala by name, in a script of your own: PPO on Pong with stock SB3.

    python examples/01_impala_by_name.py --extractor impala --steps 100000
"""

import argparse

import ale_py
import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

import sb3_efficient

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--env", default="PongNoFrameskip-v4")
parser.add_argument("--extractor", default="impala", choices=sb3_efficient.list_extractors())
parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
parser.add_argument("--steps", type=int, default=100_000)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--save", default="impala_pong.zip")
arguments = parser.parse_args()

gym.register_envs(ale_py)
env = VecFrameStack(make_atari_env(arguments.env, n_envs=8, seed=arguments.seed), n_stack=4)
model = PPO(
    "CnnPolicy",
    env,
    policy_kwargs=sb3_efficient.policy_kwargs(arguments.extractor, PPO, precision=arguments.precision),
    n_steps=128,
    batch_size=256,
    n_epochs=4,
    learning_rate=2.5e-4,
    clip_range=0.1,
    ent_coef=0.01,
    seed=arguments.seed,
    verbose=1,
)
model.learn(arguments.steps, progress_bar=True)
print("saved to", sb3_efficient.save_slim(model, arguments.save))
