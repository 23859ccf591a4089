#!/usr/bin/env bash
# 0-shot accuracy on Belebele (reading comprehension, human translations) in every setting.
#   bash MMLU/scripts/belebele.sh                                        the world's model, Belebele from the hub
#   DATA=DIR bash MMLU/scripts/belebele.sh MODEL [--key value ...]       DIR with eng_Latn.jsonl and so on
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

variants=${RESULTS:-MMLU/results/belebele}/variants
"$python" MMLU/build_variants.py --source belebele --data "${data:-facebook/belebele}" \
    --languages en,de,fr,es,it --out "$variants" --seed 42
out=${RESULTS:-MMLU/results/belebele/$name}
"$python" MMLU/evaluate_mmlu.py --config MMLU/configs/belebele.yaml --model "$model" --data "$variants" --dtype "$dtype" \
    --out "$out" "${@:2}"
[[ -z "$show" ]] || exit 0
report "$out"
