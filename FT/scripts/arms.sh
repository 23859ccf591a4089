#!/usr/bin/env bash
# Fine-tuning on mixed-language text against English-only fine-tuning and none: every arm, the same number of steps.
#   bash FT/scripts/arms.sh [MODEL] [--key value ...]      keys of FT/train.py
# shellcheck source=FT/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

begin "$@"
evaluate none "$model"
arm en --unit sentence --probability 0
arm document --unit document
arm sentence --unit sentence
arm words --unit words --unit_size 8
arm word --unit word
arm parallel --unit sentence --layout parallel
arm interleaved --unit paragraph --layout interleaved
table arms
