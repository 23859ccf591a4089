#!/usr/bin/env bash
# How close mixed-language text stays to its original in the hidden states, and retrieval of translations by layer.
#   bash Translation/scripts/embeddings.sh [MODEL] [--key value ...]       keys of Translation/embeddings.py
# Several models side by side: --models before=MODEL,after=FINE_TUNED_MODEL
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

model_key=models model_prefix=before=
start Translation/configs/embeddings.yaml "DTYPE LANGUAGES SEED" "$@"
find_data
[[ -n "$(get passages)" ]] || fill subset=wikitext_subset detokenize=wikitext_tokenized
fill passages=wikitext! sentences=flores
[[ "$(get translator)" != dictionary ]] || fill dictionary=dictionaries!
"$python" Translation/embeddings.py "${keys[@]}" --out "$out/embeddings"
