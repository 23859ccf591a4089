#!/usr/bin/env bash
# Every fix that needs no training beside the plain prompt: the paper's section 4.1, and what came after it.
#   bash MMLU/scripts/mitigation.sh                                  the world and its model
#   DATA=DIR [TRANSLATOR=... METHODS=... SETTINGS=...] bash MMLU/scripts/mitigation.sh MODEL [--key value ...]
# DIR from build_variants.py with demonstrations in dev/; METHODS are files of configs/mitigation; keys of mitigate.py.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

out=${RESULTS:-MMLU/results/mitigation/$name}
settings=${SETTINGS:-en,full,question,options,threewrong,mixup}
methods=${METHODS:-labels_lower,labels_digits,labels_cdef,hint_various,hint_different,shots_english,shots_same,shots_mixed}
methods=${METHODS:-$methods,translate_test,translate_self,xlt}
keys=(--translator "${TRANSLATOR:-facebook/nllb-200-distilled-600M}")
write_keys=() category=()
world_variants
if [[ -z "${DATA:-}" ]]; then
    keys=(--translator dictionary --dictionary "$world/dictionaries")
    write_keys=(--max_new_tokens 48) category=(--category english_only) # the world's model writes nothing of use
fi

evaluate() { # evaluate NAME CONFIG KEYS...
    "$python" MMLU/mitigate.py --config MMLU/configs/zero_shot.yaml --config "$2" --model "$model" --data "$data" \
        --settings "$settings" --dtype "$dtype" --out "$out/$1" "${@:3}"
}

for method in ${methods//,/ }; do
    [[ -f "MMLU/configs/mitigation/$method.yaml" ]] && continue
    echo "mitigation.sh: no method $method in METHODS; there are: $(ls MMLU/configs/mitigation | sed 's/.yaml//' | xargs)" >&2
    exit 2
done
evaluate plain MMLU/configs/zero_shot.yaml "${@:2}"
runs=()
for method in ${methods//,/ }; do
    own=()
    case $method in
        translate_test) own=("${keys[@]}") ;;
        translate_self | xlt) own=("${write_keys[@]}") ;;
    esac
    evaluate "$method" "MMLU/configs/mitigation/$method.yaml" "${own[@]}" "${@:2}"
    runs+=("$method=$out/$method")
done
[[ -z "$show" ]] || exit 0
# A server may not give what these two need, or SETTINGS have no full_L; they say so, and the table goes without.
if "$python" MMLU/calibrate.py --run "$out/plain" --out "$out/calibrated"; then runs+=("calibrated=$out/calibrated"); fi
"$python" MMLU/ensemble.py --run "$out/plain" --out "$out/ensemble" "${category[@]}" || true
IFS=,
"$python" MMLU/tabulate_mitigation.py --plain "$out/plain" --runs "${runs[*]}" --out "$out/mitigation" "${category[@]}"
