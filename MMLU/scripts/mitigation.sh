#!/usr/bin/env bash
# Every fix that needs no training beside the plain prompt: the paper's section 4.1, and what came after it.
#   [METHODS=xlt,hint_various] bash MMLU/scripts/mitigation.sh [MODEL] [--key value ...]      keys of MMLU/mitigate.py
# METHODS are files of configs/mitigation, all of them if not set.
# shellcheck source=MMLU/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

methods=${METHODS:-labels_lower,labels_digits,labels_cdef,hint_various,hint_different,shots_english,shots_same,shots_mixed}
methods=${METHODS:-$methods,translate_test,translate_self,xlt}
known=(MMLU/configs/mitigation/*.yaml) seen=,
known=("${known[@]##*/}")
for method in ${methods//,/ }; do
    [[ " ${known[*]} " = *" $method.yaml "* ]] || fail "no method $method in METHODS; there are: ${known[*]%.yaml}"
    [[ "$seen" != *",$method,"* ]] || fail "METHODS has $method twice"
    seen+=$method,
done
start MMLU/configs/mitigation.yaml "DTYPE SEED" "$@"
variants mmlu

category=() world=()
! is_world || world=(--config MMLU/configs/mitigation_world.yaml)
shows_own() { # shows_own METHOD: whether it shows few-shot examples in other languages than English
    local common=("${keys[@]}") keys
    keys=("${common[@]:0:2}" --config "MMLU/configs/mitigation/$1.yaml" "${common[@]:2}")
    [[ ! "$(get num_fewshot)" =~ ^0?$ && "$(get fewshot_examples)" != en ]]
}
evaluate() { # evaluate NAME KEYS...: on top of mitigation.yaml; the caller's keys come last and win
    (
        keys=("${keys[@]:0:2}" "${@:2}" "${keys[@]:2}")
        if [[ "$1" = translate_test ]]; then
            find_data
            fill translator=translator dictionary=dictionaries
            fill dictionary=translator_dictionary
        fi
        "$python" MMLU/mitigate.py "${keys[@]}" --out "$out/$1"
    )
}
chosen=() without=() runs=()
for method in ${methods//,/ }; do
    of=
    [[ "$method" != shots_mixed ]] || of="full_*" # one in each language
    if ! own_examples "$of" && shows_own "$method"; then without+=("$method"); else chosen+=("$method"); fi
done
if ((${#without[@]})); then
    echo "note: $(get data)/dev has few-shot examples in English only, so these methods are left out: ${without[*]}" >&2
    ((${#chosen[@]})) || fail "no method of METHODS is left"
fi
evaluate plain
for method in "${chosen[@]}"; do
    evaluate "$method" --config "MMLU/configs/mitigation/$method.yaml" "${world[@]}"
    runs+=("$method=$out/$method")
done
[[ -z "$show" ]] || exit 0
only_english "$out/plain"
# A server may not give what these two need, or the settings lack full_L; they say so, and the table is made without them.
where_possible() { # where_possible COMMAND...: ends the script where it fails for another reason (exit code 2 is input)
    local code=0
    "$@" || code=$?
    ((code == 0 || code == 2)) || exit "$code"
    return "$code"
}
if where_possible "$python" MMLU/calibrate.py --run "$out/plain" --out "$out/calibrated"; then runs+=("calibrated=$out/calibrated"); fi
where_possible "$python" MMLU/ensemble.py --run "$out/plain" --out "$out/ensemble" "${category[@]}" || true
IFS=,
"$python" MMLU/tabulate_mitigation.py --plain "$out/plain" --runs "${runs[*]}" --out "$out/mitigation" "${category[@]}"
