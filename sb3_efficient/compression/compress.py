"""A recipe applied to a trained model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.compression.calibration import check_observations
from sb3_efficient.compression.policy import CompressedPolicy
from sb3_efficient.compression.recipe import LastMethod, Method, ModelMethod, Step, make_recipe, recipe_text
from sb3_efficient.engines import ActingNetwork, find_engine, to_graph
from sb3_efficient.engines.probe import observations_of, random_observations
from sb3_efficient.errors import OptionError, briefly


@th.inference_mode(False)
@th.enable_grad()
def compress(
    model: BaseAlgorithm, recipe: Step | Iterable[Step], *, calibration: np.ndarray | None = None
) -> CompressedPolicy:
    """
    Make a trained policy smaller and faster::

        policy = sb3_efficient.compress(model, ["channel-pruning", "static-int8"], calibration=observations)
        policy.save("ppo_pong.policy")

    The model stays as it is.

    :param model: SB3 or sb3-contrib model that sees images, its own policies and networks or ours
    :param recipe: Methods in the order in which they are applied, by name or as config objects; none: only the
        engine, in float32
    :param calibration: Observations, (N, C, H, W), as ``model.observation_space`` has them. Some hundreds of real
        ones for ``static-int8``, thousands for methods that train.
    """
    if not isinstance(model, BaseAlgorithm):
        raise OptionError(f"compress takes a Stable-Baselines3 model, such as PPO.load(path), got {briefly(model)}.")
    steps = make_recipe(recipe)
    network = check_recipe(model, steps)
    for step in steps:
        if not step.needs_observations:
            continue
        missing = f"{step.name!r} needs observations: compress(model, recipe, calibration=observations)."
        calibration = check_observations(calibration, model.observation_space, missing)
    training = [step for step in steps if isinstance(step, ModelMethod)]
    if training and network.others:
        # Of a network that nothing is known of, before hours of distillation
        _finished(network, steps, calibration)
    compressed = model
    for step in training:
        compressed = step.apply(compressed, teacher=model, observations=calibration)
    return _finished(ActingNetwork(compressed) if training else network, steps, calibration)


def _finished(network: ActingNetwork, steps: tuple[Method, ...], observations: np.ndarray | None) -> CompressedPolicy:
    """With the last step of the recipe, and tried."""
    graph = to_graph(network)
    last = steps[-1] if steps else None
    proto = last.convert(graph, observations) if isinstance(last, LastMethod) else graph.proto
    policy = CompressedPolicy(proto, graph.head, graph.observation_space, steps)
    try:
        engine = policy.engine()
        for n in (1, 3):
            feed = random_observations(network.inputs, n)
            engine.outputs(observations_of(feed, policy.observation_space))
    except Exception as error:
        # Whatever ONNX Runtime says of operators that this package never makes
        raise OptionError(
            f"The recipe {recipe_text(steps)!r} makes a network of this that does not run: {error}"
        ) from error
    return policy


def check_engine(name: str, steps: Sequence[Method]) -> None:
    """
    Refuse an engine that could not run what a recipe makes, before it is made.

    :param name: Of the engine
    :param steps: Of a recipe
    """
    runs = find_engine(name).last_steps
    if runs is not None and (not steps or steps[-1].name not in runs):
        raise OptionError(
            f"The engine {name!r} runs policies of {', '.join(runs) or 'no recipe'} only, and the recipe is "
            f"{recipe_text(steps)!r}: end it with that step, or choose the engine 'onnxruntime'."
        )


def check_recipe(model: BaseAlgorithm, steps: Iterable[Method]) -> ActingNetwork:
    """
    Refuse what cannot work on a model, before any step does.

    :param model: SB3 or sb3-contrib model
    :param steps: Of a recipe
    :return: What of the model acts
    """
    network = ActingNetwork(model)
    for step in steps:
        step.check(model)
    return network
