"""
Folders as rl-zoo3 uploads them to Hugging Face's hub and ``rl_zoo3.load_from_hub`` downloads them.

``rl_zoo3.push_to_hub`` cannot be imported with today's versions of what it needs; this writes the same files, and
leaves the upload to Hugging Face's own program.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from pprint import pformat
from typing import Any

import gymnasium as gym
import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard import metadata_eval_result
from huggingface_sb3 import EnvironmentName, ModelName
from rl_zoo3.utils import get_saved_hyperparams

from sb3_efficient.errors import EfficientError
from sb3_efficient.policies import find_algorithm
from sb3_efficient.zoo.record import record_of
from sb3_efficient.zoo.saved import SavedAgent, typed_env_kwargs

_CARD = """\
# **{name}** agent playing **{env_id}**

A **{name}** agent playing **{env_id}**, trained with
[Stable-Baselines3](https://github.com/DLR-RM/stable-baselines3), the
[RL Zoo](https://github.com/DLR-RM/rl-baselines3-zoo) and sb3-efficient.

Mean reward of {episodes} whole games{trained}: **{mean:.2f} +/- {std:.2f}** ({actions} actions).

## Usage

```sh
pip install {packages}
python -m rl_zoo3.load_from_hub --algo {algo} --env {env_id} -orga ORGANIZATION -f logs/
python -m rl_zoo3.enjoy --algo {algo} --env {env_id} -f logs/{modules}
```

## Hyper-parameters

```python
{settings}
```
"""


@dataclass(frozen=True)
class Score:
    """
    :param mean: Of the returns
    :param std: Their standard deviation
    :param episodes: Whole games
    :param deterministic: Whether the most probable actions were taken
    """

    mean: float
    std: float
    episodes: int
    deterministic: bool

    def to_json(self) -> dict[str, Any]:
        """As the hub's leaderboards read it."""
        return {
            "mean_reward": self.mean,
            "std_reward": self.std,
            "is_deterministic": self.deterministic,
            "n_eval_episodes": self.episodes,
            "eval_datetime": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }


def write_files(agent: SavedAgent, target: Path) -> None:
    """
    The agent and its settings, under the names that ``load_from_hub`` asks for.

    :param agent: Whose they are
    :param target: Folder
    """
    run, name = agent.path.parent, ModelName(agent.algo, EnvironmentName(agent.env_id))
    settings = run / agent.name
    for wanted in ("config.yml", "args.yml"):
        if not (settings / wanted).is_file():
            raise EfficientError(f"{settings} has no {wanted}, which the hub needs: agents that rl-zoo3 saved have it.")
        shutil.copy(settings / wanted, target / wanted)
    shutil.copy(agent.path, target / name.filename)
    (target / "env_kwargs.yml").write_text(yaml.dump(typed_env_kwargs(settings)))
    if (settings / "vecnormalize.pkl").is_file():
        shutil.copy(settings / "vecnormalize.pkl", target / "vec_normalize.pkl")
    with zipfile.ZipFile(agent.path) as archive:
        archive.extractall(target / name)
    with zipfile.ZipFile(target / "train_eval_metrics.zip", "w") as archive:
        for file in sorted([*run.glob("*.csv"), *run.glob("evaluations.npz")]):
            archive.write(file, arcname=file.name)
    (target / ".gitattributes").write_text("*.mp4 filter=lfs diff=lfs merge=lfs -text\n*.zip filter=lfs -text\n")


def plays_with_package(agent: SavedAgent) -> bool:
    """
    :param agent: Any
    :return: Whether its environment, or a wrapper around it, is of this package
    """
    settings, _ = get_saved_hyperparams(str(agent.path.parent / agent.name))
    wrappers = (settings.get(key) for key in ("env_wrapper", "vec_env_wrapper"))
    return any("sb3_efficient." in str(part) for part in (gym.spec(agent.env_id).entry_point, *wrappers))


def write_card(
    agent: SavedAgent, score: Score, target: Path, *, needs_package: bool, gym_packages: Sequence[str] = ()
) -> None:
    """
    The model card, with what the hub's search and leaderboards read in its head.

    :param agent: Whose it is
    :param score: What it reached
    :param target: Folder
    :param needs_package: Whether this package must be installed where the agent is loaded
    :param gym_packages: Modules that register its environment
    """
    name = find_algorithm(agent.algo).__name__
    head = metadata_eval_result(
        model_pretty_name=name,
        task_pretty_name="reinforcement-learning",
        task_id="reinforcement-learning",
        metrics_pretty_name="mean_reward",
        metrics_id="mean_reward",
        metrics_value=f"{score.mean:.2f} +/- {score.std:.2f}",
        dataset_pretty_name=agent.env_id,
        dataset_id=agent.env_id,
    )
    tags = [agent.env_id, "deep-reinforcement-learning", "reinforcement-learning", "stable-baselines3"]
    # The configuration has what was planned
    steps = record_of(agent.path).get("n_timesteps")
    config = (target / "config.yml").read_text(encoding="utf-8")
    card = _CARD.format(
        name=name,
        algo=agent.algo,
        env_id=agent.env_id,
        episodes=score.episodes,
        mean=score.mean,
        std=score.std,
        trained=f" after {steps:,} steps of training" if steps else "",
        actions="greedy" if score.deterministic else "sampled",
        packages="rl_zoo3 sb3-efficient" if needs_package else "rl_zoo3",
        modules=f" --gym-packages {' '.join(gym_packages)}" if gym_packages else "",
        settings=pformat(dict(yaml.load(config, Loader=yaml.UnsafeLoader)), sort_dicts=False),
    )
    data = ModelCardData(library_name="stable-baselines3", tags=tags, **{"model-index": head["model-index"]})
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{card}").save(target / "README.md")
