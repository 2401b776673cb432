"""How open it is, and on whose machine it runs."""

import re
from collections.abc import Iterator

from matchgraph.domain.need import Where
from matchgraph.domain.understanding.line import MODELS, SOFTWARE, Line, negated, phrase, words_of
from matchgraph.domain.understanding.part import Group, Part, starts

FULLY = r"(?:(?:fully|truly|completely|really|genuinely|only|strictly) )?"
DOWNLOADED = r"(?:(?:i|we|you|one) can|(?:that |which )?can be) (?:download(?:ed)?|get|run|host)"
OPEN_PHRASE = phrase(
    rf"(?:with |has |whose )?{FULLY}(?:(?P<weights>open[ -]?weights?(?: (?:models?|llms?))?"
    r"|weights? (?:(?:are|is) )?(?:openly |freely |publicly )?(?:open|public|published|downloadable"
    rf"|available|released)(?: for download)?|weights (?:that )?{DOWNLOADED}"
    r"|(?:openly |freely |publicly )?(?:downloadable|public|published|available|released) weights"
    r"|weights (?:on|from) hugging ?face|open (?:models?|llms?))"
    r"|(?:where |and )?(?:i|we) (?:can|want to|must be able to) (?:download|get|have) the"
    r" (?P<have>weights)|(?:can |to )?download (?P<download>(?:the )?weights)"
    r"|(?P<source>open[ -]?sourced?|opensource|foss|oss|floss))(?: only)?"
)
NOT_OPEN = words_of("intelligence code projects maintainers contributors repositories issues")
CLOSED_PHRASE = phrase(
    r"(?:only )?(?:closed(?:[ -]source)?(?: weights?)?(?= (?:models?|llms?)\b)|closed[ -]weights?"
    r"|closed[ -]source only|proprietary(?= (?:models?|llms?)\b)|proprietary only"
    r"|(?:that is |is )?not open[ -](?:source|weights?))"
)


@starts(
    "open opensource foss oss floss weight weights downloadable openweights openweight with has"
    " whose fully truly completely really genuinely only strictly openly freely publicly public"
    " published available released where and i we can to download"
)
def _open(line: Line, i: int) -> Iterator[Group]:
    found = line.match(OPEN_PHRASE, i)
    if not found or negated(line, i) or line.word(found[1]) in NOT_OPEN:
        return
    match, end = found
    id_ = "open_source" if match["source"] else "open_weights"
    yield [Part(i, end, id_, open_where(line, bool(match["source"])))]


@starts("only closed proprietary that is not")
def _closed(line: Line, i: int) -> Iterator[Group]:
    found = line.match(CLOSED_PHRASE, i)
    if found and not negated(line, i):
        yield [Part(i, found[1], "not_open_weights", Where(open_weights=False))]


def open_where(line: Line, source: bool) -> Where:
    """What "open source" asks for depends on what it is said of.

    Of a model people mean the weights. Software and data have a licence, which is known for nearly
    all of it. Where neither is named, what both have in common is that anybody can host it.
    """
    words = set(line.words)
    if not source or words & MODELS:
        return Where(open_weights=True)
    if words & SOFTWARE and line.vocabulary.open_licences:
        return Where(licences=line.vocabulary.open_licences)
    return Where(self_hostable=True)


