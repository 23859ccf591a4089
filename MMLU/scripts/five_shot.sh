#!/usr/bin/env bash
# 5-shot accuracy in every setting, demonstrations in the question's own setting and in English, side by side.
#   bash MMLU/scripts/five_shot.sh                                       the world and its model
#   DATA=DIR bash MMLU/scripts/five_shot.sh MODEL [--key value ...]      DIR from build_variants.py, keys of evaluate.py
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

world_variants
out=${RESULTS:-MMLU/results/five_shot/$name}
for demos in same en; do
    "$python" MMLU/evaluate_mmlu.py --config MMLU/configs/five_shot.yaml --model "$model" --data "$data" \
        --dtype "$dtype" --out "$out/$demos" --demos "$demos" "${@:2}"
    [[ -n "$show" ]] || report "$out/$demos"
done
[[ -z "$show" ]] || exit 0
"$python" MMLU/tabulate_mmlu.py --runs "$out/same,$out/en" --out "$out/table"
