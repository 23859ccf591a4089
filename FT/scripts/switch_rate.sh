#!/usr/bin/env bash
# How often the language changes, with the share of text that is not English held at 0.8: units of 1 to 32 words.
#   bash FT/scripts/switch_rate.sh [MODEL] [--limit N] [--key value ...]      keys of FT/train.py
# shellcheck source=FT/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

trains
begin "$@"
evaluate none "$model"
train_arms en
for size in 1 2 4 8 16 32; do
    arm "words_$size" --unit words --unit_size "$size"
done
table switch_rate
