"""The settings: exactly the named parts change, draws are stable and depend on seed and id alone."""

import dataclasses

import pytest

from common.cli import InputError
from common.questions import FOUR, LETTERS, monolingual
from common.settings import (
    build_settings,
    expand_settings,
    family,
    mixup_languages,
    settings_in,
    sort_settings,
)

LANGUAGES = ["en", "de", "fr", "es", "it"]
FORWARD = ["question", "options", "gt", "gt_question", "onewrong", "threewrong"]


def parallel(languages=LANGUAGES, count=40, context=True):
    """Questions whose every field says which one it is and in which language."""
    return {
        code: [
            monolingual(
                f"x-{n}", "anatomy", f"passage {n} {code}" * context, f"question {n} {code}",
                [f"{letter} {n} {code}" for letter in FOUR], FOUR[n % 4], code,
            )
            for n in range(count)
        ]
        for code in languages
    }  # fmt: skip


def four(id):
    return monolingual(id, "anatomy", "", "?", FOUR, "A", "en")


SETTINGS = build_settings(parallel(), LANGUAGES, seed=42)


def fields(item):
    """Language by field, read from the text itself; the recorded languages must say the same."""
    texts = {"context": item.context, "question": item.question} | dict(zip(item.letters, item.options, strict=True))
    recorded = [item.context_language, item.question_language, *item.option_languages]
    assert [text[-2:] for text in texts.values()] == recorded
    return dict(zip(texts, recorded, strict=True))


def named_part(part, item):
    wrong = set(item.letters) - {item.answer}
    return {
        "question": {"question"}, "options": set(item.letters), "gt": {item.answer},
        "gt_question": {"question", item.answer}, "threewrong": wrong,
    }[part]  # fmt: skip


def test_plain_set_of_four_languages_has_thirty_settings_and_reversed_twenty_four():
    settings = build_settings(parallel(context=False), LANGUAGES, seed=42)
    reversed_ones = [name for name in settings if name.startswith("rev_")]
    assert (len(settings) - len(reversed_ones), len(reversed_ones)) == (30, 24)
    assert not any(name.startswith("context") for name in settings)
    assert all(item.context == item.context_language == "" for item in settings["full_de"])
    assert len(SETTINGS) == 58
    assert list(SETTINGS)[:3] == ["en", "full_de", "full_fr"] and list(SETTINGS) == sort_settings(reversed(SETTINGS))


def test_every_setting_has_the_same_questions_in_the_same_order():
    for items in SETTINGS.values():
        assert [(item.id, item.subject, item.answer) for item in items] == [
            (item.id, item.subject, item.answer) for item in SETTINGS["en"]
        ]


@pytest.mark.parametrize("code", LANGUAGES[1:])
@pytest.mark.parametrize("part", [part for part in FORWARD if part != "onewrong"])
def test_exactly_the_named_part_is_in_the_other_language(part, code):
    for item in SETTINGS[f"{part}_{code}"]:
        assert {name for name, used in fields(item).items() if used == code} == named_part(part, item)
    for item in SETTINGS[f"rev_{part}_{code}"]:
        assert {name for name, used in fields(item).items() if used == "en"} == named_part(part, item) | {"context"}


def test_full_translates_everything_and_context_the_passage_alone():
    assert all(set(fields(item).values()) == {"fr"} for item in SETTINGS["full_fr"])
    for item in SETTINGS["context_fr"]:
        assert [name for name, code in fields(item).items() if code == "fr"] == ["context"]


def test_onewrong_is_one_wrong_option_the_same_in_every_language_and_reversed():
    drawn = [[name for name, code in fields(item).items() if code == "de"] for item in SETTINGS["onewrong_de"]]
    for names, item in zip(drawn, SETTINGS["en"], strict=True):
        assert len(names) == 1 and names[0] in FOUR and names[0] != item.answer
    assert {name for names in drawn for name in names} == set(FOUR)
    for code in LANGUAGES[2:]:
        assert drawn == [
            [f for f, used in fields(item).items() if used == code] for item in SETTINGS[f"onewrong_{code}"]
        ]
    for names, item in zip(drawn, SETTINGS["rev_onewrong_it"], strict=True):
        assert [f for f, used in fields(item).items() if used == "en"] == ["context", *names]


def test_mixup_has_each_language_once_and_the_passage_in_english():
    orders = []
    for item in SETTINGS["mixup"]:
        context, *order = fields(item).values()
        assert context == "en" and sorted(order) == sorted(LANGUAGES)
        orders.append(tuple(order))
    assert len(set(orders)) > 20
    assert {order[0] for order in orders} == set(LANGUAGES)


def test_four_reversed_settings_are_forward_ones():
    for reverse, forward in [
        ("rev_question", "options"),
        ("rev_options", "question"),
        ("rev_gt_question", "threewrong"),
        ("rev_threewrong", "gt_question"),
    ]:
        assert SETTINGS[f"{reverse}_es"] == SETTINGS[f"{forward}_es"]


def test_draws_depend_on_seed_and_id_alone():
    some = {code: items[7:9] for code, items in parallel().items()}
    fewer = build_settings(some, LANGUAGES, seed=42)
    assert all(fewer[name] == items[7:9] for name, items in SETTINGS.items())
    two = build_settings({code: some[code] for code in ("en", "it")}, ["en", "it"], seed=42)
    assert two["onewrong_it"] == fewer["onewrong_it"] and "mixup" not in two
    assert build_settings(parallel(), LANGUAGES[::-1], seed=42)["mixup"] == SETTINGS["mixup"]
    assert build_settings(parallel(), LANGUAGES, seed=43)["mixup"] != SETTINGS["mixup"]


