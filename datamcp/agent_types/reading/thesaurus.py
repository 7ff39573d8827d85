"""Words that may stand for each other: families of one root, and synonyms. English only. Pure.

A question is seldom put in the words of its answer. A family (`invade`, `invasion`) means the same in
another part of speech; synonyms (`start`, `begin`) come near it. Both are short lists of general
words; what a folder is about, its documents have to say themselves.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import cache

from datamcp.agent_types.reading.forms import AMBIGUOUS
from datamcp.agent_types.reading.language import ENGLISH
from datamcp.agent_types.reading.words import Stems

_SHORTEST = 2  # letters before an ending

FAMILIES = """
advise advice|analyze analyse analysis analyst|appear appearance|apply application applicant
believe belief|bleed blood|born birth|breathe breath|broad breadth|choose choice|compare comparison
compete competition competitor competitive|conclude conclusion|consume consumption consumer
decide decision|deep depth|defend defence defense|destroy destruction|die death dead deceased
economy economic economics|electric electricity electrical|enter entry entrance|exist existence
expand expansion|explode explosion explosive|explain explanation|export exporter
fail failure|feed food|fly flight|free freedom|give gift|grow growth|half halve|heat hot|high height
hold holder|import importer|inherit inheritance|invade invasion invader|judge judgment judgement
know knowledge|late delay|law legal lawyer|lend loan|live life alive|long length|lose loss|mad madness
marry marriage married|maintain maintenance|measure measurement|move motion movement|murder murderer
music musical musician|obey obedience|occur occurrence|offend offence offense|own owner ownership
permit permission|person personal people human|please pleasure|poor poverty|press pressure
pronounce pronunciation|prove proof|publish publication publisher|receive reception receipt
refuse refusal|religion religious|renew renewal|repeat repetition|respond response|reveal revelation
rich wealth wealthy|rob robbery|rule ruler|safe safety|secure security|sell sale seller|serve service
shoot shot shooting|sick sickness|sing song singer|speak speech speaker|strong strength strengthen
succeed success successful|suspect suspicion|tell tale|think thought|treat treatment|true truth
use usage user|vary variation variety various|vote voter voting|warm warmth|weigh weight|wide width
win winner winning|write writer writing|young youth|discover discovery|deliver delivery
recover recovery|describe description|produce product production producer|reduce reduction
introduce introduction|conduct conductor|deduct deduction|construct construction
science scientific scientist|history historical historian|politics political politician
nation national|region regional|center centre central|finance financial|government govern governor
president presidency presidential|king kingdom royal|sea marine|sun solar|moon lunar|star stellar
heart cardiac|brain cerebral|tooth dental dentist|eye visual vision|water aquatic hydro|city urban
country rural|day daily|week weekly|month monthly|year annual annually yearly|first firstly
two second twice double|early earlier earliest|late later latest|high higher highest|low lower lowest
long longer longest|short shorter shortest|large larger largest|big bigger biggest|small smaller smallest
old older oldest|new newer newest|young younger youngest|fast faster fastest|slow slower slowest
strong stronger strongest|weak weaker weakest|deep deeper deepest|wide wider widest|near nearer nearest
great greater greatest|heavy heavier heaviest|light lighter lightest|hot hotter hottest
cold colder coldest|warm warmer warmest|rich richer richest|poor poorer poorest|cheap cheaper cheapest
dear dearer dearest|easy easier easiest|hard harder hardest|tall taller tallest|far farther further farthest
three third triple|employ employee employer employment|tax taxation
reside residence resident|populate population|pollute pollution pollutant|inflate inflation
settle settlement settler|colony colonial colonist colonize|govern governance|origin originate
member membership|lead leader leadership|found founder foundation|create creation creator
invent invention inventor|design designer|develop development developer|operate operation operator
manage management manager|teach teacher teaching|learn learner|educate education educational
kill killer|attack attacker|elect election electoral|appoint appointment|agree agreement
announce announcement|require requirement|improve improvement|invest investment investor
move movement|store storage inventory|capture captive|isolate isolation|translate translation
america american usa US|britain british uk UK english england|france french|germany german
spain spanish|italy italian|china chinese|japan japanese|russia russian|india indian|iraq iraqi
iran iranian|kuwait kuwaiti|libya libyan|egypt egyptian|israel israeli|turkey turkish|greece greek
rome roman|europe european|asia asian|africa african|australia australian|canada canadian
mexico mexican|brazil brazilian|argentina argentine argentinian|portugal portuguese
netherlands dutch holland|belgium belgian|sweden swedish|norway norwegian|denmark danish
finland finnish|poland polish|austria austrian|switzerland swiss|ireland irish|scotland scottish
wales welsh|vietnam vietnamese|thailand thai|korea korean|indonesia indonesian|persia persian
arab arabia arabian arabic saudi|norman normandy norse|mongol mongolia mongolian|viking norse
"""

SYNONYMS = """
start begin commence launch onset|end finish conclude terminate cease stop|begin beginning outset
big large huge great major|small little tiny minor|buy purchase acquire acquisition|sell sale
build construct erect|create make form produce|found establish set create start institute
invent devise develop create|discover find detect identify|show display demonstrate reveal indicate
help assist aid support|allow permit enable let|forbid prohibit ban|need require necessary must
fall drop decline decrease plunge slump collapse sink tumble slide crash
rise increase climb surge soar grow gain jump rally|reduce cut lower decrease shrink diminish
raise lift increase boost|high highest peak maximum record top|low lowest minimum trough bottom least
cause reason lead trigger result due because|effect result consequence impact outcome influence
change alter modify transform shift|fix repair mend correct solve|break damage destroy ruin
error fault failure bug defect mistake problem|fast quick rapid swift speed|slow gradual
cost price charge fee expense|pay payment salary wage|money fund cash capital finance currency
job work employment occupation profession career|company firm business corporation enterprise
employee worker staff personnel|boss manager head chief director leader|leader head ruler chief
king monarch ruler sovereign emperor|war conflict battle fighting|fight battle combat
attack assault strike raid invade|invade march enter occupy|win victory triumph defeat beat|lose defeat loss
kill murder assassinate slay|die perish killed|sick ill disease illness|doctor physician
medicine drug medication|cure treat treatment remedy therapy|child kid boy girl|baby infant newborn
car automobile vehicle|ship boat vessel steamer|steamship steamer steamboat|harbour harbor port dock quay|harbor harbour
register enrol enroll enter entry sign|submit send hand file|plane aircraft airplane|train railway railroad rail
road street highway route|house home residence dwelling|live reside inhabit dwell|town city village
country nation state|area region zone territory|place location site spot|border boundary frontier
old ancient elderly|new recent modern novel|rich wealthy|poor impoverished|famous notable renowned
important significant key major crucial essential|main primary chief principal central
common frequent usual typical popular|rare uncommon unusual|hard difficult|easy simple
happen occur take|name call title known term|call name term refer|mean define definition refer
say state claim declare|argue claim contend|tell inform report|ask request|answer reply respond
think believe consider|idea concept notion theory|plan scheme program project|goal aim objective purpose
try attempt|use employ utilize apply|get obtain receive acquire|give provide supply grant offer
keep retain maintain preserve|hold contain keep|store keep save hold storage warehouse
part portion component piece section|group team band|member participant|amount quantity number volume
number amount count total|size large extent dimension|length long distance|height tall high elevation
weight heavy mass|age old year|distance far mile kilometer|part share percentage proportion percent
author writer wrote|book novel work|movie film|song track|picture image photo|letter message
school college university|student pupil|teacher instructor professor|class course lesson
law rule regulation statute legislation|court tribunal|crime offense|prison jail|police officer
government administration state|vote election elect ballot|tax duty levy|trade commerce
food meal|drink beverage|water liquid|oil petroleum crude|gas fuel|energy power
supply provide output production|demand consumption|shortage scarcity lack deficit|surplus glut excess
stock inventory share|profit gain earning income|income revenue earning|debt loan liability
limit cap maximum restrict|restrict limit constrain|delete remove erase discard|remove eliminate
add include append|join merge combine unite|divide split separate|send transmit dispatch ship deliver
receive get accept|move transfer relocate|travel journey trip|arrive reach enter|leave depart exit
return restore|open start|close shut|lock secure|safe secure protected|danger risk hazard threat
protect guard defend shield|hide conceal|check verify test examine inspect|test trial experiment exam
measure gauge assess|describe explain depict|compare contrast|choose select pick elect
agree consent accept|refuse reject decline deny|agreement deal treaty accord pact contract
replace substitute succeed|successor replace succeed follow|predecessor before|follow succeed after
before prior earlier previous|after following later subsequent|often frequently|always constantly
almost nearly approximately about|only sole single|whole entire full complete|begin originate origin
origin source come derive|belong own property|marry wife husband spouse married|wife spouse married
husband spouse married|parent father mother|father dad|mother mom|son child|daughter child
win award prize|award prize medal|score point goal|game match|play perform|music song
religion faith belief church|church chapel cathedral|god deity|holy sacred
cold freeze chill|hot warm heat|rain precipitation|snow ice|storm hurricane|temperature degree heat
plant crop tree vegetation|animal creature species|dog canine|cat feline|horse equine
eat consume diet feed|grow cultivate|farm agriculture|land ground soil terrain
computer machine|program software application|setting option configuration parameter
default preset|password credential secret|user account|login sign authenticate|retry repeat again
timeout expire expiry|crash fail abort|log record|backup copy|version release edition
holiday vacation leave|meeting conference summit|deadline due|approve authorize permit|notify inform alert
allowance entitlement|refund reimburse repay return|warranty guarantee|customer client buyer
quit resign leave|retire retirement pension|hire recruit employ|dismiss fire terminate
width wide broad|depth deep|speed fast velocity|strong powerful|weak feeble
percent percentage share|half fifty|dozen twelve
"""

_ENDINGS = (
    ("duce", "duction"),
    ("scribe", "scription"),
    ("ceive", "ception"),
    ("vert", "version"),
    ("clude", "clusion"),
    ("cide", "cision"),
    ("vade", "vasion"),
    ("pel", "pulsion"),
    ("tend", "tension"),
    ("pand", "pansion"),
    ("mit", "mission"),
    ("olve", "olution"),
    ("sume", "sumption"),
    ("quire", "quisition"),
    ("pose", "position"),
    ("ify", "ification"),
    ("ply", "plication"),
    ("ver", "very"),
    ("ant", "ance"),
    ("ent", "ence"),
)
"""What one verb or adjective and its noun end with."""

_NUMBER_WORDS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty
"""
_NUMBERS = {word: str(value) for value, word in enumerate(_NUMBER_WORDS.split())}
_FIGURES = {figure: word for word, figure in _NUMBERS.items()}


