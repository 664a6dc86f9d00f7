"""
Errors a user can act on: every message says what was asked, what was found and what to do.

They do not derive from ``ValueError`` (but :class:`TrialError`): rl-zoo3's search discards trials that raise one
(``ExperimentManager.objective``), and a misspelt option must not look like an unlucky trial.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class EfficientError(Exception):
    """Base class of all errors raised on purpose by this package."""

    #: Of a program that ends with it
    exit_status = 1


class UnknownNameError(EfficientError):
    """A name that is not registered."""


class OptionError(EfficientError):
    """An option that does not exist, or has a value that makes no sense."""


class TrialError(OptionError, ValueError):
    """An option that does not go with others which a search may sample: it goes on with the next trial."""


class ObservationError(EfficientError):
    """An observation, or an observation space, that the network cannot take."""


class ConflictError(EfficientError):
    """Two settings that contradict each other."""


class ConversionError(EfficientError):
    """A replay buffer that could not be made one of latents, and is as it was."""


class UnavailableError(EfficientError):
    """Nothing is wrong, but this machine or installation does not have what it takes."""

    #: EX_UNAVAILABLE of sysexits.h
    exit_status = 69


class MissingExtraError(UnavailableError):
    """A package that is needed for this only, and is not installed."""


class ArtifactError(EfficientError):
    """A file that is not what it should be."""


class WriteError(EfficientError, OSError):
    """A file that could not be written; the one that was there is as before."""


def suggestion(name: object, known: Iterable[str]) -> str:
    """
    :param name: What was asked for; nothing is like what is no text
    :param known: Names that there are
    :return: ``" Did you mean 'impala'?"`` for a near miss, also one of upper and lower case, otherwise nothing
    """
    if not isinstance(name, str):
        return ""
    names = {one.lower(): one for one in known}
    matches = get_close_matches(name.lower(), names, n=1)
    return f" Did you mean {names[matches[0]]!r}?" if matches else ""


def briefly(value: object) -> str:
    """
    :return: How a message names something unexpected: text and numbers as they are, all else by its class
    """
    return repr(value) if isinstance(value, (str, int, float, type(None))) else f"an object of {type(value).__name__}"
