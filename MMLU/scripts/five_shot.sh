#!/usr/bin/env bash
# 5-shot accuracy in every setting, few-shot examples in the question's own setting and in English, side by side.
#   bash MMLU/scripts/five_shot.sh [MODEL] [--key value ...]      keys of MMLU/evaluate_mmlu.py
# shellcheck source=MMLU/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start MMLU/configs/five_shot.yaml "DTYPE" "$@"
variants mmlu
for examples in same en; do
    "$python" MMLU/evaluate_mmlu.py "${keys[@]}" --fewshot_examples "$examples" --out "$out/$examples"
    [[ -n "$show" ]] || report "$out/$examples"
done
[[ -n "$show" ]] || "$python" MMLU/tabulate_mmlu.py --runs "$out/same,$out/en" --out "$out/table"
