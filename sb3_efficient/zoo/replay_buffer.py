"""Replay buffers of an entry, and of an agent that is continued."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient import frames
from sb3_efficient.errors import ConflictError, OptionError
from sb3_efficient.frames.replay import FrameNStepReplayBuffer, FrameReplayBuffer, check_options, codec_of
from sb3_efficient.seer import LatentReplayBuffer
from sb3_efficient.zoo.agents import saved_replay_buffer
from sb3_efficient.zoo.entries import Entry, import_class
from sb3_efficient.zoo.values import evaluated


def import_replay_buffer(entry: Entry) -> None:
    """
    Import a replay buffer that is given by a dotted name, and check its options; the zoo evaluates anything else.

    :param entry: Hyper-parameters of one environment; altered
    """
    path = entry.get("replay_buffer_class")
    if path in frames.__all__:
        raise OptionError(f"replay_buffer_class: name {path} with its module, {frames.__name__}.{path}.")
    if isinstance(path, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", path):
        entry["replay_buffer_class"] = import_class("replay_buffer_class", path)
    buffer_class, options = entry.get("replay_buffer_class"), evaluated(entry, "replay_buffer_kwargs")
    own = {"compress", "frame_channels"} & {*options} if isinstance(options, dict) else set()
    if buffer_class is None and own:
        raise OptionError(
            f"replay_buffer_kwargs has {', '.join(sorted(own))}, which FrameReplayBuffer takes, and not SB3's: add "
            "replay_buffer_class=sb3_efficient.frames.FrameReplayBuffer."
        )
    # Others may take more than their signatures say
    if buffer_class in (FrameReplayBuffer, FrameNStepReplayBuffer) and isinstance(options, dict):
        check_options(buffer_class, options)
        _check_gamma(entry.get("gamma", 0.99), options.get("gamma"))


def check_n_steps(entry: Entry) -> None:
    """
    Refuse n-step returns beside a buffer of other ones, of which SB3 warns only.

    :param entry: Hyper-parameters of one environment, of an algorithm with a replay buffer if it names one; evaluated
    """
    asked, buffer_class = entry.get("n_steps", 1), entry.get("replay_buffer_class")
    if buffer_class not in (FrameReplayBuffer, FrameNStepReplayBuffer) or asked == 1:
        return
    own = (entry.get("replay_buffer_kwargs") or {}).get("n_steps", 1)
    if asked != own:
        raise OptionError(
            f"n_steps={asked} is for SB3's own replay buffer, and {buffer_class.__name__} has n_steps={own}: leave the "
            "first out, and give replay_buffer_class=sb3_efficient.frames.FrameNStepReplayBuffer "
            f'replay_buffer_kwargs="dict(n_steps={asked}, gamma={entry.get("gamma", 0.99)})".'
        )


def leave_saved_options(entry: Entry, agent: str) -> None:
    """
    Of a replay buffer of another class than the one that is asked for, which cannot be made with them.

    :param entry: Hyper-parameters of one environment, evaluated; altered
    :param agent: Zip of the agent to continue, whose options SB3 takes where the entry has none
    """
    asked = entry.get("replay_buffer_class")
    if asked is not None and asked is not saved_replay_buffer(agent):
        entry.setdefault("replay_buffer_kwargs", {})


def check_replay_buffer(model: BaseAlgorithm, entry: Entry, agent: str, typed: Entry) -> None:
    """
    Refuse the file of a replay buffer that is not the one of this run, which SB3 notices in the first step, or never.

    :param model: Continued, with the replay buffer that lay beside it, if there was one
    :param entry: Hyper-parameters of one environment, evaluated
    :param agent: Zip of the agent
    :param typed: What of the entry was asked for in this run
    """
    buffer, env = getattr(model, "replay_buffer", None), model.get_env()
    if buffer is None or env is None:
        return
    if buffer.n_envs != env.num_envs:
        raise ConflictError(
            f"The replay buffer beside {agent} is for n_envs={buffer.n_envs}, and this run has "
            f"n_envs={env.num_envs}: add -params n_envs={buffer.n_envs}, or move replay_buffer.pkl away."
        )
    asked = entry.get("replay_buffer_class")
    # Those of latents are SEER's, whatever class there was before
    if asked not in (None, type(buffer)) and not isinstance(buffer, LatentReplayBuffer):
        raise ConflictError(
            f"The replay buffer beside {agent} is a {type(buffer).__name__}, and replay_buffer_class is "
            f"{asked.__name__}: leave that out, or move replay_buffer.pkl away."
        )
    for key, wanted, found in _options(buffer, entry.get("replay_buffer_kwargs") or {}, typed):
        if None not in (wanted, found) and wanted != found:
            raise ConflictError(
                f"The replay buffer beside {agent} has {key}={found}, and {key}={wanted} was asked for: leave that "
                "out, or move replay_buffer.pkl away."
            )
    _check_gamma(model.gamma, getattr(buffer, "gamma", None))  # type: ignore[attr-defined]


def _options(buffer: Any, options: Entry, typed: Entry) -> Iterator[tuple[str, Any, Any]]:
    """Name, wanted, found."""
    for key in ("n_steps", "gamma"):
        yield key, options.get(key), getattr(buffer, key, None)
    if "compress" in options and isinstance(buffer, FrameReplayBuffer):
        # Those saved by older versions do not say
        yield "compress", codec_of(options["compress"]), getattr(buffer, "compress", None)
    # SEER's may have room for more
    if isinstance(typed.get("buffer_size"), int) and not isinstance(buffer, LatentReplayBuffer):
        n_envs = buffer.n_envs
        yield "buffer_size", max(typed["buffer_size"] // n_envs, 1) * n_envs, buffer.buffer_size * n_envs


def _check_gamma(gamma: Any, own: Any) -> None:
    """Of the algorithm, whose default is the same in all of them, and of the buffer, which SB3 does not compare."""
    if isinstance(gamma, float) and isinstance(own, float) and own != gamma:
        raise ConflictError(
            f"The algorithm has gamma={gamma} and its replay buffer gamma={own} (replay_buffer_kwargs): n-step returns "
            "are discounted by the one and what follows them by the other. Give both the same."
        )
