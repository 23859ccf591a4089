# shellcheck shell=bash
# Sourced by every script: goes to the repository root and defines what they share. A key is handed to Python only where the
# caller set it, on the command line or in the environment; else the YAML decides.

set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# absolute PATH: a path as the caller means it; what does not exist, such as a hub name, stays as it is.
absolute() { if [[ -e "$caller/$1" ]]; then realpath "$caller/$1"; elif [[ -e "$1" ]]; then realpath "$1"; else echo "$1"; fi; }

for key in CONFIG DATA_CONFIG CORPUS; do
    [[ -z "${!key:-}" ]] || export "$key=$(absolute "${!key}")"
done
[[ -z "${RESULTS:-}" ]] || RESULTS=$(cd "$caller" && realpath -m "$RESULTS") # exported already
python=${PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python)}
export TRANSFORMERS_VERBOSITY=${TRANSFORMERS_VERBOSITY:-error}
launch=("$python") # what starts training, such as LAUNCH="accelerate launch --config_file FILE"
[[ -z "${LAUNCH:-}" ]] || read -ra launch <<< "$LAUNCH"

fail() { echo "${0##*/}: $*" >&2; exit 2; }

"$python" -c "import yaml" 2> /dev/null || fail "$python is no Python with the packages needed: bash install.sh, or set PYTHON"
PATH=$(realpath -s "$(dirname "$(command -v "$python")")"):$PATH # whose accelerate is meant
command -v "${launch[0]}" > /dev/null || fail "LAUNCH: no such program ${launch[0]}"

# get KEY[,KEY...]: what keys are, after the YAML files, the environment and the command line; a line each.
get() { "$python" -m common.cli get "$1" "${keys[@]}"; }

# named_paths NAME=PATH,NAME=PATH: the same with the paths as the caller means them.
named_paths() {
    local one named=()
    IFS=, read -ra named <<< "$1"
    for one in "${!named[@]}"; do
        [[ "${named[one]}" != *=* ]] || named[one]=${named[one]%%=*}=$(absolute "${named[one]#*=}")
    done
    (IFS=, && echo "${named[*]}")
}

