"""
What is done to a policy, as data: steps by name or as frozen config objects, with a JSON round trip.

A step either makes another SB3 model (:class:`ModelMethod`), or is the last and makes another graph of what
acts (:class:`LastMethod`). Modules of this package register their steps with :func:`register_method`.
"""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import combinations, pairwise
from typing import Any, ClassVar, TypeVar

import numpy as np
from onnx import ModelProto
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.engines import ActingGraph
from sb3_efficient.errors import OptionError
from sb3_efficient.options import check_names
from sb3_efficient.registry import Registry


@dataclass(frozen=True)
class Method(ABC):
    """
    One step of a recipe. Its fields are its options, of kinds that JSON has (sequences: tuples), and are checked in
    ``__post_init__``.
    """

    name: ClassVar[str]
    needs_observations: ClassVar[bool] = False
    #: Whether it trains, and whether what it makes of weights is gone once something else has
    trains: ClassVar[bool] = False
    undone_by_training: ClassVar[bool] = False

    def check(self, model: BaseAlgorithm) -> None:  # noqa: B027, for a step may fit every model
        """Refuse a model that this step cannot work on. All steps are asked before the first one works."""

    def to_config(self) -> dict[str, Any]:
        """
        :return: What :func:`make_method` takes, ready for JSON
        """
        return {"method": self.name, **_plain(asdict(self))}

    def __str__(self) -> str:
        """The form of command lines and tables: ``channel-pruning(ratio=0.5)``."""
        values = ((f, _plain(getattr(self, f.name))) for f in fields(self))
        options = [(f.name, value) for f, value in values if value != f.default]
        return self.name + (f"({', '.join(f'{name}={value!r}' for name, value in options)})" if options else "")


class ModelMethod(Method):
    """A step from model to model."""

    @abstractmethod
    def apply(self, model: BaseAlgorithm, *, teacher: BaseAlgorithm, observations: np.ndarray | None) -> BaseAlgorithm:
        """
        :param model: The result of the steps before; it stays as it is
        :param teacher: The model that the recipe began with
        :param observations: uint8, (N, C, H, W), as ``model.observation_space`` has them; None only where
            ``needs_observations`` is false
        :return: Another model, of the same class
        """


class LastMethod(Method):
    """A step on the graph of the network that acts, behind which there is no SB3 model any more."""

    @abstractmethod
    def convert(self, graph: ActingGraph, observations: np.ndarray | None) -> ModelProto:
        """
        :param graph: Of the result of the steps before, in float32; may be changed
        :param observations: As in :meth:`ModelMethod.apply`
        :return: The compressed graph
        """


METHODS: Registry[type[Method]] = Registry("compression method")
MethodClass = TypeVar("MethodClass", bound=type[Method])
Step = str | Method | Mapping[str, Any]
#: The recipe of no steps, as text
AS_IT_IS = "float32"


def register_method(name: str) -> Callable[[MethodClass], MethodClass]:
    """
    :param name: Lower case words joined by hyphens
    :return: A decorator for a frozen dataclass
    """

    def register(cls: MethodClass) -> MethodClass:
        METHODS.register(name, cls)
        cls.name = name
        return cls

    return register


def make_method(step: Step) -> Method:
    """
    :param step: ``"static-int8"``, ``"channel-pruning(ratio=0.5)"``, what :meth:`Method.to_config` gave, or a method
    :return: The method
    """
    if isinstance(step, Method):
        return step
    if isinstance(step, str):
        step = _parsed(step)
    if not isinstance(step, Mapping) or "method" not in step:
        raise OptionError(f"A step of a recipe is a name, as 'static-int8', or a config object, got {step!r}.")
    options = {name: _tuples(value) for name, value in step.items() if name != "method"}
    cls = METHODS[step["method"]]
    check_names(f"Compression method {step['method']!r}", options, cls)
    return cls(**options)


def make_recipe(steps: Step | Iterable[Step]) -> tuple[Method, ...]:
    """
    :param steps: One step, several in the order in which they are applied, or a text with blanks between steps;
        ``"float32"`` is none
    :return: The methods; only the last may be a :class:`LastMethod`
    """
    if isinstance(steps, str):
        steps = [] if steps.strip() == AS_IT_IS else _split(steps)
    elif isinstance(steps, (Method, Mapping)):
        steps = [steps]
    elif not isinstance(steps, Iterable):
        raise OptionError(f"A recipe is a step or several, as ['channel-pruning', 'static-int8'], got {steps!r}.")
    recipe = tuple(make_method(step) for step in steps)
    for method in recipe[:-1]:
        if isinstance(method, LastMethod):
            raise OptionError(
                f"{method.name!r} makes the policy that is deployed, so it must be the last step, "
                f"got {recipe_text(recipe)!r}."
            )
    for method, later in combinations(recipe, 2):
        if method.undone_by_training and later.trains:
            raise OptionError(f"{later.name!r} trains, and would undo {method.name!r}: put it before.")
    return recipe


def recipe_text(recipe: Iterable[Method]) -> str:
    """
    :param recipe: Steps
    :return: What :func:`make_recipe` takes, and people read
    """
    return " ".join(map(str, recipe)) or AS_IT_IS


def _split(text: str) -> list[str]:
    """At the blanks between steps: outside of brackets, and not in front of one."""
    starts, depth = [0], 0
    for i, character in enumerate(text):
        if character == "," and depth == 0:
            raise OptionError(f"Between steps of a recipe are blanks and no commas, got {text!r}.")
        depth += (character in "([{") - (character in ")]}")
        if character.isspace() and depth == 0 and not text[i:].lstrip().startswith("("):
            starts.append(i)
    parts = (text[a:b].strip() for a, b in pairwise([*starts, len(text)]))
    return [part for part in parts if part]


def _parsed(text: str) -> dict[str, Any]:
    name, bracket, rest = text.strip().partition("(")
    try:
        if bracket and not rest.endswith(")"):
            raise SyntaxError
        call = ast.parse(f"dict({rest[:-1]})", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise SyntaxError
    except (SyntaxError, ValueError):
        raise OptionError(
            f"A step of a recipe is written as 'channel-pruning' or 'channel-pruning(ratio=0.5)', got {text!r}."
        ) from None
    options = [str(keyword.arg) for keyword in call.keywords]
    if twice := {option for option in options if options.count(option) > 1}:
        raise OptionError(f"A step of a recipe says {', '.join(sorted(twice))} twice: {text!r}.")
    return {"method": name.strip(), **{str(k.arg): _value(str(k.arg), k.value) for k in call.keywords}}


def _value(option: str, node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        # The second one of a dictionary whose keys are lists
        raise OptionError(
            f"{option}={ast.unparse(node)} is no value: write a number, True, False, a text in quotes, or a list."
        ) from None


def _plain(value: Any) -> Any:
    """With Python's numbers in place of numpy's, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
