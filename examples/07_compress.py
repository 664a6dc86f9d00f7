"""
A trained agent made smaller and faster, compared with itself, saved, loaded and played: about two minutes.

    python examples/07_compress.py
    python examples/07_compress.py --recipe static-int8                             # without training: seconds
    python examples/07_compress.py --steps 4000 --observations 16000 --episodes 100 # for real

The command line does the same for agents in rl-zoo3's folders: sb3-efficient compress --help.
"""

import argparse
from pathlib import Path

from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

import sb3_efficient
from sb3_efficient.envs import AleVecEnv
from sb3_efficient.evaluation.candidates import graph_candidate, model_candidate
from sb3_efficient.evaluation.compare import compare
from sb3_efficient.evaluation.report import Report
from sb3_efficient.observations import collect

AGENT = Path(__file__).parent / "agents" / "ppo" / "PongNoFrameskip-v4_1" / "PongNoFrameskip-v4.zip"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--agent", type=Path, default=AGENT, help="zip of a PPO agent")
parser.add_argument("--env", default="PongNoFrameskip-v4")
parser.add_argument("--recipe", help="default: half of the channels, distillation, static-int8")
parser.add_argument("--steps", type=int, default=300, help="of distillation")
parser.add_argument("--observations", type=int, default=3000)
parser.add_argument("--episodes", type=int, default=8, help="whole games of each; verdicts need 20 or more")
parser.add_argument("--save", type=Path, default=Path("compressed_pong.policy"))
arguments = parser.parse_args()


def make_env(n_envs: int = 1) -> AleVecEnv:
    """With sticky actions, so that no two games are the same."""
    return AleVecEnv(arguments.env, n_envs, seed=0, action_repeat_probability=0.25)


model = PPO.load(arguments.agent, device="cpu")

# What the agent sees when it plays: students learn from it, and 8 bits are laid out for it
env = make_env(8)
observations = collect(model, env, arguments.observations, spacing=4, title="recording observations")
env.close()

recipe = arguments.recipe or (
    "channel-pruning(ratio=0.5, layers={'linear.0': 0.75}) "
    f"distillation(steps={arguments.steps}, batch_size=128) static-int8"
)
# Policies are compared on others than they have learnt from
held_out, observations = observations[:100], observations[100:]
policy = sb3_efficient.compress(model, recipe, calibration=observations)

# The same games for both, paired by their seeds
candidates = [model_candidate("original", model), graph_candidate(recipe, policy, policy.n_bytes)]
rows, random_return = compare(
    candidates, held_out, make_env, range(arguments.episodes), n_envs=8, repeats=50, progress=True
)
print(Report(arguments.env, rows, random_return).to_markdown())

print("saved to", policy.save(arguments.save))
env = make_env()
loaded = sb3_efficient.load_policy(arguments.save, env=env)
mean, _ = evaluate_policy(loaded, env, n_eval_episodes=1, deterministic=False)
print(f"loaded from there, it returns {mean:.0f}")
env.close()
