"""SEER: freeze the encoder, then learn from stored latents."""

from sb3_efficient.seer.callback import SEERCallback
from sb3_efficient.seer.replay import LatentReplayBuffer
from sb3_efficient.seer.resume import ThawCallback

__all__ = ["LatentReplayBuffer", "SEERCallback", "ThawCallback"]
