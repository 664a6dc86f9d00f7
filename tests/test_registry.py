import pytest

from sb3_efficient.errors import EfficientError, UnknownNameError
from sb3_efficient.registry import Registry


@pytest.fixture
def fruits() -> Registry[int]:
    registry: Registry[int] = Registry("fruit")
    registry.register("pear", 2)
    registry.register("apple-red", 1)
    return registry


def test_names_come_back_in_order(fruits: Registry[int]) -> None:
    assert list(fruits) == ["apple-red", "pear"]
    assert fruits.items() == [("apple-red", 1), ("pear", 2)]
    assert fruits["pear"] == 2


def test_near_miss_is_answered_with_the_name(fruits: Registry[int]) -> None:
    with pytest.raises(
        UnknownNameError, match=r"^Unknown fruit 'paer'\. Did you mean 'pear'\? Known: apple-red, pear\.$"
    ):
        fruits["paer"]


def test_far_miss_is_answered_with_the_list(fruits: Registry[int]) -> None:
    with pytest.raises(UnknownNameError, match=r"^Unknown fruit 'zzz'\. Known: apple-red, pear\.$"):
        fruits["zzz"]


def test_taken_name_is_refused(fruits: Registry[int]) -> None:
    with pytest.raises(EfficientError, match="fruit 'pear' is registered already"):
        fruits.register("pear", 3)
    assert fruits["pear"] == 2


@pytest.mark.parametrize("name", ["Pear", "pear_x", "-pear", "pear-", "2pear", ""])
def test_ill_formed_name_is_refused(fruits: Registry[int], name: str) -> None:
    with pytest.raises(EfficientError, match="must be lower case words joined by hyphens"):
        fruits.register(name, 3)
