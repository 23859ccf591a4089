#!/usr/bin/env bash
# Language or wording: agreement of wordings within a language and across languages (mParaRel).
#   bash Recall/scripts/wording.sh [MODEL] [--key value ...]      keys of Recall/wording.py
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

start Recall/configs/wording.yaml "DTYPE LANGUAGES SEED" "$@"
find_data
fill data=mpararel!
"$python" Recall/wording.py "${keys[@]}"
