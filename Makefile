# KoLab. `make` alone lists what there is; every target does its own set-up.
#
#   LAB_ARGS="--no-browser --port=8899"   options for JupyterLab             make lab
#   NB="02 04"                            only lessons whose names begin so  make notebooks, make test-notebooks
#   REPO=owner/name BRANCH=main           the course's public address        make notebooks
#   JOBS=4                                how many tests run at once
#   TORCH=2.13.0                          this torch instead of the oldest and the newest    make test-matrix
#   PYTHON=python3.12                     the Python that the virtual environment is made with

PYTHON   ?= python3
JOBS     ?= 2
NB       ?=
REPO     ?=
BRANCH   ?= main
LAB_ARGS ?=
TORCH    ?=

VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SLOW   := $(VENV)/.slow
PYTEST := $(BIN)/python -m pytest -n $(JOBS)
NBMAKE_IN = $(1)/bin/python -m pytest -n $(JOBS) --nbmake --nbmake-kernel=python3 --nbmake-timeout=180
NBMAKE := $(call NBMAKE_IN,$(VENV))
MATRIX := build/matrix
# The lessons that NB names; all without it.
LESSONS = $(or $(NB),[0-9])

# No test needs the network, or writes into the learner's own progress; each worker has one core.
test test-unit test-notebooks test-slow test-oldest test-newest: export HF_HUB_OFFLINE := 1
test test-unit test-notebooks test-slow test-oldest test-newest: export OMP_NUM_THREADS := 1
test test-unit test-notebooks test-slow test-oldest test-newest: export TOKENIZERS_PARALLELISM := false
test test-unit test-notebooks test-slow test-oldest test-newest: export KOLAB_HOME := $(CURDIR)/build/home

.DEFAULT_GOAL := help
.PHONY: help lab test test-unit test-notebooks test-slow test-matrix test-oldest test-newest notebooks results lint checksums clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

lab: $(READY)  ## open the course in JupyterLab
	@options=; \
	if [ "$$(id -u)" = 0 ]; then options="$$options --allow-root"; fi; \
	if [ "$$(uname)" != Darwin ] && [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ]; then \
	  options="$$options --no-browser"; \
	  echo "There is no display here. Open the address that JupyterLab prints below in a browser."; \
	fi; \
	exec $(BIN)/jupyter lab $$options --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(LAB_ARGS)

test: test-unit test-notebooks  ## unit tests, then both editions of every notebook, trimmed

test-unit: $(READY)  ## the unit tests alone
	$(PYTEST) -m "not slow"

# A learner's edition must reach its end with nothing done; a solved one must pass every check.
test-notebooks: $(READY)  ## the notebooks alone, trimmed
	rm -rf build/home
	KOLAB_QUICK=1 KOLAB_STRICT=0 $(NBMAKE) $(foreach n,$(LESSONS),notebooks/$(n)*.ipynb)
	KOLAB_QUICK=1 KOLAB_STRICT=1 $(NBMAKE) $(foreach n,$(LESSONS),notebooks/solutions/$(n)*.ipynb)

test-slow: $(SLOW)  ## what is too slow for `make test`: a browser, killed runs, other versions, a clock
	$(PYTEST) -m slow

# The oldest and the newest versions that pyproject.toml allows, torch too, each in an environment of its own. On Linux
# PyPI has torch only with CUDA: where PyTorch's own index of CPU builds is out of reach, either torch brings 6 GB. TORCH
# then keeps to one that is at hand: make test-matrix TORCH=2.13.0.
test-matrix: test-oldest test-newest  ## unit tests and lessons 00, 04, 05 with the oldest and the newest versions allowed

test-oldest test-newest: test-%: $(MATRIX)/%/.ready
	rm -rf build/home
	$(MATRIX)/$*/bin/python -m pytest -n $(JOBS) -m "not slow"
	KOLAB_QUICK=1 KOLAB_STRICT=0 $(call NBMAKE_IN,$(MATRIX)/$*) $(foreach n,00 04 05,notebooks/$(n)*.ipynb)
	KOLAB_QUICK=1 KOLAB_STRICT=1 $(call NBMAKE_IN,$(MATRIX)/$*) $(foreach n,00 04 05,notebooks/solutions/$(n)*.ipynb)

