#!/usr/bin/env bash
# Fine-tuning on mixed-language text against English-only fine-tuning and none: every arm, the same number of steps.
#   bash FT/scripts/arms.sh [MODEL] [--limit N] [--key value ...]      keys of FT/train.py
# shellcheck source=FT/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

trains
begin "$@"
evaluate none "$model"
train_arms en document sentence words word parallel interleaved
table arms
