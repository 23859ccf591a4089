#!/usr/bin/env bash
# CLiKA's fictional places, taught in English and half of them in another language: what is conducted into it?
#   bash CLiKA/scripts/fictional.sh [MODEL] [--key value ...]      keys of CLiKA/ask_fictional.py
# A model is trained for each of LANGUAGES (--languages). Without MODEL it is one of the synthetic world's architecture with
# new weights and a tokenizer of these texts' words.
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

trains
start CLiKA/configs/fictional.yaml "DTYPE LANGUAGES" "$@"
[[ -n "${DATA_CONFIG:-}" ]] || data_config=data.yaml # the synthetic world has no such places
find_data
teaching=(--config FT/configs/paper.yaml --config CLiKA/configs/teach_fictional.yaml)
if is_world; then
    teaching=(--config FT/configs/world.yaml --config CLiKA/configs/teach_fictional_world.yaml)
    keys=("${keys[@]:0:2}" --config CLiKA/configs/fictional_world.yaml "${keys[@]:2}")
fi
fill data=clika!
seed=(${SEED:+--seed "$SEED"})
data=$(get data) template=$(get template) languages=$(get languages)
runs=()
for code in ${languages//,/ }; do
    [[ "$code" != en ]] || continue # English is taught with each
    taught=$out/$code/taught.jsonl
    "$python" CLiKA/fictional.py --data "$data" --language "$code" --template "$template" --out "$taught"
    begun=$model
    if is_world; then
        begun=$out/$code/untrained
        "$python" -m world.untrained --text "$taught" "${seed[@]}" --out "$begun"
    fi
    "${launch[@]}" FT/train.py "${teaching[@]}" --model "$begun" --data "$taught" "${seed[@]}" --out "$out/$code/model"
    "$python" CLiKA/ask_fictional.py "${keys[@]}" --model "$out/$code/model" --languages "$code" --out "$out/$code/answers"
    runs+=("$code=$out/$code/answers")
done
((${#runs[@]})) || fail "languages $languages: name one beside English"
IFS=,
"$python" CLiKA/tabulate_fictional.py --runs "${runs[*]}" "${seed[@]}" --out "$out/table"
