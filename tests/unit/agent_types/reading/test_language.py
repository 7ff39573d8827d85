"""Which language a text is in."""

import pytest

from datamcp.agent_types.reading.language import STOP_WORDS, language_of
from datamcp.agent_types.reading.words import Stems

_TEXTS = {
    "english": "When did the price of oil fall, and why was it not seen by those who should have?",
    "german": "Wann ist der Preis gefallen, und warum haben es die meisten nicht gesehen?",
    "french": "Quand le prix est-il tombé, et pourquoi ne l'a-t-on pas vu dans les pays du nord ?",
    "spanish": "¿Cuándo cayó el precio del petróleo y por qué no lo vieron los que debían?",
    "italian": "Quando è sceso il prezzo del petrolio e perché non è stato visto da chi doveva?",
    "portuguese": "Quando caiu o preço do petróleo e por que não foi visto por quem deveria?",
    "dutch": "Wanneer is de prijs gedaald en waarom hebben de meesten het niet gezien?",
    "swedish": "När föll priset på olja och varför såg inte de som skulle ha sett det?",
    "polish": "Kiedy spadła cena ropy i dlaczego nie było to widać dla tych, którzy mieli?",
    "russian": "Когда упала цена на нефть и почему этого не увидели те, кто должен был?",
}


@pytest.mark.parametrize("language", _TEXTS)
def test_a_sentence_tells_its_language(language: str) -> None:
    """By its little words."""
    assert language_of(_TEXTS[language]) == language


@pytest.mark.parametrize("text", ["", "AQ-200", "12 34", "Brent crude", "東京"])
def test_where_too_little_tells_it_is_english(text: str) -> None:
    """A name or a number has no language."""
    assert language_of(text) == "english"


def test_every_language_can_be_stemmed() -> None:
    """The names are those of the stemmer."""
    for language in STOP_WORDS:
        assert Stems(language).of("test")
