"""SEER as a callback of Stable-Baselines3."""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path
from typing import Any

from sb3_efficient.callbacks import RolloutCallback
from sb3_efficient.errors import ConflictError, ConversionError, OptionError, TrialError, suggestion
from sb3_efficient.seer.buffers import buffer_of, check_room, give_back, latent_buffer, set_buffer
from sb3_efficient.seer.capacity import check_capacity
from sb3_efficient.seer.checks import (
    check_model,
    check_times,
    check_updated,
    first_update,
    warn_of_own_training,
    warn_without_returns,
)
from sb3_efficient.seer.criterion import Convergence, check_threshold
from sb3_efficient.seer.encoder import LatentEncoder, encoders, update_targets
from sb3_efficient.seer.frozen import frozen_layers
from sb3_efficient.seer.replay import LatentReplayBuffer
from sb3_efficient.seer.resume import mark_frozen, train_from_images
from sb3_efficient.seer.schedule import Timetable, check_when, freezes, timestep
from sb3_efficient.seer.stages import Depth, check_any_depth, check_depth, n_layers
from sb3_efficient.seer.transfer import check_file, transfer_encoder

_LOG = logging.getLogger("sb3_efficient")
_DTYPES = ("float16", "float32")
#: Of ``"auto"``
EARLIEST, THRESHOLD = 0.5, 0.99


