"""Translators: dictionary, an NLLB-architecture model made on disk, a service on loopback, and the cache."""

import io
import json
import multiprocessing
import socket
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
import sentencepiece
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
)

from common.cli import InputError
from common.translation.base import Untranslated
from common.translation.cache import CachedTranslator
from common.translation.dictionary import DictionaryTranslator
from common.translation.factory import make_translator
from common.translation.sentences import sentence_spans
from tests.tiny import taught, tiny_nllb

WORDS = {"dog": "Hund", "red": "rot", "house": "Haus", "the": "das", "sleeps": "schläft", "cat": "Katze"}


@pytest.fixture
def dictionary(tmp_path):
    rows = ["dog\thund", "the\tder", "ice cream\tEis", "ice\tEisblock", "Dog\tDogge"]
    (tmp_path / "en-de.tsv").write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    return tmp_path


def test_dictionary_keeps_case_punctuation_and_spacing(dictionary):
    translator = DictionaryTranslator(dictionary)
    text = "The dog,  the DOG\nand ICE CREAM (ice)! 42"
    assert translator.translate([text], "en", "de") == ["Der hund,  der HUND\nand EIS (Eisblock)! 42"]


def test_dictionary_takes_the_entry_as_written_first(dictionary):
    assert DictionaryTranslator(dictionary).translate(["Dog"], "en", "de") == ["Dogge"]


def test_dictionary_works_backwards(dictionary):
    assert DictionaryTranslator(dictionary).translate(["Der Eis, hund."], "de", "en") == ["The ice cream, dog."]


def test_dictionary_faults_are_named(tmp_path, dictionary):
    with pytest.raises(InputError, match="neither en-fr.tsv nor fr-en.tsv"):
        DictionaryTranslator(dictionary).translate(["dog"], "en", "fr")
    (dictionary / "en-it.tsv").write_text("dog\tcane\ncat\n")
    with pytest.raises(InputError, match=r"en-it.tsv row 2"):
        DictionaryTranslator(dictionary).translate(["dog"], "en", "it")
    (dictionary / "en-nl.tsv").write_bytes("dog\thond\ncat\tk\xe4t\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"en-nl.tsv row 2: not UTF-8 \(.*\); save the file as UTF-8"):
        DictionaryTranslator(dictionary).translate(["dog"], "en", "nl")
    (dictionary / "en-es.tsv").write_bytes(b"\xef\xbb\xbfdog\tperro\r\n")  # as Windows writes UTF-8
    assert DictionaryTranslator(dictionary).translate(["dog"], "en", "es") == ["perro"]
    with pytest.raises(InputError, match="no dictionaries"):
        DictionaryTranslator(tmp_path / "nowhere")
    with pytest.raises(InputError, match="device 'foo' is not known"):
        make_translator("dictionary", dictionary=str(dictionary), device="foo")


def test_identity_changes_with_the_words(dictionary):
    before = DictionaryTranslator(dictionary).identity
    (dictionary / "en-de.tsv").write_text("dog\tHund\n")
    assert DictionaryTranslator(dictionary).identity != before


def test_sentences_cover_the_text():
    text = "Dr. Smith came at 5 @.@ 30 . He sat .\n = Title = \nC'est fini.  "
    spans = sentence_spans(text, "en")
    assert "".join(text[start:end] for start, end in spans) == text
    assert [text[start:end].strip() for start, end in spans][0] == "Dr. Smith came at 5 @.@ 30 ."
    assert len(spans) == 4


class Counting:
    """Says each text backwards and remembers what it was asked."""

    identity = "backwards"

    def __init__(self):
        self.asked = []

    def translate(self, texts, source, target):
        self.asked += texts
        if "bad" in texts:
            raise InputError(f"row {list(texts).index('bad')}: no translation of 'bad'")
        return [text[::-1] for text in texts]


def test_cache_asks_once_and_keeps_pairs_apart(tmp_path):
    inner = Counting()
    cached = CachedTranslator(inner, tmp_path / "cache.sqlite")
    assert cached.translate(["ab", "cd", "ab"], "en", "de") == ["ba", "dc", "ba"]
    assert cached.translate(["cd", "ef"], "en", "de") == ["dc", "fe"]
    assert inner.asked == ["ab", "cd", "ef"]
    cached.translate(["ab"], "en", "fr")
    assert inner.asked[-1] == "ab" and len(inner.asked) == 4


def test_cache_names_the_row_and_keeps_what_was_done(tmp_path, monkeypatch):
    monkeypatch.setattr("common.translation.cache.CACHE_BATCH", 2)
    inner = Counting()
    cached = CachedTranslator(inner, tmp_path / "cache.sqlite")
    with pytest.raises(InputError, match="^row 3: no translation"):
        cached.translate(["ab", "cd", "ab", "bad"], "en", "de")
    assert sqlite3.connect(tmp_path / "cache.sqlite").execute("SELECT count(*) FROM translations").fetchone() == (2,)


def fill(path, start):
    texts = [f"text {i}" for i in range(start, start + 400)]
    CachedTranslator(Counting(), path).translate(texts, "en", "de")


def test_processes_share_one_cache(tmp_path):
    path = tmp_path / "cache.sqlite"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=fill, args=(path, start)) for start in (0, 200, 400)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(worker.exitcode == 0 for worker in workers)
    rows = sqlite3.connect(path).execute("SELECT text, translation FROM translations").fetchall()
    assert len(rows) == 800 and all(text[::-1] == translation for text, translation in rows)


