#!/usr/bin/env bash
# MEXA: how many sentences are nearest to their translation both ways, by layer; and whether that predicts accuracy.
#   bash Translation/scripts/mexa.sh [MODEL] [--run MMLU/results/zero_shot/MODEL] [--key value ...]  keys of Translation/mexa.py
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

start Translation/configs/mexa.yaml "DTYPE LANGUAGES" "$@"
find_data
fill sentences=flores!
"$python" Translation/mexa.py "${keys[@]}" --out "$out/mexa"
