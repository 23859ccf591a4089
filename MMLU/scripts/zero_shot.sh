#!/usr/bin/env bash
# 0-shot accuracy in every setting: the paper's MMLU table, and the accuracy-drop plot.
#   bash MMLU/scripts/zero_shot.sh [MODEL] [--key value ...]      keys of MMLU/evaluate_mmlu.py
# shellcheck source=MMLU/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start MMLU/configs/zero_shot.yaml "DTYPE" "$@"
variants mmlu
"$python" MMLU/evaluate_mmlu.py "${keys[@]}"
[[ -n "$show" ]] || report "$out"
