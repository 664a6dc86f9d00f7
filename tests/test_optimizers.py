from __future__ import annotations

from test_policies import model

from sb3_efficient.optimizers import optimizers


def test_of_the_policy_or_of_its_parts() -> None:
    ppo, sac = model("ppo"), model("sac")
    assert optimizers(ppo.policy) == [ppo.policy.optimizer]
    assert optimizers(sac.policy) == [sac.actor.optimizer, sac.critic.optimizer]  # type: ignore[attr-defined]
    assert optimizers(sac.critic) == [sac.critic.optimizer]  # type: ignore[attr-defined]
