#!/usr/bin/env bash
# In which layer a word's translation arises, and whether wrong answers are failures to translate or to understand.
#   bash Translation/scripts/lens.sh [MODEL] [--key value ...]     keys of Translation/lens.py
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

start Translation/configs/lens.yaml "DTYPE LANGUAGES SEED" "$@"
find_data
[[ -n "$(get cloze)" ]] || fill dictionary=dictionaries!
"$python" Translation/lens.py "${keys[@]}" --out "$out/lens"
