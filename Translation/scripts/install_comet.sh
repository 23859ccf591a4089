#!/usr/bin/env bash
# Make .venv-comet with unbabel-comet, which needs older packages than .venv has; Translation/score.py calls it there.
#   bash Translation/scripts/install_comet.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -x .venv-comet/bin/python ] || "${PYTHON:-python3}" -m venv .venv-comet
.venv-comet/bin/python -m pip --disable-pip-version-check install --quiet "unbabel-comet==2.2.7" "setuptools<81"
.venv-comet/bin/python -c "import comet" && echo "install_comet.sh: ready in .venv-comet"
