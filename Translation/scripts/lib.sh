# Sourced by the scripts beside it: what they share.
# From the environment: SENTENCES (folder with <code>.devtest), PASSAGES (WikiText file) and DICTIONARY (folder of
# en-de.tsv and so on). Where none of them is set, all are the world's, of WORLD_SEED.
source "$(dirname "${BASH_SOURCE[0]}")/../../common/lib.sh"

results=${RESULTS:-Translation/results/$name}
if asks_world SENTENCES PASSAGES DICTIONARY; then
    build_world "$results/world"
    SENTENCES=$world/flores PASSAGES=$world/wiki/wiki.train.txt DICTIONARY=$world/dictionaries
fi
