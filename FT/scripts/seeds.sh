#!/usr/bin/env bash
# remedy.sh with five seeds of mixing and training, and what they say together, for two arms.
#   [ARMS=en,word] [SEEDS=42,43,44,45,46] bash FT/scripts/seeds.sh [MODEL] [--key value ...]      keys of FT/train.py
ARMS=${ARMS:-en,word} SEEDS=${SEEDS:-42,43,44,45,46} exec bash "$(dirname "${BASH_SOURCE[0]}")/remedy.sh" "$@"
