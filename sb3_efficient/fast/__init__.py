"""Faster training of models as they are: no forks, no subclasses, the same zips."""

from sb3_efficient.fast.callback import AccelerateCallback
from sb3_efficient.fast.model import Report, accelerate

__all__ = ["AccelerateCallback", "Report", "accelerate"]
