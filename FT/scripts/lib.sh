# shellcheck shell=bash
# Sourced by the scripts beside it: what they share.
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

# take_limit WORDS...: sets `limit`, --limit N: only so many documents, questions of each subject, lines and sentences; and
# `words`, the others.
limit=() words=()
take_limit() {
    while (($#)); do
        case "$1" in
            --limit) limit=(--limit "${2:-}") && shift $(($# > 1 ? 2 : 1)) ;;
            --limit=*) limit=(--limit "${1#*=}") && shift ;;
            *) words+=("$1") && shift ;;
        esac
    done
    [[ ${#limit[@]} -eq 0 || "${limit[1]}" =~ ^[1-9][0-9]*$ ]] || fail "--limit is '${limit[1]}'; it must be 1 or more"
}

# begin [MODEL] [--limit N] [--key value ...]: keys of FT/train.py.
begin() {
    take_limit "$@"
    start "$(training_config "${words[@]}")" "SEED" "${words[@]}"
    find_data
    protocol=$(get protocol)
    protocol=${protocol:-ours}
    results=${RESULTS:-$(dirname "$(dirname "$out")")} # out is that of one arm's model, RESULTS/models/ARM
    build_questions
    fill eval_data=perplexity_texts
}

# build_questions: MMLU in the languages of the arms, and in the held-out ones. Sets `place`, where the corpora, models and
# records of the arms are.
tabulate=()
build_questions() {
    local held_out
    held_out=$(data_set held_out_languages)
    variants=$results/variants place=$results
    build_variants mmlu "$variants" "$(languages_of_text)" ${held_out:+--held_out "$held_out"}
    [[ -z "$held_out" ]] || tabulate+=(--held_out "$held_out")
    ! is_world || tabulate+=(--subjects english_only)
}

# The arms by name, and the keys of FT/mix.py that make their text; those of MMLU/evaluate_mmlu.py that make the votes of `dpo`.
declare -A texts=(
    [en]="--unit sentence --probability 0"
    [document]="--unit document"
    [sentence]="--unit sentence"
    [words]="--unit words --unit_size 8"
    [word]="--unit word"
    [parallel]="--unit sentence --layout parallel"
    [interleaved]="--unit paragraph --layout interleaved"
    [middle]="--unit sentence --probability 0"
    [pairs]="--unit word --probability 0.05"
    [dpo]="--settings en,full"
    [anchor]=""
)

# train_arms NAME...: trains these arms.
train_arms() {
    local one words
    for one; do
        read -ra words <<< "${texts[$one]}"
        arm "$one" "${words[@]}"
    done
}

# arm NAME KEYS...: makes the corpus of an arm (keys of FT/mix.py), trains on it and evaluates; `middle` and `pairs` align
# besides, in one process; `anchor` has no text and no training. A plan has the model before training in the place of one that
# is not trained yet. `steps` are those of all corpora.
steps=()
arm() {
    local trained=$place/models/$1 cache=() align=() train=("${launch[@]}") own=() key
    if [[ -z "${PLAN:-}" && "$1" = dpo ]]; then
        votes "$results/corpora/dpo.jsonl" "${@:2}"
        for key in device processes seed; do # of the other arms; all else is in dpo.yaml
            [[ -z "$(get "$key")" ]] || own+=("--$key" "$(get "$key")")
        done
        "$python" FT/train.py "${keys[@]:0:2}" --config FT/configs/dpo.yaml "${keys[@]:2}" "${own[@]}" --model "$model" \
            --objective dpo --align null --protocol ours --eval_data null --data "$results/corpora/dpo.jsonl" --out "$trained"
    elif [[ -z "${PLAN:-}" && "$1" = anchor* ]]; then
        anchor "$trained" "${@:2}"
    elif [[ -z "${PLAN:-}" ]]; then
        # What one seed has translated the next need not.
        [[ "$place" = "$results" || -n "$("$python" -m common.cli get cache --config FT/configs/mix.yaml)" ]] ||
            cache=(--cache "$results/translations.sqlite")
        mix "$place/corpora/$1.jsonl" "${@:2}" "${limit[@]}" "${cache[@]}"
        if [[ "$1" = middle ]]; then # of sentences that other arms translate too
            mix "$place/corpora/parallel.jsonl" --unit sentence --layout parallel "${limit[@]}" "${cache[@]}"
            align=(--align middle --align_data "$place/corpora/parallel.jsonl") train=("$python")
        elif [[ "$1" = pairs ]]; then
            align=(--align words --align_data "$(data_set dictionaries)") train=("$python")
            [[ -n "$(get align_languages)" ]] || align+=(--align_languages "$(languages_of_text)")
        fi
        "${train[@]}" FT/train.py "${keys[@]}" "${steps[@]}" "${align[@]}" --data "$place/corpora/$1.jsonl" --out "$trained"
    elif [[ ! -f "$trained/run.json" ]]; then
        echo "to train: $trained"
        trained=$model
    fi
    evaluate "$1" "$trained"
    logs+=("$1=$trained")
}

# votes FILE KEYS...: preferences for what the model answers in most languages to the few-shot examples, which no arm is asked.
votes() {
    "$python" MMLU/evaluate_mmlu.py --config MMLU/configs/zero_shot.yaml --model "$model" ${DTYPE:+--dtype "$DTYPE"} \
        --data "$variants/dev" "${limit[@]}" "${@:2}" --out "$results/votes"
    "$python" FT/consistency_pairs.py --records "$results/votes" --out "$1"
}

# anchor FOLDER [--weight W]: the model with words moved towards their English translations; `anchoring` are keys of
# FT/anchor.py.
anchoring=(--config FT/configs/anchor.yaml ${LANGUAGES:+--languages "$LANGUAGES"})
anchor() {
    find_dictionary
    "$python" FT/anchor.py "${anchoring[@]}" --model "$model" --out "$1" "${@:2}"
}

# find_dictionary: adds the dictionaries of data.yaml to `anchoring` where its YAML has none; where both have none, the end.
find_dictionary() {
    local keys=("${anchoring[@]}")
    fill dictionary=dictionaries!
    anchoring=("${keys[@]}")
}

# languages_of_text: LANGUAGES, or those of FT/configs/mix.yaml.
languages_of_text() {
    echo "${LANGUAGES:-$("$python" -m common.cli get languages --config FT/configs/mix.yaml)}"
}

# evaluate NAME MODEL: MMLU and the domain quiz, in the settings of FT/configs/evaluate.yaml, or of EVALUATE, or other keys in
# `asked`; and what else is in `measures`.
arms=() quizzes=() logs=() measures=() asked=(--config FT/configs/evaluate.yaml)
[[ -z "${EVALUATE:-}" ]] || asked=(--config "$(absolute "$EVALUATE")")
evaluate() {
    local shared=("${asked[@]}" --model "$2" ${DTYPE:+--dtype "$DTYPE"}) measure
    "$python" MMLU/evaluate_mmlu.py --config MMLU/configs/zero_shot.yaml "${shared[@]}" --data "$variants" \
        "${limit[@]}" --out "$place/records/$1"
    local keys=(--config HP/configs/quiz.yaml "${shared[@]}" "${limit[@]}" --out "$place/quiz/$1")
    [[ -z "${LANGUAGES:-}" ]] || keys+=(--languages "$LANGUAGES")
    fill data=quiz!
    "$python" HP/evaluate_quiz.py "${keys[@]}"
    arms+=("$1=$place/records/$1") quizzes+=("$1=$place/quiz/$1")
    for measure in "${measures[@]}"; do "measure_$measure" "$1" "$2"; done
}

# measure_x_geo NAME MODEL: CLiKA's questions on geography, in LANGUAGES, else in those of the paper's that it has.
measure_x_geo() {
    SEED='' build_variants clika "$results/variants_x_geo" "${LANGUAGES:-en,de,fr,it}" --clika_task x_geo --on_mismatch drop
    "$python" MMLU/evaluate_mmlu.py --config MMLU/configs/zero_shot.yaml "${asked[@]}" --model "$2" \
        ${DTYPE:+--dtype "$DTYPE"} --data "$results/variants_x_geo" --settings en,full "${limit[@]}" --out "$place/x_geo/$1"
}

# measure_perplexity NAME MODEL: of perplexity_texts, or where that is null of the sentences of flores.
measure_perplexity() {
    local keys=(--model "$2" ${DTYPE:+--dtype "$DTYPE"} "${limit[@]}" --out "$place/perplexity/$1")
    fill texts=perplexity_texts
    fill texts=flores!
    "$python" FT/perplexity.py "${keys[@]}"
}

# measure_translation NAME MODEL: chrF++ from and into English.
measure_translation() {
    local keys=(--config Translation/configs/translation.yaml --translator "$2" ${DTYPE:+--dtype "$DTYPE"} "${limit[@]}")
    local prefix=()
    [[ -z "${LANGUAGES:-}" ]] || keys+=(--languages "$LANGUAGES")
    fill sentences=flores!
    "$python" Translation/translate.py "${keys[@]}" --out "$place/translation/$1/systems/$1"
    [[ -z "${PLAN:-}" ]] || return 0
    [[ -z "$(get limit)" ]] || prefix=(--allow_prefix)
    "$python" Translation/score.py --hypotheses "$place/translation/$1/systems" --references "$(get sentences)" \
        "${prefix[@]}" --out "$place/translation/$1/scores"
}

# measure_mexa NAME MODEL: the share of sentences of flores that are nearest to their translation both ways, by layer.
measure_mexa() {
    local keys=(--config Translation/configs/mexa.yaml --model "$2" ${DTYPE:+--dtype "$DTYPE"} --out "$place/mexa/$1")
    [[ -z "${LANGUAGES:-}" ]] || keys+=(--languages "$LANGUAGES")
    [[ ${#limit[@]} -eq 0 ]] || keys+=(--count "$((limit[1] > 1 ? limit[1] : 2))")
    fill sentences=flores!
    "$python" Translation/mexa.py "${keys[@]}"
}

# table NAME: all arms so far, MMLU and the quiz.
table() {
    local IFS=,
    "$python" FT/tabulate_arms.py --arms "${arms[*]}" --logs "${logs[*]}" --out "$place/$1" "${tabulate[@]}"
    "$python" HP/tabulate_quiz.py --runs "${quizzes[*]}" --out "$place/$1_quiz"
}
