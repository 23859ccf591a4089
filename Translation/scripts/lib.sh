# Sourced by the scripts beside it: what they share.
# From the environment: SENTENCES (folder with <code>.devtest), PASSAGES (WikiText file) and DICTIONARY (folder of
# en-de.tsv and so on). Where SENTENCES is not set, all of them are the world's, of WORLD_SEED.
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

results=${RESULTS:-Translation/results/$name}
dtype=auto
if [[ -z "${SENTENCES:-}" ]]; then
    build_world "$results/world"
    SENTENCES=$world/flores PASSAGES=$world/wiki/wiki.train.txt DICTIONARY=$world/dictionaries dtype=float32
fi
