# Sourced by the scripts beside it: what they share.
# From the environment: CORPUS (English text), TRANSLATOR and DICTIONARY (see FT/mix.py), DATA (variants of
# MMLU/build_variants.py), QUIZ (data of HP/evaluate_quiz.py), CONFIG (of FT/train.py), SEED, DTYPE, LAUNCH. Where none of
# the data is set, all are the world's, of WORLD_SEED.
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

seed=${SEED:-42}
results=${RESULTS:-FT/results/$name}
languages=en,de,fr,es,it
held_out=pt,nl # languages of the world that no arm is fine-tuned on
settings=en,full,mixup
one_dtype

# world: builds the controlled world and points everything at it.
world() {
    build_world "$results/world"
    "$python" MMLU/build_variants.py --source mmlu --data "$world/mmlu/en" --translations "$world/mmlu" \
        --languages "$languages" --out "$results/variants" --seed 42
    "$python" MMLU/build_variants.py --source mmlu --data "$world/mmlu/en" --translations "$world/mmlu" \
        --languages "en,$held_out" --out "$results/variants_held_out" --seed 42
    cp "$results"/variants_held_out/full_*.csv "$results/variants/"
    corpus=$world/wiki/wiki.train.txt
    data=$results/variants quiz=$world/hp
    config=FT/configs/world.yaml
    mix_keys=(--translator dictionary --dictionary "$world/memory")
    train_keys=(--eval_data "$world/wiki")
    tabulate_keys=(--held_out "$held_out" --subjects english_only)
}

# start: sets `corpus`, `data`, `config` and the keys of the three steps.
start() {
    if asks_world CORPUS DATA QUIZ DICTIONARY; then
        world
        return
    fi
    need CORPUS DATA
    corpus=$CORPUS config=${CONFIG:-FT/configs/paper.yaml} quiz=${QUIZ:-HP/data/sample.csv}
    mix_keys=(--translator "${TRANSLATOR:-facebook/nllb-200-distilled-600M}" --detokenize true)
    [[ -z "${DICTIONARY:-}" ]] || mix_keys+=(--dictionary "$DICTIONARY")
    train_keys=() tabulate_keys=()
}

# arm NAME KEYS...: makes the corpus of an arm (keys of FT/mix.py), trains on it and evaluates.
arm() {
    "$python" FT/mix.py --input "$corpus" --languages "$languages" "${mix_keys[@]}" --seed "$seed" \
        --out "$results/corpora/$1.jsonl" "${@:2}"
    "${launch[@]}" FT/train.py --config "$config" --model "$model" --data "$results/corpora/$1.jsonl" --seed "$seed" \
        --out "$results/models/$1" "${train_keys[@]}"
    evaluate "$1" "$results/models/$1"
    logs+=("$1=$results/models/$1")
}

# evaluate NAME MODEL: MMLU in the settings of the table, and the domain quiz.
arms=() quizzes=() logs=()
evaluate() {
    "$python" MMLU/evaluate_mmlu.py --config MMLU/configs/zero_shot.yaml --model "$2" --data "$data" --dtype "$dtype" \
        --out "$results/records/$1" --settings "$settings"
    "$python" HP/evaluate_quiz.py --config HP/configs/quiz.yaml --model "$2" --data "$quiz" --dtype "$dtype" \
        --out "$results/quiz/$1" --settings "$settings"
    arms+=("$1=$results/records/$1") quizzes+=("$1=$results/quiz/$1")
}

# table OUT: all arms so far, MMLU and the quiz.
table() {
    local IFS=,
    "$python" FT/tabulate_arms.py --arms "${arms[*]}" --logs "${logs[*]}" --out "$results/$1" "${tabulate_keys[@]}"
    "$python" HP/tabulate_quiz.py --runs "${quizzes[*]}" --out "$results/$1_quiz"
}
