from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np
import pytest

from sb3_efficient.compression import recipe as recipe_module
from sb3_efficient.compression.recipe import LastMethod, Method, ModelMethod, make_method, make_recipe, register_method
from sb3_efficient.errors import EfficientError, OptionError, UnknownNameError
from sb3_efficient.registry import Registry


@pytest.fixture(autouse=True)
def methods(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[Method]]:
    """Two methods, in a registry of their own."""
    monkeypatch.setattr(recipe_module, "METHODS", Registry("compression method"))

    @register_method("shave")
    @dataclass(frozen=True)
    class Shave(ModelMethod):
        ratio: float = 0.5
        layers: tuple[str, ...] = ()

        def apply(self, model, *, teacher, observations):
            return model

    @register_method("pack-8")
    @dataclass(frozen=True)
    class Pack(LastMethod):
        def convert(self, graph, observations):
            raise NotImplementedError

    return {"shave": Shave, "pack-8": Pack}


def test_an_option_twice() -> None:
    with pytest.raises(OptionError, match="says ratio twice"):
        make_method("channel-pruning(ratio=0.5, ratio=0.3)")


def test_by_name_as_text_and_as_config(methods: dict[str, type[Method]]) -> None:
    shave, pack = methods["shave"], methods["pack-8"]
    assert make_method("shave") == shave()
    assert make_method("shave(ratio=0.25, layers=['a', 'b'])") == shave(0.25, ("a", "b"))
    assert make_method({"method": "shave", "ratio": 0.25}) == shave(0.25)
    assert make_method(pack()) == pack()


def test_round_trip_through_json_and_text(methods: dict[str, type[Method]]) -> None:
    method = methods["shave"](0.1, ("a",))
    assert make_method(json.loads(json.dumps(method.to_config()))) == method
    assert str(method) == "shave(ratio=0.1, layers=('a',))"
    assert make_method(str(method)) == method
    assert str(methods["shave"]()) == "shave"


@pytest.mark.parametrize(
    "steps",
    [
        "shave(ratio=0.1, layers=('a', 'b')) shave pack-8",
        ["shave(ratio=0.1, layers=('a', 'b'))", "shave", {"method": "pack-8"}],
    ],
)
def test_recipe_keeps_the_order(methods: dict[str, type[Method]], steps: object) -> None:
    shave, pack = methods["shave"], methods["pack-8"]
    assert make_recipe(steps) == (shave(0.1, ("a", "b")), shave(), pack())


def test_blanks_inside_a_step_are_not_between_steps(methods: dict[str, type[Method]]) -> None:
    shave, pack = methods["shave"], methods["pack-8"]
    text = " shave(ratio = 0.1, layers = ['a', 'b'])   shave (ratio=0.2)\npack-8 "
    assert make_recipe(text) == (shave(0.1, ("a", "b")), shave(0.2), pack())


def test_numbers_of_numpy_can_be_saved(methods: dict[str, type[Method]]) -> None:
    method = methods["shave"](np.float32(0.25), (np.str_("a"),))
    assert make_method(json.loads(json.dumps(method.to_config()))) == method
    assert str(method) == "shave(ratio=0.25, layers=('a',))"


def test_empty_and_single_recipe(methods: dict[str, type[Method]]) -> None:
    assert make_recipe("") == make_recipe([]) == ()
    assert make_recipe(methods["shave"]()) == (methods["shave"](),)


def test_misspelt_names_are_answered() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown compression method 'shavve'\. Did you mean 'shave'\?"):
        make_recipe(["shavve"])
    with pytest.raises(OptionError, match=r"Compression method 'shave' has no option 'ration'\. Did you mean 'ratio'"):
        make_recipe("shave(ration=1)")


def test_last_step_must_be_last() -> None:
    with pytest.raises(OptionError, match="'pack-8' makes the policy that is deployed, so it must be the last step"):
        make_recipe("pack-8 shave")


@pytest.mark.parametrize("text", ["shave(0.5)", "shave(ratio=0.5", "shave(ratio=0.5)(ratio=0.2)", "shave(ratio=)"])
def test_ill_formed_text_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="is written as 'channel-pruning' or 'channel-pruning\\(ratio=0.5\\)', got"):
        make_method(text)


@pytest.mark.parametrize("value", ["ten", "open('x')"])
def test_a_value_that_is_none_is_named(value: str) -> None:
    with pytest.raises(OptionError, match=f"^ratio={re.escape(value)} is no value: write a number"):
        make_method(f"shave(ratio={value})")


@pytest.mark.parametrize("text", ["shave,pack-8", "shave(ratio=0.5), pack-8", "shave(layers=('a', 'b')),pack-8"])
def test_commas_between_steps_are_named(text: str) -> None:
    with pytest.raises(OptionError, match="^Between steps of a recipe are blanks and no commas, got .shave"):
        make_recipe(text)


def test_a_number_is_no_recipe() -> None:
    with pytest.raises(OptionError, match=r"^A recipe is a step or several, as .*, got 3\.$"):
        make_recipe(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [3, {"ratio": 0.5}])
def test_other_things_are_refused(step: object) -> None:
    with pytest.raises(EfficientError, match="A step of a recipe is a name, as 'static-int8', or a config object"):
        make_method(step)
