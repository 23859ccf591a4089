# Sourced by the scripts beside it: what they share.
# From the environment: DATA and SUBSET (of TOFU/evaluate_tofu.py), TAUGHT and TAUGHT_SUBSET (what the model learns, else the
# same), TRANSLATIONS (of TOFU/translate_tofu.py) into LANGUAGES, CONFIG (of FT/train.py) and TEACH (what is different while the
# facts are taught), SEED, DTYPE, LAUNCH. Where none of the data is set, all are the world's, of WORLD_SEED.
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

one_dtype
seed=${SEED:-42}
results=${RESULTS:-TOFU/results/$name}
languages=${LANGUAGES:-en,de,fr,es,it}
IFS=, read -ra codes <<< "$languages"
settings=en
((${#codes[@]} < 2)) || settings+=,full
((${#codes[@]} < 5)) || settings+=,mixup

# teach: trains the model on the English facts and evaluates it before and after.
teach() {
    if asks_world DATA TRANSLATIONS TAUGHT CORPUS; then
        build_world "$results/world"
        data=$world/tofu/en/authors.json TRANSLATIONS=$world/tofu corpus=$world/tofu/train.jsonl
        config=FT/configs/world.yaml teach=TOFU/configs/teach_world.yaml evaluate_keys=(--max_new_tokens 32)
    else
        need DATA TRANSLATIONS
        corpus=$results/taught.jsonl config=${CONFIG:-FT/configs/paper.yaml} evaluate_keys=()
        teach=${TEACH:-TOFU/configs/teach.yaml}
        [[ -z "${SUBSET:-}" ]] || evaluate_keys=(--subset "$SUBSET")
        local subset=${TAUGHT_SUBSET:-${SUBSET:-}}
        "$python" TOFU/make_corpus.py --data "${TAUGHT:-$data}" ${subset:+--subset "$subset"} --out "$corpus"
    fi
    evaluate untaught "$model"
    train "$corpus" "$model" taught "$config" "$teach"
}

# train CORPUS MODEL NAME CONFIG...: trains a model, which is called NAME from then on, and evaluates it.
train() {
    local keys=() file
    for file in "${@:4}"; do keys+=(--config "$file"); done # a later file's keys win
    "${launch[@]}" FT/train.py "${keys[@]}" --model "$2" --data "$1" --seed "$seed" --out "$results/models/$3"
    evaluate "$3" "$results/models/$3"
}

# evaluate NAME MODEL: TOFU in every language.
runs=()
evaluate() {
    "$python" TOFU/evaluate_tofu.py --config TOFU/configs/tofu.yaml --model "$2" --data "$data" --languages "$languages" \
        --translations "$TRANSLATIONS" --settings "$settings" \
        --dtype "$dtype" --out "$results/$1" "${evaluate_keys[@]}"
    runs+=("$1=$results/$1")
}

# table OUT: all runs so far.
table() {
    local IFS=,
    "$python" TOFU/tabulate_tofu.py --runs "${runs[*]}" --out "$results/$1"
}
