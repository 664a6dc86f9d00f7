"""
``freeze_at="auto"``: freeze a stage once its representation no longer changes, the lowest stages first.

Lower layers settle before upper ones (SVCCA: Raghu et al., arXiv 1706.05806, section 4.4; SEER: Chen et al., NeurIPS
2021, section 4.1). What is compared is the activation of every stage on the same images, between one look and the next,
by linear CKA (Kornblith et al., arXiv 1905.00414).

In two runs of PPO with NatureCNN on Pong (2 million steps, looks 100,000 steps apart, examples/benchmarks/settling.py)
the first convolution stays above 0.99 from the beginning and from 200,000 steps on, the second from 700,000 and
600,000, the third from 1.1 million and 700,000: from below, as the papers say. The first images of an episode are left
out, as the black frames that pad their stacks differ from everything else: eight among 256, and the same second
convolutions are above 0.996 from the second look on, whatever they learn meanwhile.

Where nothing is learnt, features stand still, too. On Qbert returns rise within 30,000 steps, stand for 250,000 and
rise again. So only standing still while returns rise says that a stage is done.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_efficient.errors import OptionError
from sb3_efficient.seer.encoder import LatentEncoder, encoders
from sb3_efficient.seer.stages import Depth, deepest_stage, n_stages

#: Images that every look is taken on
N_PROBES = 256
#: Looks in one training, at least
N_LOOKS = 20
#: Timesteps between looks, at most: those of the run that the threshold was chosen in
MAX_INTERVAL = 100_000
#: Games that must have ended before returns say anything
MIN_GAMES = 20


def linear_cka(x: th.Tensor, y: th.Tensor) -> float:
    """
    Similarity of two representations of the same inputs: 1 if they differ by a rotation and a scale only.

    :param x: (B, D)
    :param y: (B, E)
    :return: In [0, 1]
    """
    gram_x, gram_y = (z @ z.T for z in (x - x.mean(dim=0), y - y.mean(dim=0)))
    scale = gram_x.norm() * gram_y.norm()
    return float((gram_x * gram_y).sum() / scale) if scale > 0 else 1.0


def check_threshold(threshold: Any) -> float:
    """
    :return: ``threshold``, if CKA can be as high
    """
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float, np.number)) or not 0 < threshold < 1:
        raise OptionError(f"threshold is a similarity (CKA) between 0 and 1, as 0.99, got {threshold!r}.")
    return float(threshold)


class Convergence:
    """
    Says when to freeze, and how deep.

    A stage is frozen when it and all below have changed little (CKA of at least ``threshold``) in two successive
    looks, after returns have begun to move, and returns have risen on since it began to stand still. A rise is more
    than the standard deviation among the first games. Where nothing is being learnt, features stand still, too.

    :param depth: How deep to freeze at most
    :param earliest: Timestep before which nothing is frozen
    :param latest: Timestep at which ``depth`` is frozen in any case; None: never
    :param length: Timesteps of the whole training
    :param threshold: CKA
    """

    def __init__(self, depth: Depth, earliest: int, latest: int | None, length: int, threshold: float) -> None:
        self.depth, self.earliest, self.latest = depth, earliest, latest
        self.interval, self.threshold = min(length // N_LOOKS, MAX_INTERVAL), threshold
        self.next_look = self.next_image = self.n_updates = 0
        self.images: list[np.ndarray] = []
        #: Of every environment: steps since its episode began
        self.ages: Any = 0
        self.before: list[th.Tensor] = []
        #: Of every stage: looks that it has stood still for, and the mean return when it began to; None: does not count
        self.quiet: list[int] = []
        self.since: list[float | None] = []
        self.first_games: tuple[float, float] | None = None

    def due(self, model: Any) -> Depth | None:
        """
        :param model: At the end of a rollout
        :return: How deep to freeze now, if at all
        """
        if self.latest is not None and model.num_timesteps >= self.latest:
            return self.depth
        returns = self._returns(model)
        if sum(map(len, self.images)) < N_PROBES or model.num_timesteps < self.next_look:
            return None
        # Without updates, as before ``learning_starts``, standing still says nothing
        if model._n_updates == self.n_updates:
            return None
        self.next_look, self.n_updates = model.num_timesteps + self.interval, model._n_updates
        settled = self._look(model, returns)
        if not settled or model.num_timesteps < self.earliest:
            return None
        return settled if settled < deepest_stage(_extractor(model), self.depth) else self.depth

    def see(self, model: Any, images: np.ndarray, dones: np.ndarray) -> None:
        """
        Collect what the environments show, over the time between two looks; the buffer may hold latents.

        Without the first images of an episode, as far as black frames pad their stacks: they differ from all others so
        much that CKA would say little else.

        :param model: At any step: rollouts are few where they are long
        :param images: (n_envs, C, H, W), what the step led to
        :param dones: (n_envs,), whether it ended an episode
        """
        self.ages = np.where(dones, 0, self.ages + 1)
        if model.num_timesteps >= self.next_image and sum(map(len, self.images)) < N_PROBES:
            has_black = (images == 0).all(axis=(2, 3)).any(axis=1)
            # There are at most C frames in a stack
            whole = images[~(has_black & (self.ages < images.shape[1]))]
            if len(whole):
                self.images.append(whole)
                self.next_image = model.num_timesteps + self.interval * model.n_envs // N_PROBES

    def obstacle(self, model: Any) -> str:
        """
        :return: Why nothing has been frozen so far
        """
        if self.first_games is None:
            return f"fewer than {MIN_GAMES} games have ended, or the environments are not wrapped in a Monitor"
        if sum(map(len, self.images)) < N_PROBES:
            return "too few images were seen but for those that begin an episode"
        if not self._risen(self._returns(model), self.first_games[0]):
            return "returns are not yet above those of the first games"
        if self.quiet and self.quiet[0] >= 2:
            return "returns have not risen since the first layers stand still"
        return "the layers were still changing, see seer/cka_stage_*"

    def _look(self, model: Any, returns: float | None) -> int:
        """Compare with the last look, and count the stages that are settled from the lowest up."""
        now = activations(model, np.concatenate(self.images))
        similarities = [linear_cka(*pair) for pair in zip(now, self.before, strict=False)]
        self.before = now
        for stage, similarity in enumerate(similarities):
            model.logger.record(f"seer/cka_stage_{stage + 1}", similarity)
        self.quiet, self.since = self.quiet or [0] * len(now), self.since or [None] * len(now)
        moved = self._risen(returns, self.first_games and self.first_games[0])
        for stage, similarity in enumerate(similarities):
            if moved and similarity >= self.threshold and self.since[stage] is not None:
                self.quiet[stage] += 1
            else:
                self.quiet[stage], self.since[stage] = 0, returns if moved else None
        settled = [
            looks >= 2 and self._risen(returns, since) for looks, since in zip(self.quiet, self.since, strict=True)
        ]
        return [*settled, False].index(False)

    def _returns(self, model: Any) -> float | None:
        """Mean of the last games; None while there are too few."""
        ended = model.ep_info_buffer
        games = [game["r"] for game in ended or []]
        # SB3 keeps as many as stats_window_size
        if len(games) < min(MIN_GAMES, getattr(ended, "maxlen", None) or MIN_GAMES):
            return None
        if self.first_games is None:
            self.first_games = float(np.mean(games)), float(np.std(games))
        return float(np.mean(games))

    def _risen(self, now: float | None, before: float | None) -> bool:
        """By more than the standard deviation of the first games."""
        if now is None or before is None or self.first_games is None:
            return False
        return now > before + self.first_games[1]


def _extractor(model: BaseAlgorithm) -> Any:
    # Of several, the last: SB3 trains actor and critic of SAC and TD3 apart, and the critic learns from the rewards
    return encoders(model)[-1][0]


def activations(model: Any, images: np.ndarray) -> list[th.Tensor]:
    """
    :param model: Any SB3 model on images
    :param images: (B, C, H, W), uint8
    :return: What every stage of its encoder makes of them, (B, D)
    """
    extractor = _extractor(model)
    batch = th.as_tensor(images, device=model.device)
    stages = range(1, n_stages(extractor) + 1)
    parts = [LatentEncoder(model, stage, "float32").parts[-1] for stage in stages]
    latents = [parts[0].encode(parts[0].prepared(batch, model.policy), remember=False)]
    for lower, upper in pairwise(parts):
        latents.append(lower.lift(latents[-1], upper))
    return latents
