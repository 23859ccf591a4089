#!/usr/bin/env bash
# 5-shot accuracy in every setting, few-shot examples in the question's own setting and in English, side by side.
#   bash MMLU/scripts/five_shot.sh [MODEL] [--key value ...]      keys of MMLU/evaluate_mmlu.py
# shellcheck source=MMLU/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start MMLU/configs/five_shot.yaml "DTYPE" "$@"
variants mmlu
kinds=(same en) runs=()
if ! own_examples; then
    echo "note: $(get data)/dev has few-shot examples in English only, so these are the only ones shown" >&2
    kinds=(en)
fi
for examples in "${kinds[@]}"; do
    "$python" MMLU/evaluate_mmlu.py "${keys[@]}" --fewshot_examples "$examples" --out "$out/$examples"
    [[ -n "$show" ]] || report "$out/$examples"
    runs+=("$out/$examples")
done
IFS=,
[[ -n "$show" ]] || "$python" MMLU/tabulate_mmlu.py --runs "${runs[*]}" --out "$out/table"
