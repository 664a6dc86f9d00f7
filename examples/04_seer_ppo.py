"""
PPO on Pong with Impala, whose lower two stages are frozen once they have settled, in the second half of training.

    python examples/04_seer_ppo.py --steps 2000000
    python examples/04_seer_ppo.py --freeze-at 600000 --depth 2      # the lower two stages, at a time of your own

From the freeze on every image passes the frozen layers once, when it is acted on: watch fps. With few steps nothing has
settled, and nothing is frozen: a warning says so. With --tensorboard, seer/* says how the layers settle.
"""

import argparse

from stable_baselines3 import PPO

import sb3_efficient
from sb3_efficient.envs import AleVecEnv


def when(text):
    """Of --freeze-at."""
    return text if text == "auto" else float(text)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--env", default="PongNoFrameskip-v4")
parser.add_argument("--extractor", default="impala", choices=sb3_efficient.list_extractors())
parser.add_argument("--steps", type=int, default=1_000_000)
parser.add_argument("--freeze-at", type=when, default="auto", help="timesteps, a fraction of training, or auto")
parser.add_argument("--depth", default="lower", help="lower, conv, features, or the number of a stage")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--tensorboard", help="folder for its logs")
parser.add_argument("--save", default="seer_pong.zip")
arguments = parser.parse_args()

model = PPO(
    "CnnPolicy",
    AleVecEnv(arguments.env, n_envs=8, seed=arguments.seed),
    policy_kwargs=sb3_efficient.policy_kwargs(arguments.extractor, PPO),
    n_steps=128,
    batch_size=256,
    n_epochs=4,
    learning_rate=2.5e-4,
    clip_range=0.1,
    ent_coef=0.01,
    seed=arguments.seed,
    tensorboard_log=arguments.tensorboard,
    verbose=1,
)
sb3_efficient.accelerate(model)

seer = sb3_efficient.SEERCallback(
    freeze_at=arguments.freeze_at,
    depth=int(arguments.depth) if arguments.depth.isdigit() else arguments.depth,
    verbose=1,
)
model.learn(arguments.steps, callback=seer, progress_bar=True)
print("saved to", sb3_efficient.save_slim(model, arguments.save))
