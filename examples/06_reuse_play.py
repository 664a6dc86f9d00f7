"""
A trained agent plays while only what changes on the screen is computed.

    python examples/06_reuse_play.py                                # Pong: plan, time of a step, beside torch's
    python examples/06_reuse_play.py --picture reuse_pong.png       # and a picture, and reuse_pong.gif
    python examples/06_reuse_play.py --agent examples/agents/ppo/PongNoFrameskip-v4_2/PongNoFrameskip-v4.zip

The picture shows the frame, the pixels that changed, and for each layer what was computed and what was remembered.
"""

import argparse
import time
from pathlib import Path

import matplotlib
import numpy as np
from stable_baselines3 import PPO

import sb3_efficient
from sb3_efficient.envs import AleVecEnv

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

AGENT = Path(__file__).parent / "agents" / "ppo" / "PongNoFrameskip-v4_1" / "PongNoFrameskip-v4.zip"
#: Remembered; computed again, with the result of before; computed, with another
COLOURS = {"remembered": "#e8ecef", "computed, as before": "#f6c65b", "computed, changed": "#d1495b"}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--agent", type=Path, default=AGENT, help="zip of a PPO agent")
parser.add_argument("--env", default="PongNoFrameskip-v4")
parser.add_argument("--steps", type=int, default=1000)
parser.add_argument("--picture", type=Path, help="PNG of the last step; a GIF of the last --frames is put beside it")
parser.add_argument("--frames", type=int, default=30, help="of the GIF")
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()
if not arguments.agent.is_file():
    parser.error(f"--agent: there is no file {arguments.agent}")


def play(predict, steps, record=None):
    """Return of every game that ended, and microseconds of each prediction."""
    env = AleVecEnv(arguments.env, n_envs=1, seed=arguments.seed)
    observation, returns, microseconds = env.reset(), [], []
    for step in range(steps):
        start = time.perf_counter()
        action, _ = predict(observation, deterministic=True)
        microseconds.append(1e6 * (time.perf_counter() - start))
        if record is not None and step >= steps - arguments.frames:
            record(observation[0, -1].copy())
        observation, _, _, infos = env.step(action)
        returns += [info["episode"]["r"] for info in infos if "episode" in info]
    env.close()
    return returns, microseconds


def draw(panels, frame, layers):
    """One step: the frame, the changed pixels on it, and each layer."""
    for axes in panels:
        axes.clear()
        axes.set_xticks([])
        axes.set_yticks([])
    panels[0].imshow(frame, cmap="gray", vmin=0, vmax=255)
    panels[0].set_title("frame", fontsize=9)
    for axes, layer in zip(panels[1:], layers, strict=False):
        shown = layer.computed.astype(int) + layer.changed
        axes.imshow(shown, cmap=ListedColormap(list(COLOURS.values())), vmin=0, vmax=2, interpolation="nearest")
        share = layer.computed.mean()
        name = "changed pixels" if layer.name == "image" else layer.name.partition(",")[0]
        axes.set_title(f"{name}\n{share:.0%} of {layer.computed.size:,}", fontsize=8)
    for axes in panels[1 + len(layers) :]:
        axes.set_axis_off()


model = PPO.load(arguments.agent, device="cpu")
engine = sb3_efficient.make_engine(model, "reuse")
recorded = []
returns, microseconds = play(
    engine.predict,
    arguments.steps,
    lambda frame: recorded.append((frame, engine.seen())) if arguments.picture else None,
)
_, plain = play(model.predict, min(arguments.steps, 300))
print(engine.plan)
print(
    f"predict: {np.median(microseconds):.0f} us (median), {np.mean(microseconds):.0f} us (mean); "
    f"Stable-Baselines3: {np.median(plain):.0f} us, {np.mean(plain):.0f} us; games: {[float(r) for r in returns]}"
)

if arguments.picture:
    # The linear layer has no positions
    n_panels = 1 + len(recorded[-1][1])
    columns = min(n_panels, 6)
    rows = -(-n_panels // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(1.75 * columns, 2.15 * rows + 0.4), layout="constrained")
    panels = np.ravel(grid)
    handles = [Patch(facecolor=colour, edgecolor="grey", label=label) for label, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    draw(panels, *recorded[-1])
    figure.savefig(arguments.picture, dpi=110)
    animation = FuncAnimation(figure, lambda i: draw(panels, *recorded[i]), frames=len(recorded))
    film = arguments.picture.with_suffix(".gif")
    animation.save(film, writer=PillowWriter(fps=8), dpi=70)
    print(f"{arguments.picture} and {film} ({film.stat().st_size / 1e6:.2f} MB)")
