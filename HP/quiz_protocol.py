"""What `protocol: paper` takes from the paper's code for the quiz alone; for all tasks: common/evaluation/evaluate.py.

github.com/google-research/crosslingual-knowledge-barriers, commit 8060e7d, HP/evaluate.py: the instruction is in the
language of the questions; "A." to "D." and "Answer:" are English.
"""

DTYPE = "bfloat16"  # of the weights
BLANK = " "  # after "Answer:"
INSTRUCTIONS = {
    "en": "The following are multiple choice questions (with answers) about {topic}.",
    "de": "Im Folgenden finden Sie Multiple-Choice-Fragen (mit Antworten) zu {topic}.",
    "fr": "Vous trouverez ci-dessous des questions à choix multiples (avec réponses) sur {topic}.",
    "es": "Las siguientes son preguntas de opción múltiple (con respuestas) sobre {topic}.",
    "it": "Di seguito sono riportate domande a scelta multipla (con risposte) su {topic}.",
}
