#!/usr/bin/env bash
# The remedy: no fine-tuning, English-only fine-tuning, and the same text in units of several languages, as in the paper.
#   [ARMS=en,word] bash FT/scripts/remedy.sh [MODEL] [--key value ...]      keys of FT/train.py
# ARMS: en, then any arm of arms.sh; default: en,document,sentence,words. The sentence at the end is about the last one.
# shellcheck source=FT/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

IFS=, read -ra chosen <<< "${ARMS:-en,document,sentence,words}"
[[ "${chosen[0]}" = en && ${#chosen[@]} -gt 1 ]] || fail "ARMS is $ARMS; write en, and behind it one arm or more"
for one in "${chosen[@]}"; do
    [[ -n "$one" && -n "${texts[$one]:-}" ]] || fail "no arm '$one' in ARMS; there are: ${!texts[*]}"
done
begin "$@"
evaluate none "$model"
train_arms "${chosen[@]}"
table remedy
"$python" FT/finding.py --tables "$(get seed)=$results/remedy.csv" --arm "${chosen[-1]}" --out "$results/finding.csv"
