#!/bin/sh
# Impala by name through rl-zoo3's own commands. STEPS, ENV_ID, EXTRACTOR, PRECISION and LOGS may be set:
#
#     STEPS=2000000 PRECISION=bf16 sh examples/02_zoo.sh
#
# In bf16 updates are two to six times as fast where "sb3-efficient doctor" says that the CPU has it in hardware.
set -eu
STEPS=${STEPS:-20000}
ENV_ID=${ENV_ID:-PongNoFrameskip-v4}
EXTRACTOR=${EXTRACTOR:-impala}
PRECISION=${PRECISION:-auto}
LOGS=${LOGS:-logs}

# Train, with a progress bar
python -m rl_zoo3.train --algo ppo --env "$ENV_ID" -n "$STEPS" -f "$LOGS" -P --eval-freq -1 \
    -params features_extractor="$EXTRACTOR" "features_extractor_kwargs=dict(precision='$PRECISION')"

# Score it
python -m rl_zoo3.enjoy --algo ppo --env "$ENV_ID" -f "$LOGS" --no-render -n 2500

# Go on from where it stopped: the agent brings its network along
NAME=$(echo "$ENV_ID" | tr / -)
LATEST=$(ls -t "$LOGS/ppo/$NAME"_*/"$NAME.zip" | head -n 1)
[ -n "$LATEST" ]
python -m rl_zoo3.train --algo ppo --env "$ENV_ID" -n "$STEPS" -f "$LOGS" -P --eval-freq -1 -i "$LATEST"
