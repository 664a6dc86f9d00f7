"""SEER: freeze the encoder, then learn from stored latents."""

from sb3_efficient.seer.callback import SEERCallback

__all__ = ["SEERCallback"]
