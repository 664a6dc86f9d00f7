"""
Replay from latents: DQN on Pong that keeps each frame once, and after the freeze no frames at all.

    python examples/05_seer_dqn.py --steps 1000000
    python examples/05_seer_dqn.py --depth features       # small latents; but the linear layer stops learning, too

Agent and replay buffer are saved, loaded and trained on with SB3's own methods.
"""

import argparse

from stable_baselines3 import DQN

import sb3_efficient
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.frames import FrameReplayBuffer

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--env", default="PongNoFrameskip-v4")
parser.add_argument("--steps", type=int, default=200_000)
parser.add_argument("--freeze-at", type=float, default=0.5, help="timesteps, or a fraction of training")
parser.add_argument("--depth", default="conv", choices=["conv", "features"])
parser.add_argument("--buffer-size", type=int, default=100_000)
parser.add_argument("--learning-starts", type=int, default=10_000)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--save", default="seer_dqn_pong", help="name of the agent, and of its replay buffer")
arguments = parser.parse_args()

env = AleVecEnv(arguments.env, n_envs=1, seed=arguments.seed)
model = DQN(
    "CnnPolicy",
    env,
    replay_buffer_class=FrameReplayBuffer,
    buffer_size=arguments.buffer_size,
    learning_starts=arguments.learning_starts,
    learning_rate=1e-4,
    batch_size=32,
    train_freq=4,
    target_update_interval=1000,
    exploration_fraction=0.1,
    exploration_final_eps=0.01,
    seed=arguments.seed,
    verbose=1,
)
sb3_efficient.accelerate(model)
images = model.replay_buffer.nbytes / model.replay_buffer.buffer_size

# The memory of the images is free for latents: the buffer grows as far as this training can fill it
seer = sb3_efficient.SEERCallback(arguments.freeze_at, arguments.depth, capacity="same-memory", verbose=1)
model.learn(arguments.steps, callback=seer, progress_bar=True)
latents = model.replay_buffer
print(
    f"{images:.0f} bytes a transition before the freeze, {latents.bytes_per_transition} after; "
    f"room for {arguments.buffer_size} and for {latents.buffer_size}"
)
model.save(arguments.save)
model.save_replay_buffer(arguments.save + "_buffer")

# An ordinary zip and an ordinary pickle; the same callback gives the latents their encoder, and the freeze holds
model = DQN.load(arguments.save, env=env)
model.load_replay_buffer(arguments.save + "_buffer")
sb3_efficient.accelerate(model)
seer = sb3_efficient.SEERCallback(arguments.freeze_at, arguments.depth, capacity="same-memory", verbose=1)
model.learn(arguments.steps // 10, callback=seer, reset_num_timesteps=False)
print("saved, loaded and trained on:", model.num_timesteps, "steps,", model.replay_buffer.size(), "transitions")
