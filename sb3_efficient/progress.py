"""Progress bars, on stderr so that tables can be piped, and only where somebody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import shorten


@contextmanager
def progress_bar(title: str | None, total: int) -> Iterator[Callable[[], object]]:
    """
    :param title: What is going on; None for no bar
    :param total: How many times the function given is going to be called
    """
    from tqdm import tqdm

    # A long recipe would leave no room for the bar
    shown = shorten(title or "", 40, placeholder=" ...")
    # disable=None: where stderr is no terminal
    with tqdm(total=total, desc=shown, leave=False, disable=None if title else True) as bar:
        yield bar.update
