#!/usr/bin/env bash
# authors.sh, then fine-tuning on other text: English only, and with its words in five languages.
#   bash TOFU/scripts/remedy.sh [MODEL] [--key value ...]       keys of TOFU/evaluate_tofu.py
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

trains
begin "$@"
teach
for unit in "en --unit sentence --probability 0" "word --unit word"; do
    read -r arm unit_keys <<< "$unit"
    mix "$out/corpora/$arm.jsonl" $unit_keys
    train "$out/corpora/$arm.jsonl" "$out/models/taught" "$arm" "${teaching[@]:0:2}"
done
table remedy
