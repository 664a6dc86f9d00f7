"""Real frames for tests: what an Atari game shows somebody who mostly keeps on doing the same."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sb3_efficient.envs import AleVecEnv


@lru_cache(maxsize=4)
def frames(game: str, n: int = 300, n_envs: int = 1, seed: int = 0) -> np.ndarray:
    """Stacks of four, (n, n_envs, 4, 84, 84)."""
    env = AleVecEnv(f"{game}NoFrameskip-v4", n_envs=n_envs, seed=seed)
    rng = np.random.default_rng(seed)
    actions = np.zeros(n_envs, np.int64)
    found = [env.reset()]
    while len(found) < n:
        others = rng.integers(0, env.action_space.n, n_envs)  # type: ignore[attr-defined]
        actions = np.where(rng.random(n_envs) < 0.3, others, actions)
        found.append(env.step(actions)[0])
    env.close()
    return np.stack(found)  # type: ignore[arg-type]