# callers_paths [--key value ...]: sets `called`, these words with paths as the caller's folder has them, and `configs`, those
# of --config, which other keys on the command line come after; --wait is for every step.
callers_paths() {
    local word key="" value
    called=() configs=()
    for word in "$@"; do
        if [[ "$word" = --wait ]]; then export WAIT=1 && continue; fi
        value=$word
        if [[ "$word" == --*=* ]]; then key=${word%%=*} value=${word#*=}; fi
        if [[ "$value" == --* ]]; then
            key=$value
        elif [[ -n "$value" && "$key" =~ ^--(out|cache)$ ]]; then
            value=$(cd "$caller" && realpath -m "$value")
        elif [[ "$key" = --models ]]; then
            value=$(named_paths "$value")
        elif [[ "$value" == */* || -n "$value" && "$key" =~ ^--(config|data|dictionary|passages|sentences|run)$ ]]; then
            value=$(absolute "$value")
        fi
        if [[ "$word" == --*=* ]]; then value=$key=$value; fi
        if [[ "$key" = --config ]]; then configs+=("$value"); else called+=("$value"); fi
    done
}

# start CONFIG VARIABLES [MODEL] [--key value ...]: sets `keys`, for Python: CONFIG (or $CONFIG), and what the caller set of
# VARIABLES (DTYPE for --dtype, ...), RESULTS (--out), MODEL ($model_key is its key) and other keys. Then `model`, `out`, `name`.
start() {
    local variable values
    keys=(--config "${CONFIG:-$1}")
    for variable in $2; do
        [[ -z "${!variable:-}" ]] || keys+=("--${variable,,}" "${!variable}")
    done
    [[ -z "${RESULTS:-}" ]] || keys+=(--out "$RESULTS")
    shift 2
    if (($#)) && [[ "$1" != --* ]]; then
        [[ -z "$1" ]] || keys+=("--${model_key:-model}" "${model_prefix:-}$(absolute "$1")")
        shift
    fi
    callers_paths "$@"
    keys=("${keys[@]:0:2}" "${configs[@]}" "${keys[@]:2}" "${called[@]}")
    values=$(get "${model_key:-model},out,show")
    mapfile -t values <<< "$values"
    model=${values[0]} out=${values[1]:-} show=${values[2]:-}
    [[ -z "${model_prefix:-}" ]] || model=${model%%,*} model=${model#*=} # the first of several
    [[ -n "$model" && -n "$out" ]] || fail "model and out are needed: name them in ${CONFIG:-the YAML} or on the command line"
    name=$("$python" -m common.cli name "$model")
    # Tables are made of NAME=FOLDER,NAME=FOLDER; embeddings.sh takes models in this form.
    [[ -n "${model_prefix:-}" || ("$name" != -* && "$name" != *=* && "$name$out" != *,*) ]] ||
        fail "model $name, results in $out: rename what has a comma, an = or a leading -"
    [[ " ${called[*]}" != *" --seed"* ]] || SEED=$(get seed) && export SEED=${SEED:-} # of all that the script makes
    [[ "$show" != 0 ]] || show=
    show+=${PLAN:-}
}

# trains: for scripts that train a model, which PLAN=1 cannot foresee; without it they would train all the same.
trains() { [[ -z "${PLAN:-}" ]] || fail "PLAN: this script trains a model, and training cannot be foreseen"; }

# is_world: whether the model is the synthetic world's own.
is_world() { [[ -f "$model/world.json" ]]; }

# training_config [MODEL] [--key value ...]: the YAML of FT/train.py for the model; none means the synthetic world's.
training_config() {
    local model words=() called configs
    if (($#)) && [[ "$1" != --* ]]; then words=(${1:+--model "$1"}) && shift; fi
    callers_paths "$@"
    model=$("$python" -m common.cli get model --model assets/world "${configs[@]}" "${words[@]}" "${called[@]}")
    if [[ -f "$(absolute "$model")/world.json" ]]; then echo FT/configs/world.yaml; else echo FT/configs/paper.yaml; fi
}

# find_data: sets `data_config`, the file that says where data sets are: $DATA_CONFIG; for the synthetic world's own model that
# of its world, built here; else data.yaml.
find_data() {
    [[ -z "${data_config:-}" ]] || return 0
    data_config=${DATA_CONFIG:-data.yaml}
    if [[ -z "${DATA_CONFIG:-}" ]] && is_world; then
        local words
        words=$("$python" -m world.config "$model")
        eval "words=($words)" # quoted by Python
        "$python" -m world.build "${words[@]}"
        data_config=${words[1]}/data.yaml
    fi
}

# data_set KEY: where a data set is; nothing for null.
data_set() { "$python" -m common.cli data "$1" "$data_config"; }

# fill KEY=DATA_KEY ...: adds `--KEY value` of data.yaml to `keys` where the YAML and the caller leave the key null; with
# `KEY=DATA_KEY!` a data set that is null in data.yaml too is the end of the script.
fill() {
    local words
    words=$("$python" -m common.cli fill "$data_config" "$@" -- "${keys[@]}")
    eval "keys+=($words)" # quoted by Python
}

# build_variants BENCHMARK DIR LANGUAGES [--key value ...]: every setting of mmlu, belebele or clika, as data.yaml has them.
build_variants() {
    local keys=(--source "$1" --out "$2")
    local from=("data=$1!")
    [[ "$1" != mmlu ]] || from+=(translations=mmlu_translations mixup=mmlu_mixup on_mismatch=mmlu_on_mismatch)
    fill "${from[@]}"
    [[ -z "$3" ]] || keys+=(--languages "$3")
    [[ -z "${SEED:-}" ]] || keys+=(--seed "$SEED")
    "$python" MMLU/build_variants.py "${keys[@]}" "${@:4}"
}

# mix FILE KEYS...: a mixed-language corpus of data.yaml's text ($CORPUS, or wikitext), keys of FT/mix.py. A document is a line
# as in the paper where `protocol`, that of training, is `paper` and the YAML leaves `documents` null.
mix() {
    local keys=(--config FT/configs/mix.yaml)
    local from=(input=wikitext! subset=wikitext_subset)
    [[ -z "${LANGUAGES:-}" ]] || keys+=(--languages "$LANGUAGES")
    [[ -z "${SEED:-}" ]] || keys+=(--seed "$SEED")
    if [[ -n "${CORPUS:-}" ]]; then
        keys+=(--input "$CORPUS")
        from=()
    fi
    [[ "${protocol:-}" != paper || -n "$(get documents)" ]] || keys+=(--documents rows)
    fill "${from[@]}" detokenize=wikitext_tokenized translator=translator dictionary=translator_dictionary
    fill dictionary=dictionaries
    "$python" FT/mix.py "${keys[@]}" "${@:2}" --out "$1"
}
