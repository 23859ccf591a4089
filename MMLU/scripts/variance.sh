#!/usr/bin/env bash
# Bias or noise: how much of the gap to English is left when many sampled answers vote, and with orders of the options averaged.
#   [ORDERS=1,2] bash MMLU/scripts/variance.sh [MODEL] [--key value ...]      keys of MMLU/evaluate_mmlu.py
# ORDERS are the steps of MMLU/rotate_options.py beside the order of the data; 1,2,3 if not set, every place of four options.
# shellcheck source=MMLU/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start MMLU/configs/variance.yaml "DTYPE" "$@"
variants mmlu
category=()
data=$(get data) orders=${ORDERS:-1,2,3} runs=()
"$python" MMLU/evaluate_mmlu.py "${keys[@]}" --out "$out/order_0"
for step in ${orders//,/ }; do
    "$python" MMLU/rotate_options.py --data "$data" --step "$step" --out "$out/rotated_$step"
    "$python" MMLU/evaluate_mmlu.py "${keys[@]}" --data "$out/rotated_$step" --out "$out/order_$step"
    runs+=("$step=$out/order_$step")
done
[[ -z "$show" ]] || exit 0
only_english "$out/order_0"
IFS=,
"$python" MMLU/variance.py --run "$out/order_0" --orders "${runs[*]}" --out "$out/variance" "${category[@]}"
