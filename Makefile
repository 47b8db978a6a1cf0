# Two commands for a newcomer: `make demo` and `make test`. Both make their own environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint format clean

demo: $(VENV)/.installed
	$(BIN)/python tools/train.py configs/rl_distill_demo.py --work-dir work_dirs/rl_distill_demo
	@cat work_dirs/rl_distill_demo/results.txt
	@echo "panel:      work_dirs/rl_distill_demo/panel.png"
	@echo "decisions:  work_dirs/rl_distill_demo/agent.png"
	@echo "student:    work_dirs/rl_distill_demo/student_best.pth"
	@echo "use it:     $(BIN)/python tools/fuse.py --student work_dirs/rl_distill_demo/student_best.pth --ir A --vis B --out C"

# One thread a worker: two workers of two threads each are slower on two cores than one.
test: $(VENV)/.installed
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

test-slow: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e ".[rl]"
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch and torchvision are installed together and plainly: a CPU-only torch has no torchvision beside it.
$(VENV)/.installed: setup.py requirements/runtime.txt requirements/tests.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install -e '.[tests]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
