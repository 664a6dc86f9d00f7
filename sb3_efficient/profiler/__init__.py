"""Where the time of a training run goes: environment, acting, buffer, forward, backward, optimizer, rest."""

from sb3_efficient.profiler.callback import ProfileCallback, table
from sb3_efficient.profiler.patches import buffers, timed_methods
from sb3_efficient.profiler.stopwatch import SECTIONS, Stopwatch, shares

__all__ = ["SECTIONS", "ProfileCallback", "Stopwatch", "buffers", "shares", "table", "timed_methods"]
