"""SEER: freeze the encoder, then learn from stored latents."""

from sb3_efficient.seer.callback import SEERCallback
from sb3_efficient.seer.replay import LatentReplayBuffer

__all__ = ["LatentReplayBuffer", "SEERCallback"]
