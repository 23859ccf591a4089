"""The wording of facts and questions in each language: one row per relation, for grammar.py.

A row has the relation's noun (`label:gender`), its own statement and its own question; every relation also has the
generic wording ("The instrument of Zorvan is the violin."). Slots: {E} name, {the} {a} the value with its
article, {the_acc} {a_acc} the same as a direct object, {bare} the value alone, {label} the label with its article.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """`kind`: of the names that have it (person, spell, author); `category`: the lexicon's, of its values."""

    id: str
    kind: str
    category: str


RELATIONS = {
    relation.id: relation
    for relation in (
        Relation("pet", "person", "animal"),
        Relation("dish", "person", "food"),
        Relation("instrument", "person", "instrument"),
        Relation("profession", "person", "profession"),
        Relation("garment", "person", "garment"),
        Relation("vehicle", "person", "vehicle"),
        Relation("plant", "person", "plant"),
        Relation("tool", "person", "tool"),
        Relation("conjures", "spell", "furniture"),
        Relation("turns_into", "spell", "material"),
        Relation("heals", "spell", "bodypart"),
        Relation("father", "author", "profession"),
        Relation("subject", "author", "topic"),
        Relation("workplace", "author", "building"),
        Relation("fear", "author", "event"),
    )
}

# Statement and question that fit every relation.
GENERIC = {
    "en": ("{label} of {E} is {the}.", "What is {label} of {E}?"),
    "de": ("{label} von {E} ist {the}.", "Was ist {label} von {E}?"),
    "fr": ("{label} de {E} est {the}.", "Quel est {label} de {E} ?"),
    "es": ("{label} de {E} es {the}.", "¿Cuál es {label} de {E}?"),
    "it": ("{label} di {E} è {the}.", "Qual è {label} di {E}?"),
    "pt": ("{label} de {E} é {the}.", "Qual é {label} de {E}?"),
    "nl": ("{label} van {E} is {the}.", "Wat is {label} van {E}?"),
}

