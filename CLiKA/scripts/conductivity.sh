#!/usr/bin/env bash
# Conductivity: invented facts taught in one language, asked in all; before and after.
#   bash CLiKA/scripts/conductivity.sh [MODEL] [--key value ...]      keys of CLiKA/conductivity.py
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

trains
start CLiKA/configs/conductivity.yaml "LANGUAGES SEED" "$@"
find_data
fill design=conductivity_design
taught=$(get taught)
teaching=(--config FT/configs/paper.yaml --config CLiKA/configs/teach.yaml)
! is_world || teaching=(--config FT/configs/world.yaml --config CLiKA/configs/teach_world.yaml)
"$python" CLiKA/conductivity.py "${keys[@]}" --out "$out/facts"
evaluate() { # evaluate NAME MODEL
    "$python" MMLU/evaluate_mmlu.py --config MMLU/configs/zero_shot.yaml --model "$2" --data "$out/facts/variants" \
        ${DTYPE:+--dtype "$DTYPE"} --out "$out/$1"
}
evaluate untaught "$model"
"${launch[@]}" FT/train.py "${teaching[@]}" --model "$model" --data "$out/facts/train.jsonl" ${SEED:+--seed "$SEED"} \
    --out "$out/model"
evaluate taught "$out/model"
"$python" CLiKA/consistency.py --runs "untaught=$out/untaught,taught=$out/taught" --taught "$taught" --chance 0.25 \
    --reference 1 --out "$out/scores"
