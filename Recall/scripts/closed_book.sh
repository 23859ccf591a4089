#!/usr/bin/env bash
# What is known in one language, asked in it and in others, answered in words (ECLeKTic, MultiLoKo).
#   bash Recall/scripts/closed_book.sh [MODEL] [--benchmark multiloko] [--key value ...]      keys of Recall/closed_book.py
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

start Recall/configs/closed_book.yaml "DTYPE LANGUAGES SEED" "$@"
[[ -n "${DATA_CONFIG:-}" ]] || data_config=data.yaml # the synthetic world has neither
find_data
benchmarks=$(get benchmark)
[[ -n "$benchmarks" || -z "$(get data)" ]] || fail "data: name its benchmark too, eclektic or multiloko"
if [[ -z "$benchmarks" ]]; then
    [[ -z "$(data_set eclektic)" ]] || benchmarks+=" eclektic"
    [[ -z "$(data_set multiloko)" ]] || benchmarks+=" multiloko"
    [[ -n "$benchmarks" ]] || fail "eclektic and multiloko are null in $data_config; name one of these data sets there"
fi
for benchmark in $benchmarks; do
    (
        fill "data=$benchmark!"
        "$python" Recall/closed_book.py "${keys[@]}" --benchmark "$benchmark"
    )
done
