#!/usr/bin/env bash
# How well a model translates: every direction from and into English, BLEU, chrF++ and TER.
#   bash Translation/scripts/translation.sh [MODEL] [--key value ...]      keys of Translation/translate.py
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

model_key=translator
start Translation/configs/translation.yaml "DTYPE LANGUAGES" "$@"
find_data
fill sentences=flores!
"$python" Translation/translate.py "${keys[@]}" --out "$out/systems/$name"
[[ -z "$show" ]] || exit 0
prefix=()
[[ -z "$(get limit)" ]] || prefix=(--allow_prefix)
"$python" Translation/score.py --hypotheses "$out/systems" --references "$(get sentences)" "${prefix[@]}" \
    --out "$out/scores.csv"
