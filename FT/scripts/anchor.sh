#!/usr/bin/env bash
# Words moved towards their English translations in the input embeddings; nothing is trained.
#   [WEIGHTS=0.25,0.5,0.75,1] bash FT/scripts/anchor.sh [MODEL] [--limit N] [--key value ...]      keys of FT/anchor.py
# WEIGHTS: how far; if not set, as far as the YAML says. EVALUATE: as for FT/scripts/remedy.sh.
# shellcheck source=FT/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

take_limit "$@"
start FT/configs/anchor.yaml "LANGUAGES" "${words[@]}"
anchoring=("${keys[@]}")
find_data
results=${RESULTS:-$(dirname "$(dirname "$out")")} # out is that of one arm's model, RESULTS/models/ARM
build_questions
evaluate none "$model"
weights=${WEIGHTS:-}
[[ -n "$weights" ]] || arm anchor
for weight in ${weights//,/ }; do
    arm "anchor_$weight" --weight "$weight"
done
tabulate+=(--control none) # no arm is fine-tuned on English
[[ -n "${PLAN:-}" ]] || table anchor
