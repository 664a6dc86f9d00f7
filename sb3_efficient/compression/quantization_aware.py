"""Training that knows of the 8 bits to come, as ``static-int8`` is going to round weights and activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.callbacks import RolloutCallback
from sb3_efficient.compression.copying import copied
from sb3_efficient.compression.distillation import Training, distil
from sb3_efficient.compression.layers import Layer, layers
from sb3_efficient.compression.networks import networks
from sb3_efficient.compression.recipe import ModelMethod, register_method
from sb3_efficient.compression.size import acting_parameters
from sb3_efficient.compression.straight_through import coarsen, settle, settled_at_the_end
from sb3_efficient.options import fraction
from sb3_efficient.seer.frozen import frozen_layers

#: What a new minimum or maximum counts in their moving average, as in torch's MovingAverageMinMaxObserver
_MOMENTUM = 0.01
_LEAST_SCALE = 1e-8


@register_method("qat")
@dataclass(frozen=True)
class QuantizationAware(Training, ModelMethod):
    """
    Quantization-aware fine-tuning by distillation: the layers that act compute with 8-bit weights and inputs.

    Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
    (2018), with weights rounded symmetrically for each output. The result is an ordinary model whose weights lie on
    the grid of ``static-int8``, which comes after it. It begins near its end, so that learning rates of
    ``distillation`` would lead away from it.
    """

    learning_rate: float = 1e-4
    needs_observations = True

    def check(self, model: BaseAlgorithm) -> None:
        networks(model)

    def apply(self, model: BaseAlgorithm, *, teacher: BaseAlgorithm, observations: np.ndarray | None) -> BaseAlgorithm:
        self.check(model)
        student = copied(model)
        acting = acting_layers(student)
        with settled_at_the_end(acting):
            for layer in acting:
                coarsen(layer, rounded_weights, RoundedInputs(layer))
            distil(student, teacher, observations, self)
        networks(student).synchronize_targets()
        return student


class QATCallback(RolloutCallback):
    """
    Quantization-aware training with the environment's reward: from ``start`` on, the layers that act compute with
    8-bit weights and inputs. For the algorithms that ``compress`` takes; in rl-zoo3:
    ``callback: [{sb3_efficient.compression.QATCallback: {start: 0.8}}]``. Models are saved as
    ordinary ones; at the end of training, the weights lie on the grid of ``static-int8``.

    SB3 does not tell callbacks of a training that was interrupted (Ctrl-C in a script; the zoo does): call
    ``on_training_end()`` before the model is saved, or trained on without this callback.

    :param start: Part of this training after which it begins, in [0, 1)
    """

    def __init__(self, start: float = 0.8, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.start = fraction("start", start)
        self.layers: list[Layer] = []

    def _on_training_start(self) -> None:
        networks(self.model)
        # Those of a training that was interrupted
        settle(self.layers)
        self._began, self.layers = self.num_timesteps, []

    def _on_rollout_start(self) -> None:
        due = self._began + self.start * (self.model._total_timesteps - self._began)
        if not self.layers and self.num_timesteps >= due:
            # Latents are stored that frozen layers made, as they are
            frozen = frozen_layers(self.model)
            self.layers = [layer for layer in acting_layers(self.model) if layer not in frozen]
            for layer in self.layers:
                coarsen(layer, rounded_weights, RoundedInputs(layer))

    def _on_training_end(self) -> None:
        settle(self.layers)


class RoundedInputs:
    """
    Rounds to 256 steps between moving averages of the smallest and largest input.

    The averages move in passes that are learnt from, and after them: TRPO compares what is learnt from with a pass
    without gradients over the same images, and PPO its first minibatch with what acted.

    :param layer: Whose inputs they are; while it is in training mode, the averages move
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.bounds: th.Tensor | None = None

    def __call__(self, x: th.Tensor) -> th.Tensor:
        # Under autocast inputs are bfloat16, which is coarser than the steps
        x = x.float()
        low, high = before = _bounds(x) if self.bounds is None else self.bounds
        learns = self.layer.training and th.is_grad_enabled()
        self.bounds = before.lerp(_bounds(x), _MOMENTUM) if learns else before
        scale = ((high - low) / 255).clamp(min=_LEAST_SCALE)
        zero = (-low / scale).round().clamp(0, 255).to(th.int32)
        return th.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)


def _bounds(x: th.Tensor) -> th.Tensor:
    # Zero is always one of the steps: padding and ReLU make it
    return th.stack([x.detach().min().clamp(max=0), x.detach().max().clamp(min=0)])


def rounded_weights(weight: th.Tensor) -> th.Tensor:
    """
    :param weight: (outputs, ...)
    :return: The same, rounded to 255 steps symmetric around zero, for each output
    """
    largest = weight.detach().flatten(1).abs().amax(dim=1)
    scale = (largest / 127).clamp(min=_LEAST_SCALE)
    return th.fake_quantize_per_channel_affine(weight, scale, th.zeros_like(scale, dtype=th.int32), 0, -127, 127)


def acting_layers(model: BaseAlgorithm) -> list[Layer]:
    """
    :param model: Any SB3 or contrib model
    :return: Layers that actions depend on
    """
    found = networks(model)
    acting = {id(p) for p in acting_parameters(found, tuple(model.observation_space.shape or ()))}
    return [layer for group in layers(found).values() for layer in group if id(layer.weight) in acting]
