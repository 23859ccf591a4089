"""Translation/translation_protocol.py: prompts and requests to the character, beam search, what is cut off."""

import json
import shutil

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from common.cli import InputError
from common.reporting.provenance import model_content_hash
from common.translation.factory import make_translator
from tests.loopback import answering, serving
from tests.scripts import ROOT, call, load_script

paper = load_script("Translation/translation_protocol.py")
translate = load_script("Translation/translate.py")
WORLD = str(ROOT / "assets" / "world")
NO_EXAMPLES = "44136fa355b3"
TEXTS = ["The river is high.", "", "A mountain "]
PROMPTS = {
    "The river is high.": "Translate this from English to German:\nEnglish: The river is high.\nGerman:",
    "A mountain ": "Translate this from English to German:\nEnglish: A mountain \nGerman:",
}


@pytest.fixture
def server(monkeypatch):
    """A loopback server that answers "Hund\\n\\nrot"; yields the routes and bodies of its requests."""
    pytest.importorskip("openai", reason="bash install.sh --dev installs it")

    asked = []

    def answer(route, body):
        asked.append((route, body))
        said = "Hund\n\nrot"
        return {"model": "tiny", "choices": [{"text": said, "message": {"content": said}}]}

    with serving(answering(answer), monkeypatch):
        yield asked


def test_the_papers_request_to_a_chat_model(server):
    translator = paper.paper_translator("chat:tiny")
    assert translator.translate(["", "The dog sleeps. "], "en", "de") == ["", "Hund\n\nrot"]
    message = {"role": "system", "content": "Translate the following English text to German:"}
    assert server == [
        (
            "/v1/chat/completions",
            {
                "model": "tiny",
                "messages": [message, {"role": "user", "content": "The dog sleeps."}],
                "temperature": 0.7,
                "top_p": 1,
                "max_tokens": 64,
            },
        )
    ]


def test_our_requests_are_what_they_were(server):
    for name in ("chat:tiny", "endpoint:tiny"):
        assert make_translator(name).translate(["The dog sleeps. "], "en", "de") == ["Hund"]
    instruction = "Translate from English to German. Answer with the translation alone, on one line."
    prompt = "English: The dog sleeps.\nGerman:"
    common = {"model": "tiny", "max_tokens": 256, "temperature": 0.0}
    messages = [{"role": "user", "content": f"{instruction}\n\n{prompt}"}]
    assert server == [
        ("/v1/chat/completions", common | {"messages": messages}),
        ("/v1/completions", common | {"prompt": prompt, "stop": "\n"}),
    ]


def test_the_caches_key_tells_the_protocols_apart(server):
    assert make_translator("chat:tiny").identity == f"chat tiny examples {NO_EXAMPLES} tokens 256"
    assert make_translator("endpoint:tiny").identity == f"completions tiny examples {NO_EXAMPLES} tokens 256"
    ours = f"causal {model_content_hash(WORLD)} auto examples {NO_EXAMPLES} tokens 256"
    assert make_translator(WORLD, device="cpu").identity == ours
    assert paper.paper_translator("chat:tiny").identity.startswith("paper chat tiny ")
    assert paper.paper_translator(WORLD, "cpu").identity == f"paper {ours} beams 5 of 256 seed 42"


def test_the_script_asks_by_either_protocol_and_keeps_them_apart(server, tmp_path, monkeypatch, capsys):
    for code in ("en", "de"):
        (tmp_path / f"{code}.devtest").write_text("The dog sleeps.\nA red house.\n", encoding="utf-8")
    keys = ["--translator", "chat:tiny", "--sentences", tmp_path, "--directions", "en-de", "--out", tmp_path / "out"]
    assert call(translate, [*keys, "--protocol", "paper"], monkeypatch) == 0
    assert (tmp_path / "out" / "test-en-de").read_text() == "Hund rot\nHund rot\n"
    assert json.loads((tmp_path / "out" / "run.json").read_text())["config"]["protocol"] == "paper"
    assert len(server) == 2 and all(body["max_tokens"] == 64 for _, body in server)
    assert call(translate, [*keys, "--protocol", "paper"], monkeypatch) == 0 and len(server) == 2
    assert call(translate, keys, monkeypatch) == 2
    assert "made by another translator, protocol or limit, paper chat tiny" in capsys.readouterr().err
    assert call(translate, [*keys, "--out", tmp_path / "ours"], monkeypatch) == 0
    records = pd.read_csv(tmp_path / "ours" / "records-en-de.csv")
    assert records["hypothesis"].tolist() == ["Hund", "Hund"] and len(server) == 4


