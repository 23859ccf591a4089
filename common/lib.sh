# Sourced by the scripts of every task: goes to the repository root and defines what they share.
# Sets `model` and `name` (for the results folder) from the first argument, `data` from $DATA, `dtype` from $DTYPE, `show`
# where the other arguments ask for prompts alone, and `launch`, what starts a training script: $LAUNCH, such as
# "accelerate launch --config_file FILE", or Python.

set -euo pipefail

absolute() { if [[ -e "$1" ]]; then realpath "$1"; else echo "$1"; fi; } # hub names stay as they are

model=$(absolute "${1:-}")
for key in DATA CORPUS DICTIONARY TRANSLATIONS TAUGHT QUIZ SENTENCES PASSAGES WORLD CONFIG TEACH DESIGN; do # as given from here
    [[ -z "${!key:-}" ]] || export "$key=$(absolute "${!key}")"
done
[[ -z "${RESULTS:-}" ]] || export RESULTS=$(realpath -m "$RESULTS")
data=${DATA:-}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
model=${model:-assets/world}
name=$(basename "$model")
case $model in endpoint:* | chat:*) name=${model%%:*}-$name ;; esac # what a server says is not what the model itself says
python=${PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python)}
launch=("$python")
[[ -z "${LAUNCH:-}" ]] || read -ra launch <<< "$LAUNCH"
dtype=${DTYPE:-auto}
[[ -n "${DTYPE:-}" || ! -f "$model/world.json" ]] || dtype=float32 # the world's model, which is stored in half precision
show=
for argument in "${@:2}"; do
    case $argument in
        --show | --show=*) show=1 ;;
        --out | --out=*) echo "${0##*/}: set RESULTS=DIR instead of --out, for the tables go there too" >&2 && exit 2 ;;
    esac
done

# asks_world VARIABLES...: whether the world's data are asked, which they are where none of these variables is set.
asks_world() {
    local key
    for key in "$@"; do [[ -z "${!key:-}" ]] || return 1; done
    [[ -f "$model/world.json" || -n "${WORLD:-}" ]] ||
        echo "${0##*/}: $name is asked about the controlled world; set $1 for data of your own" >&2
}

# need VARIABLES...: each of them has to be set.
need() {
    local key
    for key in "$@"; do
        [[ -n "${!key:-}" ]] || { echo "${0##*/}: set $key too; the head of the script says what it is" >&2 && exit 2; }
    done
}

# one_dtype: before and after training in one precision, as a trained model is stored in float32.
one_dtype() { [[ "$dtype" != auto ]] || dtype=bfloat16; }

# build_world DIR: sets `world` to the data of the world of $WORLD_SEED, written to DIR unless $WORLD has them already.
build_world() {
    world=${WORLD:-$1}
    [[ -n "${WORLD:-}" ]] || "$python" -m world.build --out "$world" --seed "${WORLD_SEED:-42}"
}
