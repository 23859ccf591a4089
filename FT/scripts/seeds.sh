#!/usr/bin/env bash
# remedy.sh with five seeds of mixing and training, and what they say together.
#   [ARMS=en,word] bash FT/scripts/seeds.sh [MODEL] [--key value ...]      keys of FT/train.py
# shellcheck source=FT/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export ARMS=${ARMS:-en,word}
begin "$@"
tables=()
for number in 42 43 44 45 46; do
    CONFIG=${keys[1]} SEED=$number RESULTS=$results/seed_$number bash FT/scripts/remedy.sh "$model" "${keys[@]:2}"
    tables+=("$number=$results/seed_$number/remedy.csv")
done
IFS=,
"$python" FT/finding.py --tables "${tables[*]}" --arm "${ARMS##*,}" --out "$results/seeds.csv"
