"""One call that makes any image model of SB3 or sb3-contrib train faster."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch as th
from sb3_contrib import TRPO
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.errors import OptionError
from sb3_efficient.extractors.precision import Precision, check_precision, has_bf16, resolve_precision
from sb3_efficient.fast.buffer import plan_buffer
from sb3_efficient.fast.denormals import plan_denormals
from sb3_efficient.fast.device_buffer import plan_device_buffer
from sb3_efficient.fast.memory import plan_memory
from sb3_efficient.fast.networks import image_extractors, plan_networks
from sb3_efficient.fast.optimizer import plan_optimizers
from sb3_efficient.fast.plan import Plan
from sb3_efficient.fast.quantile_loss import plan_quantile_loss
from sb3_efficient.options import check_names, check_switches, whole_number

_LOG = logging.getLogger("sb3_efficient")

#: What ``precision="auto"`` is where bfloat16 runs in hardware
AUTO: Precision = "bf16"
#: Algorithms that "auto" leaves in fp32: TRPO takes gradients of gradients, and a line search by small differences
AUTO_FP32 = (TRPO,)


@dataclass(frozen=True)
class Report:
    """
    What :func:`accelerate` did; ``print`` it.

    :param model: Algorithm and device
    :param precision: What the image networks were to compute in
    :param changes: One line for each change
    :param left_alone: One line for each thing that stays as it was, with the reason
    """

    model: str
    precision: str
    changes: tuple[str, ...]
    left_alone: tuple[str, ...]

    def __str__(self) -> str:
        head = f"accelerate: {self.model}" + ("" if self.changes else ", nothing was changed")
        lines = [*(f"  changed     {c}" for c in self.changes), *(f"  left alone  {c}" for c in self.left_alone)]
        return "\n".join([head, *lines])


def accelerate(
    model: BaseAlgorithm,
    *,
    precision: str = "auto",
    fused_optimizer: bool = True,
    lean_buffer: bool = True,
    device_rollouts: bool | None = None,
    keep_memory: bool = True,
    compile: bool = False,
    num_threads: int | None = None,
) -> Report:
    """
    Make a model train faster, in place: new, or loaded from any zip, with SB3's own policies and networks or ours::

        model = PPO.load("ppo_pong.zip", env=env)
        report = sb3_efficient.accelerate(model)
        model.learn(1_000_000)

    Weights, their names, optimizer state and saved zips stay as they are: a zip saved afterwards loads wherever the
    model's zips loaded before. What is loaded, it or a replay buffer, is as fast as before until ``accelerate`` is
    called again. Calling it twice does nothing the second time. If anything fails, nothing has been changed. On the CPU
    denormal moments of the optimizer are flushed to zero, which changes no weight. The quantile loss of QR-DQN and TQC,
    the same up to rounding, is replaced for the whole process.

    :param model: Any SB3 or sb3-contrib model. One without an image network is left as it is.
    :param precision: What the image networks compute in: ``"fp32"``, ``"bf16"`` or ``"auto"``, which is bf16 where it
        runs in hardware. Weights, heads and losses are fp32 in any case. A precision given to one of our
        extractors in ``features_extractor_kwargs`` is kept.
    :param fused_optimizer: Use the fused form of Adam and AdamW
    :param lean_buffer: Copy minibatches once where SB3 copies them twice
    :param device_rollouts: Keep the images of a rollout of PPO, A2C or TRPO in the memory of the device that the model
        is on, and pick (so copy once) minibatches there; None: if it is a GPU, which has not been measured
    :param keep_memory: Keep freed memory for the next minibatch (Linux with glibc). It holds for the whole process
        and for as long as it runs, which then keeps the most memory that it ever needed, replay buffers aside.
    :param compile: Compile the extractors with ``torch.compile``. On the CPUs measured it is slower. On a GPU, which
        none of this has been measured on, into CUDA graphs.
    :param num_threads: Threads of torch's operators, for the whole process; None: as they are
    :return: What was changed, what was not, and why; printed too if ``model.verbose`` is at least 1
    """
    chosen = _checked(model, precision)
    switches = {"fused_optimizer": fused_optimizer, "lean_buffer": lean_buffer, "keep_memory": keep_memory}
    _check_values(precision, num_threads, device_rollouts, **switches, compile=compile)
    plan = Plan()
    if not image_extractors(model):
        plan.leave(f"the policy is {type(model.policy).__name__} without an image network: only those get faster")
    else:
        plan_networks(plan, model, chosen, compile)
        if fused_optimizer:
            plan_optimizers(plan, model)
        if lean_buffer:
            plan_buffer(plan, model)
        plan_device_buffer(plan, model, device_rollouts)
        plan_quantile_loss(plan, model)
        if model.device.type == "cpu":
            plan_denormals(plan, model)
            if keep_memory:
                plan_memory(plan)
    _plan_threads(plan, num_threads)
    plan.run()
    found = f"{type(model).__name__} on {model.device}"
    report = Report(found, chosen, tuple(plan.changes), tuple(plan.left_alone))
    _LOG.info("%s", report)
    if getattr(model, "verbose", 0) >= 1:
        print(report)
    return report


def check_options(options: dict[str, Any]) -> None:
    """
    Refuse what :func:`accelerate` does not take, while there is no model yet.

    :param options: Its options, by name
    """
    check_names("accelerate", options, accelerate, given=("model",))
    _check_values(**options)


def _check_values(
    precision: str = "auto", num_threads: int | None = None, device_rollouts: bool | None = None, **switches: bool
) -> None:
    check_precision(precision)
    if num_threads is not None:
        whole_number("num_threads", num_threads)
    if device_rollouts is not None:
        check_switches(device_rollouts=device_rollouts)
    check_switches(**switches)


def _checked(model: BaseAlgorithm, precision: str) -> Precision:
    """Refuse what cannot be done, and decide on the number format."""
    if not isinstance(model, BaseAlgorithm) or getattr(model, "policy", None) is None:
        found = repr(model).splitlines()[0]
        raise OptionError(f"accelerate takes a Stable-Baselines3 model, such as PPO('CnnPolicy', env), got {found}.")
    if model.device.type not in ("cpu", "cuda"):
        raise OptionError(
            f"accelerate works on the CPU and on CUDA, and this model is on {str(model.device)!r}: "
            "make or load it with device='cpu' or device='cuda'."
        )
    explicit = resolve_precision(precision)
    if precision != "auto":
        return explicit
    return AUTO if has_bf16(model.device.type) and not isinstance(model, AUTO_FP32) else "fp32"


def _plan_threads(plan: Plan, num_threads: int | None) -> None:
    found = th.get_num_threads()
    if num_threads is not None and num_threads != found:
        plan.step(partial(th.set_num_threads, int(num_threads)), partial(th.set_num_threads, found))
        plan.change(f"threads: {num_threads}, before {found} (whole process)")
