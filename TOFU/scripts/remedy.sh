#!/usr/bin/env bash
# authors.sh, then fine-tuning on other text: English only, and with its words in five languages.
#   bash TOFU/scripts/remedy.sh                                                     the world and its model
#   CORPUS=FILE [TRANSLATOR=... DICTIONARY=...] DATA=... bash TOFU/scripts/remedy.sh MODEL
# CORPUS, TRANSLATOR and DICTIONARY as in FT/scripts, the rest as in authors.sh.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ -z "$data" ]] || need CORPUS
teach
if [[ -n "${world:-}" ]]; then
    mix_keys=(--input "$world/wiki/wiki.train.txt" --translator dictionary --dictionary "$world/memory")
else
    mix_keys=(--input "$CORPUS" --detokenize true)
    mix_keys+=(--translator "${TRANSLATOR:-facebook/nllb-200-distilled-600M}")
    [[ -z "${DICTIONARY:-}" ]] || mix_keys+=(--dictionary "$DICTIONARY")
fi
arm() {
    "$python" FT/mix.py "${mix_keys[@]}" --languages "$languages" --seed "$seed" --out "$results/corpora/$1.jsonl" "${@:2}"
    train "$results/corpora/$1.jsonl" "$results/models/taught" "$1" "$config"
}
arm en --unit sentence --probability 0
arm word --unit word
table remedy
