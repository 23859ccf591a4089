#!/usr/bin/env bash
# 0-shot accuracy on Belebele (reading comprehension, human translations) in every setting.
#   bash MMLU/scripts/belebele.sh [MODEL] [--key value ...]       keys of MMLU/evaluate_mmlu.py
# shellcheck source=MMLU/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start MMLU/configs/belebele.yaml "DTYPE" "$@"
[[ -n "${DATA_CONFIG:-}" ]] || data_config=data.yaml # the synthetic world has no Belebele
variants belebele
"$python" MMLU/evaluate_mmlu.py "${keys[@]}"
[[ -n "$show" ]] || report "$out"
