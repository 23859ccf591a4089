#!/usr/bin/env bash
# Install if needed, check the style, run the tests; arguments go to pytest (bash tests/run.sh -k scoring).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash install.sh --dev
.venv/bin/ruff check .
.venv/bin/ruff format --check --quiet . || { echo "tests/run.sh: run .venv/bin/ruff format ." >&2; exit 1; }
# A process a core, each with one thread: most of the time goes into starting scripts, not into computing.
OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile "$@"
