"""Which language a text is in, told from its most frequent words; and those words. Pure.

The lists are closed classes: articles, pronouns, prepositions, conjunctions, auxiliary verbs. They
say what a sentence is built of and nothing of what it is about.
"""

# ruff: noqa: RUF001  the letters of other languages are what this is about

import re
from collections import Counter
from collections.abc import Mapping

ENGLISH = "english"

STOP_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "english": (
            "a about again all also although am among an and any are aren't as at be because been "
            "being both but by can can't cannot could did didn't do does doesn't doing don't down "
            "either else ever every for from further had hadn't has hasn't have haven't having he "
            "her here hers herself him himself his how however i if in into is isn't it its itself "
            "just let me mine much must my myself no nor not of on once one's only onto or other "
            "our ours ourselves own per please same shall she should shouldn't since so some such "
            "than that the their theirs them themselves then there these they this those though "
            "through to too toward towards up upon us very was wasn't we were weren't what when "
            "where whether which while who whom whose why will with within won't would wouldn't yet "
            "you your yours yourself"
        ),
        "german": (
            "aber alle als also am an ander andere anderen auch auf aus bei beim bin bis da dadurch "
            "damit dann das dass daß dazu dein dem den denn der deren des dessen die dies diese "
            "diesem diesen dieser dieses doch dort du durch ein eine einem einen einer eines er es "
            "etwas euch euer für gegen hat hatte hatten hätte ich ihm ihn ihnen ihr ihre ihrem ihren "
            "ihrer im in indem ins ist ja jede jedem jeden jeder jedes jedoch jene kann kein keine "
            "keinen können könnte man mehr mein mich mir mit muss nach nicht nichts noch nun nur ob "
            "oder ohne sehr sein seine seinem seinen seiner seit sich sie sind so sollte sondern "
            "sowie über um und uns unser unter viel vom von vor war waren wann warum was weil welche "
            "welchem welchen welcher welches wenn wer werden wessen wie wieder wir wird wo wohin "
            "wurde wurden während zu zum zur zwischen"
        ),
        "french": (
            "a afin ai ainsi alors après au aucun aujourd aussi autre aux avait avant avec avoir car "
            "ce cela celle celui ces cet cette ceux chaque chez comme comment d dans de depuis des "
            "donc dont du elle elles en encore entre es est et étaient était été être eu eux fait il "
            "ils j je jusqu l la laquelle le lequel les leur leurs lors lorsque lui m ma mais me même "
            "mes moi moins mon n ne ni nos notre nous on ont ou où par parce pas pendant peu peut "
            "plus pour pourquoi qu quand que quel quelle quelles quels qui quoi s sa sans se selon "
            "ses si son sont sous sur t ta tandis te tes toi ton tous tout toute très tu un une vers "
            "vos votre vous y"
        ),
        "spanish": (
            "a al algo ante antes así aunque cada como cómo con contra cual cuál cuales cuando cuándo "
            "de del desde donde dónde dos durante e el él ella ellas ellos en entre era eran es esa "
            "ese eso esta está están este esto estos fue fueron ha había han hasta hay la las le les "
            "lo los más me mi mientras muy nada ni no nos nosotros o otra otro para pero poco por "
            "porque porqué pues que qué quien quién se sea ser si sí sido sin sobre son su sus tal "
            "también tan tanto te tiene todo todos tu un una uno unos y ya yo"
        ),
        "italian": (
            "a ad ai al alla alle allo altre altro anche ancora c che chi ci ciò col come con contro "
            "cosa cosi così cui d da dai dal dalla dalle dei del dell della delle dello di dopo dove "
            "due e è ed era erano essere fra fu già gli ha hanno i il in io l la le lei lo loro lui "
            "ma mentre mi mia molto ne né negli nei nel nell nella nelle noi non nostro o ogni per "
            "perché però più poi prima può qual quale quando quanto quella quello questa queste "
            "questi questo qui se sempre si sia sono sta stata stato su sua sue sugli sui sul sulla "
            "suo suoi tra tutti tutto un una uno vi"
        ),
        "portuguese": (
            "à ao aos as até com como da das de dela dele do dos e é ela elas ele eles em entre era "
            "essa esse esta está estão este eu foi foram há isso isto já lhe mais mas me mesmo meu "
            "muito na não nas nem no nos nós num numa o onde os ou para pela pelas pelo pelos por "
            "porque quais qual quando quanto que quem são se seja sem ser seu seus só sua suas também "
            "tem tinha um uma umas uns você"
        ),
        "dutch": (
            "aan al alle als bij daar dan dat de deze die dit doch doen door dus een en er ge geen "
            "had hadden heb hebben heeft hem het hier hij hoe hun iets ik in is ja je kan kon maar "
            "me meer men met mij mijn moet na naar niet niets nog nu of om omdat ons ook op over "
            "tegen toch toen tot u uit uw van veel voor waar waarom wanneer want waren was wat welke "
            "werd werden wie wij wordt zal ze zich zij zijn zo zonder zou"
        ),
        "swedish": (
            "alla allt att av bara blev bli blir de dem den denna deras dess dessa det detta du där "
            "då efter ej eller en ett från för genom ha hade han hans har hon hur här i icke inte "
            "jag kan kunde man med mellan men mer mot mycket ni nu när någon något och om oss på "
            "samma sedan sig sin sitt ska skulle som så till under upp ut vad var varför vars vem vi "
            "vid vilka vilken vilket än är över"
        ),
        "danish": (
            "af alle at blev blive bliver da de dem den denne der deres det dette dig din disse dog du "
            "efter eller en end er et for fra før ham han hans har havde have hende her hos hun hvad "
            "hvem hver hvilken hvis hvor hvordan hvorfor hvornår i ikke ind jeg jo kan kunne man med "
            "meget men mig mit mod når nogle nu og også om op os over på sig skal skulle som sådan til "
            "ud under var vi vil være været"
        ),
        "norwegian": (
            "alle at av ble bli blir da de dem den denne der deres det dette du eller en er et etter "
            "for fordi fra før ha hadde han hans har hun hva hvem hver hvilke hvis hvor hvordan "
            "hvorfor i ikke inn jeg kan kunne man med meg men mot når noe noen nå og også om opp oss "
            "over på seg selv sin skal skulle som så til under ut var vi vil være vært"
        ),
        "polish": (
            "aby ale albo bardzo bez być był była było były będzie co czy dla dlaczego do gdy gdzie "
            "go i ich im innych jak jako je jego jej jest jeszcze jeśli już kiedy kto która które "
            "którego której który których którzy lub ma może można na nad nie niż o od oraz po pod "
            "przed przez przy się są ta tak także tam te tego tej ten to tylko tym w wraz we więc z "
            "za ze że"
        ),
        "russian": (
            "а без более бы был была были было быть в вам вас весь во вот все всего всех вы где да "
            "даже для до его ее её если есть еще ещё же за здесь и из или им их к как какая какие "
            "какой когда который кто ли между меня мне мы на над надо не него нее ней нет ни них но "
            "о об он она они оно от по под после потом потому почему при про с сколько со так также "
            "такой там те тем то того тоже только том тот у уже чем что чтобы эта эти это этого этой "
            "этот я"
        ),
    }.items()
}
"""Languages, as snowballstemmer names them, with their stop words in lower case."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SAMPLE = 2_000  # characters that tell the language of a document
_SHARE = 0.08  # of all words; below it, a text is taken for English


def _languages_by_word() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for language, words in STOP_WORDS.items():
        for word in words:
            found[word] = (*found.get(word, ()), language)
    return found


_LANGUAGES = _languages_by_word()


def language_of(text: str) -> str:
    """Return the language of a text; `english` where too little tells."""
    words = _WORD.findall(text[:_SAMPLE].lower().replace("’", "'"))
    counts = Counter(language for word in words for language in _LANGUAGES.get(word, ()))
    best = max(STOP_WORDS, key=lambda language: (counts[language], language == ENGLISH))
    is_told = counts[best] > counts[ENGLISH] and counts[best] >= _SHARE * len(words)
    return best if is_told else ENGLISH