class SEERCallback(RolloutCallback):
    """
    Freeze the encoder during training, bottom-up, and learn from stored latents from then on.

    Chen et al., "Improving Computational Efficiency in Deep Reinforcement Learning via Stored Embeddings" (SEER,
    NeurIPS 2021), for any image algorithm of SB3 and sb3-contrib, off-policy and on-policy::

        model = PPO("CnnPolicy", env, policy_kwargs=sb3_efficient.policy_kwargs("impala", PPO))
        model.learn(2_000_000, callback=SEERCallback())

    The frozen layers keep their weights and statistics; they see every image once, when it is acted on, and neither
    gradients nor the optimizer reach them. If the freeze fails (memory, numbers that float16 cannot hold), training
    goes on from images with a warning.

    A model saved after the freeze is an ordinary zip, in which its attribute ``seer`` says how it was frozen. Resumed
    with this callback it is frozen from the start; without, it refuses to learn, but for
    :class:`~sb3_efficient.seer.ThawCallback`.

    :param freeze_at: Timesteps, a fraction of this training, ``"auto"`` (see :mod:`sb3_efficient.seer.criterion`),
        or None: only ``encoder``, or ``depth`` says when. Takes effect at the next end of a rollout, also where it
        lies before the start of a training that is continued; 0, with ``encoder``, at once. A training is one call of
        ``learn``: where that is called again and again, give the callback to the call that reaches these timesteps, and
        to all behind it; "auto" judges each call by itself
    :param depth: What to freeze: ``"lower"`` (all stages of convolutions but the last; of one, that one), ``"conv"``
        (all), ``"features"`` (the linear layers behind them too), the number of a stage counted from the image, or a
        schedule of pairs: ``[(0.2, 1), (0.4, "conv")]``. Stored for replay, latents of ``"features"`` are the small
        ones, but learning stalls where these layers had much to learn yet
    :param latent_dtype: ``"float16"`` or ``"float32"``; a model that is frozen already keeps its own
    :param capacity: Off-policy: transitions that the replay buffer of latents holds, over all environments:
        ``"same-memory"`` (as many as fit where the images were, but no more than training can fill),
        ``"same-length"``, also where compressed frames are too few to say how many fit, or a number. One that is loaded
        with its latents keeps its own
    :param encoder: Zip of an agent, of any algorithm, whose convolutions to start from, and with ``"features"`` what is
        behind them. A model that has been updated before, as one that is continued, keeps its own
    :param earliest: ``"auto"``: timesteps or fraction before which nothing is frozen; None: 0.5. Less saves more time,
        and costs return where what remains to learn is small, as behind two of NatureCNN's three convolutions
    :param latest: ``"auto"``: timesteps or fraction at which ``depth`` is frozen in any case; None: never
    :param threshold: ``"auto"``: similarity (CKA) from which on a stage counts as settled; None: 0.99
    :param verbose: 1: print what is frozen, as is done where the model's ``verbose`` is 1
    """

    def __init__(
        self,
        freeze_at: float | str | None = "auto",
        depth: Any = "lower",
        *,
        latent_dtype: str = "float16",
        capacity: str | int = "same-memory",
        encoder: str | Path | None = None,
        earliest: float | None = None,
        latest: float | None = None,
        threshold: float | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        if latent_dtype not in _DTYPES:
            hint = suggestion(str(latent_dtype), _DTYPES)
            raise OptionError(f"latent_dtype must be 'float16' or 'float32', got {latent_dtype!r}.{hint}")
        check_capacity(capacity)
        if encoder is not None:
            check_file(encoder)
        is_schedule = isinstance(depth, (list, tuple))
        self.is_auto = freeze_at == "auto" and not is_schedule
        only_encoder = freeze_at is None and encoder is not None and not is_schedule
        self.schedule = [] if self.is_auto or only_encoder else freezes(freeze_at, depth)
        self.depths: list[Depth] = [freeze.depth for freeze in self.schedule] or [check_any_depth(depth)]
        self.latent_dtype, self.capacity, self.source = latent_dtype, capacity, encoder
        self.earliest = check_when(EARLIEST if earliest is None else earliest, "earliest")
        self.latest = None if latest is None else check_when(latest, "latest")
        self.threshold = check_threshold(THRESHOLD if threshold is None else threshold)
        for name, value in (("earliest", earliest), ("latest", latest), ("threshold", threshold)):
            if value is not None and not self.is_auto:
                raise ConflictError(
                    f"{name}={value!r} is for freeze_at='auto', and when to freeze is said: leave it out."
                )
        self.update_started: float | None = None
        self.trigger: Timetable | Convergence = Timetable([])
        self._replaced: Any = None

    def _on_training_start(self) -> None:
        model: Any = self.model
        check_model(model)
        warn_of_own_training(model)
        for copies in encoders(model):
            for depth in self.depths:
                check_depth(copies[0], depth)
        self.update_started = None
        frozen = getattr(model, "seer", None)
        if self.encoder is None and frozen is not None:
            self._freeze(frozen["depth"], frozen["timesteps"])
        elif self.encoder is not None and isinstance(buffer_of(model), LatentReplayBuffer):
            # Refused if other weights have been put into the model meanwhile
            buffer_of(model).attach(self.encoder)
        failed = self.encoder is None and frozen is not None
        self.trigger = Timetable([]) if failed else self._trigger()
        if self.encoder is None and self.source is not None:
            self._take_encoder(self.source)

    def _take_encoder(self, source: str | Path) -> None:
        if self.model._n_updates:
            _LOG.warning("SEER: encoder=%r is for a new model; this one has been trained, and keeps its own", source)
            return
        transfer_encoder(source, self.model, "features" if self.depths[-1] == "features" else "conv")
        if self.schedule and self.schedule[0].when == 0:
            self._freeze_if_due()

    @property
    def encoder(self) -> LatentEncoder | None:
        """What the model is frozen by, through whichever callback, in this training or an earlier one."""
        model = getattr(self, "model", None)
        return None if model is None else getattr(buffer_of(model), "encoder", None)

    def _trigger(self) -> Timetable | Convergence:
        start, total = self.model._num_timesteps_at_start, self.model._total_timesteps
        if not self.is_auto:
            steps = [(timestep(freeze.when, start, total), freeze.depth) for freeze in self.schedule]
            due = [step for step in steps if self._is_deeper(step[1])]
            check_times(self.model, due, total, has_encoder=self.source is not None or self.encoder is not None)
            if due:
                check_room(self.model, self.capacity, due[0][0])
            return Timetable(due)
        if not self._is_deeper(self.depths[-1]):
            return Timetable([])
        first = first_update(self.model)
        latest = None if self.latest is None else timestep(self.latest, start, total)
        earliest = max(timestep(self.earliest, start, total), first + 1)
        for name, asked in (("earliest", self.earliest), ("latest", self.latest)):
            if asked is not None and timestep(asked, start, total) >= total:
                raise OptionError(f"{name}: {asked} timesteps is beyond training, which ends at {total}.")
        if latest is not None:
            check_updated("latest", latest, first)
        # One that lies before a training that is continued is overdue
        if latest is not None and start < latest < earliest:
            raise TrialError(f"latest: {latest} timesteps is before earliest: {earliest}. Say both.")
        check_room(self.model, self.capacity, total if latest is None else latest)
        if latest is None:
            warn_without_returns(self.model)
        return Convergence(self.depths[-1], earliest, latest, total - start, self.threshold)

    def _on_rollout_start(self) -> None:
        self._give_back()
        self._pin_targets()
        if self.update_started is not None:
            self.logger.record("seer/update_seconds", time.perf_counter() - self.update_started)

    def _on_rollout_end(self) -> None:
        self._freeze_if_due()
        self.update_started = time.perf_counter()

    def _on_training_end(self) -> None:
        self._give_back()
        self._pin_targets()
        remaining = self.trigger.remaining if isinstance(self.trigger, Timetable) else []
        # Another callback may have frozen deeper
        missed = next(((when, depth) for when, depth in remaining if self._is_deeper(depth)), None)
        if missed is not None:
            when, depth = missed
            warnings.warn(
                f"SEER has not frozen up to {depth!r}, which was asked for at {when} timesteps: training ended at "
                f"{self.num_timesteps}, and no rollout ended between the two, after the first update.",
                stacklevel=2,
            )
        if isinstance(self.trigger, Convergence) and self.encoder is None:
            late = timestep(0.75, self.model._num_timesteps_at_start, self.model._total_timesteps)
            # Not before the first update
            hint = " latest=0.75 would freeze in any case." if late >= self.trigger.earliest else ""
            warnings.warn(f"SEER froze nothing: {self.trigger.obstacle(self.model)}.{hint}", stacklevel=2)

    def _on_step(self) -> bool:
        if isinstance(self.trigger, Convergence):
            self.trigger.see(self.model, self.locals["new_obs"], self.locals["dones"])
        return True

    def _give_back(self) -> None:
        """Not at once: callbacks behind this one have the replay buffer in ``locals`` until the rollout has ended."""
        replaced, self._replaced = self._replaced, None
        if replaced is not None:
            give_back(replaced)

    def _pin_targets(self) -> None:
        if self.encoder is not None and getattr(self.model, "tau", 1) < 1:
            self.encoder.pin_targets()

    def _freeze_if_due(self) -> None:
        if not self._is_deeper(self.depths[-1]):
            return
        model: Any = self.model
        if not model._n_updates and self.source is None and self.encoder is None:
            # Off-policy algorithms may collect long before they learn; what they have now is random
            return
        depth = self.trigger.due(self.model)
        if depth is not None and self._is_deeper(depth):
            self._freeze(depth)

    def _is_deeper(self, depth: Depth) -> bool:
        return self.encoder is None or n_layers(self.encoder.copies[0][0], depth) > self.encoder.parts[0].n_layers

    def _freeze(self, depth: Depth, timesteps: int | None = None) -> None:
        """Build everything, then change the model; if that fails, training goes on as it was."""
        model: Any = self.model
        # A model that is frozen already keeps its number format
        latent_dtype = getattr(model, "seer", {}).get("latent_dtype", self.latent_dtype)
        try:
            encoder = LatentEncoder(model, depth, latent_dtype)
            encoder.check_plain()
            buffer = latent_buffer(model, encoder, self.capacity)
        except (RuntimeError, MemoryError, ConversionError) as error:
            if self.encoder is None and frozen_layers(model):
                # Its layers would stay frozen, and be marked as if they were not
                raise ConflictError(
                    "This model was frozen in this process, and a buffer of images was put into it since, which could "
                    f"not be made latents: {error} Load the buffer that was saved with it; or save the model, and load "
                    "it, to train all of its layers."
                ) from error
            warnings.warn(f"SEER could not freeze at {self.num_timesteps}, and trains on: {error}", stacklevel=2)
            # It took its time, and would fail again
            self.trigger = Timetable([])
            if self.encoder is None:
                # As where a model that was saved frozen does not fit any more
                train_from_images(model)
            return
        if timesteps is None:
            # Those of a model that was saved frozen stay as they were
            update_targets(model)
        timesteps = model.num_timesteps if timesteps is None else timesteps
        # First: a model that is marked only is frozen as soon as it trains again, as after Ctrl-C in between
        mark_frozen(model, depth=depth, latent_dtype=latent_dtype, timesteps=timesteps)
        encoder.freeze()
        self._replaced = set_buffer(model, buffer)
        self._say(buffer, timesteps)

    def _say(self, buffer: Any, timesteps: int) -> None:
        encoder = self.encoder
        assert encoder is not None
        self.logger.record("seer/frozen_at", timesteps)
        latent_bytes = encoder.latent_dim * encoder.dtype.itemsize
        self.logger.record("seer/bytes_per_transition", getattr(buffer, "bytes_per_transition", latent_bytes))
        self.logger.record("seer/buffer_bytes", getattr(buffer, "bytes_used", buffer.observations.nbytes))
        line = (
            f"SEER: frozen up to {encoder.depth!r} at {timesteps} timesteps, "
            f"latents of {encoder.latent_dim} x {encoder.dtype}, in {type(buffer).__name__}"
        )
        if isinstance(buffer, LatentReplayBuffer):
            self.logger.record("seer/capacity", buffer.buffer_size * buffer.n_envs)
            line += f" for {buffer.buffer_size * buffer.n_envs:,} transitions"
        _LOG.info("%s", line)
        if max(self.verbose, self.model.verbose) >= 1:
            print(line)
