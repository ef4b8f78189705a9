# Everything runs in .venv. `make demo` and `make test` set it up by themselves.
PYTHON ?= python3
SEED ?= 0
BIN := .venv/bin
MINIMUM := .venv-minimum
# What a released model folder holds a copy of, so that the Hub can load it without this package.
HUB_FILES := captions_unipt.py configuration_unipt.py encoders_unipt.py image_processing_unipt.py modeling_unipt.py processing_unipt.py

# Without compiled modules on disk each command would take twice as long to start.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo seeds reproduce style chromium test test-slow minimum app bench hub-code release clean

setup: .venv/.installed

.venv/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('Python 3.11 or newer is needed; name it: make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
# pip would compile every module of every package. Python compiles those that are imported, once.
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/python train/demo.py --seed $(SEED) --output runs/demo

seeds: setup
	$(BIN)/python train/demo_seeds.py --output docs/demo_seeds.json

reproduce: setup
	$(BIN)/python train/reproduce.py

style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos

# The browser that the tests of the Space need. Where it cannot be had, this says so, and those tests are skipped.
chromium: setup
	$(BIN)/python tests/helpers/get_chromium.py

test: style chromium
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: chromium
	$(BIN)/python -m pytest -m slow

# The tests with the lowest versions that setup.cfg allows, in an environment of their own.
minimum: $(MINIMUM)/.installed
	$(MINIMUM)/bin/python tests/helpers/get_chromium.py
	$(MINIMUM)/bin/python -m pytest -n 2 --dist loadfile

$(MINIMUM)/.installed: setup.cfg pyproject.toml .ci/minimum_versions.py
	$(PYTHON) -m venv $(MINIMUM)
	$(PYTHON) .ci/minimum_versions.py > $(MINIMUM)/constraints.txt
	$(MINIMUM)/bin/python -m pip install --quiet --constraint $(MINIMUM)/constraints.txt --editable '.[dev]'
	touch $@

app: setup
	$(BIN)/python space/app.py

bench: setup
	$(BIN)/python train/bench.py

# Run this after a change of one of these files; a test compares the copies with them.
hub-code:
	for file in $(HUB_FILES); do \
	    for copy in unipt/*/$$file; do if [ -f $$copy ]; then cp modeling_unipt/$$file $$copy; fi; done; \
	done

release: setup
	$(BIN)/python train/release.py --work runs/release

clean:
	rm -rf .venv $(MINIMUM) runs build dist *.egg-info
