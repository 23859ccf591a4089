"""The language table: codes are unique and well formed, native strings usable."""

import re

import pytest

from common.cli import InputError
from common.languages import LANGUAGES, PAPER, get


def test_paper_languages_come_first_and_there_are_sixteen_and_more():
    assert tuple(LANGUAGES)[:7] == (*PAPER, "pt", "nl") == ("en", "de", "fr", "es", "it", "pt", "nl")
    assert len(LANGUAGES) >= 17
    assert all(code == language.code for code, language in LANGUAGES.items())


@pytest.mark.parametrize("field", ["code", "name", "nllb", "mc_instruction"])
def test_no_two_languages_share_a_value(field):
    values = [getattr(language, field) for language in LANGUAGES.values()]
    assert len(set(values)) == len(values)


def test_codes_are_well_formed():
    for language in LANGUAGES.values():
        assert re.fullmatch(r"[a-z]{2}", language.code)
        assert re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", language.nllb)
        assert language.mmmlu is None or re.fullmatch(language.code.upper() + r"_[A-Z]{2}", language.mmmlu)


def test_mmmlu_has_its_fourteen_languages():
    configs = {language.mmmlu for language in LANGUAGES.values()} - {None}
    expected = "AR_XY BN_BD DE_DE ES_LA FR_FR HI_IN ID_ID IT_IT JA_JP KO_KR PT_BR SW_KE YO_NG ZH_CN"
    assert configs == set(expected.split())


def test_the_script_in_the_code_is_the_script_of_the_strings():
    ranges = {
        "Latn": "A-Za-zÀ-ỹ", "Cyrl": "Ѐ-ӿ", "Grek": "Ͱ-Ͽ", "Arab": "؀-ۿ", "Deva": "ऀ-ॿ", "Beng": "ঀ-৿",
        "Hang": "가-힣", "Hebr": "א-ת", "Hans": "一-鿿", "Jpan": "ぁ-ヿ一-鿿",
    }  # fmt: skip
    for language in LANGUAGES.values():
        script = ranges[language.nllb[-4:]]
        for text in (language.answer, language.question, language.passage, language.mc_instruction):
            assert re.search(f"[{script}]", text.replace("{subject}", "")), (language.code, text)
        foreign = language.mc_instruction.replace("{subject}", "")
        assert language.nllb.endswith("Latn") or not re.search(r"[A-Za-z]", foreign), language.code


def test_native_strings_are_filled_and_take_a_subject():
    for language in LANGUAGES.values():
        assert language.mc_instruction.count("{subject}") == 1
        assert "anatomy" in language.mc_instruction.format(subject="anatomy")
        for label in (language.answer, language.question, language.passage):
            assert label == label.strip() and label[-1] in ":：" and len(label) > 1


def test_get_knows_the_table_and_names_what_it_does_not_know():
    assert get("de").nllb == "deu_Latn"
    with pytest.raises(InputError, match="'xx'.*en, de, fr"):
        get("xx")
