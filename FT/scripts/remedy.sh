#!/usr/bin/env bash
# The remedy in short: no fine-tuning, English-only fine-tuning, and the same text with its words in five languages.
#   bash FT/scripts/remedy.sh                                        the world and its model
#   CORPUS=FILE DATA=DIR [TRANSLATOR=... CONFIG=...] bash FT/scripts/remedy.sh MODEL
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start
evaluate none "$model"
arm en --unit sentence --probability 0
arm word --unit word
table remedy
"$python" FT/finding.py --tables "$seed=$results/remedy.csv" --out "$results/finding.csv"
