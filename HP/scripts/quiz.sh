#!/usr/bin/env bash
# The domain quiz in every language and setting: the paper's figure of accuracy by language.
#   bash HP/scripts/quiz.sh                                      the world and its model
#   [DATA=...] bash HP/scripts/quiz.sh MODEL [--key value ...]   DATA and keys of HP/evaluate_quiz.py; HP/data/sample.csv if not set
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

out=${RESULTS:-HP/results/$name}
if [[ -z "$data" && -z "${1:-}" ]]; then
    build_world "$out/world"
    data=$world/hp
fi
"$python" HP/evaluate_quiz.py --config HP/configs/quiz.yaml --model "$model" --data "${data:-HP/data/sample.csv}" \
    --dtype "$dtype" --out "$out/quiz" "${@:2}"
[[ -z "$show" ]] || exit 0
"$python" HP/tabulate_quiz.py --runs "$name=$out/quiz" --out "$out/by_language"
