#!/usr/bin/env bash
# In which layer a word's translation arises, and whether wrong answers are failures to translate or to understand.
#   bash Translation/scripts/lens.sh                                       the world and its model
#   DICTIONARY=DIR bash Translation/scripts/lens.sh MODEL [--shots 5 ...]     keys of lens.py
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need DICTIONARY
"$python" Translation/lens.py --model "$model" --dictionary "$DICTIONARY" --dtype "$dtype" --out "$results/lens" "${@:2}"
