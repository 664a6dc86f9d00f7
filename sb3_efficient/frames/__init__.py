"""
Replay buffers that keep every frame of a frame stack once.

SB3's ``ReplayBuffer`` keeps two stacks a transition, 56,448 bytes at 4x84x84, and each frame comes eight times.
Here it comes once, 7,056 bytes, and 36 for what refers to it; compressed, it is a few hundred to 1,500. What is sampled
is the same, bit for bit::

    model = DQN("CnnPolicy", env, replay_buffer_class=FrameReplayBuffer, replay_buffer_kwargs=dict(compress=True))

In rl-zoo3: ``-params replay_buffer_class=sb3_efficient.frames.FrameReplayBuffer``, or the same key in YAML. Without our
hook it evaluates the key as Python, where it is ``"__import__('sb3_efficient.frames').frames.FrameReplayBuffer"``.
"""

from __future__ import annotations

from sb3_efficient.frames.replay import FrameNStepReplayBuffer, FrameReplayBuffer

__all__ = ["FrameNStepReplayBuffer", "FrameReplayBuffer"]
