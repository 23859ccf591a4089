#!/usr/bin/env bash
# Words moved towards their English translations in the input embeddings, by how far; nothing is trained.
#   [WEIGHTS=0.25,0.5,0.75,1] bash FT/scripts/anchor.sh [MODEL]
# shellcheck source=FT/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

begin "$@"
evaluate none "$model"
weights=${WEIGHTS:-0.25,0.5,0.75,1}
for weight in ${weights//,/ }; do
    arm "anchor_$weight" --weight "$weight"
done
table anchor
