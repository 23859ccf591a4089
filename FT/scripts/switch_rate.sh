#!/usr/bin/env bash
# How often the language changes, with the share of text that is not English held at 0.8: units of 1 to 32 words.
#   bash FT/scripts/switch_rate.sh                                   the world and its model
#   CORPUS=FILE DATA=DIR [TRANSLATOR=... CONFIG=...] bash FT/scripts/switch_rate.sh MODEL
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start
evaluate none "$model"
arm en --unit sentence --probability 0
for size in 1 2 4 8 16 32; do
    arm "words_$size" --unit words --unit-size "$size"
done
table switch_rate
