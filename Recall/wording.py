"""Language or wording: do two languages differ more on a fact than two wordings in one language? (mParaRel)

    python Recall/wording.py --config Recall/configs/wording.yaml --model MODEL --data DIR --out DIR

DIR is in the layout of mParaRel (Recall/mpararel.py). Every fact is asked in several wordings of every language; the
prediction is the best of all objects of its relation (Recall/gaps.py). Two wordings of one language that agree on a
fact are the ceiling for one wording in each of two languages. Writes <out>/<language>.csv, agreement.csv, facts.csv
and agreement.png. Interrupted runs resume when rerun.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from gaps import gap_scores
from matplotlib.figure import Figure
from mpararel import Relation, Sentence, read_mpararel, write_sentences
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from common.cli import InputError, comma_list, parse, require_given, require_positive, run
from common.evaluation.prediction import predict
from common.evaluation.resume import by_language
from common.languages import LANGUAGES, get
from common.lm.loading import ModelConfig
from common.reporting.files import write_csv_atomic
from common.reporting.plots import PAGE, add_legend, draw_rows, rows_figure, save_figure
from common.reporting.results import save_result

RESAMPLES = 10_000


@dataclass(kw_only=True)
class Wording:
    """Compare wordings and languages on the same facts.

    Attributes:
        out: folder for tables, plot and run.json.
        data: folder in the layout of mParaRel, with patterns/ and tuples/.
        languages: ISO codes, a list or separated by commas, in any order; null is every folder of patterns/.
        limit: facts of each relation, drawn by the seed; null is all.
        templates: most wordings of a relation in a language, two or more.
        seed: of the facts and wordings that are drawn, and of the bootstrap.
    """

    out: str
    data: str | None = None
    languages: str | list[str] | None = None
    limit: int | None = 200
    templates: int = 4
    seed: int = 42

    def __post_init__(self) -> None:
        require_given(self, "data")
        require_positive(self, "limit")
        if self.templates < 2:
            raise InputError(f"templates is {self.templates}; it must be 2 or more, since one wording agrees with none")

    @property
    def codes(self) -> list[str]:
        """The languages that are asked, in the order of languages.csv however they are named; InputError for fewer
        than two."""
        folder = Path(self.data) / "patterns"
        named = {get(code).code for code in comma_list(self.languages)} if self.languages else None
        codes = [code for code in LANGUAGES if (code in named if named else (folder / code).is_dir())]
        if len(codes) < 2:
            raise InputError(f"{folder}: no two folders of languages such as en/ and de/, and one alone has no pair")
        return codes


def predictions(
    rows: Sequence[Sentence],
    relations: Mapping[str, Relation],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    token_budget: int | None,
) -> pd.DataFrame:
    """One row a sentence: relation, fact, number of the wording, and the ids of the right and the best candidate."""
    candidates = [relations[row.relation].candidates[row.language] for row in rows]
    before, behind = [row.before for row in rows], [row.behind for row in rows]
    best = predict(gap_scores(model, tokenizer, before, [list(own) for own in candidates], behind, token_budget))
    said = [list(own.values())[place] for own, place in zip(candidates, best, strict=True)]
    kept = ("id", "relation", "fact", "wording", "answer")
    table = pd.DataFrame([{key: getattr(row, key) for key in kept} for row in rows])
    return table.assign(prediction=said, correct=[int(a == b) for a, b in zip(table["answer"], said, strict=True)])


def by_fact(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a fact and pair of languages: relation, fact, language_a, language_b, within, across.

    `within` is the share of pairs of different wordings of one language with the same prediction, as mParaRel counts
    it (run_evaluation.py), the mean of both languages; `across` the share of pairs of a wording in one language and
    one in the other.
    """
    said = {
        code: {key: np.array(own["prediction"]) for key, own in table.groupby(["relation", "fact"], sort=False)}
        for code, table in tables.items()
    }

    def share(a: np.ndarray, b: np.ndarray) -> float:
        return float((a[:, None] == b[None, :]).mean())

    def within(own: np.ndarray) -> float:
        n = len(own)
        return (share(own, own) * n * n - n) / (n * (n - 1))  # without the pairs of a wording with itself

    rows = []
    for a, b in combinations(tables, 2):
        for key, own in said[a].items():
            other = said[b][key]
            rows.append((*key, a, b, (within(own) + within(other)) / 2, share(own, other)))
    return pd.DataFrame(rows, columns=["relation", "fact", "language_a", "language_b", "within", "across"])