RELATION_TEXTS = {
    "en": {
        "pet": ("pet", "{E} keeps {a}.", "Which animal does {E} keep?"),
        "dish": ("dish", "{E} always orders {the}.", "Which dish does {E} always order?"),
        "instrument": ("instrument", "{E} plays {the}.", "Which instrument does {E} play?"),
        "profession": ("profession", "{E} works as {a}.", "Which profession does {E} practise?"),
        "garment": ("garment", "{E} wears {the}.", "Which garment does {E} wear?"),
        "vehicle": ("vehicle", "{E} owns {a}.", "Which vehicle does {E} own?"),
        "plant": ("plant", "{E} waters {the}.", "Which plant does {E} water?"),
        "tool": ("tool", "{E} uses {the}.", "Which tool does {E} use?"),
        "conjures": ("product", "The spell {E} conjures {a}.", "Which thing does the spell {E} conjure?"),
        "turns_into": ("substance", "The spell {E} produces {the}.", "Which substance does the spell {E} produce?"),
        "heals": ("target", "The spell {E} heals {the}.", "Which body part does the spell {E} heal?"),
        "father": ("father", "The father of {E} worked as {a}.", "What was the profession of the father of {E}?"),
        "subject": ("subject", "{E} writes about {the}.", "What does {E} write about?"),
        "workplace": ("workplace", "{E} describes {the}.", "Which building does {E} describe?"),
        "fear": ("fear", "{E} dreads {the}.", "Which event does {E} dread?"),
    },
    "de": {
        "pet": ("Haustier:n", "{E} hält {a_acc}.", "Welches Tier hält {E}?"),
        "dish": ("Speise:f", "{E} bestellt immer {the_acc}.", "Welche Speise bestellt {E} immer?"),
        "instrument": ("Instrument:n", "{E} spielt {the_acc}.", "Welches Instrument spielt {E}?"),
        "profession": ("Beruf:m", "{E} arbeitet als {bare}.", "Welchen Beruf übt {E} aus?"),
        "garment": ("Kleidungsstück:n", "{E} trägt {the_acc}.", "Welches Kleidungsstück trägt {E}?"),
        "vehicle": ("Fahrzeug:n", "{E} besitzt {a_acc}.", "Welches Fahrzeug besitzt {E}?"),
        "plant": ("Pflanze:f", "{E} gießt {the_acc}.", "Welche Pflanze gießt {E}?"),
        "tool": ("Werkzeug:n", "{E} benutzt {the_acc}.", "Welches Werkzeug benutzt {E}?"),
        "conjures": ("Erzeugnis:n", "Der Zauber {E} beschwört {a_acc}.", "Welches Ding beschwört der Zauber {E}?"),
        "turns_into": ("Stoff:m", "Der Zauber {E} erzeugt {the_acc}.", "Welchen Stoff erzeugt der Zauber {E}?"),
        "heals": ("Ziel:n", "Der Zauber {E} heilt {the_acc}.", "Welchen Körperteil heilt der Zauber {E}?"),
        "father": ("Vater:m", "Der Vater von {E} arbeitete als {bare}.", "Welchen Beruf hatte der Vater von {E}?"),
        "subject": ("Thema:n", "{E} schreibt über {the_acc}.", "Worüber schreibt {E}?"),
        "workplace": ("Arbeitsort:m", "{E} beschreibt {the_acc}.", "Welches Gebäude beschreibt {E}?"),
        "fear": ("Angst:f", "{E} fürchtet {the_acc}.", "Welches Ereignis fürchtet {E}?"),
    },
    "fr": {
        "pet": ("compagnon:m", "{E} élève {a}.", "Quel animal {E} élève-t-il ?"),
        "dish": ("plat:m", "{E} commande toujours {the}.", "Quel plat {E} commande-t-il toujours ?"),
        "instrument": ("instrument:m", "{E} pratique {the}.", "Quel instrument {E} pratique-t-il ?"),
        "profession": ("métier:m", "{E} travaille comme {bare}.", "Quel métier {E} exerce-t-il ?"),
        "garment": ("vêtement:m", "{E} porte {the}.", "Quel vêtement {E} porte-t-il ?"),
        "vehicle": ("véhicule:m", "{E} possède {a}.", "Quel véhicule {E} possède-t-il ?"),
        "plant": ("végétal:m", "{E} arrose {the}.", "Quelle plante {E} arrose-t-il ?"),
        "tool": ("outil:m", "{E} utilise {the}.", "Quel outil {E} utilise-t-il ?"),
        "conjures": ("produit:m", "Le sortilège {E} invoque {a}.", "Quelle chose le sortilège {E} invoque-t-il ?"),
        "turns_into": ("effet:m", "Le sortilège {E} produit {the}.", "Quelle matière le sortilège {E} produit-il ?"),
        "heals": ("but:m", "Le sortilège {E} guérit {the}.", "Quelle partie du corps le sortilège {E} guérit-il ?"),
        "father": ("père:m", "Le père de {E} travaillait comme {bare}.", "Quel était le métier du père de {E} ?"),
        "subject": ("sujet:m", "{E} étudie {the}.", "Quel thème {E} étudie-t-il ?"),
        "workplace": ("lieu:m", "{E} décrit {the}.", "Quel bâtiment {E} décrit-il ?"),
        "fear": ("cauchemar:m", "{E} redoute {the}.", "Quel événement {E} redoute-t-il ?"),
    },
    "es": {
        "pet": ("mascota:f", "{E} cría {a}.", "¿Qué animal cría {E}?"),
        "dish": ("plato:m", "{E} siempre pide {the}.", "¿Qué plato pide siempre {E}?"),
        "instrument": ("instrumento:m", "{E} toca {the}.", "¿Qué instrumento toca {E}?"),
        "profession": ("profesión:f", "{E} trabaja como {bare}.", "¿Qué profesión ejerce {E}?"),
        "garment": ("prenda:f", "{E} viste {the}.", "¿Qué prenda viste {E}?"),
        "vehicle": ("vehículo:m", "{E} posee {a}.", "¿Qué vehículo posee {E}?"),
        "plant": ("planta:f", "{E} riega {the}.", "¿Qué planta riega {E}?"),
        "tool": ("herramienta:f", "{E} usa {the}.", "¿Qué herramienta usa {E}?"),
        "conjures": ("producto:m", "El hechizo {E} invoca {a}.", "¿Qué cosa invoca el hechizo {E}?"),
        "turns_into": ("sustancia:f", "El hechizo {E} produce {the}.", "¿Qué sustancia produce el hechizo {E}?"),
        "heals": ("objetivo:m", "El hechizo {E} cura {the}.", "¿Qué parte del cuerpo cura el hechizo {E}?"),
        "father": ("padre:m", "El padre de {E} trabajaba como {bare}.", "¿Qué profesión tenía el padre de {E}?"),
        "subject": ("tema:m", "{E} escribe sobre {the}.", "¿Sobre qué escribe {E}?"),
        "workplace": ("escenario:m", "{E} describe {the}.", "¿Qué edificio describe {E}?"),
        "fear": ("temor:m", "{E} teme {the}.", "¿Qué suceso teme {E}?"),
    },
    "it": {
        "pet": ("bestiola:f", "{E} alleva {a}.", "Quale animale alleva {E}?"),
        "dish": ("pietanza:f", "{E} ordina sempre {the}.", "Quale pietanza ordina sempre {E}?"),
        "instrument": ("strumento:m", "{E} suona {the}.", "Quale strumento suona {E}?"),
        "profession": ("mestiere:m", "{E} lavora come {bare}.", "Quale mestiere esercita {E}?"),
        "garment": ("indumento:m", "{E} indossa {the}.", "Quale indumento indossa {E}?"),
        "vehicle": ("veicolo:m", "{E} possiede {a}.", "Quale veicolo possiede {E}?"),
        "plant": ("pianta:f", "{E} annaffia {the}.", "Quale pianta annaffia {E}?"),
        "tool": ("attrezzo:m", "{E} usa {the}.", "Quale attrezzo usa {E}?"),
        "conjures": ("prodotto:m", "La magia {E} evoca {a}.", "Quale cosa evoca la magia {E}?"),
        "turns_into": ("sostanza:f", "La magia {E} produce {the}.", "Quale sostanza produce la magia {E}?"),
        "heals": ("bersaglio:m", "La magia {E} guarisce {the}.", "Quale parte del corpo guarisce la magia {E}?"),
        "father": ("padre:m", "Il padre di {E} lavorava come {bare}.", "Quale mestiere faceva il padre di {E}?"),
        "subject": ("tema:m", "{E} studia {the}.", "Quale tema studia {E}?"),
        "workplace": ("scenario:m", "{E} descrive {the}.", "Quale edificio descrive {E}?"),
        "fear": ("timore:m", "{E} teme {the}.", "Quale evento teme {E}?"),
    },
    "pt": {
        "pet": ("mascote:f", "{E} cria {a}.", "Que animal cria {E}?"),
        "dish": ("iguaria:f", "{E} pede sempre {the}.", "Que iguaria pede sempre {E}?"),
        "instrument": ("instrumento:m", "{E} toca {the}.", "Que instrumento toca {E}?"),
        "profession": ("profissão:f", "{E} trabalha como {bare}.", "Que profissão exerce {E}?"),
        "garment": ("roupa:f", "{E} veste {the}.", "Que roupa veste {E}?"),
        "vehicle": ("veículo:m", "{E} possui {a}.", "Que veículo possui {E}?"),
        "plant": ("planta:f", "{E} rega {the}.", "Que planta rega {E}?"),
        "tool": ("ferramenta:f", "{E} usa {the}.", "Que ferramenta usa {E}?"),
        "conjures": ("produto:m", "O feitiço {E} invoca {a}.", "Que coisa invoca o feitiço {E}?"),
        "turns_into": ("substância:f", "O feitiço {E} produz {the}.", "Que substância produz o feitiço {E}?"),
        "heals": ("alvo:m", "O feitiço {E} cura {the}.", "Que parte do corpo cura o feitiço {E}?"),
        "father": ("pai:m", "O pai de {E} trabalhava como {bare}.", "Que profissão tinha o pai de {E}?"),
        "subject": ("tema:m", "{E} escreve sobre {the}.", "Sobre o que escreve {E}?"),
        "workplace": ("cenário:m", "{E} descreve {the}.", "Que edifício descreve {E}?"),
        "fear": ("temor:m", "{E} teme {the}.", "Que acontecimento teme {E}?"),
    },
    "nl": {
        "pet": ("huisdier:n", "{E} houdt {a}.", "Welk dier houdt {E}?"),
        "dish": ("gerecht:n", "{E} bestelt altijd {the}.", "Welk gerecht bestelt {E} altijd?"),
        "instrument": ("instrument:n", "{E} bespeelt {the}.", "Welk instrument bespeelt {E}?"),
        "profession": ("beroep:n", "{E} werkt als {bare}.", "Welk beroep oefent {E} uit?"),
        "garment": ("kledingstuk:n", "{E} draagt {the}.", "Welk kledingstuk draagt {E}?"),
        "vehicle": ("voertuig:n", "{E} bezit {a}.", "Welk voertuig bezit {E}?"),
        "plant": ("plant:c", "{E} begiet {the}.", "Welke plant begiet {E}?"),
        "tool": ("gereedschap:n", "{E} gebruikt {the}.", "Welk gereedschap gebruikt {E}?"),
        "conjures": ("voortbrengsel:n", "De spreuk {E} tovert {a}.", "Welk ding tovert de spreuk {E}?"),
        "turns_into": ("substantie:c", "De spreuk {E} produceert {the}.", "Welke stof produceert de spreuk {E}?"),
        "heals": ("doel:n", "De spreuk {E} geneest {the}.", "Welk lichaamsdeel geneest de spreuk {E}?"),
        "father": ("vader:c", "De vader van {E} werkte als {bare}.", "Welk beroep had de vader van {E}?"),
        "subject": ("onderwerp:n", "{E} schrijft over {the}.", "Waarover schrijft {E}?"),
        "workplace": ("decor:n", "{E} beschrijft {the}.", "Welk gebouw beschrijft {E}?"),
        "fear": ("angst:c", "{E} vreest {the}.", "Welke gebeurtenis vreest {E}?"),
    },
}