# With REPO, a lesson whose code is as it was gets its badge and its default source, and is not run again.
notebooks: export REPO := $(REPO)
notebooks: export BRANCH := $(BRANCH)
notebooks: $(READY)  ## build the notebooks from notebooks/source and run them in full
	$(BIN)/python notebooks/build.py $(NB) $(if $(REPO),--repo "$$REPO" --branch "$$BRANCH")

results: $(READY)  ## write figures and recorded results into the README
	$(BIN)/python docs/readme.py

lint: $(READY)  ## style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

checksums: $(READY)  ## after a change in data/: write its checksums anew
	$(BIN)/python data/checksums.py

clean:  ## remove the virtual environment and what tests left behind
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache

# --- set-up: a virtual environment, the pinned packages, the kernel. Done again when the pins change. ---------------

$(READY): pyproject.toml constraints.txt | $(VENV)/.made
	@echo "Installing what constraints.txt lists. The first time this takes some minutes and says nothing."
	$(BIN)/python -m pip install -qq -c constraints.txt $(TORCH_FROM) torch
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[lab,test]"
	$(BIN)/python -m ipykernel install --sys-prefix --name kolab --display-name KoLab
	@# No question about Jupyter news over the first lesson, and no request to the network for it.
	@$(BIN)/jupyter labextension disable --level=sys_prefix "@jupyterlab/apputils-extension:announcements" 2>/dev/null
	@touch $@

# What the slow tests need beside that: a driver for a browser, other training loops to compare with, a fuzzer; and the
# browser itself, which on Debian and Ubuntu is a package.
$(SLOW): $(READY)
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[slow]"
	@command -v chromium >/dev/null || { \
	  command -v apt-get >/dev/null || { echo "The slow tests drive Chromium, and it is not here: install it."; exit 1; }; \
	  root=; [ "$$(id -u)" = 0 ] || root=sudo; \
	  echo "Installing Debian's Chromium."; \
	  $$root apt-get update -qq && $$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; }
	@touch $@

# uv knows how to take the lowest version of what pyproject.toml names itself; torch comes through pip and its settings.
# Only the oldest set holds IPython back: its version 9 wants a newer psutil than Colab has beside its IPython 7.
TORCH_oldest = torch==$(or $(TORCH),$(shell sed -n 's/^  "torch>=\([0-9.]*\)".*/\1.*/p' pyproject.toml))
TORCH_newest = torch$(if $(TORCH),==$(TORCH))
LIMITS_oldest = ipython<9
RESOLVE_oldest = lowest-direct
RESOLVE_newest = highest

$(MATRIX)/%/.ready: pyproject.toml
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	echo '$(LIMITS_$*)' > $(@D)/limits.txt
	$(@D)/bin/python -m pip install -qq -c constraints.txt uv
	$(@D)/bin/python -m pip install -qq --no-deps $(TORCH_FROM) '$(TORCH_$*)'
	$(@D)/bin/uv pip install -q --python $(@D)/bin/python --resolution $(RESOLVE_$*) -c $(@D)/limits.txt -e ".[test]"
	@touch $@

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "KoLab needs Python 3.11 or newer, and '$(PYTHON)' is not here." \
	  "Debian, Ubuntu: sudo apt install python3 python3-venv. macOS: brew install python."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "KoLab needs Python 3.11 or newer;" \
	  "this is $$($(PYTHON) --version). With another one installed: make lab PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "This Python cannot make virtual environments." \
	  "Debian, Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# On Linux, PyPI's torch brings gigabytes of CUDA libraries. Without an NVIDIA card the CPU build will do, if its index
# can be reached; if not, pip's own settings decide.
CPU_INDEX := https://download.pytorch.org/whl/cpu
TORCH_FROM = $(shell [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null && \
  timeout 3 $(PYTHON) -c 'import urllib.request as u; u.urlopen("$(CPU_INDEX)/torch/")' 2>/dev/null && \
  echo --extra-index-url $(CPU_INDEX))
