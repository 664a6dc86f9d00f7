"""Every method of a recipe, with any options that it accepts, goes through JSON and text and comes back the same."""

from __future__ import annotations

import json
from itertools import combinations

from hypothesis import assume, given
from hypothesis import strategies as st

from sb3_efficient.compression import (
    Binary,
    ChannelPruning,
    Distillation,
    DynamicFloat16,
    DynamicInt8,
    LnStructured,
    MagnitudePruning,
    QuantizationAware,
    StaticFloat16,
    StaticInt8,
    list_methods,
    make_method,
    make_recipe,
)
from sb3_efficient.compression.groups import IMPORTANCES
from sb3_efficient.compression.layers import PARTS
from sb3_efficient.compression.recipe import METHODS, LastMethod, Method

RATIOS = st.floats(0, 1, exclude_max=True)
COUNTS = st.integers(1, 10**9)
POSITIVE = st.floats(0, 1e9, exclude_min=True)
NAMES = st.from_regex(r"[a-z_]{1,8}(\.[a-z0-9_]{1,4}){0,2}", fullmatch=True)
LAYERS = st.lists(NAMES, max_size=3).map(tuple)
TRAINING = {
    "steps": COUNTS,
    "batch_size": COUNTS,
    "learning_rate": POSITIVE,
    "temperature": POSITIVE,
    "value_weight": st.floats(0, 1e9),
    "seed": st.integers(0, 2**31),
}
AMOUNTS = st.one_of(
    RATIOS.map(lambda ratio: {"ratio": ratio}),
    st.floats(1, 1e9).map(lambda speedup: {"speedup": speedup}),
    COUNTS.map(lambda size: {"bytes": size}),
    st.just({}),
)
CHANNELS = st.tuples(AMOUNTS, st.sampled_from(sorted(IMPORTANCES)), st.none() | st.dictionaries(NAMES, RATIOS))
STRATEGIES: dict[type[Method], st.SearchStrategy[Method]] = {
    Binary: st.builds(Binary, layers=LAYERS, **TRAINING),
    ChannelPruning: CHANNELS.map(lambda drawn: ChannelPruning(**drawn[0], importance=drawn[1], layers=drawn[2])),
    Distillation: st.builds(Distillation, **TRAINING),
    DynamicFloat16: st.builds(DynamicFloat16),
    DynamicInt8: st.builds(DynamicInt8),
    LnStructured: st.builds(LnStructured, ratio=RATIOS, layers=LAYERS, dim=st.integers(0, 1), n=COUNTS),
    MagnitudePruning: st.builds(MagnitudePruning, ratio=RATIOS, part=st.sampled_from(sorted(PARTS))),
    QuantizationAware: st.builds(QuantizationAware, **TRAINING),
    StaticFloat16: st.builds(StaticFloat16),
    StaticInt8: st.builds(StaticInt8, images=COUNTS),
}
MODEL_METHODS = [strategy for cls, strategy in STRATEGIES.items() if not issubclass(cls, LastMethod)]
LAST_METHODS = [strategy for cls, strategy in STRATEGIES.items() if issubclass(cls, LastMethod)]


def test_no_method_is_left_out() -> None:
    assert set(STRATEGIES) == {METHODS[name] for name in list_methods()}


@given(st.one_of(*STRATEGIES.values()))
def test_one_method(method: Method) -> None:
    assert make_method(json.loads(json.dumps(method.to_config()))) == method
    assert make_method(str(method)) == method


@given(st.lists(st.one_of(*MODEL_METHODS), max_size=3), st.none() | st.one_of(*LAST_METHODS))
def test_a_recipe(steps: list[Method], last: Method | None) -> None:
    recipe = (*steps, last) if last else tuple(steps)
    assume(not any(a.undone_by_training and b.trains for a, b in combinations(steps, 2)))
    assert make_recipe(json.loads(json.dumps([method.to_config() for method in recipe]))) == recipe
    assert make_recipe(" ".join(map(str, recipe))) == recipe
