#!/usr/bin/env bash
# authors.sh, then fine-tuning on other text: English only, and with its words in five languages.
#   bash TOFU/scripts/remedy.sh [MODEL] [--key value ...]       keys of TOFU/evaluate_tofu.py
# shellcheck source=TOFU/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

trains
begin "$@"
teach
mix "$out/corpora/en.jsonl" --unit sentence --probability 0
mix "$out/corpora/word.jsonl" --unit word
for arm in en word; do
    train "$out/corpora/$arm.jsonl" "$out/models/taught" "$arm" "${teaching[@]:0:2}"
done
table remedy