def test_draws_are_pinned():
    """A record of an older run must mean the same questions for ever."""
    assert mixup_languages(four("anatomy-0001"), LANGUAGES, 42) == ["it", "fr", "de", "es", "en"]
    assert fields(SETTINGS["onewrong_de"][0])["C"] == "de"


def test_of_more_than_five_languages_five_are_drawn_for_each_question():
    languages = [*LANGUAGES, "pt", "nl"]
    drawn = [mixup_languages(four(f"x-{n}"), languages, 42) for n in range(200)]
    assert all(len(set(codes)) == 5 for codes in drawn)
    assert {code for codes in drawn for code in codes} == set(languages)
    assert any("en" not in codes for codes in drawn)
    assert len(build_settings(parallel(languages), languages, 42)) == 58 + 2 * 14


def test_questions_that_are_not_parallel_are_a_programming_error():
    shorter = parallel() | {"de": parallel()["de"][:-1]}
    with pytest.raises(ValueError):
        build_settings(shorter, LANGUAGES, 42)
    other = parallel()
    other["de"][3] = dataclasses.replace(other["de"][3], id="y")
    with pytest.raises(ValueError, match="x-3"):
        build_settings(other, LANGUAGES, 42)


def test_english_alone_gives_english_alone():
    assert list(build_settings(parallel(["en"]), ["en"], 42)) == ["en"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("en", ("en", None)),
        ("mixup", ("mixup", None)),
        ("mixup_paper", ("mixup_paper", None)),
        ("gt_question_de", ("gt_question", "de")),
        ("gt_de", ("gt", "de")),
        ("rev_gt_nl", ("rev_gt", "nl")),
        ("context_fr", ("context", "fr")),
    ],
)
def test_family(setting, expected):
    assert family(setting) == expected


@pytest.mark.parametrize("setting", ["de", "gt", "gt_xx", "gt_en", "rev_full_de", "mixup_de", "en_de", "summary", ""])
def test_family_refuses_what_is_no_setting(setting):
    with pytest.raises(InputError, match="unknown setting"):
        family(setting)


def test_settings_in_a_folder_in_table_order(tmp_path):
    for name in ("mixup", "full_it", "rev_gt_de", "full_de", "en", "summary", "mixup_paper", "context_de"):
        (tmp_path / f"{name}.csv").touch()
    expected = ["en", "full_de", "full_it", "context_de", "mixup", "mixup_paper", "rev_gt_de"]
    assert settings_in(tmp_path) == expected


def test_expand_settings():
    available = list(SETTINGS)
    assert expand_settings(["all"], available) == available
    assert expand_settings(["gt"], available) == ["gt_de", "gt_fr", "gt_es", "gt_it"]
    assert expand_settings(["mixup", "rev_gt", "full_de", "en", "full_de"], available) == [
        "en", "full_de", "mixup", "rev_gt_de", "rev_gt_fr", "rev_gt_es", "rev_gt_it"
    ]  # fmt: skip
    for name in ("fulll", "full_pt", "context_", "mixup_paper"):
        with pytest.raises(InputError, match=f"'{name}' is not there"):
            expand_settings(["en", name], available)


def sized(*counts, languages=LANGUAGES):
    """Parallel questions with so many options each."""
    return {
        code: [
            monolingual(f"x-{n}", "anatomy", f"passage {n} {code}", f"question {n} {code}",
                        [f"{letter} {n} {code}" for letter in LETTERS[:count]], LETTERS[n % count], code)
            for n, count in enumerate(counts)
        ]
        for code in languages
    }  # fmt: skip


def test_settings_of_questions_with_two_to_26_options():
    settings = build_settings(sized(2, 4, 5, 26), LANGUAGES, 42)
    assert list(settings) == list(SETTINGS)
    for item in settings["threewrong_de"]:
        german = {name for name, code in fields(item).items() if code == "de"}
        assert german == set(item.letters) - {item.answer} and len(german) == len(item.options) - 1
    for item in settings["onewrong_de"]:
        (german,) = [name for name, code in fields(item).items() if code == "de"]
        assert german in item.letters and german != item.answer
    assert settings["threewrong_de"][0] == settings["onewrong_de"][0]  # two options: the one wrong option
    for item in settings["mixup"]:
        _, *order = fields(item).values()
        counts = [order.count(code) for code in LANGUAGES]
        assert sum(counts) == 1 + len(item.options) and max(counts) - min(counts) <= 1


def test_four_options_are_drawn_alike_whatever_else_is_asked():
    assert (
        build_settings(sized(2, 4, 26), LANGUAGES, 42)["mixup"][1]
        == build_settings({code: items[1:2] for code, items in sized(2, 4).items()}, LANGUAGES, 42)["mixup"][0]
    )


@pytest.mark.parametrize(("counts", "languages", "there"), [((2, 2), 3, True), ((2, 3), 3, False), ((2, 26), 5, True)])
def test_mixup_needs_a_language_for_each_field_or_five(counts, languages, there):
    codes = LANGUAGES[:languages]
    assert ("mixup" in build_settings(sized(*counts, languages=codes), codes, 42)) == there


def test_another_number_of_options_in_another_language_is_a_programming_error():
    with pytest.raises(ValueError, match="x-1"):
        build_settings(sized(4, 4) | {"de": sized(4, 5)["de"]}, LANGUAGES, 42)


def test_an_option_keeps_the_language_that_it_is_in():
    parallel = {code: [monolingual("1", "s", "", f"{code}?", ["Yes", "No"], "A", code)] for code in ("en", "de")}
    parallel["de"] = [dataclasses.replace(parallel["de"][0], option_languages=("en", "en"))]  # as StrategyQA's
    (item,) = build_settings(parallel, ["en", "de"], 42)["options_de"]
    assert item.option_languages == ("en", "en") and item.question_language == "en"
