"""The Python of the pages runs as it stands, but for the numbers of steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import PAGES, ROOT
from stable_baselines3 import PPO

from sb3_efficient.envs import AleVecEnv

SNIPPETS = {page: re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL) for page in PAGES}
SMALL = {
    r"learn\([\d_]+": "learn(16",
    r'PPO\("CnnPolicy", env': 'PPO("CnnPolicy", env, n_steps=2, batch_size=16, n_epochs=1',
    r"16_000, spacing=5": "64",
    r"steps=4000, batch_size=128": "steps=2, batch_size=16",
    r"range\(500\)": "range(2)",
}


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What readers have already: an environment, an agent, recorded observations."""
    monkeypatch.chdir(tmp_path)
    env = AleVecEnv("PongNoFrameskip-v4", n_envs=8, seed=0)
    model = PPO("CnnPolicy", env, n_steps=2, batch_size=16, n_epochs=1)
    model.save("ppo_pong.zip")
    return {"env": env, "model": model, "observations": np.repeat(env.reset(), 4, axis=0)}


@pytest.mark.filterwarnings("ignore:SEER froze nothing")
@pytest.mark.parametrize("page", [page for page in PAGES if SNIPPETS[page]], ids=lambda p: str(p.relative_to(ROOT)))
def test_snippets_run(page: Path, names: dict[str, Any]) -> None:
    for snippet in SNIPPETS[page]:
        for large, small in SMALL.items():
            snippet = re.sub(large, small, snippet)
        exec(compile(snippet, str(page), "exec"), names)
