"""Replay buffers of latents, for the off-policy algorithms."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_efficient.errors import ConflictError, EfficientError, ObservationError
from sb3_efficient.frames.memory import with_slots
from sb3_efficient.seer.encoder import LatentEncoder
from sb3_efficient.seer.stages import Depth
from sb3_efficient.seer.successors import Successors

#: Arrays of SB3's replay buffer whose first axis are the slots
PER_SLOT = ("observations", "actions", "rewards", "dones", "timeouts")


class Maker(NamedTuple):
    """
    Which encoder latents are of.

    :param digest: Of :meth:`LatentEncoder.digest`
    :param depth: See :mod:`sb3_efficient.seer.stages`
    :param dtype: What they are stored in
    """

    digest: str
    depth: Depth
    dtype: str

    def __str__(self) -> str:
        return f"depth {self.depth!r}, {self.dtype}, weights {self.digest[:12]}"


class LatentReplayBuffer(ReplayBuffer):
    """
    :class:`ReplayBuffer` that is given images and keeps latents, each of them once.

    :param buffer_size: Transitions over all environments
    :param observation_space: Of the latents: a Box of shape (L,)
    :param action_space: Action space
    :param device: Where samples go
    :param n_envs: Number of environments
    :param optimize_memory_usage: Changes nothing: this buffer has no second copy to save, and no reason to lose
        the timeouts over it. (A model that has it ends the last episode at the start of each ``learn``, as in SB3.)
    :param handle_timeout_termination: As in SB3
    """

    next_observations: Successors  # type: ignore[assignment]
    #: What the latents were computed in; empty if it is not known, as of a file that does not say it
    precision = ""

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
    ) -> None:
        if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 1:
            raise ObservationError(
                f"LatentReplayBuffer keeps latents, Box(shape=(L,)), and was given {observation_space}: leave out "
                "replay_buffer_class, SEERCallback puts it in place of the image buffer at the freeze."
            )
        # Without the array of next observations, which the memory it looks for would count, too
        ReplayBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs, True, False)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = handle_timeout_termination
        self.next_observations = Successors(self.observations)
        self.encoder: LatentEncoder | None = None
        self.made_by: Maker | None = None
        self._version: Any = None
        #: Bytes of the images that these latents took the place of, and which those of a deeper stage may take
        self.room = 0

    def attach(self, encoder: LatentEncoder) -> None:
        """
        :param encoder: Of the model that is going to add and sample; refused if it is not what made these latents
        """
        maker = Maker(encoder.digest(), encoder.depth, encoder.dtype.name)
        if self.made_by not in (None, maker) and self.size() > 0:
            raise ConflictError(
                f"These latents were made by a different encoder: the replay buffer's has {self.made_by}, the model's "
                f"{maker}. Load the replay buffer that was saved together with this model, or empty this one, reset()."
            )
        expected, found = (self.obs_shape[0], self.observations.dtype), (encoder.latent_dim, encoder.dtype)
        if expected != found:
            raise ObservationError(
                f"This replay buffer is made for {expected[0]} numbers of {expected[1]} per latent, and the encoder "
                f"makes {found[0]} of {found[1]}: give it the space of this encoder's latents."
            )
        if self.size() > 0 and self.precision not in ("", encoder.precision):
            warnings.warn(
                f"The latents in this replay buffer were computed in {self.precision}, and new ones are in "
                f"{encoder.precision}, so that equal images get latents that differ by rounding. To go on as before, "
                "call accelerate(model) (in rl-zoo3: accelerate=True) if and only if it was called before.",
                stacklevel=2,
            )
        self.encoder, self.made_by, self._version = encoder, maker, encoder.version
        self.precision = encoder.precision

    def attached(self) -> LatentEncoder:
        """
        :return: The encoder; an error if there is none, as in a buffer just loaded
        """
        if self.encoder is None:
            made_by = f" ({self.made_by})" if self.made_by else ""
            raise EfficientError(
                f"This replay buffer holds latents, and was loaded or copied without their encoder{made_by}: resume "
                "the model with the SEERCallback it was trained with, learn(..., callback=SEERCallback(...)), which "
                "attaches the encoder of the model. One that was saved before the freeze is trained on without this "
                "buffer (in rl-zoo3: move replay_buffer.pkl away)."
            )
        if self.encoder.version != self._version:
            # Weights have been put into the model: the same ones, or latents of two encoders would be mixed
            self.attach(self.encoder)
        return self.encoder

    def add(
        self,
        obs: np.ndarray,
        next_obs: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        done: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """
        :param obs: (n_envs, C, H, W), images
        :param next_obs: (n_envs, C, H, W), images
        """
        encoder = self.attached()
        latents, next_latents = encoder(obs), encoder(next_obs)
        slot = self.pos
        super().add(latents, next_latents, action, reward, done, infos)
        self.next_observations.follow(slot, latents)

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        """As in SB3; observations are latents."""
        self.attached()
        return super().sample(*args, **kwargs)

    def reset(self) -> None:
        """Forget all transitions."""
        super().reset()
        self.next_observations = Successors(self.observations)

    def to_torch(self, array: np.ndarray, copy: bool = False) -> th.Tensor:
        # Picked by an array of indices, which copies already
        return super().to_torch(array, copy=copy)

    @property
    def bytes_per_transition(self) -> int:
        """Bytes that one transition takes, unless an episode ends with it: then another latent."""
        arrays = [*(getattr(self, name) for name in PER_SLOT), self.next_observations.row]
        return sum(array[0, 0].nbytes for array in arrays)

    @property
    def bytes_used(self) -> int:
        """Bytes of what is stored; slots not yet written take no memory."""
        return self.size() * self.n_envs * self.bytes_per_transition + self.next_observations.kept.nbytes

    def __getstate__(self) -> dict[str, Any]:
        """No encoder, which would be another copy of the model, and no slots that were not written."""
        stored, successors = self.size(), self.next_observations
        state = {name: value for name, value in vars(self).items() if name != "encoder"}
        state |= {name: getattr(self, name)[:stored] for name in PER_SLOT}
        state["next_observations"] = (successors.row[:stored], successors.kept, successors.free)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        row, kept, free = state.pop("next_observations")
        vars(self).update(state)
        self.encoder = None
        for name in PER_SLOT:
            setattr(self, name, with_slots(getattr(self, name), self.buffer_size))
        self.next_observations = Successors(self.observations)
        self.next_observations.row = with_slots(row, self.buffer_size)
        self.next_observations.kept, self.next_observations.free = kept, free


class LatentNStepReplayBuffer(LatentReplayBuffer, NStepReplayBuffer):
    """
    :class:`NStepReplayBuffer` of latents.

    :param n_steps: Rewards that are added up
    :param gamma: Discount factor
    """

    def __init__(self, *args: Any, n_steps: int = 3, gamma: float = 0.99, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.n_steps = n_steps
        self.gamma = gamma
