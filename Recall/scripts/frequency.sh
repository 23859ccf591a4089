#!/usr/bin/env bash
# Frequency or barrier: facts in twelve languages by how often a corpus states them (KLAR).
#   bash Recall/scripts/frequency.sh [MODEL] [--key value ...]      keys of Recall/frequency.py
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

start Recall/configs/frequency.yaml "DTYPE LANGUAGES" "$@"
find_data
fill data=klar!
"$python" Recall/frequency.py "${keys[@]}"
