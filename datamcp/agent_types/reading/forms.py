"""Irregular forms of English verbs and nouns: closed lists that no stemming rule can tell. Pure.

Forms that are also words of their own with another sense (`found`, `left`, `saw`, `ground`) are not
in `IRREGULAR`, which replaces one by the other, but in `AMBIGUOUS`, which only lets one also find
the other.
"""

IRREGULAR = {
    form: base
    for line in """
    arise arose arisen|awake awoke awoken|beat beaten|become became|begin began begun|bend bent
    bite bitten|bleed bled|blow blew blown|break broke broken|breed bred|bring brought|build built
    burn burnt|buy bought|catch caught|choose chose chosen|come came|creep crept|deal dealt|dig dug
    draw drew drawn|dream dreamt|drink drank drunk|drive drove driven|eat ate eaten|fall fell fallen
    feed fed|feel felt|fight fought|flee fled|fly flew flown flies|forbid forbade forbidden
    forecast forecasted|foresee foresaw foreseen|forget forgot forgotten|forgive forgave forgiven
    freeze froze frozen|get got gotten|give gave given|go went gone goes|grow grew grown|hang hung
    hear heard|hide hid hidden|hold held|keep kept|kneel knelt|know knew known|lay laid
    lead led|lean leant|leap leapt|learn learnt|lend lent|lose lost|make made|mean meant|meet met
    mistake mistook mistaken|overcome overcame|overtake overtook overtaken|pay paid|prove proven
    ride rode ridden|ring rang rung|rise rose risen|run ran|say said says|seek sought|sell sold
    send sent|shake shook shaken|shine shone|shoot shot|show shown|shrink shrank shrunk|sing sang sung
    sink sank sunk|sit sat|sleep slept|slide slid|speak spoke spoken|speed sped|spend spent
    spill spilt|spin spun|spoil spoilt|spring sprang sprung|stand stood|steal stole stolen
    stick stuck|sting stung|stink stank|strike struck stricken|strive strove striven
    swear swore sworn|sweep swept|swell swollen|swim swam swum|swing swung|take took taken
    teach taught|tear tore torn|tell told|think thought|throw threw thrown|undergo underwent undergone
    understand understood|undertake undertook undertaken|uphold upheld|wake woke woken
    wear wore worn|weave wove woven|weep wept|win won|withdraw withdrew withdrawn|write wrote written
    die dying|lie lying|tie tying|bear bore borne
    man men|woman women|child children|foot feet|tooth teeth|goose geese|mouse mice|louse lice
    person people|ox oxen|life lives|wife wives|knife knives|leaf leaves|half halves|wolf wolves
    thief thieves|shelf shelves|calf calves|loaf loaves|analysis analyses|basis bases|crisis crises
    thesis theses|hypothesis hypotheses|axis axes|oasis oases|diagnosis diagnoses
    criterion criteria|phenomenon phenomena|datum data|medium media|bacterium bacteria
    curriculum curricula|index indices|matrix matrices|vertex vertices|appendix appendices
    nucleus nuclei|fungus fungi|stimulus stimuli|radius radii|cactus cacti|alumnus alumni
    formula formulae|larva larvae|genus genera|corpus corpora
    """.replace("\n", "|").split("|")
    for base, *forms in [line.split() or [""]]
    for form in forms
}
"""Forms to the word that they are of."""

AMBIGUOUS = {
    "found": ("find",),
    "find": ("found",),
    "left": ("leave",),
    "leave": ("left",),
    "saw": ("see",),
    "see": ("saw", "seen"),
    "seen": ("see",),
    "bound": ("bind",),
    "ground": ("grind",),
    "wound": ("wind",),
    "born": ("birth", "bear"),
    "lay": ("lie",),
    "lain": ("lie",),
    "bit": ("bite",),
    "better": ("good",),
    "best": ("good",),
    "worse": ("bad",),
    "worst": ("bad",),
    "dead": ("die", "death"),
}
"""Words to other words that they may be a form of."""
