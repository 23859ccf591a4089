#!/usr/bin/env bash
# remedy.sh with five seeds of mixing and training, and what they say together.
#   bash FT/scripts/seeds.sh                                         the world and its model
#   CORPUS=FILE DATA=DIR [TRANSLATOR=... CONFIG=...] bash FT/scripts/seeds.sh MODEL
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tables=()
for number in 42 43 44 45 46; do
    SEED=$number RESULTS=$results/seed_$number bash FT/scripts/remedy.sh "$model"
    tables+=("$number=$results/seed_$number/remedy.csv")
done
IFS=,
"$python" FT/finding.py --tables "${tables[*]}" --out "$results/seeds.csv"
