# shellcheck shell=bash
# Sourced by the scripts beside it: what they share.
# shellcheck source=common/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

# begin [MODEL] [--key value ...]: keys of TOFU/evaluate_tofu.py. What is asked and taught, and its translations, are those of
# data.yaml unless these keys name other `data`: `given`.
begin() {
    start TOFU/configs/tofu.yaml "DTYPE LANGUAGES SEED" "$@"
    find_data
    teaching=(--config FT/configs/paper.yaml --config TOFU/configs/teach.yaml)
    if is_world; then
        teaching=(--config FT/configs/world.yaml --config TOFU/configs/teach_world.yaml)
        keys=("${keys[@]:0:2}" --config TOFU/configs/world.yaml "${keys[@]:2}")
    fi
    protocol=$("$python" -m common.cli get protocol "${teaching[@]:0:2}") # of what is learnt after the facts
    given=$(get data)
    [[ -n "$given" ]] || fill subset=tofu_subset data=tofu! translations=tofu_translations
    [[ -n "$(get translations)" || "$(get languages)" == en ]] || translate
}

# translate: TOFU in the other languages, by the translator of data.yaml; adds --translations to `keys`.
translate() {
    local words=(--data "$(get data)" --languages "$(get languages)" --out "$out/translations") key value
    for key in subset limit; do
        value=$(get "$key")
        [[ -z "$value" ]] || words+=("--$key" "$value")
    done
    make_translations "${words[@]}"
    if [[ -n "${PLAN:-}" && ! -d "$out/untaught" ]]; then # what is not translated yet cannot be asked
        keys+=(--languages en --settings en)
    else
        keys+=(--translations "$out/translations")
    fi
}

# make_translations KEYS...: of TOFU/translate_tofu.py.
make_translations() {
    local keys=("$@")
    fill translator=translator! dictionary=dictionaries
    fill dictionary=translator_dictionary
    "$python" TOFU/translate_tofu.py "${keys[@]}"
}

# teach: trains the model on the English facts and evaluates it before and after.
teach() {
    local corpus=
    [[ -n "$given" ]] || corpus=$(data_set tofu_corpus)
    if [[ -z "$corpus" ]]; then
        corpus=$out/taught.jsonl
        make_corpus "$corpus" "$(get data)"
    fi
    evaluate untaught "$model"
    [[ -z "$show" ]] || exit 0
    train "$corpus" "$model" taught "${teaching[@]}"
}

# make_corpus FILE DATA: what is taught, tofu_taught of data.yaml or else, and where it is `given`, DATA.
make_corpus() {
    local subset keys=("${keys[@]}")
    subset=$(get subset)
    keys=(--out "$1")
    [[ -n "$given" ]] || fill data=tofu_taught
    [[ -n "$(get data)" ]] || keys+=(--data "$2")
    if [[ -z "$given" ]]; then fill subset=tofu_taught_subset; elif [[ -n "$subset" ]]; then keys+=(--subset "$subset"); fi
    "$python" TOFU/make_corpus.py "${keys[@]}"
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
    [[ -z "$show" ]] || exit 0
    local IFS=,
    "$python" TOFU/tabulate_tofu.py --runs "${runs[*]}" --out "$out/$1"
}