def generated(folder, **keys):
    """What transformers' own beam search says after each prompt."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    found = {}
    for text, prompt in PROMPTS.items():
        inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        torch.manual_seed(42)
        output = model.generate(**inputs, max_new_tokens=24, **keys)
        found[text] = tokenizer.decode(output[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return found


@pytest.mark.parametrize("sampled", [False, True])
def test_five_beams_are_those_of_transformers(tiny_checkpoint, tmp_path, monkeypatch, sampled):
    folder = tmp_path / "model"
    shutil.copytree(tiny_checkpoint, folder)
    if sampled:  # as in the generation config of Llama
        settings = json.loads((folder / "generation_config.json").read_text())
        settings |= {"do_sample": True, "temperature": 0.6, "top_p": 0.9}
        (folder / "generation_config.json").write_text(json.dumps(settings))
    monkeypatch.setattr(paper, "BEAM_TOKENS", 24)
    monkeypatch.setattr(paper, "first_line", lambda said, target: f"{target} {said}")
    translator = paper.paper_translator(str(folder), "cpu")
    expected = generated(folder, num_beams=5)
    whole = translator.translate(TEXTS, "en", "de")
    assert whole == [f"de {expected[TEXTS[0]]}", "", f"de {expected[TEXTS[2]]}"]
    assert translator.translate(TEXTS[2:], "en", "de") == whole[2:]  # not of its place among others
    others = [generated(folder, num_beams=1), generated(folder, num_beams=5, do_sample=not sampled)]
    assert all(other[text] != expected[text] for other in others for text in PROMPTS)


def test_the_worlds_model_translates_with_beams(capsys):
    said = paper.paper_translator(WORLD, "cpu").translate(["dog"], "en", "de")
    assert len(said) == 1 and said[0] == said[0].strip() and "\n" not in said[0]


@pytest.mark.parametrize(
    ("said", "translation"),
    [
        (" Der Hund schläft.\nEnglish: The cat", "Der Hund schläft."),
        ("Hund\nGerman: Katze", "Hund"),
        ("\n Der Hund\nrot", "Der Hund"),
        ("\n \n Der Hund\nrot", "Der Hund"),
        ("\n\n\n Der Hund", ""),  # the fourth line is too late
        ("\n\n\nGerman: Hund", ""),
        ("\nGerman: Hund\nEnglish: cat", "Hund"),
        ("\n\nGerman: Hund\nGerman: Katze", "Hund"),
        ("\nGerman:\nGerman: Katze", ""),
        ("", ""),
        (" \n\n ", ""),
        ("\nGerman:", ""),
        ("Hund\nFrench: chien", "Hund"),
    ],
)
def test_what_is_cut_off(said, translation):
    assert paper.first_line(said, "de") == translation


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["--translator", "endpoint:tiny"], "a server has no beam search"),
        (["--translator", "dictionary"], "protocol paper is for causal LMs and chat:NAME"),
        (["--translator", "google"], "protocol paper is for causal LMs and chat:NAME"),
        (["--translator", "opus-mt-{source}-{target}"], "protocol paper is for causal LMs and chat:NAME"),
        (["--translator", "nowhere"], "nowhere"),
        (["--num_fewshot", "2", "--examples", "."], "protocol paper shows no examples"),
        (["--protocol", "alma"], "protocol"),
    ],
)
def test_what_the_protocol_is_not_for(tmp_path, monkeypatch, capsys, keys, said):
    for code in ("en", "de"):
        (tmp_path / f"{code}.devtest").write_text("The dog sleeps.\n", encoding="utf-8")
    common = ["--translator", WORLD, "--protocol", "paper", "--sentences", tmp_path, "--out", tmp_path / "out"]
    assert call(translate, [*common, *keys], monkeypatch) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_text_without_room_or_of_several_lines(tiny_checkpoint):
    translator = paper.paper_translator(str(tiny_checkpoint), "cpu")
    with pytest.raises(InputError, match="leaves no room for 256 more"):
        translator.translate(["river " * 2000], "en", "de")
    with pytest.raises(InputError, match="row 1: a causal LM translates one line at a time"):
        translator.translate(["river", "a\nb"], "en", "de")