@pytest.fixture(scope="module")
def nllb(tmp_path_factory):
    """A tiny model with NLLB's architecture and tokenizer class that has learnt to translate six words into German."""
    return tiny_nllb(tmp_path_factory.mktemp("nllb"), {"deu_Latn": WORDS})


def pieces_of(words, path):
    """A SentencePiece model with a piece a word; returns its pieces."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*words] * 20), model_writer=model, model_type="word", vocab_size=len(words) + 3
    )
    path.write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]


@pytest.fixture(scope="module")
def m2m100(tmp_path_factory):
    """The same with M2M100's tokenizer, whose languages are written __en__, __de__."""
    folder = tmp_path_factory.mktemp("m2m100")
    pieces = pieces_of([*WORDS, *WORDS.values()], folder / "spm.model")
    vocabulary = {piece: i for i, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces])}
    (folder / "vocabulary.json").write_text(json.dumps(vocabulary))
    tokenizer = M2M100Tokenizer(
        str(folder / "vocabulary.json"), str(folder / "spm.model"), src_lang="en", tgt_lang="de"
    )
    folder = tmp_path_factory.mktemp("m2m100_model")
    return taught(M2M100ForConditionalGeneration, M2M100Config, tokenizer, folder, {"de": WORDS})


@pytest.fixture(scope="module")
def marian(tmp_path_factory):
    """The same as Marian, one model a pair: returns the name with places for the two languages."""
    folder = tmp_path_factory.mktemp("marian")
    pieces = pieces_of(WORDS, folder / "source.spm") + pieces_of(WORDS.values(), folder / "target.spm")
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(["</s>", "<unk>", *pieces, "<pad>"]))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    files = [str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")]
    taught(MarianMTModel, MarianConfig, MarianTokenizer(*files), folder / "opus-mt-en-de", {None: WORDS})
    return folder / "opus-mt-{source}-{target}"


@pytest.mark.parametrize("architecture", ["m2m100", "marian"])
def test_other_encoder_decoder_models(architecture, request):
    translator = make_translator(str(request.getfixturevalue(architecture)), device="cpu")
    texts = ["dog red", "", "the house\n cat sleeps", "red"]
    assert translator.translate(texts, "en", "de") == ["Hund rot", "", "das Haus\n Katze schläft", "rot"]


def test_nllb_model_translates_and_keeps_order_lines_and_blanks(nllb, tmp_path):
    translator = make_translator(str(nllb), device="cpu", cache_file=str(tmp_path / "cache.sqlite"))
    texts = ["dog red", "", "the house\n cat sleeps", "red"]
    expected = ["Hund rot", "", "das Haus\n Katze schläft", "rot"]
    assert translator.translate(texts, "en", "de") == expected
    assert translator.translate(texts[::-1], "en", "de") == expected[::-1]


def test_sentences_beyond_the_models_length_are_cut_not_lost(nllb):
    long = " ".join(["dog red"] * 32)
    assert make_translator(str(nllb), device="cpu").translate([long], "en", "de") == [" ".join(["Hund rot"] * 32)]


def test_a_text_that_a_model_cannot_translate_is_named_and_the_others_are_kept(nllb, tmp_path):
    translator = make_translator(str(nllb), device="cpu", cache_file=str(tmp_path / "cache.sqlite"))
    with pytest.raises(
        Untranslated, match=r"^row 1: .*'doghousedog ': it is too long.*\(1 of 3 texts failed\)"
    ) as caught:
        translator.translate(["dog", "red doghousedog red", "cat"], "en", "de")
    assert caught.value.done == ["Hund", None, "Katze"] and list(caught.value.reasons) == [1]
    assert sqlite3.connect(tmp_path / "cache.sqlite").execute("SELECT count(*) FROM translations").fetchone() == (2,)


def test_an_adapter_translates_as_the_model_that_it_is_merged_into(tiny_checkpoint, tmp_path):
    torch.manual_seed(0)
    keys = {"r": 2, "target_modules": "all-linear", "init_lora_weights": False, "task_type": "CAUSAL_LM"}
    adapter = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_checkpoint), LoraConfig(**keys))
    adapter.save_pretrained(tmp_path / "adapter")
    adapter.merge_and_unload().save_pretrained(tmp_path / "merged")
    AutoTokenizer.from_pretrained(tiny_checkpoint).save_pretrained(tmp_path / "merged")
    texts = [
        make_translator(str(folder), device="cpu").translate(["A river.", "The sea"], "en", "de")
        for folder in (tmp_path / "adapter", tmp_path / "merged", tiny_checkpoint)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_unknown_language_of_a_model_is_refused(nllb):
    with pytest.raises(InputError, match="no pair en-it"):
        make_translator(str(nllb), device="cpu").translate(["dog"], "en", "it")


KEY = "fake-key/0123456789+abc:fx"
GOOD = json.dumps({"translatedText": "hallo"}).encode()


class Libre(BaseHTTPRequestHandler):
    """What LibreTranslate answers, in so far as its client asks, after `failures` answers of another kind."""

    failures = seen = 0
    failure = (500, b"")

    def do_GET(self):
        type(self).failures -= 1
        type(self).seen += 1
        status, body = self.failure if self.failures >= 0 else (200, GOOD)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def libre(monkeypatch):
    handler = type("Handler", (Libre,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    monkeypatch.setenv("LIBRE_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("LIBRE_API_KEY", KEY)
    monkeypatch.setattr("common.translation.web_service.LONGEST_PAUSE", 0.01)
    yield handler
    server.shutdown()


def without_key(text):
    return KEY not in text and quote(KEY, safe="") not in text


def test_service_is_asked_again_after_a_failure(libre):
    libre.failures = 2
    assert make_translator("libre").translate(["hello"], "en", "de") == ["hallo"]


@pytest.mark.parametrize(
    ("failure", "said", "times"),
    [
        ((500, b""), "failed 5 times: ERR_INTERNAL_SERVER_ERROR", 5),
        ((403, b""), r"failed 5 times: Unauthorized access with the api key \*\*\*", 5),
        ((200, b"<html>"), "failed 5 times: Expecting value", 5),
        ((200, b"{}"), "failed 5 times", 5),
        ((200, b'{"error": "no"}'), "failed 5 times", 5),
        ((200, b'{"translatedText": null}'), "gave no translation of 'hello'", 1),
        ((200, b'{"translatedText": 7}'), "gave no translation of 'hello'", 1),
        ((200, b'{"translatedText": " "}'), "gave no translation of 'hello'", 1),
        ((200, json.dumps({"translatedText": f"key {KEY}"}).encode()), "gave its key for a translation of 'hello'", 1),
    ],
)
def test_service_that_keeps_failing_is_an_error_with_the_row(libre, tmp_path, failure, said, times):
    libre.failure, libre.failures = failure, 100
    cache = tmp_path / "cache.sqlite"
    with pytest.raises(InputError, match=f"row 0: service libre {said}") as caught:
        make_translator("libre", cache_file=str(cache)).translate(["hello"], "en", "de")
    assert without_key(str(caught.value)) and without_key(cache.read_bytes().decode("latin-1")) and libre.seen == times


def test_what_a_service_has_translated_is_kept(libre, tmp_path, monkeypatch):
    """After three texts that fail in succession no more are sent; a rerun asks for what is missing alone."""
    libre.failure, texts = (500, b""), [f"text {number}" for number in range(6)]
    monkeypatch.setattr("common.translation.web_service.TRIES", 1)
    monkeypatch.setattr(libre, "do_POST", lambda self: fail_from_third(self))

    def fail_from_third(self):
        libre.failures = 1 if libre.seen >= 2 else 0
        Libre.do_GET(self)

    with pytest.raises(Untranslated) as caught:
        make_translator("libre", cache_file=str(tmp_path / "cache.sqlite")).translate(texts, "en", "de")
    assert caught.value.done == ["hallo"] * 2 + [None] * 4 and [*caught.value.reasons] == [2, 3, 4, 5]
    assert libre.seen == 5
    monkeypatch.setattr(libre, "do_POST", Libre.do_GET)
    libre.failures = 0
    again = make_translator("libre", cache_file=str(tmp_path / "cache.sqlite"))
    assert again.translate(texts, "en", "de") == ["hallo"] * 6 and libre.seen == 9


@pytest.mark.parametrize("service", ["deepl", "libre", "google"])
def test_no_key_is_said_where_the_network_is_down(libre, monkeypatch, capsys, service):
    """DeepL and LibreTranslate have the key in the address, which is in the errors of requests."""
    with socket.socket() as silent:  # held, so that no other test takes it
        silent.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("DEEPL_API_KEY", KEY)
        monkeypatch.setenv("LIBRE_URL", f"{nowhere.replace('//', '//user:secret-pass@')}/")
        monkeypatch.setenv("HTTPS_PROXY", nowhere)
        with pytest.raises(InputError, match=f"row 0: service {service} failed 5 times: .*Max retries") as caught:
            make_translator(service).translate(["hello"], "en", "de")
    assert without_key(str(caught.value)) and "secret-pass" not in str(caught.value)
    assert caught.value.__cause__ is None and without_key("".join(capsys.readouterr()))


def test_a_service_that_never_answers_is_given_up(libre, monkeypatch):
    monkeypatch.setattr("common.translation.web_service.TIMEOUT", 0.05)
    release = threading.Event()
    monkeypatch.setattr(libre, "do_POST", lambda self: release.wait(30))
    with pytest.raises(InputError, match="row 0: service libre failed 5 times: .*[Tt]imed? ?out"):
        make_translator("libre").translate(["hello"], "en", "de")
    release.set()


def test_a_language_that_a_service_lacks(libre):
    with pytest.raises(InputError, match="service libre, en-yo: .*yo"):
        make_translator("libre").translate(["hello"], "en", "yo")


def test_service_without_a_key_is_refused(monkeypatch):
    monkeypatch.delenv("DEEPL_API_KEY", raising=False)
    with pytest.raises(InputError, match="DEEPL_API_KEY"):
        make_translator("deepl")