OWN = r"(?:my|our|your|their|its)(?: own)?"
MACHINE = (
    r"(?:server|machine|hardware|gpu|computer|laptop|device|pc|mac|macbook|desktop|infrastructure"
    r"|cluster|data ?cent(?:er|re)|network|premises|box|vps|vpc|firewall|notebook|workstation)"
)
# Of several only where it is said that it runs there: "train on our GPUs" is a task.
MACHINES = rf"(?:{MACHINE}s?|phones?)"
SMALL_MACHINE = (
    r"(?:a |an |any |consumer |commodity |single |normal |ordinary |old |edge ){1,3}(?:laptop|pc"
    r"|macbook|mac|desktop|hardware|raspberry pi|gpu|cpu|phone|workstation|devices?)"
)
AIR_GAP = r"air[ -]?gapped(?: (?:networks?|environments?|systems?|machines?|setups?|deployments?))?"
RUNS = r"(?:runs?|running|hosted|works?|working|deployed|deploys?|installed|usable|deployable)"
MYSELF = r"(?:myself|ourselves|yourself|on my own|on our own)"
MYSELF_ENDS = words_of("myself ourselves yourself own")
SELF = phrase(
    r"(?:(?:that |which |and |it )?(?:can |could |must |should )?(?:be |is |are )?"
    rf"(?:self[ -]?host(?:ed|able|ing)?(?: on {OWN} {MACHINES})?|hosted (?:by myself|locally)"
    rf"|{RUNS}(?: (?:it|them|everything|completely|fully|entirely|100 %))?"
    rf" (?:locally|offline|on[ -]prem(?:ises?)?|(?:on|in|behind|inside|within) {OWN} {MACHINES}"
    rf"|on-device|on {SMALL_MACHINE}|(?:in |on )?(?:an? )?{AIR_GAP})"
    rf"|on[ -]prem(?:ises?)?|on-device|(?:on|in|behind|inside|within) {OWN} (?:own )?{MACHINE}"
    rf"|(?:(?:for|in|on) (?:an? |our |the )?)?{AIR_GAP}"
    r"|(?:fully|completely|entirely) (?:offline|local)|without (?:an )?internet(?:"
    r" (?:connection|access))?|in[ -]house hosting"
    rf"|(?:i|we|you|one) can (?:host|run|deploy|install|operate)(?: it| them)? {MYSELF}"
    rf"|to (?:host|run|deploy)(?: it| them)? {MYSELF}"
    r"|(?:for )?local(?:ly)? (?:use|hosted|running)|locally)"
    r"|(?:(?:my |our |the )?(?:data|everything|it) )?(?:(?:must|should|may|can|does|do)"
    rf" (?:not|never)|never|nothing|(?:must|should|ca|does|do)n't|cannot)"
    rf" leaves? (?:{OWN} )?{MACHINES}"
    r"|(?:keeps?|keeping|stays?|staying) (?:(?:my|our|all|the) )*(?:data |everything )?"
    rf"(?:on|in|inside|within) {OWN} {MACHINES})"
)
OFFLINE = phrase(r"offline(?:[ -]capable)?")
LOCAL = re.compile(r"local (?=(?:[a-z]+ )?(?:models?|llms?|inference)\b)")


@starts(
    "that which and it can could must should be is are self selfhosted hosted run runs running work"
    " works working deploy deploys deployed installed usable deployable on in behind inside within"
    " fully completely entirely without local locally offline for air airgapped i we you one to my"
    " our the data everything never nothing may does do mustn't"
    " shouldn't can't doesn't don't cannot keep keeps keeping stay stays staying"
)
def _self_hosted(line: Line, i: int) -> Iterator[Group]:
    found = line.match(SELF, i)
    if not found and line.word(i) == "offline":
        found = line.match(OFFLINE, i)
        if found and not line.ends(found[1]):
            found = None
    if not found and LOCAL.match(line.line, line.at[i]):
        found = LOCAL.match(line.line, line.at[i]), i + 1  # type: ignore[assignment]
    if (
        found
        and not negated(line, i)
        and not (line.word(i) == "on" and line.word(i - 1) in WRONG_ON)
    ):
        # "I can host it myself" says what is done with it as well.
        keeps = line.words[found[1] - 1] in MYSELF_ENDS
        yield [Part(i, found[1], "self_hostable", Where(self_hostable=True), keeps=keeps)]


WRONG_ON = words_of(
    """
    based files file folder folders photos data train fine-tune tune notes
    """
)
