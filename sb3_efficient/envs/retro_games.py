"""For ``--gym-packages``: importing this registers every game of stable-retro."""

from sb3_efficient.envs.retro import register_all

register_all()
