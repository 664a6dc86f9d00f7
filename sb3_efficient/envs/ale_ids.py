"""What an environment id says about a game of the Arcade Learning Environment (ALE)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import ale_py
import gymnasium as gym
from ale_py import roms
from gymnasium.envs.registration import EnvSpec

from sb3_efficient.errors import ObservationError, OptionError, UnknownNameError, suggestion

#: Settings of an id that change the game or the picture, and that the vector interface of ale-py does not have
UNSUPPORTED = ("mode", "difficulty", "continuous", "sound_obs")
#: What to do about games that AleVecEnv refuses
INSTEAD = "use make_vec_env (in rl-zoo3: leave out vec_env=ale)."


@dataclass(frozen=True)
class AleId:
    """
    An id, looked up.

    :param spec: gymnasium's entry
    :param rom_path: Its file
    :param action_repeat_probability: Chance that the emulator repeats the last action, in each frame
    :param full_action_space: Whether all 18 actions are there, or only those the game knows
    :param max_frames: Frames after which the emulator truncates a game; 0 for never
    :param max_played: Frames after which gymnasium's ``TimeLimit`` does, which counts those behind the emulator's reset
        only; 0 for never
    """

    spec: EnvSpec
    rom_path: Path
    action_repeat_probability: float
    full_action_space: bool
    max_frames: int
    max_played: int


def look_up(env_id: str) -> AleId:
    """
    :param env_id: As in gymnasium and the zoo: ``PongNoFrameskip-v4``, ``ALE/Pong-v5``
    """
    if not isinstance(env_id, str):
        raise OptionError(f"AleVecEnv takes the id of a game, such as 'PongNoFrameskip-v4', got {env_id!r}.")
    gym.register_envs(ale_py)
    pictures = re.sub(r"-ram(?=NoFrameskip|Deterministic|-v\d)", "", env_id)
    if pictures != env_id:
        raise ObservationError(
            f"{env_id!r} observes the memory of the console, AleVecEnv gives pictures.{_similar(pictures)}"
        )
    try:
        spec = gym.spec(env_id)
    except gym.error.Error:
        raise UnknownNameError(f"No environment {env_id!r} is registered.{_similar(env_id)}") from None
    if spec.entry_point != "ale_py.env:AtariEnv":
        raise OptionError(
            f"AleVecEnv plays ale-py's Atari games, and {env_id!r} is made by {spec.entry_point}: {INSTEAD}"
        )
    _check(spec)
    kwargs = spec.kwargs
    return AleId(
        spec=spec,
        rom_path=_rom(kwargs["game"]),
        action_repeat_probability=kwargs.get("repeat_action_probability", 0.25),
        full_action_space=kwargs.get("full_action_space", False),
        max_frames=kwargs.get("max_num_frames_per_episode") or 0,
        max_played=(spec.max_episode_steps or 0) * kwargs.get("frameskip", 4),
    )


def _check(spec: EnvSpec) -> None:
    kwargs = spec.kwargs
    if kwargs.get("obs_type", "rgb") == "ram":
        raise ObservationError(f"{spec.id!r} observes the memory of the console, AleVecEnv gives pictures.")
    if not isinstance(kwargs.get("frameskip", 4), int):
        raise OptionError(f"{spec.id!r} skips a random number of frames, AleVecEnv always the same.{_similar(spec.id)}")
    found = [f"{name}={kwargs[name]!r}" for name in UNSUPPORTED if kwargs.get(name)]
    found += [wrapper.name for wrapper in spec.additional_wrappers]
    if found:
        raise OptionError(f"{spec.id!r} asks for {', '.join(found)}, which AleVecEnv cannot do: {INSTEAD}")


def _rom(game: str) -> Path:
    # The emulator ends the whole process at a file that it does not know, so only single-player games of ale-py pass
    known = {
        spec.kwargs["game"]
        for spec in gym.registry.values()
        if spec.id.startswith("ALE/") and spec.entry_point == "ale_py.env:AtariEnv"
    }
    path = roms.get_rom_path(game) if game in known else None
    if path is None or not Path(path).is_file():
        raise UnknownNameError(f"ale-py has no single-player ROM {game!r}.{suggestion(game, known)}")
    return Path(path)


def _similar(env_id: str) -> str:
    """Compare the games only: that ``"pong"`` lacks most of ``"PongNoFrameskip-v4"`` must not matter."""
    form = "ALE/{}-v5" if env_id.startswith("ALE/") else "{}NoFrameskip-v4"
    names = (known.removeprefix("ALE/").removesuffix("-v5") for known in gym.registry if known.startswith("ALE/"))
    games = {name.lower(): form.format(name) for name in names if form.format(name) in gym.registry}
    asked = re.sub(r"^ALE/|NoFrameskip|Deterministic|-v\d+$|_", "", env_id).lower()
    matches = get_close_matches(asked, games, n=1)
    return f" Did you mean {games[matches[0]]!r}?" if matches else ""
