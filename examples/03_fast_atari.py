"""
The whole loop fast, in a script of your own: stock PPO on Atari games computed in C++, with an accelerated network.

    python examples/03_fast_atari.py --steps 2000000
    python examples/03_fast_atari.py --plain              # the same without, to compare fps

The agent is a stock CnnPolicy: PPO.load reads it where this package is not installed.
"""

import argparse

import ale_py
import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

import sb3_efficient
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.profiler import ProfileCallback

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--env", default="PongNoFrameskip-v4")
parser.add_argument("--steps", type=int, default=100_000)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--plain", action="store_true", help="SB3 as it is")
parser.add_argument("--save", default="fast_pong.zip")
arguments = parser.parse_args()

if arguments.plain:
    gym.register_envs(ale_py)
    env = VecFrameStack(make_atari_env(arguments.env, n_envs=8, seed=arguments.seed), n_stack=4)
else:
    env = AleVecEnv(arguments.env, n_envs=8, seed=arguments.seed)

model = PPO(
    "CnnPolicy",
    env,
    n_steps=128,
    batch_size=256,
    n_epochs=4,
    learning_rate=2.5e-4,
    clip_range=0.1,
    ent_coef=0.01,
    seed=arguments.seed,
    verbose=1,
)
if not arguments.plain:
    sb3_efficient.accelerate(model)

model.learn(arguments.steps, callback=ProfileCallback(), progress_bar=True)
print("saved to", sb3_efficient.save_slim(model, arguments.save))
