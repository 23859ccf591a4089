# Sourced by the scripts beside it: what they share.
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

# world_variants: builds the controlled world's questions in every setting and sets `data` to them, unless $DATA is set.
world_variants() {
    asks_world DATA || return 0
    local folder=${RESULTS:-MMLU/results/world}
    build_world "$folder/data"
    data=$folder/variants
    "$python" MMLU/build_variants.py --source mmlu --data "$world/mmlu/en" --translations "$world/mmlu" \
        --languages en,de,fr,es,it --out "$data" --seed 42
}

# report RUN: table and plot of a run, and for the world those of the facts known in English only.
report() {
    "$python" MMLU/tabulate_mmlu.py --runs "$1" --out "$1/table"
    "$python" MMLU/plot_mmlu.py --run "$1" --out "$1/accuracy"
    if grep -q '^english_only,' "$1/summary_by_category.csv"; then
        "$python" MMLU/tabulate_mmlu.py --runs "$1" --out "$1/table_english_only" --category english_only
        "$python" MMLU/plot_mmlu.py --run "$1" --out "$1/accuracy_english_only" --category english_only
    fi
}
