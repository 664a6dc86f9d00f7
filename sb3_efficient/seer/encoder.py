"""All frozen encoders of one model as one function from images to latents."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BaseModel
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from sb3_efficient.errors import ConversionError
from sb3_efficient.extractors import EncoderExtractor
from sb3_efficient.extractors.computing import Computing
from sb3_efficient.fast.forward import FastFeatures, FastForward
from sb3_efficient.fast.plan import Plan
from sb3_efficient.seer.frozen import FrozenForward
from sb3_efficient.seer.methods import OnLatents, on_their_own
from sb3_efficient.seer.stages import Depth

#: Images that are encoded at once
CHUNK = 256
#: A freeze is refused if a latent comes nearer than this to what its number format can hold: others will be larger
MARGIN = 4


def encoders(model: BaseAlgorithm) -> list[list[BaseFeaturesExtractor]]:
    """
    :param model: Any SB3 model on images
    :return: Each features extractor that is trained, with its copies in target networks behind it
    """
    found: dict[str, list[BaseFeaturesExtractor]] = defaultdict(list)
    # One that actor and critic share has two names, and its copy in a target may have the other
    first_name: dict[BaseFeaturesExtractor, str] = {}
    same: dict[str, str] = {}
    for full_name, module in model.policy.named_modules(remove_duplicate=False):
        if isinstance(module, BaseFeaturesExtractor):
            name = _followed(full_name)
            name = same.setdefault(name, first_name.setdefault(module, name))
            if module not in found[name]:
                found[name].append(module)
    return list(found.values())


@th.no_grad()
def update_targets(model: BaseAlgorithm) -> None:
    """
    Make target networks equal to what is trained. A freeze gives them its encoder, which would meet the layers behind
    an older one: values that no network has had, until the next update.

    :param model: Any SB3 model
    """
    state = {_uncompiled(name): value for name, value in model.policy.state_dict().items()}
    for name, value in state.items():
        # A network that only has such a name follows none
        if "_target." in name and (followed := state.get(_followed(name))) is not None:
            value.copy_(followed)


def _followed(name: str) -> str:
    """Of a module or weight, also of a target network: its name in the network that is trained."""
    return _uncompiled(name).replace("_target.", ".")


def _uncompiled(name: str) -> str:
    """Without torch.compile's part of it, as one network may be compiled and its target not."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


