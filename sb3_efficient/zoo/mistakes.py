"""The commonest mistakes, which the zoo's programs report at the end of a traceback, as one message."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from traceback import walk_tb

from sb3_efficient.errors import ArtifactError, EfficientError, MissingExtraError, OptionError, UnknownNameError

#: Whose errors are about settings, while nothing runs yet
_HOSTS = ("rl_zoo3", "stable_baselines3", "sb3_contrib", "gymnasium", "torch")
#: Through whom they are called; the zoo's program is __main__
_BETWEEN = {"sb3_efficient", "__main__", "optuna", *sys.stdlib_module_names}
_REGISTERS = "--gym-packages MODULE imports a module that registers more."
_NO_AGENT = re.compile("The .* folder was not found|No (model|checkpoint) found for")


def typed_options(verb: str, arguments: Sequence[str]) -> argparse.Namespace:
    """
    :param verb: Program of the zoo
    :param arguments: Its command line
    :return: What messages, and this package, need of the zoo's own options
    """
    parser = argparse.ArgumentParser(f"sb3-efficient {verb}", add_help=False, usage="%(prog)s ...")
    parser.add_argument("-f", "--folder", default="rl-trained-agents")
    parser.add_argument("-i", "--trained-agent")
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--gym-packages", nargs="+", default=[])
    parser.add_argument("--seed")
    parser.add_argument("--n-envs", type=int, default=1)
    parser.add_argument("--storage")
    if verb == "record_video":
        # To train -o is the beginning of -optimize
        parser.add_argument("-o", "--output-folder")
    return parser.parse_known_args(arguments)[0]


@contextmanager
def in_one_line(typed: argparse.Namespace) -> Iterator[None]:
    """
    :param typed: By :func:`typed_options`, for the zoo's program that runs inside
    """
    try:
        yield
    except Exception as error:
        message = str(error)
        # There is no agent in its folder, so that the zoo tried to download one, or would have
        has_tried = type(error).__module__.startswith("huggingface_hub")
        if has_tried or "TRUST_REMOTE_CODE" in message:
            places = f"{typed.folder}{' or on the Hugging Face Hub' * has_tried}"
            message = f"No model found for {typed.env} in {places}; training writes to logs, unless -f says other"
        if _NO_AGENT.match(message):
            # The zoo is imported by now
            from sb3_efficient.zoo.saved import no_agent

            raise no_agent(message, typed.folder) from error
        if "must be a valid path to a .zip file" in message:
            raise ArtifactError(
                f"-i {typed.trained_agent}: there is no such zip. Name the agent to continue, as "
                "-i logs/ppo/PongNoFrameskip-v4_1/PongNoFrameskip-v4.zip."
            ) from error
        if "not found in gym registry" in message:
            raise UnknownNameError(f"{message} {_REGISTERS}") from error
        if isinstance(error, KeyError) and error.args == (typed.env,):
            raise UnknownNameError(f"No environment {typed.env!r} is registered. {_REGISTERS}") from error
        if "Seed must be between" in message:
            raise OptionError(f"--seed {typed.seed}: a seed is a whole number below 2**32.") from error
        if type(error).__module__.startswith("sqlalchemy."):
            raise OptionError(
                f"--storage {typed.storage} cannot be used: {message}. Name a file, as search.log, or a database, as "
                "sqlite:///search.db."
            ) from error
        if "pip install wandb" in message or "'optunahub'" in message:
            # Of --track, and of --sampler auto
            raise MissingExtraError(f"rl-zoo3 wants a package that is not installed: {message}") from error
        raise


@contextmanager
def in_settings() -> Iterator[None]:
    """
    While inside, what the zoo and SB3 refuse, or choke on, is said without their traceback. Errors in a user's own
    code, as of an environment, keep theirs.
    """
    try:
        yield
    except EfficientError:
        raise
    except (AssertionError, AttributeError, NameError, RuntimeError, TypeError, ValueError) as error:
        *outer, package = _packages(error)
        if package not in _HOSTS or not {*outer} <= {*_HOSTS, *_BETWEEN}:
            raise
        raise OptionError(f"{package} refuses these settings: {type(error).__name__}: {error}") from error


def _packages(error: BaseException) -> list[str]:
    """Of every frame, the innermost last."""
    names = (str(frame.f_globals.get("__name__", "")) for frame, _ in walk_tb(error.__traceback__))
    return [name.partition(".")[0] for name in names]
