"""A frozen model that was saved and loaded: it goes on with SEERCallback, or says that it does not."""

from __future__ import annotations

import pydoc
import warnings
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from sb3_efficient.errors import ConflictError
from sb3_efficient.seer.buffers import buffer_of
from sb3_efficient.seer.frozen import frozen_layers
from sb3_efficient.seer.replay import LatentReplayBuffer
from sb3_efficient.seer.rollout import is_latent_rollout


class CollectLatents:
    """
    ``collect_rollouts`` of a frozen model: that of its class, and an error where it would collect images.

    SB3 saves the attributes of a model, this one too, and builds policy and buffer anew when it loads it. Nothing else
    of this package is asked when such a model learns in a script without a callback. Where the package is not installed
    it is loaded as None, and the model plays.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return pydoc.locate, (f"{__name__}.collect_latents",)

    def __call__(self, env: Any, *args: Any, **kwargs: Any) -> Any:
        """
        :param env: As all that follows: SB3 hands over the callback, with the model in it, by place or by name
        :return: As the method's
        """
        callback = kwargs["callback"] if "callback" in kwargs else args[0]
        model = callback.model
        if not holds_latents(model):
            frozen = getattr(model, "seer", None)
            when = f" at {frozen['timesteps']} timesteps ({frozen['depth']!r})" if frozen else ""
            raise ConflictError(
                f"This model was frozen by SEER{when} before it was saved or copied, and would learn from images now: "
                "go on with learn(..., callback=SEERCallback()), or with callback=sb3_efficient.seer.ThawCallback() to "
                "train all of its layers again."
            )
        return type(model).collect_rollouts(model, env, *args, **kwargs)


collect_latents = CollectLatents()


class ThawCallback(BaseCallback):
    """
    Train all layers of a model that SEER had frozen before it was saved, from images::

        model = PPO.load("frozen.zip", env=env)
        model.learn(1_000_000, callback=ThawCallback())

    Latents that were saved and loaded with it are of no use to such a training: the replay buffer begins empty, with a
    warning. A model that was not saved and loaded since the freeze is refused.
    """

    def _on_training_start(self) -> None:
        model: Any = self.model
        if "seer" not in vars(model):
            return
        if frozen_layers(model):
            raise ConflictError(
                "ThawCallback trains from images, and this model is frozen in this process: save it, and load it."
            )
        train_from_images(model)

    def _on_step(self) -> bool:
        return True


def mark_frozen(model: Any, **how: Any) -> None:
    """
    :param model: Frozen just now
    :param how: What its attribute ``seer`` says
    """
    model.seer = how
    # Somebody's own is kept, at the price of a refusal of what this model may not do once it was saved
    vars(model).setdefault("collect_rollouts", collect_latents)


def train_from_images(model: Any) -> None:
    """
    :param model: Not frozen, whatever its attributes say. Latents that it was loaded with are dropped, with a warning
    """
    if holds_latents(model):
        stored = buffer_of(model).size() * model.n_envs
        warnings.warn(
            f"SEER: {stored:,} stored latents are of no use to layers that learn, and the replay buffer begins empty.",
            stacklevel=2,
        )
        # As SB3 makes it of the arguments that the model was made with
        model.replay_buffer = model.replay_buffer_class(
            model.buffer_size,
            model.observation_space,
            model.action_space,
            device=model.device,
            n_envs=model.n_envs,
            optimize_memory_usage=model.optimize_memory_usage,
            **model.replay_buffer_kwargs,
        )
    vars(model).pop("seer", None)
    if isinstance(vars(model).get("collect_rollouts"), CollectLatents):
        del model.collect_rollouts


def holds_latents(model: Any) -> bool:
    """
    :return: Whether the model stores latents; without their encoder, a replay buffer refuses by itself
    """
    buffer = buffer_of(model)
    return isinstance(buffer, LatentReplayBuffer) or is_latent_rollout(buffer)
