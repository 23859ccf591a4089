# shellcheck shell=bash
# Sourced by the scripts beside it: what they share.
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

# variants BENCHMARK: adds --data to `keys`, unless the YAML or the caller has it: every setting of mmlu or belebele.
variants() {
    [[ -z "$(get data)" ]] || return 0
    find_data
    local folder=${RESULTS:-MMLU/results}/variants/$1${LANGUAGES:+-${LANGUAGES//,/-}}${SEED:+-seed-$SEED}
    [[ "$data_config" != results/* ]] || folder=$(dirname "$data_config")/../variants
    build_variants "$1" "$folder" "${LANGUAGES:-}"
    keys+=(--data "$folder")
}

# own_examples [SETTINGS]: whether there are few-shot examples in other settings than English, or in SETTINGS, such as full_*;
# false only where these lack and English ones do not.
own_examples() {
    local data test=() dev
    data=$(get data)
    test=("$data"/full_*.csv)
    [[ -f "${test[0]}" && -f "$data/dev/en.csv" ]] || return 0
    for dev in "$data"/dev/${1:-*}.csv; do
        [[ "$dev" = */en.csv || ! -f "$dev" ]] || return 0
    done
    return 1
}

# only_english RUN: sets `category`, of the synthetic world's questions those that are told in English only.
# shellcheck disable=SC2034 # the callers use it
only_english() { ! grep -qs '^english_only,' "$1/summary_by_category.csv" || category=(--category english_only); }

# report RUN: table and plot of a run, and for the synthetic world those of the facts known in English only.
report() {
    "$python" MMLU/tabulate_mmlu.py --runs "$1" --out "$1/table"
    "$python" MMLU/plot_mmlu.py --run "$1" --out "$1/accuracy"
    if grep -q '^english_only,' "$1/summary_by_category.csv"; then
        "$python" MMLU/tabulate_mmlu.py --runs "$1" --out "$1/table_english_only" --category english_only
        "$python" MMLU/plot_mmlu.py --run "$1" --out "$1/accuracy_english_only" --category english_only
    fi
}
