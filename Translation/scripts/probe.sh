#!/usr/bin/env bash
# Whether hidden states tell if a question will be answered right, in the language of the probe and in others.
#   bash Translation/scripts/probe.sh [MODEL] [--key value ...]    keys of Translation/probe.py
# Without --run the questions are asked first, in English and entirely in each other language (MMLU, 0-shot).
# shellcheck source=MMLU/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../MMLU/scripts/lib.sh"

start Translation/configs/probe.yaml "DTYPE LANGUAGES SEED" "$@"
LANGUAGES=$(get languages) RESULTS=$out variants mmlu
if [[ -z "$(get run)" ]]; then
    asked=(--config MMLU/configs/zero_shot.yaml --settings "en,full" --data "$(get data)" --out "$out/records")
    for key in model dtype device limit; do
        [[ -z "$(get "$key")" ]] || asked+=("--$key" "$(get "$key")")
    done
    "$python" MMLU/evaluate_mmlu.py "${asked[@]}"
    keys+=(--run "$out/records")
fi
"$python" Translation/probe.py "${keys[@]}" --out "$out/probe"
