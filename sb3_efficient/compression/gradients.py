"""How much the outputs of a policy depend on each of its parameters, without rewards or labels."""

from __future__ import annotations

import numpy as np
import torch as th

from sb3_efficient.compression.networks import Networks

#: Images from which gradients are computed
_BATCH = 256


@th.enable_grad()
def compute_gradients(found: Networks, observations: np.ndarray) -> None:
    """
    Gradients of the squared outputs, each centred and scaled over the observations: what an output is made of.

    :param found: Networks whose parameters get them
    :param observations: uint8, (N, C, H, W)
    """
    chosen = np.random.default_rng(0).choice(len(observations), min(_BATCH, len(observations)), replace=False)
    outputs = found.outputs(th.as_tensor(observations[np.sort(chosen)], device=found.policy.device))
    found.policy.zero_grad()
    losses = []
    for tensor in (*outputs.action, *outputs.values):
        centred = tensor - tensor.mean(dim=0).detach()
        losses.append((centred / (centred.detach().std() + 1e-8)).pow(2).mean())
    th.autograd.backward([th.stack(losses).sum()])
