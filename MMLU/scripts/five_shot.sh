#!/usr/bin/env bash
# 5-shot accuracy in every setting, demonstrations in the question's own setting and in English, side by side.
#   bash MMLU/scripts/five_shot.sh                                       the world and its model
#   DATA=DIR bash MMLU/scripts/five_shot.sh MODEL [--key value ...]      DIR from build_variants.py, keys of evaluate.py
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

world_variants
out=MMLU/results/five_shot/$name
for demos in same en; do
    "$python" MMLU/evaluate.py --config MMLU/configs/five_shot.yaml --model "$model" --data "$data" \
        --out "$out-$demos" --demos "$demos" "${@:2}"
    report "$out-$demos"
done
"$python" MMLU/tabulate.py --runs "$out-same,$out-en" --out "$out-table"
