"""
Run by test_convert.py in a process of its own: what a conversion takes, and gives back.

In MB: with the images; the most until a chunk of them has been encoded; the most during the conversion; after it; and
the size of latents, images and a chunk.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.envs import FakeImageEnv

from sb3_efficient.fast.memory import give_back_memory, keep_freed_memory
from sb3_efficient.seer.convert import convert, release
from sb3_efficient.seer.encoder import CHUNK, LatentEncoder

N, IMAGE, MB = int(sys.argv[1]), 4 * 84 * 84, 1e6


def memory(field: str) -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / MB for line in status if line.startswith(field))


th.set_num_threads(1)
if "keep" in sys.argv:
    keep_freed_memory()
env = FakeImageEnv(screen_height=84, screen_width=84, n_channels=4)
model = DQN("CnnPolicy", env, buffer_size=N, device="cpu", optimize_memory_usage=False)
images = model.replay_buffer
screen = np.zeros((1, 4, 84, 84), np.uint8)
for i in range(N):
    obs, screen = screen, screen.copy()
    screen[0, :, i % 84] = i % 256
    images.add(obs, screen, np.zeros((1, 1)), np.zeros(1), np.array([i % 100 == 99]), [{}])
encoder = LatentEncoder(model, "features")
# Many at a time and few, as a conversion has them, which are computed in two ways
encoder(np.repeat(screen, CHUNK, axis=0))
encoder(np.repeat(screen, 3, axis=0))
encoder.reencode(np.repeat(screen, CHUNK - 1, axis=0))
before, encoding = memory("VmRSS:"), memory("VmHWM:")
latents = convert(images, encoder, 20 * N)
converting = memory("VmHWM:")
encoder.freeze()
model.replay_buffer = latents
release(images)
give_back_memory()
print(before, encoding, converting, memory("VmRSS:"), latents.bytes_used / MB, 2 * N * IMAGE / MB, CHUNK * IMAGE / MB)
