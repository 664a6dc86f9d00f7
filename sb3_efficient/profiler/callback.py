"""The profiler as a callback of Stable-Baselines3, and its table."""

from __future__ import annotations

import json
import warnings
from functools import partial
from pathlib import Path
from weakref import finalize, ref

from sb3_efficient.atomic import check_writable, replace_file
from sb3_efficient.callbacks import RolloutCallback
from sb3_efficient.errors import ConflictError, WriteError
from sb3_efficient.options import whole_number
from sb3_efficient.profiler.patches import Patches, buffers, timed_methods
from sb3_efficient.profiler.stopwatch import SECTIONS, Stopwatch, shares

#: Who times at present: it may be one whose training was interrupted
_active: ref[ProfileCallback] | None = None


class ProfileCallback(RolloutCallback):
    """
    Split the wall-clock of ``learn`` into :data:`SECTIONS`, for any SB3 or contrib algorithm; what callbacks do after a
    step, an evaluation for example, is "rest" as a whole.

    Shares of the time go to TensorBoard as ``profile/<section>``, the whole to the end of the run's output and to a
    file. Measuring costs some microseconds a section. In rl-zoo3::

        callback:
          - sb3_efficient.profiler.ProfileCallback: {file: profile.json}

    :param file: Where the seconds go as JSON when training ends
    :param skip: Steps that are not counted, while caches and compilers warm up
    :param verbose: 1: print the table when training ends
    """

    def __init__(self, file: str | Path | None = None, skip: int = 0, verbose: int = 1) -> None:
        super().__init__(verbose)
        if file is not None:
            check_writable(Path(file))
        self.file = file
        self.skip = whole_number("skip", skip, least=0)
        self.steps = 0
        self._patches = Patches()
        # Nothing says so when a training is interrupted
        finalize(self, self._patches.put_back)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each section so far."""
        return self._stopwatch.seconds

    def _on_training_start(self) -> None:
        self._take_over()
        self._stopwatch = Stopwatch(self.model.device)
        self._started_at = self.model.num_timesteps
        self._to_skip = self.skip
        self._take_times()

    def _take_over(self) -> None:
        """Some of what is timed is the whole process's, so that there is one at a time."""
        global _active
        before, _active = None if _active is None else _active(), ref(self)
        if before is None:
            return
        before._patches.put_back()
        if before is not self and before.locals is self.locals:
            raise ConflictError("Two ProfileCallbacks in one training would time each other: leave one out.")

    def _take_times(self) -> None:
        watch = self._stopwatch
        self._buffers = buffers(self.model)
        try:
            for owner, name, section in timed_methods(self.model, self.locals.get("callback")):
                wrap = watch.timed_generator if (section, name) == ("buffer", "get") else watch.timed
                self._patches.replace(owner, name, partial(wrap, name=section))
        except BaseException:
            self._patches.put_back()
            raise

    def _on_rollout_start(self) -> None:
        if self._patches and any(new is not old for new, old in zip(buffers(self.model), self._buffers, strict=True)):
            # SEER has another one since it froze
            self._patches.put_back()
            self._take_times()
        taken = self.model.num_timesteps - self._started_at
        if self._to_skip and taken >= self._to_skip:
            self._to_skip, self._started_at = 0, self.model.num_timesteps
            self._stopwatch.read()
            self._stopwatch.seconds.update(dict.fromkeys(SECTIONS, 0.0))
        seconds = self._stopwatch.read()
        if taken == 0:
            # Nothing has run yet
            return
        for section, share in shares(seconds).items():
            self.logger.record(f"profile/{section}", share)

    def _on_training_end(self) -> None:
        if not self._patches:
            # The zoo says so twice
            if _active is None or _active() is not self:
                warnings.warn("There is no profile: a ProfileCallback of another training took over.", stacklevel=2)
            return
        if self._to_skip:
            warnings.warn(
                f"skip={self.skip}: no rollout began after so many steps, and the profile has all of them. Train for "
                "longer, or skip fewer.",
                stacklevel=2,
            )
        self._stopwatch.read()
        self.steps = self.model.num_timesteps - self._started_at
        self._patches.put_back()
        if self.file is not None:
            self._write(self.file)
        if self.verbose > 0:
            print(table({"this run": (self.steps, self.seconds)}))

    def _write(self, file: str | Path) -> None:
        content = {"steps": self.steps, "seconds": self.seconds}
        try:
            replace_file(file, (json.dumps(content, indent=1) + "\n").encode())
        except WriteError as error:
            # The agent has not been saved yet
            warnings.warn(f"There is no profile: {error}", stacklevel=2)


def table(runs: dict[str, tuple[int, dict[str, float]]]) -> str:
    """
    :param runs: Steps, and seconds of each section, of some runs by name
    :return: Milliseconds for 1000 steps of each section, as text
    """
    width = max(14, *(len(name) + 2 for name in runs))
    lines = [f"{'ms per 1000 steps':<20}" + "".join(f"{name:>{width}}" for name in runs)]
    for section in SECTIONS:
        cells = (1e6 * seconds[section] / max(steps, 1) for steps, seconds in runs.values())
        lines.append(f"{section:<20}" + "".join(f"{cell:>{width},.0f}" for cell in cells))
    totals = {name: sum(seconds.values()) or 1.0 for name, (_, seconds) in runs.items()}
    lines.append(f"{'fps':<20}" + "".join(f"{steps / totals[name]:>{width},.0f}" for name, (steps, _) in runs.items()))
    return "\n".join(lines)
