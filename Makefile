# Each target is done by tools/house.py, which needs only the standard library of Python 3.10 or newer.
PYTHON ?= $(shell command -v python3 || command -v python || echo python3)
export DATA RUN SEED OUT

.PHONY: help setup run test docs lab clean
help:  ; @$(PYTHON) tools/house.py help
setup: ; @$(PYTHON) tools/house.py setup
run:   ; @$(PYTHON) tools/house.py run
test:  ; @$(PYTHON) tools/house.py test $(ARGS)
docs:  ; @$(PYTHON) tools/house.py docs
lab:   ; @$(PYTHON) tools/house.py lab $(ARGS)
clean: ; @$(PYTHON) tools/house.py clean
