#!/usr/bin/env bash
# 0-shot accuracy in every setting: the paper's MMLU table, and the accuracy-drop plot.
#   bash MMLU/scripts/zero_shot.sh                                       the world and its model
#   DATA=DIR bash MMLU/scripts/zero_shot.sh MODEL [--key value ...]      DIR from build_variants.py, keys of evaluate.py
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

world_variants
out=${RESULTS:-MMLU/results/zero_shot/$name}
"$python" MMLU/evaluate_mmlu.py --config MMLU/configs/zero_shot.yaml --model "$model" --data "$data" --dtype "$dtype" \
    --out "$out" "${@:2}"
[[ -z "$show" ]] || exit 0
report "$out"
