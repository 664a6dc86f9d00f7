"""Where the time of a training run goes: environment, acting, buffer, forward, backward, optimizer, rest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_efficient.atomic import replace_file
from sb3_efficient.policies import optimizers

#: In the order of the loop. "forward" is what an update does besides backward and optimizer: networks and losses
SECTIONS = ("environment", "acting", "buffer", "forward", "backward", "optimizer", "rest")


class Stopwatch:
    """
    Seconds per section. A section inside another one is not counted twice: the outer one pauses.

    :param device: On a GPU the clock is read when the work that was queued is done
    """

    def __init__(self, device: th.device | str = "cpu") -> None:
        self.seconds = dict.fromkeys(SECTIONS, 0.0)
        self._synchronize: Callable[[], Any] = th.cuda.synchronize if th.device(device).type == "cuda" else lambda: None
        self._open = ["rest"]
        self._since = time.perf_counter()

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """
        :param name: One of :data:`SECTIONS`
        """
        self.read()
        self._open.append(name)
        try:
            yield
        finally:
            self.read()
            self._open.pop()

    def read(self) -> dict[str, float]:
        """
        :return: Seconds of each section up to now
        """
        self._synchronize()
        now = time.perf_counter()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now
        return self.seconds

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """
        :param function: Function or method
        :param name: Section that its time counts for
        :return: The same function, timed
        """

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.section(name):
                return function(*args, **kwargs)

        return call

    def timed_generator(self, function: Callable[..., Iterator[Any]], name: str) -> Callable[..., Iterator[Any]]:
        """As :meth:`timed`, for the time that a generator takes to make each of its items."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Iterator[Any]:
            items = function(*args, **kwargs)
            while True:
                with self.section(name):
                    item = next(items, None)
                if item is None:
                    return
                yield item

        return call


#: Object or class, name, what stood there before: of all callbacks, as classes are the whole process's
_replaced: list[tuple[Any, str, Any]] = []


def _replace(owner: Any, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """
    Of objects the method of their class is replaced, and asked whose it is: what is an attribute of a model or a buffer
    would be saved with it.
    """
    if name in vars(owner):
        _set(owner, name, wrap(vars(owner)[name]))
        return
    method = getattr(type(owner), name)
    timed = wrap(method)

    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return (timed if self is owner else method)(self, *args, **kwargs)

    _set(type(owner), name, call)


def _set(owner: Any, name: str, value: Any) -> None:
    _replaced.append((owner, name, vars(owner).get(name)))
    setattr(owner, name, value)


def _put_back() -> None:
    while _replaced:
        owner, name, before = _replaced.pop()
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


class ProfileCallback(BaseCallback):
    """
    Split the wall-clock of ``learn`` into :data:`SECTIONS`, for any SB3 or contrib algorithm.

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
        self.file = file
        self.skip = skip
        self.steps = 0

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each section so far."""
        return self._stopwatch.seconds

    def _on_training_start(self) -> None:
        # Of a training that was interrupted: SB3 says nothing about its end
        _put_back()
        self._stopwatch = Stopwatch(self.model.device)
        self._started_at = self.model.num_timesteps
        self._to_skip = self.skip
        self._take_times()

    def _take_times(self) -> None:
        watch = self._stopwatch
        self._buffers = buffers(self.model)
        for owner, name, section in timed_methods(self.model):
            wrap = watch.timed_generator if (section, name) == ("buffer", "get") else watch.timed
            _replace(owner, name, partial(wrap, name=section))

    def _on_rollout_start(self) -> None:
        if any(new is not old for new, old in zip(buffers(self.model), self._buffers, strict=True)):
            # SEER has another one since it froze
            _put_back()
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

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        if not _replaced:
            # The zoo says so twice
            return
        self._stopwatch.read()
        self.steps = self.model.num_timesteps - self._started_at
        _put_back()
        if self.file is not None:
            content = {"steps": self.steps, "seconds": self.seconds}
            replace_file(self.file, (json.dumps(content, indent=1) + "\n").encode())
        if self.verbose > 0:
            print(table({"this run": (self.steps, self.seconds)}))


def timed_methods(model: BaseAlgorithm) -> list[tuple[Any, str, str]]:
    """
    :return: (object, method, section) of everything that is timed
    """
    methods: list[tuple[Any, str, str]] = [(model, "train", "forward"), (th.Tensor, "backward", "backward")]
    methods += [(model.env, "step", "environment")]
    for buffer in buffers(model):
        names = ("add", "get", "sample", "compute_returns_and_advantage")
        methods += [(buffer, method, "buffer") for method in names if hasattr(buffer, method)]
    # On-policy algorithms act by calling the policy, off-policy ones through predict()
    methods += [(model.policy, method, "acting") for method in ("forward", "predict")]
    # SAC learns its entropy coefficient with one of its own
    own = [value for value in vars(model).values() if isinstance(value, th.optim.Optimizer)]
    for optimizer in (*own, *optimizers(model.policy)):
        methods += [(optimizer, "step", "optimizer"), (optimizer, "zero_grad", "optimizer")]
    return [*methods, (th.nn.utils, "clip_grad_norm_", "optimizer")]


def buffers(model: BaseAlgorithm) -> list[Any]:
    """
    :return: Rollout buffer and replay buffer, None for the one that the algorithm does not have
    """
    return [getattr(model, name, None) for name in ("rollout_buffer", "replay_buffer")]


def shares(seconds: dict[str, float]) -> dict[str, float]:
    """
    :return: Share of each section in the sum, in [0, 1]
    """
    total = sum(seconds.values()) or 1.0
    return {section: value / total for section, value in seconds.items()}


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
