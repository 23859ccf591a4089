# Sourced by the scripts of every task: goes to the repository root and defines what they share.
# Sets `model` and `name` (for the results folder) from the first argument, `data` from $DATA.

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

# build_world DIR: sets `world` to the data of the world of $WORLD_SEED, written to DIR unless $WORLD has them already.
build_world() {
    world=${WORLD:-$1}
    [[ -n "${WORLD:-}" ]] || "$python" -m common.world.build --out "$world" --seed "${WORLD_SEED:-42}"
}
