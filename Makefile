# make train   train Impala on Pong through rl-zoo3, score it, and say where everything is
# make test    the fast tests
# Both set up their own virtual environment first; they need Python 3.10 or newer and make.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STEPS ?= 20480
ENV_ID ?= PongNoFrameskip-v4
EXTRACTOR ?= impala
PRECISION ?= auto
PARAMS ?=
LOGS ?= logs
SOURCES = $(shell find sb3_efficient hyperparams -name '*.py' -o -name '*.yml')

.PHONY: help train test test-long lint format clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(VENV)/.requirements: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt setuptools '.[dev,box2d]'
	touch $@

# Installed as a user has it, not as a link into this folder, and again whenever a source file changes
$(VENV)/.installed: $(VENV)/.requirements $(SOURCES) README.md
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --force-reinstall .
	touch $@

train: $(VENV)/.installed
	$(BIN)/python -m rl_zoo3.train --algo ppo --env $(ENV_ID) -n $(STEPS) -f $(LOGS) --seed 1 --eval-freq -1 -P \
	    -params features_extractor=$(EXTRACTOR) features_extractor_kwargs="dict(precision='$(PRECISION)')" $(PARAMS)
	$(BIN)/python -m rl_zoo3.enjoy --algo ppo --env $(ENV_ID) -f $(LOGS) --no-render -n 5000 -P
	@echo
	@echo "agent, settings and learning curve: $(LOGS)/ppo/ (the folder with the highest number is this run)"
	@echo "longer:   make train STEPS=2000000 PARAMS='vec_env=ale accelerate=True'"
	@echo "watch it: $(BIN)/python -m rl_zoo3.enjoy --algo ppo --env $(ENV_ID) -f $(LOGS)"

test: $(VENV)/.installed lint
	$(BIN)/pytest -n 2 --dist worksteal -m 'not long'

# make test-long   the checks that take longer, an hour in all
test-long: $(VENV)/.installed
	$(BIN)/pytest -m long

# make lint, make format   what tools find, and what they mend
lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# make clean   all that make has made
clean:
	rm -rf $(VENV) build *.egg-info
