# Everything runs in .venv. `make demo` and `make test` set it up by themselves.
PYTHON ?= python3
SEED ?= 0
BIN := .venv/bin

.PHONY: setup demo seeds reproduce test test-slow app bench release clean

setup: .venv/.installed

.venv/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('Python 3.11 or newer is needed; name it: make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/python train/demo.py --seed $(SEED) --output runs/demo

seeds: setup
	$(BIN)/python train/demo_seeds.py --output docs/demo_seeds.json

reproduce: setup
	$(BIN)/python train/reproduce.py

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: setup
	$(BIN)/python -m pytest -m slow

app: setup
	$(BIN)/python space/app.py

bench: setup
	$(BIN)/python train/bench.py

release: setup
	$(BIN)/python train/release.py --work runs/release

clean:
	rm -rf .venv runs build dist *.egg-info
