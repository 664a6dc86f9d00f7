"""Seconds of sections that lie inside one another, none counted twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch as th

#: In the order of the loop. "forward" is what an update does besides backward and optimizer: networks and losses;
#: "rest" has callbacks, with the evaluations in them
SECTIONS = ("environment", "acting", "buffer", "forward", "backward", "optimizer", "rest")


class Stopwatch:
    """
    Seconds per section. A section inside another one is not counted twice: the outer one pauses. One that is opened as
    "rest" has none inside it.

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
        self._open.append("rest" if self._open[1:] and self._open[-1] == "rest" else name)
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


def shares(seconds: dict[str, float]) -> dict[str, float]:
    """
    :return: Share of each section in the sum, in [0, 1]
    """
    total = sum(seconds.values()) or 1.0
    return {section: value / total for section, value in seconds.items()}