def relatives(word: str, stems: Stems) -> frozenset[str]:
    """Return words of the same root as an English word, in another part of speech."""
    found = set(_families().get(stems.of(word), frozenset()))
    found.update(figure for figure in (_NUMBERS.get(word), _FIGURES.get(word)) if figure)
    for one, other in (*_ENDINGS, *(pair[::-1] for pair in _ENDINGS)):
        if word.endswith(one) and len(word) >= len(one) + _SHORTEST:
            found.add(word.removesuffix(one) + other)
    return frozenset(found - {word})


def synonyms(word: str, stems: Stems) -> frozenset[str]:
    """Return words that may stand for an English word."""
    found = _synonyms().get(stems.of(word), frozenset()) | frozenset(AMBIGUOUS.get(word, ()))
    return found - {word}


@cache
def _families() -> Mapping[str, frozenset[str]]:
    return _neighbours(FAMILIES, is_directed=False)


@cache
def _synonyms() -> Mapping[str, frozenset[str]]:
    return _neighbours(SYNONYMS, is_directed=True)


def _neighbours(text: str, *, is_directed: bool) -> Mapping[str, frozenset[str]]:
    """Return, by stem, the words that are in a group with a word.

    In a directed group the first word finds all others, and each of them the first alone: what
    comes near `cause` need not come near each other.
    """
    stems = Stems(ENGLISH)
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in text.replace("\n", "|").split("|"):
        group = line.split()
        for word in group:
            others = group if not is_directed or word == group[0] else group[:1]
            found[stems.of(word)].update(other for other in others if other != word)
    return {word: frozenset(others) for word, others in found.items()}
