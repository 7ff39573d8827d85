"""Questions whose answers are known, and how often a search puts them first.

The documents lie in `tests/unit/agent_types/reading/corpus`: thirty short texts of several domains,
invented for this purpose, some of them easily taken for each other. Most questions are put in other
words than the documents'.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datamcp.agent_types.reading.results import Hit
from datamcp.processors.documents.document import Document
from datamcp.processors.documents.folder import read_folder
from support.source import REPOSITORY

CORPUS = REPOSITORY / "tests/unit/agent_types/reading/corpus"
DEPTH = 10  # hits that are looked at


@dataclass(frozen=True)
class Asked:
    """A question, the document with its answer, and words that are in the answer's sentence.

    Without a `source`, several documents have the answer.
    """

    question: str
    source: str
    answer: str


@dataclass(frozen=True)
class Measured:
    """How well a search does: shares of all questions, from 0 to 1.

    `recall_1` and `recall_3`: the right passage is the first, or one of the first three. `mrr` is
    the mean of 1 / rank. `answered`: the answer is in the sentences that the first hit shows;
    `pinned`: in its one best sentence.
    """

    recall_1: float
    recall_3: float
    mrr: float
    answered: float
    pinned: float


def documents(folder: Path = CORPUS) -> list[Document]:
    """Read all documents of a folder."""
    found = list(read_folder(folder))
    assert all(isinstance(one, Document) for one in found), found
    return [one for one in found if isinstance(one, Document)]


def rank_of(asked: Asked, hits: Sequence[Hit]) -> int:
    """Return the rank of the first hit with the answer; 0 if none has it."""
    for hit in hits:
        if asked.source in {hit.source, ""} and asked.answer in hit.passage:
            return hit.rank
    return 0


def measure(find: Callable[[str], Sequence[Hit]], questions: Sequence[Asked]) -> Measured:
    """Ask all questions, and tell how well they were answered."""
    found = [(asked, find(asked.question)) for asked in questions]
    ranks = [rank_of(asked, hits) for asked, hits in found]
    first = [(asked, hits[0]) for asked, hits in found if hits]
    count = len(questions)
    return Measured(
        recall_1=sum(rank == 1 for rank in ranks) / count,
        recall_3=sum(0 < rank <= 3 for rank in ranks) / count,
        mrr=sum(1 / rank for rank in ranks if rank) / count,
        answered=sum(any(asked.answer in one.text for one in hit.sentences) for asked, hit in first)
        / count,
        pinned=sum(asked.answer in hit.answer for asked, hit in first) / count,
    )


QUESTIONS = [
    Asked("How many days of holiday do I get per year?", "handbook/annual_leave.md", "28 days"),
    Asked(
        "Can I take leftover vacation into next year?", "handbook/annual_leave.md", "seven unused"
    ),
    Asked("how much notice for a three week holiday", "handbook/annual_leave.md", "six weeks'"),
    Asked(
        "What do warehouse staff get for working on a bank holiday?",
        "handbook/annual_leave.md",
        "double pay",
    ),
    Asked(
        "How long is a new father paid while he stays at home?",
        "handbook/parental_leave.md",
        "eighteen weeks",
    ),
    Asked(
        "From what age does the company nursery accept kids?",
        "handbook/parental_leave.md",
        "ten months",
    ),
    Asked("Who has to approve a business class flight?", "handbook/expenses.md", "director"),
    Asked("What happens if I submit receipts too late?", "handbook/expenses.md", "turned down"),
    Asked("hotel limit in Zurich", "handbook/expenses.md", "210 euros"),
    Asked("mileage allowance for driving my own car", "handbook/expenses.md", "0.42 euros"),
    Asked("Which weekday should everybody be in the office?", "handbook/remote_work.md", "Tuesday"),
    Asked("May I work remotely from Spain for a month?", "handbook/remote_work.md", "twenty days"),
    Asked("My phone was stolen, whom do I call?", "handbook/security_rules.md", "4455"),
    Asked("minimum length of a password", "handbook/security_rules.md", "fourteen characters"),
    Asked(
        "What must I do with the AQ-200 before it freezes outside?",
        "manuals/aq200_pump.md",
        "Drain the pump",
    ),
    Asked("AQ-200 hums but doesn't spin", "manuals/aq200_pump.md", "impeller is blocked"),
    Asked("How high can the garden pump lift water?", "manuals/aq200_pump.md", "42 metres"),
    Asked(
        "How large may particles be for the submersible pump?",
        "manuals/aq500_pump.md",
        "30 millimetres",
    ),
    Asked(
        "how often should the oil of the AQ-500 be changed", "manuals/aq500_pump.md", "100 hours"
    ),
    Asked("what does E-17 mean?", "manuals/coffee_machine.txt", "limescale"),
    Asked("milk froth too thin", "manuals/coffee_machine.txt", "nozzle is clogged"),
    Asked(
        "When does the coffee machine have to be cleaned?", "manuals/coffee_machine.txt", "Friday"
    ),
    Asked("stars look like comets in the telescope", "manuals/telescope.html", "out of line"),
    Asked("Which eyepiece magnifies 200 times?", "manuals/telescope.html", "6 mm"),
    Asked(
        "Why did building the canal take longer than planned?",
        "history/port_of_brackwater.md",
        "collapsed twice",
    ),
    Asked("Who founded Brackwater?", "history/port_of_brackwater.md", "Monks"),
    Asked(
        "When did the first steamship arrive in the harbour?",
        "history/port_of_brackwater.md",
        "4 June",
    ),
    Asked("How many people were killed by the flood?", "history/flood_of_1911.md", "twelve people"),
    Asked("What had weakened the dyke?", "history/flood_of_1911.md", "rabbit burrows"),
    Asked("which mayor stepped down after the disaster", "history/flood_of_1911.md", "Anton Reese"),
    Asked(
        "How did Drexler manage to study although women were not admitted?",
        "history/ottilie_drexler.md",
        "behind a curtain",
    ),
    Asked("Where was Ottilie Drexler born?", "history/ottilie_drexler.md", "Hollmouth"),
    Asked("sculptor of the Drexler statue", "history/ottilie_drexler.md", "Ivo Marsh"),
    Asked(
        "Under what name did the Courier appear while it was forbidden?",
        "history/newspaper.txt",
        "The Weather Report",
    ),
    Asked("When was the newspaper last printed?", "history/newspaper.txt", "30 September 2019"),
    Asked(
        "Why did fewer corals die where currents are strong?",
        "science/coral_study.md",
        "carries away",
    ),
    Asked("what share of the coral colonies bleached in 2016", "science/coral_study.md", "61 per"),
    Asked(
        "How much faster did people fall asleep after getting up at a fixed hour?",
        "science/sleep_trial.md",
        "19 minutes",
    ),
    Asked("How many people took part in the insomnia study?", "science/sleep_trial.md", "248"),
    Asked("what is SEI", "science/battery_chemistry.md", "solid-electrolyte interphase"),
    Asked(
        "Is it bad to charge a battery quickly when it is cold?",
        "science/battery_chemistry.md",
        "Fast charging in the cold",
    ),
    Asked(
        "At which charge level do lithium cells live longest?",
        "science/battery_chemistry.md",
        "between 20 and 80",
    ),
    Asked("How do bees decide on a new nest site?", "science/honeybees.md", "thirty scouts"),
    Asked("What volume of cavity do honeybees like?", "science/honeybees.md", "litres of space"),
    Asked("Who voted against repairing the pool roof?", "minutes/council_2023_03.md", "Drozd"),
    Asked(
        "By how much did library visits go up thanks to Sunday opening?",
        "minutes/council_2023_03.md",
        "22 per cent",
    ),
    Asked(
        "What did residents think of parking charges at the harbour?",
        "minutes/council_2023_04.md",
        "57 per cent",
    ),
    Asked("What did the wind farm operator offer?", "minutes/council_2023_04.md", "0.2 cents"),
    Asked("who leads project Heron", "minutes/project_kickoff.txt", "Priya Raman"),
    Asked(
        "When will the new warehouse system go live?", "minutes/project_kickoff.txt", "September"
    ),
    Asked("How long are backups stored?", "it/runbook_database.md", "35 days"),
    Asked('what to do about "DISK_90"', "it/runbook_database.md", "write-ahead logs"),
    Asked(
        "Why must the old primary not be restarted after failover?",
        "it/runbook_database.md",
        "both will accept writes",
    ),
    Asked("certificate renewal fails", "it/runbook_web.md", "port 80"),
    Asked("How many requests per minute can partners make?", "it/runbook_web.md", "600"),
    Asked("Which version dropped Android 8?", "it/changelog.md", "Android 8"),
    Asked("VPN slow in the evening", "it/vpn_faq.md", "Frankfurt"),
    Asked("policy mismatch error", "it/vpn_faq.md", "three days"),
    Asked("On what day is paper collected?", "town/rubbish.md", "first Wednesday"),
    Asked("where can I dispose of old batteries", "town/rubbish.md", "Quarry Lane"),
    Asked("Who holds the women's course record?", "town/marathon.md", "Lena Aalto"),
    Asked("last day to register for the race", "town/marathon.md", "15 April"),
    Asked("Wann ist das Museum geschlossen?", "town/kaffeemuseum.md", "außer montags"),
    Asked("Warum duftet die Treppe nach Vanille?", "town/kaffeemuseum.md", "Gewürze"),
    Asked("Pourquoi la boulangerie ferme-t-elle en août ?", "town/boulangerie.md", "montagne"),
    Asked("Qui a fondé la boulangerie ?", "town/boulangerie.md", "Émile Morel"),
    Asked("When did Mount Ketil last erupt?", "science/volcano_monitoring.md", "1783"),
    Asked(
        "Has the volcano ever been on orange alert?",
        "science/volcano_monitoring.md",
        "August 2014",
    ),
    Asked("Since when has the lighthouse been electric?", "history/lighthouse.md", "1934"),
    Asked("How did the sailors of the Esperance survive?", "history/lighthouse.md", "rocket line"),
]
