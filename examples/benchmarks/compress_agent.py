"""An agent of compress.py with its observations, and what recipes make of it, kept in files."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
import training_loop
from compress_tables import TINY_RL, recipes_of
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient import compress, load_policy, make_engine, policy_kwargs, save_slim
from sb3_efficient.cli.compress import slug
from sb3_efficient.compression import CompressedPolicy, make_recipe
from sb3_efficient.compression.distillation import Distillation
from sb3_efficient.compression.recipe import LastMethod, Method, ModelMethod
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.evaluation.agreement import agreement
from sb3_efficient.evaluation.candidates import graph_candidate, model_candidate
from sb3_efficient.evaluation.episodes import RandomPlay, play
from sb3_efficient.evaluation.latency import time_policies
from sb3_efficient.extractors import TinyRLActorCriticPolicy
from sb3_efficient.observations import collect, load_observations, save_observations
from sb3_efficient.zoo.saved import SavedAgent, find_agent

FOLDER = Path(__file__).parents[1] / "agents"
#: The complete network of tiny_rl, taught by the first agent of Pong
TINY_AGENT, TEACHER, TEACHING = "Pong tiny-rl", "Pong Nature", Distillation(steps=4000, batch_size=128)
#: name -> algorithm, environment, number of the run
AGENTS = {
    "Pong Nature": ("ppo", "PongNoFrameskip-v4", 1),
    "Pong Impala": ("ppo", "PongNoFrameskip-v4", 2),
    "Qbert Nature": ("ppo", "QbertNoFrameskip-v4", 1),
}
STICKY = 0.25
N_ENVS = 32


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Plain:
    """
    A model of PPO as plain SB3 runs it, ours on contiguous float32 images as SB3's NatureCNN.

    :param model: Taken over
    """

    def __init__(self, model: BaseAlgorithm) -> None:
        training_loop.make_plain(model)
        self.model, self.predict = model, model.predict

    def outputs(self, observations: np.ndarray) -> th.Tensor:
        """As :meth:`Engine.outputs`: the network alone."""
        policy: Any = self.model.policy
        with th.inference_mode():
            features = policy.extract_features(th.as_tensor(observations))
            return policy.action_net(policy.mlp_extractor.forward_actor(features))


class Bench:
    """
    :param name: One of :data:`AGENTS`, or :data:`TINY_AGENT`
    :param arguments: Of the command line
    """

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self.name, self.arguments = name, arguments
        player = TEACHER if name == TINY_AGENT else name
        algo, env_id, number = AGENTS[player]
        self.saved: SavedAgent = find_agent(algo, env_id, FOLDER, exp_id=number)
        self.folder, self.seen = (arguments.work / one.replace(" ", "-") for one in (name, player))
        self.model: BaseAlgorithm = self.saved.load()
        n = arguments.observations
        self.observations = np.concatenate([self.record(3 * n // 4, 1, False), self.record(n // 4, 2, True)])
        self.held_out = self.record(max(n // 8, 100), 3, False)
        if name == TINY_AGENT:
            self.model = self.tiny_rl()
        self.plain = Plain(self.tiny_rl() if name == TINY_AGENT else self.saved.load())

    @property
    def recipes(self) -> dict[str, str]:
        """By name, those that are wanted."""
        tiny = {name: recipe for name, (recipe, _) in TINY_RL.items()}
        known = tiny if self.name == TINY_AGENT else recipes_of(self.name)
        return {name: recipe for name, recipe in known.items() if name in (self.arguments.recipes or known)}

    def record(self, n: int, seed: int, deterministic: bool) -> np.ndarray:
        file = self.seen / f"observations_{n}_{seed}.safetensors"
        if file.exists():
            return load_observations(file, self.model.observation_space)
        say(f"{self.name}: recording {n} observations")
        env = AleVecEnv(self.saved.env_id, 16, seed=seed, num_threads=1, action_repeat_probability=STICKY)
        try:
            seen = collect(make_engine(self.model), env, n, spacing=5, seed=seed, deterministic=deterministic)
        finally:
            env.close()
        save_observations(file, seen)
        return seen

    def tiny_rl(self) -> BaseAlgorithm:
        """The complete network, taught what the agent does."""
        file = self.folder / "agent.zip"
        if not file.exists():
            student = PPO(
                TinyRLActorCriticPolicy, AleVecEnv(self.saved.env_id, 1), policy_kwargs=policy_kwargs("tiny-rl", PPO)
            )
            step = replace(TEACHING, steps=20) if self.arguments.quick else TEACHING
            save_slim(step.apply(student, teacher=self.model, observations=self.observations), file)
        return PPO.load(file, device="cpu")

    def policy(self, recipe: str) -> tuple[CompressedPolicy, float]:
        """
        :return: What the recipe makes, from a file if there is one, and the seconds that it took
        """
        steps = make_recipe(recipe)
        file = self.folder / f"{slug(steps)}.policy"
        if not file.exists():
            last = [step for step in steps if isinstance(step, LastMethod)]
            student, seconds = self.student(tuple(step for step in steps if isinstance(step, ModelMethod)))
            start = time.perf_counter()
            policy = replace(compress(student, last, calibration=self.observations), recipe=steps)
            note(file, seconds + time.perf_counter() - start)
            policy.save(file)
        return load_policy(file), noted(file)

    def student(self, steps: tuple[Method, ...]) -> tuple[BaseAlgorithm, float]:
        """What the steps before the last make, likewise."""
        if not steps:
            return self.model, 0.0
        file = self.folder / f"{slug(steps)}.zip"
        if not file.exists():
            before, seconds = self.student(steps[:-1])
            say(f"{self.name}: {steps[-1]}")
            step: Any = steps[-1]
            if self.arguments.quick and hasattr(step, "steps"):
                step = replace(step, steps=5)
            start = time.perf_counter()
            student = step.apply(before, teacher=self.model, observations=self.observations)
            note(file, seconds + time.perf_counter() - start)
            save_slim(student, file)
        return type(self.model).load(file, device="cpu"), noted(file)

    def measure(self, recipe: str) -> dict[str, Any]:
        """Size, speed beside plain SB3, and nearness to it."""
        policy, seconds = self.policy(recipe)
        original = model_candidate("original", self.model)
        one = graph_candidate(recipe, policy, policy.n_bytes)
        pairs: dict[str, Any] = {"original": (self.plain, self.plain), "it": (one.policy, one.engine)}
        timings = time_policies(
            pairs, self.held_out, repeats=10 * self.arguments.rounds, seconds=self.arguments.seconds
        )
        near = agreement(one.engine, original.engine, self.held_out)
        return {
            **{"bytes": one.n_bytes, "parameters": one.parameters, "seconds": round(seconds, 1)},
            **{"original_bytes": original.n_bytes, "original_parameters": original.parameters},
            **{"agreement": near.actions, "sqnr": None if near.sqnr == float("inf") else near.sqnr},
            **{"timing": asdict(timings["it"]), "original_timing": asdict(timings["original"])},
        }

    def returns(self, recipe: str, known: list[float]) -> list[float]:
        """
        :param recipe: Also "original" and "random play"
        :param known: Of the first seeds
        :return: Those, and of the seeds after them
        """
        seeds = range(len(known), self.arguments.episodes)
        if not seeds:
            return known
        players: dict[str, Any] = {"original": self.model, "random play": RandomPlay(self.model.action_space)}
        player = players[recipe] if recipe in players else self.policy(recipe)[0]
        title = f"{self.name}, {recipe or 'float32'}"
        return [*known, *play(player, lambda: self.saved.make_env(STICKY), seeds, n_envs=N_ENVS, title=title).tolist()]


def note(file: Path, seconds: float) -> None:
    """Before the file itself is written: how long it took to make."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.with_suffix(f"{file.suffix}.json").write_text(json.dumps({"seconds": seconds}))


def noted(file: Path) -> float:
    return float(json.loads(file.with_suffix(f"{file.suffix}.json").read_text())["seconds"])