class LatentEncoder:
    """
    Freezes a model, and encodes for its buffer. Several extractors (actor and critic) each own a slice of the latent.

    :param model: Any SB3 model on images
    :param depth: See :mod:`sb3_efficient.seer.stages`
    :param dtype: ``"float16"`` or ``"float32"``
    """

    def __init__(self, model: BaseAlgorithm, depth: Depth, dtype: str = "float16") -> None:
        self.model, self.depth, self.dtype = model, depth, np.dtype(dtype)
        self.copies = encoders(model)
        self.parts: list[FrozenForward] = []
        self.latent_dim = 0
        for first, *_ in self.copies:
            self.parts.append(self._frozen(first, self.latent_dim))
            self.latent_dim += self.parts[-1].latent_dim

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """
        :param images: (B, C, H, W)
        :return: (B, L), latents of all extractors side by side
        """
        batch = th.as_tensor(np.ascontiguousarray(images), device=self.model.device)
        latents = [part.encode(part.prepared(batch, self.model.policy)) for part in self.parts]
        return th.cat(latents, dim=1).cpu().numpy()

    def reencode(self, stored: np.ndarray, shallower: LatentEncoder | None = None) -> np.ndarray:
        """
        :param stored: Images, or (B, L) latents of a shallower depth
        :param shallower: What made these latents
        :return: (B, L) of this depth; an error if they are not finite, or nearly so
        """
        batch = th.as_tensor(np.ascontiguousarray(stored), device=self.model.device)
        if shallower is None:
            # These images are not going to be acted on: nothing to remember
            latents = [part.encode(part.prepared(batch, self.model.policy), remember=False) for part in self.parts]
        else:
            pairs = zip(shallower.parts, self.parts, strict=True)
            latents = [old.lift(batch[:, old.columns], new) for old, new in pairs]
        return _in_range(th.cat(latents, dim=1))

    def freeze(self) -> None:
        """From now on every extractor of the model takes latents, too; those of targets get the same encoder."""
        plan = Plan()
        for part, (first, *targets) in zip(self.parts, self.copies, strict=True):
            _plan_frozen(plan, first, part)
            for target in targets:
                twin = self._frozen(target, part.columns.start)
                _copy_encoder(part, twin)
                _plan_frozen(plan, target, twin)
        for network in self.model.policy.modules():
            if not isinstance(network, BaseModel):
                continue
            methods: dict[str, Any] = {"extract_features": FastFeatures(network)}
            methods |= {name: OnLatents(network, name) for name in on_their_own(network)}
            for name, method in methods.items():
                if name not in vars(network):
                    plan.set(network, name, method)
        plan.run()

    def check_plain(self) -> None:
        """Refuse layers that compute otherwise for a while, as in quantization-aware training."""
        for part in self.parts:
            for layer in part.frozen.modules():
                if "forward" in vars(layer):
                    raise ConversionError(
                        f"{type(layer).__name__} does not compute with its own weights, as in quantization-aware "
                        "training, and latents would be wrong once it does: freeze before that begins."
                    )

    def pin_targets(self) -> None:
        """Undo the rounding that averaging into a target network (``tau`` < 1) does to equal weights."""
        for part, (_, *targets) in zip(self.parts, self.copies, strict=True):
            for target in targets:
                _copy_encoder(part, vars(target)["forward"])

    @property
    def version(self) -> list[int]:
        """Something else once weights have been put into the model, as by ``set_parameters``."""
        return [part.version for part in self.parts]

    @property
    def precision(self) -> str:
        """Number formats that the frozen layers compute in."""
        return ", ".join(sorted({part.encoding.precision for part in self.parts}))

    def digest(self) -> str:
        """SHA-256 of what latents depend on: frozen weights and statistics, depth, dtype."""
        sha = hashlib.sha256(f"{self.depth} {self.dtype}".encode())
        for part in self.parts:
            for name, value in part.frozen.state_dict().items():
                sha.update(f"{name} {tuple(value.shape)}".encode())
                sha.update(value.detach().cpu().contiguous().numpy().tobytes())
        return sha.hexdigest()

    def _frozen(self, extractor: BaseFeaturesExtractor, offset: int) -> FrozenForward:
        policy: Any = self.model.policy
        normalizes = bool(policy.normalize_images)
        below = vars(extractor).get("forward")
        numbers: Computing
        if isinstance(below, FrozenForward):
            numbers = below.numbers
        elif isinstance(extractor, EncoderExtractor):
            numbers = extractor
        else:
            scales = normalizes and is_image_space(extractor._observation_space)
            numbers = below if isinstance(below, FastForward) else FastForward(extractor, scales_pixels=scales)
        dtype = th.float16 if self.dtype == np.float16 else th.float32
        encoding, takes_uint8 = numbers.as_for(self.model.n_envs), numbers.takes_uint8(normalizes)
        return FrozenForward(extractor, numbers, takes_uint8, self.depth, dtype, offset, encoding)


def _plan_frozen(plan: Plan, extractor: BaseFeaturesExtractor, part: FrozenForward) -> None:
    plan.set(extractor, "forward", part)
    # What it remembers would lie in memory that the next CUDA graph writes over
    plan.set(extractor, "_compiled_call_impl", None)


def _in_range(latents: th.Tensor) -> np.ndarray:
    # Not a number is not below anything either
    if not (latents.abs() < th.finfo(latents.dtype).max / MARGIN).all():
        raise ConversionError(
            f"A latent is too large for {latents.dtype}, or not a number: try latent_dtype='float32', and look "
            "whether the weights are finite."
        )
    return latents.cpu().numpy()


@th.no_grad()
def _copy_encoder(source: FrozenForward, target: FrozenForward) -> None:
    for ours, theirs in zip(source.frozen.state_dict().values(), target.frozen.state_dict().values(), strict=True):
        theirs.copy_(ours)
