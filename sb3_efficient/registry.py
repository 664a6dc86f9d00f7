"""Names for things: register once, look up with "did you mean", list in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Generic, TypeVar

from sb3_efficient.errors import EfficientError
from sb3_efficient.options import check_name

Item = TypeVar("Item")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Registry(Generic[Item]):
    """
    A dictionary with manners.

    :param kind: What the names stand for, in the singular, as error messages say it
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, Item] = {}

    def register(self, name: str, item: Item) -> None:
        """
        :param name: Lower case, words joined by hyphens, not taken yet
        :param item: What the name stands for
        """
        if not _NAME.fullmatch(name):
            raise EfficientError(f"{self.kind} name {name!r} must be lower case words joined by hyphens, as 'my-net'.")
        if name in self._items:
            raise EfficientError(f"{self.kind} {name!r} is registered already; choose another name.")
        self._items[name] = item

    def __getitem__(self, name: str) -> Item:
        check_name(self.kind, name, self)
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._items))

    def items(self) -> list[tuple[str, Item]]:
        """All pairs, in the order of their names."""
        return sorted(self._items.items(), key=lambda pair: pair[0])
