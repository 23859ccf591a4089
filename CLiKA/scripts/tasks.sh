#!/usr/bin/env bash
# CLiKA's four tasks in ten languages, with its own prompt: accuracy, rescaled accuracy, consistency.
#   bash CLiKA/scripts/tasks.sh [MODEL] [--key value ...]      keys of MMLU/mitigate.py
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

start CLiKA/configs/tasks.yaml "DTYPE" "$@"
[[ "$name" != *@* ]] || fail "model $name: rename it; the @ separates models and tasks in tables"
[[ -n "${DATA_CONFIG:-}" ]] || data_config=data.yaml # the synthetic world has none of them
find_data
[[ -z "$(get data)" ]] || fail "data: the questions are built from clika of data.yaml; name it there, or another DATA_CONFIG"
languages=${LANGUAGES:-en,de,fr,it,ru,zh,ja,ar,pl,he}
runs=()
for task in x_geo x_name x_csqa x_copa; do
    variants=${RESULTS:-CLiKA/results}/variants/$task-${languages//,/-}
    build_variants clika "$variants" "$languages" --clika_task "$task" --on_mismatch drop # an option of x_csqa is empty
    "$python" MMLU/mitigate.py "${keys[@]}" --data "$variants" --out "$out/$task"
    runs+=("$name@$task=$out/$task")
done
[[ -z "$show" ]] || exit 0
IFS=,
"$python" CLiKA/consistency.py --runs "${runs[*]}" --out "$out/scores"
