"""What changed since the observation before is computed, everything else is remembered. On the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from torch import nn

from sb3_efficient.engines.base import Engine
from sb3_efficient.engines.graph import ActingGraph
from sb3_efficient.engines.network import ActingNetwork
from sb3_efficient.engines.rest import Rest
from sb3_efficient.engines.tail import Tail, chain
from sb3_efficient.errors import OptionError
from sb3_efficient.options import whole_number
from sb3_efficient.reuse.changes.network import Network, read_layers
from sb3_efficient.reuse.changes.plan import Plan
from sb3_efficient.reuse.changes.quantized_graph import read_graph
from sb3_efficient.reuse.changes.reuser import Reuser
from sb3_efficient.reuse.changes.seen import Seen
from sb3_efficient.reuse.patches.rememberer import Rememberer, suits
from sb3_efficient.reuse.watch import plain

_INSTEAD = "take the engine 'eager' or 'onnxruntime'."


class ReuseEngine(Engine):
    """
    Each row of a batch is compared with the same row of the batch before: the environments of a ``VecEnv``. That they
    follow each other makes it fast, not right: after a reset, or in any other order, more differs and is computed.

    A policy compressed by ``static-int8`` is computed in int8, bit by bit as the engine of ONNX Runtime does. What is
    behind its first linear layer, if it is more than linear layers, is computed by that.

    :param source: Network, or a graph of ``static-int8``
    :param threads: It computes on one, whatever is asked for
    :param memory: Bytes that may be remembered, of all environments together; larger batches are refused. Of a network
        whose patches are remembered a quarter is for environments, and the rest for patches. None: 1 GiB, of such a
        network 256 MiB, in which larger batches take turns
    """

    last_steps = ("static-int8",)

    def __init__(self, source: ActingNetwork | ActingGraph, threads: int, memory: int | None = None) -> None:
        if memory is not None:
            memory = whole_number("memory", memory)
        _check_space(source.observation_space)
        super().__init__(source, 1, memory=memory)
        self._reuser: Reuser | Rememberer
        if isinstance(source, ActingGraph):
            shape: Any = source.observation_space.shape
            network, tail = read_graph(source.proto.graph, shape)
            self._tail = Rest(source.proto, tail) if isinstance(tail, str) else _only(chain(tail))
            self._reuser = Reuser(network, memory=memory)
            return
        _check_model(source)
        network, self._hidden = _read(source)
        self._tail = self._make_tail(source)
        self._reuser = (Rememberer if suits(network) else Reuser)(network, _scale(source), memory)

    @property
    def plan(self) -> Plan:
        """Which layer is computed how, what it remembers, and how much was computed so far: ``print(engine.plan)``."""
        return self._reuser.plan

    def seen(self, row: int = 0) -> list[Seen]:
        """
        :param row: Of the batch: an environment
        :return: Where each layer was computed, and changed, for its last observation
        """
        if isinstance(self._reuser, Rememberer):
            raise OptionError("This network's results are remembered by patch, not by position: see engine.plan.")
        return self._reuser.seen(row)

    def refresh(self, model: BaseAlgorithm | BasePolicy) -> None:
        """
        Take the weights that a model has now. Everything that is remembered is void.

        :param model: With the same network
        """
        if isinstance(self._source, ActingGraph):
            raise OptionError("A compressed policy keeps its weights: compress the model again, and make a new engine.")
        new = ActingNetwork(model)
        _check_model(new)
        if _structure(new) != _structure(self._source):
            raise OptionError("refresh takes a model with the network that the engine was made of; make a new engine.")
        self._source.load_state_dict(new.state_dict())
        self._tail = self._make_tail(self._source)
        self._reuser.load()

    def _run(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self._tail(self._reuser(feed["observation"]))

    def _make_tail(self, source: ActingNetwork) -> Any:
        last = list(source.last)
        if self._hidden is not None:
            return Tail(self._hidden, last)
        # The linear layers that were computed are the last ones of the network
        ends = np.cumsum([layer.out_features for layer in last])[:-1]
        return lambda features: np.split(features, ends, axis=1)


def _only(function: Any) -> Any:
    """A network has a list of outputs, also of one."""
    return lambda features: [function(features)]


def _check_space(space: spaces.Space) -> None:
    if isinstance(space, spaces.Dict):
        raise OptionError(f"The engine 'reuse' takes one image, and the observations are dictionaries: {_INSTEAD}")
    if space.dtype != np.uint8 or len(space.shape or ()) != 3:
        raise OptionError(f"The engine 'reuse' takes uint8 images (C, H, W), and the space is {space}: {_INSTEAD}")


def _check_model(source: ActingNetwork) -> None:
    """Refuse devices, and layers that something else is done to."""
    if source.device.type != "cpu":
        raise OptionError(
            f"The engine 'reuse' computes on the CPU, and the model is on {source.device}: load it with device='cpu', "
            "or let the model itself predict."
        )
    for name, layer in source.named_modules():
        if not plain(layer):
            raise OptionError(
                f"The engine 'reuse' computes what layers are by their class, and {name} ({layer}) has hooks, a "
                f"parametrization or a forward of its own, as during quantization-aware training: {_INSTEAD}"
            )


def _scale(source: ActingNetwork) -> float:
    """What a byte of an image is divided by."""
    prepare: Any = source.extractors[0][0]  # type: ignore[index]
    # As SB3's preprocess_obs, which leaves other bytes than those of 0 to 255 as they are
    divides = prepare.normalize_images and is_image_space(prepare.space)
    return (255.0 if divides else 1.0) * (255.0 if prepare.divides else 1.0)


def _structure(source: ActingNetwork) -> Any:
    """All of a network but its weights; the text of layers has their class, sizes, strides and padding."""
    shapes = {name: tensor.shape for name, tensor in source.state_dict().items()}
    return source.observation_space, source.head, str(source), shapes, _scale(source)


def _read(source: ActingNetwork) -> tuple[Network, list[nn.Module] | None]:
    """The steps, and the hidden layers behind the first linear one; None if that is the last."""
    shape: Any = source.observation_space.shape
    extractor: Any = source.extractors[0]
    latent = list(source.latent) if isinstance(source.latent, nn.Sequential) else [source.latent]
    network, rest = read_layers(extractor[1:], shape)
    rest = [layer for layer in (*rest, *latent) if not isinstance(layer, nn.Identity)]
    if not rest:
        if not all(isinstance(layer, nn.Linear) for layer in source.last):
            # SAC's two are not of one kind: both behind the convolutions
            return network, []
        network.linear = [layer for layer in source.last if isinstance(layer, nn.Linear)]
        return network, None
    first, *hidden = rest
    if not isinstance(first, nn.Linear):
        raise OptionError(
            f"The engine 'reuse' wants a linear layer behind the flattening, and found {first}: {_INSTEAD}"
        )
    network.linear = [first]
    network.activation = bool(hidden) and isinstance(hidden[0], nn.ReLU)
    return network, hidden[1:] if network.activation else hidden
