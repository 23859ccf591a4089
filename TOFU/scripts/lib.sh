# Sourced by the scripts beside it: what they share.
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

# begin [MODEL] [--key value ...]: keys of TOFU/evaluate_tofu.py; the data are those of data.yaml unless these name others.
begin() {
    start TOFU/configs/tofu.yaml "DTYPE LANGUAGES SEED" "$@"
    find_data
    teaching=(--config FT/configs/paper.yaml --config TOFU/configs/teach.yaml)
    if is_world; then
        teaching=(--config FT/configs/world.yaml --config TOFU/configs/teach_world.yaml)
        keys=("${keys[@]:0:2}" --config TOFU/configs/world.yaml "${keys[@]:2}")
    fi
    [[ -n "$(get data)" ]] || fill subset=tofu_subset
    fill data=tofu! translations=tofu_translations
}

# teach: trains the model on the English facts and evaluates it before and after.
teach() {
    local corpus
    corpus=$(data_set tofu_corpus)
    if [[ -z "$corpus" ]]; then
        corpus=$out/taught.jsonl
        (
            asked=$(get data) keys=(--out "$corpus")
            fill data=tofu_taught
            [[ -n "$(get data)" ]] || keys+=(--data "$asked")
            fill subset=tofu_taught_subset
            "$python" TOFU/make_corpus.py "${keys[@]}"
        )
    fi
    evaluate untaught "$model"
    train "$corpus" "$model" taught "${teaching[@]}"
}

# train CORPUS MODEL NAME KEYS...: trains a model, which is called NAME from then on, and evaluates it.
train() {
    "${launch[@]}" FT/train.py "${@:4}" --model "$2" --data "$1" ${SEED:+--seed "$SEED"} --out "$out/models/$3"
    evaluate "$3" "$out/models/$3"
}

# evaluate NAME MODEL: TOFU in every language.
runs=()
evaluate() {
    "$python" TOFU/evaluate_tofu.py "${keys[@]}" --model "$2" --out "$out/$1"
    runs+=("$1=$out/$1")
}

# table NAME: all runs so far.
table() {
    local IFS=,
    "$python" TOFU/tabulate_tofu.py --runs "${runs[*]}" --out "$out/$1"
}
