# Everything runs in .venv, made with the first Python >= 3.10 that is found.
VENV := .venv
BIN := $(VENV)/bin
SERVE ?= 1
SIZE ?= 200000
MESSAGES = $(addprefix --locale=,ar de es fr) --no-obsolete --no-location --no-wrap \
	$(addprefix --ignore=,*/migrations/* */vendor/* data/*)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo screenshots test test-all bench bench-growth bench-hot bench-memory bench-engines bench-admin bench-feed bench-pages docs lint messages clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## replay a real university's registrations, then serve (SERVE=0: end)
	$(BIN)/python example_project/manage.py demo $(if $(filter 0,$(SERVE)),--no-serve) $(ARGS)

screenshots: $(VENV)/.browser ## make the screenshots of the documentation (needs chromium-driver)
	$(BIN)/python -m tools.screenshots $(ARGS)

test: $(VENV)/.test ## run the tests on SQLite, with both hosts
	$(BIN)/python -m tools.run_tests $(ARGS)

test-all: test ## run the long tests and those on the servers that answer as well
	$(BIN)/python -m tools.run_tests --rest $(ARGS)

bench: $(VENV)/.bench ## measure against hand-written SQL (CHECK=1: fail at a missed goal)
	$(BIN)/python -m benchmarks --size $(SIZE) $(if $(CHECK),--check) $(ARGS)

bench-growth: $(VENV)/.bench ## measure the same at 10,000, 100,000 and a million enrollments
	$(BIN)/python -m benchmarks.growth

bench-hot: $(VENV)/.test ## let 2,000 learners enroll in one course at once
	$(BIN)/python -m benchmarks.hot_course $(ARGS)

bench-memory: $(VENV)/.bench ## measure the memory of bulks of up to a million
	$(BIN)/python -m benchmarks.bulk_memory $(ARGS)

bench-admin: $(VENV)/.bench ## measure the admin at a million enrollments, on PostgreSQL
	$(BIN)/python -m benchmarks.admin $(ARGS)

bench-engines: $(VENV)/.bench ## measure delivering to webhooks and to Celery
	$(BIN)/python -m benchmarks.engines $(ARGS)

bench-pages: $(VENV)/.bench ## measure the pages of the example project with a million enrollments
	$(BIN)/python -m benchmarks.pages $(ARGS)

messages: $(VENV)/.test ## collect the texts for translation, and compile the translations
	for folder in django_enrollments example_project; do \
		(cd $$folder && $(CURDIR)/$(BIN)/python -m django makemessages $(MESSAGES) && \
			$(CURDIR)/$(BIN)/python -m django compilemessages) || exit; \
	done

bench-feed: $(VENV)/.test ## measure the event feed, and enrolling while a worker runs
	$(BIN)/python -m benchmarks.feed $(ARGS)

docs: $(VENV)/.docs ## build the documentation, warnings being errors
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

lint: $(VENV)/.lint ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file example_project/mypy.ini
	$(BIN)/mypy --config-file tests/other_host/mypy.ini
	$(BIN)/lint-imports

clean: ## remove what the other commands have made
	rm -rf $(VENV) .tox build dist docs/_build *.egg-info .coverage .coverage.*
	rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name '*.sqlite3*' -delete

# A stamp file says that its extras are installed as pyproject.toml now has them.
$(VENV)/.demo: EXTRAS := openapi,progress,webhooks
$(VENV)/.browser: EXTRAS := openapi,progress,webhooks,test,browser
$(VENV)/.test: EXTRAS := jwt,oauth,openapi,progress,celery,tasks,webhooks,test
$(VENV)/.bench: EXTRAS := celery,webhooks,bench
$(VENV)/.docs: EXTRAS := jwt,oauth,openapi,docs
$(VENV)/.lint: EXTRAS := jwt,oauth,openapi,progress,test,lint

$(VENV)/.demo $(VENV)/.browser $(VENV)/.test $(VENV)/.bench $(VENV)/.docs $(VENV)/.lint: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

$(BIN)/python:
	@for python in python3 python3.13 python3.12 python3.11 python3.10; do \
		if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
			echo "Making $(VENV) with $$python"; \
			exec $$python -m venv $(VENV); \
		fi; \
	done; \
	echo 'No Python 3.10 or newer with venv was found (on Debian: apt install python3-venv).' >&2; \
	exit 1
