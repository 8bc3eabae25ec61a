# make demo   audit a shipped capture (sets up everything in .venv first)
# make check  lint and the fast tests, before each commit
# make test   run the tests             make lint   ruff, mypy, and the direction of imports
# make docs   the documentation as a site that can be read offline, in build/docs
# make platforms  the tests with other versions of tshark, Python, and packages (Debian, as root; about an hour)
# make fuzz   change bytes of every kind of file that is read (SEED=NUMBER COUNT=NUMBER)
# make lab    make the sample captures again (Linux, as root)      make wheel   build and try the wheel

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := sample_captures/smb-dropped.pcap
JUNIT_SCHEMA := $(VENV)/junit-10.xsd

# Folders with tests of parts; the others run the whole program on samples, real data, and documents. Files that are
# marked as slow are not even collected, which takes as long as the others need.
PARTS := api cli fleet render report ruleset sources verdicts
FAST = $(shell grep -rL --include='test_*.py' 'mark\.slow' $(PARTS:%=tests/%))

.DELETE_ON_ERROR:
.PHONY: demo check test platforms lint docs fuzz lab wheel format clean

demo: $(VENV)/.installed
	@# Exit code 3 is the answer here: the capture is of a push that fails.
	@$(BIN)/auditor analyze $(DEMO); code=$$?; test $$code -eq 3

test: $(VENV)/.tools $(JUNIT_SCHEMA)
	@command -v tshark >/dev/null || echo "tshark is not installed: the comparisons with Wireshark will be skipped (Debian: apt install tshark)"
	AUDITOR_JUNIT_SCHEMA=$(JUNIT_SCHEMA) $(BIN)/python -m pytest --numprocesses auto --dist loadfile

platforms: $(VENV)/.tools
	tests/platforms/compare
	for platform in trixie forky lowest; do tests/platforms/run $$platform || exit 1; done

check: lint
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(FAST)

lint: $(VENV)/.tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict sample_captures/lab benchmarks
	$(BIN)/lint-imports --no-cache --no-logo .importlinter

format: $(VENV)/.tools
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.tools
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/make.py

fuzz: $(VENV)/.tools
	$(BIN)/python tests/fuzz/fuzz.py $(SEED:%=--seed %) $(COUNT:%=--count %)

lab:
	$(PYTHON) sample_captures/lab/make.py all

wheel: $(VENV)/.tools
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "auditor needs Python 3.11 or later: make PYTHON=python3.11 demo"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "this Python cannot make a virtual environment (Debian: apt install python3-venv)"; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.tools: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@ $(VENV)/.installed

# The schema of Jenkins's xUnit plugin: pytest's own tests use it, so its source distribution holds it.
$(JUNIT_SCHEMA): $(VENV)/.tools
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary pytest --dest $(VENV)/sources pytest==8.4.2
	@tar -xzOf $(VENV)/sources/pytest-8.4.2.tar.gz pytest-8.4.2/testing/example_scripts/junit-10.xsd > $@
