# Every job of the house is a target here; `make` alone lists them.
# Plain sh, GNU make 3.81 or newer, and safe under -j.

PYTHON ?= python3
# A .venv remembers what it was made with, so that these need to be given only once.
TORCH ?= $(or $(shell cat .venv/.torch 2>/dev/null),torch==2.13.0)
BACKEND ?= $(or $(shell cat .venv/.backend 2>/dev/null),cpu)
ARGS ?=

# ONNX Runtime's wheels report sessions to their maker unless told not to, since 1.29.
export ORT_DISABLE_TELEMETRY := 1

PIP := .venv/bin/python -m pip install --quiet --no-input --disable-pip-version-check
EXTRAS = service,training,$(BACKEND),explain-torch,demo

STUBS := proto/farnear/v1
# $(call protoc,FOLDER): the stubs of every .proto file, into FOLDER. The mypy plugins of protoc are looked up on PATH.
protoc = PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python -m grpc_tools.protoc -I proto --python_out=$(1) \
	--grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) $(STUBS)/*.proto

.PHONY: help demo test soak check proto bench clean distclean lint types arrows contract stubs choice

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  The first target that needs .venv makes it. Variables, as in: make demo BACKEND=gpu"
	@echo "    PYTHON     the Python to make .venv with, 3.11 or newer        now: $(PYTHON)"
	@echo "    TORCH      what pip installs as Torch, a version or a wheel    now: $(TORCH)"
	@echo "    BACKEND    cpu or gpu: which ONNX Runtime and FAISS            now: $(BACKEND)"
	@echo "    ARGS       more arguments for demo, test and bench, as in: make test ARGS='tests/e2e -x'"

demo: .venv/.demo ## learn the solar cells of elpv-dataset, serve and index them, write demo-report/index.html
	.venv/bin/farnear demo $(ARGS)

test: .venv/.dev ## all tests; no GPU, no network
	.venv/bin/python -m pytest $(ARGS)

soak: .venv/.dev ## 100,000 random steps of the incremental DBSCAN, each judged; about a quarter of an hour
	FARNEAR_SOAK_STEPS=100000 .venv/bin/python -m pytest tests/farnear_service/dbscan/test_soak.py --timeout=0 $(ARGS)

check: lint types arrows contract stubs ## everything that is judged without running: lint, types, arrows, protobuf

lint: .venv/.dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types: .venv/.dev
	.venv/bin/mypy

arrows: .venv/.dev
	.venv/bin/lint-imports --no-logo

contract: .venv/.dev
	.venv/bin/buf lint

stubs: .venv/.dev
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(call protoc,"$$fresh") && \
	diff -rq -x __init__.py -x __pycache__ -x '*.proto' "$$fresh/farnear/v1" $(STUBS) || \
	{ echo "The stubs in $(STUBS) are not what its .proto files give: run 'make proto' and commit what changes." >&2; exit 1; }

proto: .venv/.dev ## regenerate the protobuf stubs after a change of a .proto file
	rm -f $(STUBS)/*_pb2.py $(STUBS)/*_pb2.pyi $(STUBS)/*_pb2_grpc.py $(STUBS)/*_pb2_grpc.pyi
	$(call protoc,proto)

# What the scripts share is no script, and stability.py asks for bundles.
bench: .venv/.dev ## run the scripts of benchmarks/ at their small sizes: one question each, and it prints its own conditions
	@set -- $(filter-out $(patsubst %,benchmarks/%.py,conditions serving damage gradcam pointing stability),$(wildcard benchmarks/*.py)); \
	failed=""; for script do echo "== $$script"; .venv/bin/python "$$script" $(ARGS) || failed="$$failed $$script"; done; \
	if [ -n "$$failed" ]; then echo "These came to no end:$$failed" >&2; exit 1; fi

clean: ## remove caches, build output and what the demo wrote
	rm -rf build dist demo-report demo-work .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find proto service training tests benchmarks deploy -type d -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv too
	rm -rf .venv

# One line of pip after the other: each stamp waits for the one before, also under -j.

choice:
	@case '$(BACKEND)' in cpu|gpu) ;; *) echo "BACKEND is cpu or gpu, not '$(BACKEND)'." >&2; exit 1;; esac
	@made="$$(cat .venv/.torch 2>/dev/null || echo '$(TORCH)') with $$(cat .venv/.backend 2>/dev/null || echo $(BACKEND))"; \
	if [ "$$made" != '$(TORCH) with $(BACKEND)' ]; then \
		echo ".venv was made for $$made: 'make distclean' first to make it for $(TORCH) with $(BACKEND)." >&2; exit 1; fi

.venv/bin/python: | choice
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "Farnear needs Python 3.11 or newer, and PYTHON=$(PYTHON) is not: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.torch: | .venv/bin/python
	@echo "Installing $(TORCH) into .venv (some minutes the first time)"
	@$(PIP) '$(TORCH)'
	@echo '$(TORCH)' > $@

.venv/.demo: pyproject.toml .venv/.torch
	@echo "Installing farnear[$(EXTRAS)] into .venv"
	@$(PIP) --editable '.[$(EXTRAS)]'
	@echo '$(BACKEND)' > .venv/.backend
	@touch $@

.venv/.dev: .venv/.demo
	@echo "Installing farnear[dev] into .venv"
	@$(PIP) --editable '.[dev]'
	@touch $@
