"""The languages: ISO 639-1 code, names, the codes that data sets and translators use, and native prompt strings."""

from dataclasses import dataclass

from common.cli import InputError


@dataclass(frozen=True)
class Language:
    """One language. `answer`, `question` and `passage` are labels with the colon as the language writes it."""

    code: str  # ISO 639-1
    name: str  # in English
    native: str  # in the language itself
    nllb: str  # NLLB, FLORES-200 and Belebele
    flores: str  # FLORES-101
    mmmlu: str | None  # configuration of openai/MMMLU, None where it has no such language
    answer: str
    question: str
    passage: str
    mc_instruction: str  # with {subject}


_ROWS = (
    Language(
        "en", "English", "English", "eng_Latn", "eng", None,
        "Answer:", "Question:", "Passage:",
        "The following are multiple choice questions (with answers) about {subject}.",
    ),
    Language(
        "de", "German", "Deutsch", "deu_Latn", "deu", "DE_DE",
        "Antwort:", "Frage:", "Abschnitt:",
        "Im Folgenden stehen Multiple-Choice-Fragen (mit Antworten) zum Thema {subject}.",
    ),
    Language(
        "fr", "French", "français", "fra_Latn", "fra", "FR_FR",
        "Réponse :", "Question :", "Passage :",
        "Voici des questions à choix multiples (avec réponses) sur le thème suivant : {subject}.",
    ),
    Language(
        "es", "Spanish", "español", "spa_Latn", "spa", "ES_LA",
        "Respuesta:", "Pregunta:", "Pasaje:",
        "Las siguientes son preguntas de opción múltiple (con respuestas) sobre {subject}.",
    ),
    Language(
        "it", "Italian", "italiano", "ita_Latn", "ita", "IT_IT",
        "Risposta:", "Domanda:", "Brano:",
        "Di seguito sono riportate domande a scelta multipla (con risposte) su {subject}.",
    ),
    Language(
        "pt", "Portuguese", "português", "por_Latn", "por", "PT_BR",
        "Resposta:", "Pergunta:", "Passagem:",
        "A seguir estão perguntas de múltipla escolha (com respostas) sobre {subject}.",
    ),
    Language(
        "nl", "Dutch", "Nederlands", "nld_Latn", "nld", None,
        "Antwoord:", "Vraag:", "Passage:",
        "Hieronder volgen meerkeuzevragen (met antwoorden) over {subject}.",
    ),
    Language(
        "ru", "Russian", "русский", "rus_Cyrl", "rus", None,
        "Ответ:", "Вопрос:", "Отрывок:",
        "Ниже приведены вопросы с несколькими вариантами ответа (с ответами) на тему: {subject}.",
    ),
    Language(
        "zh", "Chinese", "中文", "zho_Hans", "zho_simpl", "ZH_CN",
        "答案：", "问题：", "短文：",
        "以下是关于{subject}的单项选择题（附答案）。",
    ),
    Language(
        "ja", "Japanese", "日本語", "jpn_Jpan", "jpn", "JA_JP",
        "答え：", "質問：", "文章：",
        "以下は{subject}に関する多肢選択問題（解答付き）です。",
    ),
    Language(
        "ko", "Korean", "한국어", "kor_Hang", "kor", "KO_KR",
        "정답:", "질문:", "지문:",
        "다음은 {subject}에 관한 객관식 문제(정답 포함)입니다.",
    ),
    Language(
        "ar", "Arabic", "العربية", "arb_Arab", "ara", "AR_XY",
        "الإجابة:", "السؤال:", "الفقرة:",
        "فيما يلي أسئلة اختيار من متعدد (مع الإجابات) حول {subject}.",
    ),
    Language(
        "hi", "Hindi", "हिन्दी", "hin_Deva", "hin", "HI_IN",
        "उत्तर:", "प्रश्न:", "गद्यांश:",
        "नीचे {subject} के बारे में बहुविकल्पीय प्रश्न (उत्तर सहित) दिए गए हैं।",
    ),
    Language(
        "bn", "Bengali", "বাংলা", "ben_Beng", "ben", "BN_BD",
        "উত্তর:", "প্রশ্ন:", "অনুচ্ছেদ:",
        "নিচে {subject} সম্পর্কে বহুনির্বাচনী প্রশ্ন (উত্তরসহ) দেওয়া হলো।",
    ),
    Language(
        "id", "Indonesian", "Bahasa Indonesia", "ind_Latn", "ind", "ID_ID",
        "Jawaban:", "Pertanyaan:", "Bacaan:",
        "Berikut adalah soal pilihan ganda (beserta jawabannya) tentang {subject}.",
    ),
    Language(
        "sw", "Swahili", "Kiswahili", "swh_Latn", "swh", "SW_KE",
        "Jibu:", "Swali:", "Kifungu:",
        "Yafuatayo ni maswali ya chaguo nyingi (pamoja na majibu) kuhusu {subject}.",
    ),
    Language(
        "yo", "Yoruba", "Yorùbá", "yor_Latn", "yor", "YO_NG",
        "Ìdáhùn:", "Ìbéèrè:", "Àyọkà:",
        "Àwọn ìbéèrè oníyàn púpọ̀ (pẹ̀lú ìdáhùn) nípa {subject} nìyí.",
    ),
    Language(
        "tr", "Turkish", "Türkçe", "tur_Latn", "tur", None,
        "Cevap:", "Soru:", "Metin:",
        "Aşağıda {subject} hakkında çoktan seçmeli sorular (cevaplarıyla birlikte) verilmiştir.",
    ),
    Language(
        "pl", "Polish", "polski", "pol_Latn", "pol", None,
        "Odpowiedź:", "Pytanie:", "Fragment:",
        "Poniżej znajdują się pytania wielokrotnego wyboru (wraz z odpowiedziami) na temat: {subject}.",
    ),
    Language(
        "sv", "Swedish", "svenska", "swe_Latn", "swe", None,
        "Svar:", "Fråga:", "Textavsnitt:",
        "Här följer flervalsfrågor (med svar) om {subject}.",
    ),
    Language(
        "vi", "Vietnamese", "Tiếng Việt", "vie_Latn", "vie", None,
        "Trả lời:", "Câu hỏi:", "Đoạn văn:",
        "Sau đây là các câu hỏi trắc nghiệm (kèm đáp án) về {subject}.",
    ),
    Language(
        "cs", "Czech", "čeština", "ces_Latn", "ces", None,
        "Odpověď:", "Otázka:", "Úryvek:",
        "Následují otázky s výběrem odpovědí (včetně správných odpovědí) na téma: {subject}.",
    ),
    Language(
        "uk", "Ukrainian", "українська", "ukr_Cyrl", "ukr", None,
        "Відповідь:", "Запитання:", "Уривок:",
        "Нижче наведено запитання з кількома варіантами відповіді (з відповідями) на тему: {subject}.",
    ),
    Language(
        "el", "Greek", "Ελληνικά", "ell_Grek", "ell", None,
        "Απάντηση:", "Ερώτηση:", "Απόσπασμα:",
        "Ακολουθούν ερωτήσεις πολλαπλής επιλογής (με απαντήσεις) με θέμα: {subject}.",
    ),
)  # fmt: skip

LANGUAGES: dict[str, Language] = {language.code: language for language in _ROWS}
PAPER = ("en", "de", "fr", "es", "it")


def get(code: str) -> Language:
    """The language with this ISO 639-1 code; InputError for a code that is not in the table."""
    if code not in LANGUAGES:
        raise InputError(f"unknown language {code!r}: use one of {', '.join(LANGUAGES)}")
    return LANGUAGES[code]
