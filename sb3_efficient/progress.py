"""Progress bars, on stderr so that tables can be piped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import shorten


@contextmanager
def progress_bar(title: str | None, total: int) -> Iterator[Callable[[], None]]:
    """
    :param title: What is going on; None for no bar
    :param total: How many times the function given is going to be called
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=title is None) as progress:
        # A long recipe would leave no room for the bar
        task = progress.add_task(shorten(title or "", 40, placeholder=" ..."), total=total)
        yield lambda: progress.advance(task)