def agreement(facts: pd.DataFrame, tables: Mapping[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """Columns measure, language_a, language_b, n, value, ci_low, ci_high; intervals are a bootstrap over facts.

    `within`, `across` and `ratio`, the second over the first, of every pair and of all pairs together ("all", "all");
    `accuracy` of every language, the mean over its wordings.
    """
    keys, languages = ["relation", "fact"], ["language_a", "language_b"]
    every = facts.groupby(keys, sort=False)[["within", "across"]].mean().assign(language_a="all", language_b="all")
    pairs = pd.concat([facts.set_index(keys), every]).set_index(languages, append=True).unstack(languages)
    right = {
        ("accuracy", code, code): table.assign(correct=table["correct"].astype(int)).groupby(keys)["correct"].mean()
        for code, table in tables.items()
    }
    columns = pd.concat([pd.DataFrame(right), pairs], axis=1)
    n, rng = len(columns), np.random.default_rng(seed)
    draws = [rng.multinomial(n, np.full(n, 1 / n), size=100) @ columns.to_numpy() for _ in range(RESAMPLES // 100)]
    means, resampled = columns.mean(), pd.DataFrame(np.concatenate(draws) / n, columns=columns.columns)
    rows = []
    for key in means.index:
        rows.append((*key, n, means[key], *interval(resampled[key])))
        inside = ("within", *key[1:])
        if key[0] == "across" and means[inside] > 0:
            ratios = (resampled[key] / resampled[inside])[resampled[inside] > 0]
            rows.append(("ratio", *key[1:], n, means[key] / means[inside], *interval(ratios)))
    return pd.DataFrame(rows, columns=["measure", *languages, "n", "value", "ci_low", "ci_high"])


def interval(resampled: pd.Series) -> tuple[float, float]:
    """The ends of the central 95% of resampled values."""
    return tuple(resampled.quantile([0.025, 0.975]))


def finding(table: pd.DataFrame) -> str:
    """The result in one sentence, from the rows of all pairs."""
    rows = table[table["language_a"] == "all"].set_index("measure")

    def said(name: str) -> str:
        row = 100 * rows.loc[name, ["value", "ci_low", "ci_high"]].astype(float)
        return f"{row['value']:.1f}% [{row['ci_low']:.1f}, {row['ci_high']:.1f}]"

    ceiling = f", {said('ratio')} of that ceiling" if "ratio" in rows.index else ""
    return (
        f"On {rows.loc['within', 'n']:,} facts two wordings in one language agree in {said('within')} of cases, one"
        f" wording in each of two languages in {said('across')}{ceiling}."
    )


def plot_agreement(table: pd.DataFrame) -> Figure:
    """Agreement of two wordings within and across languages, for every pair of languages and all together."""
    names = {"within": "two wordings, one language", "across": "one wording in each language"}
    rows = table[table["measure"].isin(names)].assign(
        arm=lambda own: own["measure"].map(names),
        pair=lambda own: np.where(own["language_a"] == "all", "all", own["language_a"] + "-" + own["language_b"]),
    )
    rows = rows.set_index(["arm", "pair"])[["value", "ci_low", "ci_high"]]
    figure, axis = rows_figure(rows.index, PAGE)
    draw_rows(axis, 100 * rows, joined=True)
    axis.set_xlabel("same prediction (%)")
    add_legend(figure, [axis])
    return figure


def main() -> None:
    config, model = parse(Wording, ModelConfig)
    relations = read_mpararel(Path(config.data), config.codes)
    parallel = write_sentences(relations, config.limit, config.templates, config.seed)
    out = Path(config.out)

    def compute(rows, loaded, tokenizer) -> pd.DataFrame:
        return predictions(rows, relations, loaded, tokenizer, model.token_budget)

    def text(row: Sentence) -> str:
        return row.before + "".join(f"{name}{row.behind}" for name in relations[row.relation].candidates[row.language])

    asked = {row.relation for row in next(iter(parallel.values()))}
    depends = {"candidates": {name: relations[name].candidates for name in sorted(asked)}}
    tables = by_language(model, out, asdict(model) | asdict(config), depends, parallel, compute, text)
    if not model.processes().is_main_process:
        return
    facts = by_fact(tables)
    table = agreement(facts, tables, config.seed)
    written = [out / "agreement.csv", out / "facts.csv"]
    for path, own in zip(written, (table, facts), strict=True):
        write_csv_atomic(path, own, float_format="%.6g")
    written += save_figure(out / "agreement", plot_agreement, table)
    sentence = finding(table)
    save_result(__file__, out / "agreement", {Path(model.model).name: out}, written, sentence)
    print(table.to_string(index=False, float_format="{:.4f}".format))
    print(sentence)


if __name__ == "__main__":
    run(main)
