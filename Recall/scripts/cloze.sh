#!/usr/bin/env bash
# Cloze sentences in several languages (BMLAMA): accuracy, and RankC of every pair of languages.
#   bash Recall/scripts/cloze.sh [MODEL] [--key value ...]      keys of Recall/cloze.py
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

start Recall/configs/cloze.yaml "DTYPE LANGUAGES" "$@"
[[ -n "${DATA_CONFIG:-}" ]] || data_config=data.yaml # the synthetic world has no BMLAMA
find_data
fill data=bmlama!
"$python" Recall/cloze.py "${keys[@]}"
