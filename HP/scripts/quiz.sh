#!/usr/bin/env bash
# The domain quiz in every language and setting: the paper's figure of accuracy by language.
#   bash HP/scripts/quiz.sh [MODEL] [--key value ...]      keys of HP/evaluate_quiz.py
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

start HP/configs/quiz.yaml "DTYPE LANGUAGES SEED" "$@"
find_data
fill data=quiz!
"$python" HP/evaluate_quiz.py "${keys[@]}" --out "$out/quiz"
[[ -n "$show" ]] || "$python" HP/tabulate_quiz.py --runs "$name=$out/quiz" --out "$out/by_language"
