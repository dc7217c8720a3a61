# `make demo` and `make test` do all their set-up themselves, in .venv; a second run starts at once.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo

.PHONY: demo test fast clean

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: .venv/.installed  ## export the reference model and segment a rendered street scene
	mkdir -p $(DEMO)
	$(BIN)/python -m cgsam_edge.quality.scenes --count 1 --seed 5 --start 22 --output $(DEMO)
	$(BIN)/cgsam-export --target onnxruntime --concepts examples/concepts.txt --output $(DEMO)/street.cgsam
	$(BIN)/cgsam segment $(DEMO)/images --bundle $(DEMO)/street.cgsam --output $(DEMO)
	@echo "look at $(DEMO)/scene_005_00022.overlay.png"

test: .venv/.installed  ## all tests, the full-size ones too
	$(BIN)/python -m pytest --durations=10

fast: .venv/.installed  ## what to run while working
	$(BIN)/python -m pytest -m 'not slow'

clean:
	rm -rf .venv $(DEMO) build dist *.egg-info
