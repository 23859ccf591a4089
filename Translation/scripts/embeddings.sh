#!/usr/bin/env bash
# How close mixed-language text stays to its original in the hidden states, and retrieval of translations by layer.
#   bash Translation/scripts/embeddings.sh                                 the world and its model
#   SENTENCES=DIR PASSAGES=FILE DICTIONARY=DIR bash Translation/scripts/embeddings.sh MODEL [FINE_TUNED_MODEL]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need SENTENCES PASSAGES DICTIONARY
models=before=$model
[[ -z "${2:-}" ]] || models+=,after=$2
"$python" Translation/embeddings.py --models "$models" --passages "$PASSAGES" --dictionary "$DICTIONARY" \
    --sentences "$SENTENCES" --dtype "$dtype" --out "$results/embeddings"
