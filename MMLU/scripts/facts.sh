#!/usr/bin/env bash
# Knowledge or reasoning: the gap to English with no, one and two facts before the question, and with facts and question in
# different languages.
#   bash MMLU/scripts/facts.sh [MODEL] [--key value ...]      keys of MMLU/evaluate_mmlu.py
# shellcheck source=MMLU/scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start MMLU/configs/facts.yaml "DTYPE" "$@"
[[ -z "$(get data)" ]] || fail "data: the questions are built from knowledge_free of data.yaml; name it there, or another DATA_CONFIG"
find_data
languages=en,de,fr,it,ru,zh,ar
! is_world || languages=en,de,fr,es,it
languages=${LANGUAGES:-$languages}
build() { # build DIR KEYS...: the questions with so many facts
    local keys=(--source knowledge_free --out "$1" --languages "$languages" "${@:2}")
    [[ -z "${SEED:-}" ]] || keys+=(--seed "$SEED")
    fill data=knowledge_free!
    "$python" MMLU/build_variants.py "${keys[@]}"
}
runs=()
evaluate() { # evaluate NAME KEYS...: asks with what the keys of build_variants.py give
    local variants=${RESULTS:-MMLU/results}/variants
    [[ "$data_config" != results/* ]] || variants=$(dirname "$data_config")/../variants
    variants+=/$1-${languages//,/-}${SEED:+-seed-$SEED}
    build "$variants" "${@:2}"
    "$python" MMLU/evaluate_mmlu.py "${keys[@]}" --data "$variants" --out "$out/$1"
    runs+=("$1=$out/$1")
}
evaluate facts_0 --facts 0
evaluate facts_1 --facts 1
evaluate facts_2 --facts 2
evaluate english_facts --facts 2 --crossed question
evaluate english_question --facts 2 --crossed facts
[[ -z "$show" ]] || exit 0
IFS=,
"$python" MMLU/tabulate_facts.py --runs "${runs[*]}" --out "$out/table"
