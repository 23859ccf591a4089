#!/usr/bin/env bash
# The remedy in short: no fine-tuning, English-only fine-tuning, and the same text with its words in five languages.
#   bash FT/scripts/remedy.sh [MODEL] [--key value ...]      keys of FT/train.py
# shellcheck source=FT/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

begin "$@"
evaluate none "$model"
arm en --unit sentence --probability 0
arm word --unit word
table remedy
"$python" FT/finding.py --tables "$(get seed)=$results/remedy.csv" --out "$results/finding.csv"
