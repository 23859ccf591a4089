# shellcheck shell=bash
# Sourced by the scripts beside it: what they share.
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

# begin [MODEL] [--key value ...]: keys of FT/train.py.
begin() {
    trains
    start "$(training_config "$@")" "SEED" "$@"
    find_data
    protocol=$(get protocol)
    results=${RESULTS:-$(dirname "$(dirname "$out")")} # out is that of one arm's model, RESULTS/models/ARM
    build_questions
    fill eval_data=perplexity_texts
}

# build_questions: MMLU in the languages of the arms, and in the held-out ones.
tabulate=()
build_questions() {
    local held_out
    held_out=$(data_set held_out_languages)
    variants=$results/variants
    build_variants mmlu "$variants" "${LANGUAGES:-}"
    if [[ -n "$held_out" ]]; then
        build_variants mmlu "${variants}_held_out" "en,$held_out"
        cp -u "${variants}_held_out"/full_*.csv "$variants/"
        tabulate+=(--held_out "$held_out")
    fi
    ! is_world || tabulate+=(--subjects english_only)
}

# The arms by name, and the keys of FT/mix.py that make their text.
declare -A texts=(
    [en]="--unit sentence --probability 0"
    [document]="--unit document"
    [sentence]="--unit sentence"
    [words]="--unit words --unit_size 8"
    [word]="--unit word"
    [parallel]="--unit sentence --layout parallel"
    [interleaved]="--unit paragraph --layout interleaved"
)

# train_arms NAME...: trains these arms.
train_arms() {
    local one words
    for one; do
        read -ra words <<< "${texts[$one]}"
        arm "$one" "${words[@]}"
    done
}

# arm NAME KEYS...: makes the corpus of an arm (keys of FT/mix.py), trains on it and evaluates.
arm() {
    mix "$results/corpora/$1.jsonl" "${@:2}"
    "${launch[@]}" FT/train.py "${keys[@]}" --data "$results/corpora/$1.jsonl" --out "$results/models/$1"
    evaluate "$1" "$results/models/$1"
    logs+=("$1=$results/models/$1")
}

# evaluate NAME MODEL: MMLU and the domain quiz, in the settings of FT/configs/evaluate.yaml or other keys in `asked`.
arms=() quizzes=() logs=() asked=(--config FT/configs/evaluate.yaml)
evaluate() {
    local shared=("${asked[@]}" --model "$2" ${DTYPE:+--dtype "$DTYPE"})
    "$python" MMLU/evaluate_mmlu.py --config MMLU/configs/zero_shot.yaml "${shared[@]}" --data "$variants" \
        --out "$results/records/$1"
    local keys=(--config HP/configs/quiz.yaml "${shared[@]}" --out "$results/quiz/$1")
    [[ -z "${LANGUAGES:-}" ]] || keys+=(--languages "$LANGUAGES")
    fill data=quiz!
    "$python" HP/evaluate_quiz.py "${keys[@]}"
    arms+=("$1=$results/records/$1") quizzes+=("$1=$results/quiz/$1")
}

# table NAME: all arms so far, MMLU and the quiz.
table() {
    local IFS=,
    "$python" FT/tabulate_arms.py --arms "${arms[*]}" --logs "${logs[*]}" --out "$results/$1" "${tabulate[@]}"
    "$python" HP/tabulate_quiz.py --runs "${quizzes[*]}" --out "$results/$1_quiz"
}
