"""Which methods of a training are timed, and how they are replaced for as long."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from types import MethodType
from typing import Any
from weakref import ref

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_efficient.optimizers import optimizers

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


class Patches:
    """
    Methods that are replaced until they are put back.

    Their owners are held weakly: where nothing ends a training, as after Ctrl-C, it must not live on in a class.
    """

    def __init__(self) -> None:
        #: Object or class, name, what stood there before
        self._replaced: list[tuple[ref[Any], str, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._replaced)

    def replace(self, owner: Any, name: str, wrap: Wrap) -> None:
        """
        Of objects the method of their class is replaced, and asked whose it is: what is an attribute of a model or a
        buffer would be saved with it.

        :param owner: Object, class or module
        :param name: Of its method or function
        :param wrap: Makes of it what stands there from now on
        """
        if name in vars(owner):
            self._set(owner, name, wrap(vars(owner)[name]))
            return
        self._set(type(owner), name, _OfOne(owner, getattr(type(owner), name), wrap))

    def put_back(self) -> None:
        """Everything is as it was."""
        while self._replaced:
            found, name, before = self._replaced.pop()
            owner = found()
            if owner is None:
                continue
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

    def _set(self, owner: Any, name: str, value: Any) -> None:
        self._replaced.append((ref(owner), name, vars(owner).get(name)))
        setattr(owner, name, value)


class _OfOne:
    """
    In place of a method of a class: another one for a single object. Pickled it is the method, as a class that is not
    imported, of a script, is saved with all that it has.

    :param owner: The object
    :param method: What stands there
    :param wrap: Makes of it what this object has in its place
    """

    def __init__(self, owner: Any, method: Callable[..., Any], wrap: Wrap) -> None:
        self._owner, self._method, self._wrapped = ref(owner), method, wrap(method)
        update_wrapper(self, method)

    def __get__(self, instance: Any, kind: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __call__(self, instance: Any, *args: Any, **kwargs: Any) -> Any:
        return (self._wrapped if instance is self._owner() else self._method)(instance, *args, **kwargs)

    def __reduce__(self) -> Any:
        return _itself, (self._method,)


def _itself(method: Callable[..., Any]) -> Callable[..., Any]:
    return method


def timed_methods(model: BaseAlgorithm, callback: BaseCallback | None = None) -> list[tuple[Any, str, str]]:
    """
    :param callback: What is asked after every step: an evaluation in it acts as well, on environments of its own
    :return: (object, method, section) of everything that is timed
    """
    methods: list[tuple[Any, str, str]] = [(model, "train", "forward"), (th.Tensor, "backward", "backward")]
    methods += [(model.env, "step", "environment")]
    for buffer in buffers(model):
        names = ("add", "get", "sample", "compute_returns_and_advantage")
        methods += [(buffer, method, "buffer") for method in names]
    # On-policy algorithms act by calling the policy, off-policy ones through predict()
    methods += [
        (model.policy, "forward", "acting"),
        (getattr(model.policy, "_orig_mod", model.policy), "predict", "acting"),
    ]
    methods += [(callback, "on_step", "rest")]
    # SAC learns its entropy coefficient with one of its own
    own = [value for value in vars(model).values() if isinstance(value, th.optim.Optimizer)]
    for optimizer in (*own, *optimizers(model.policy)):
        methods += [(optimizer, "step", "optimizer"), (optimizer, "zero_grad", "optimizer")]
    # ARS trains by other methods
    methods += [(th.nn.utils, "clip_grad_norm_", "optimizer")]
    return [entry for entry in methods if _has(*entry[:2])]


def _has(owner: Any, name: str) -> bool:
    """Whether a method is its own, and not one of another object that it hands on, as compiled modules do."""
    return hasattr(type(owner), name) or name in getattr(owner, "__dict__", ())


def buffers(model: BaseAlgorithm) -> list[Any]:
    """
    :return: Rollout buffer and replay buffer, None for the one that the algorithm does not have
    """
    return [getattr(model, name, None) for name in ("rollout_buffer", "replay_buffer")]
