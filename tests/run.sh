#!/usr/bin/env bash
# Install if needed, check the style, run the tests; arguments go to pytest (bash tests/run.sh -k scoring).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash install.sh --dev
.venv/bin/ruff check .
.venv/bin/ruff format --check --quiet . || { echo "tests/run.sh: run .venv/bin/ruff format ." >&2; exit 1; }
# A process more than there are cores, each with one thread: most of the time goes into scripts that are waited for.
processes=$(($(getconf _NPROCESSORS_ONLN) + 1))
OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses "$processes" --maxprocesses 5 --dist loadfile "$@"
