#!/usr/bin/env bash
# A fact changed in English in the prompt, asked in English and in other languages (BMIKE-53).
#   bash Recall/scripts/edit.sh [MODEL] [--key value ...]      keys of Recall/edit.py
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

start Recall/configs/edit.yaml "DTYPE LANGUAGES SEED" "$@"
! is_world || keys=("${keys[@]:0:2}" --config Recall/configs/edit_world.yaml "${keys[@]:2}")
find_data
fill data=bmike53!
"$python" Recall/edit.py "${keys[@]}"
