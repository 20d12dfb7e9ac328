"""Word lists that decide whether two texts that look alike mean the same: English, short, and written by hand."""

from __future__ import annotations

from typing import Final

__all__ = [
    "COMMON",
    "CONTRACTIONS",
    "DATE_WORDS",
    "DIRECTIONS",
    "MONTHS",
    "NEGATIONS",
    "NUMBER_WORDS",
    "OPPOSITES",
    "OPPOSITE_PREFIXES",
    "QUESTION_WORDS",
    "UNITS",
]

COMMON: Final = frozenset(
    "a an the this that these those there here it its i me my mine we us our you your he him his she her they them "
    "their one's is are was were be been being am do does did doing done have has had having will would shall should "
    "can could may might must and or but if so as of at in on for with about to from by into onto up down out off over "
    "than then too very just also please thanks thank hi hello hey ok okay kindly really actually some any all each "
    "every such own same both few more most other what which who whom whose when where why how s t re ve ll d m get "
    "got make want need like let know tell say".split()
)
"""Words that carry little of what is asked."""

NEGATIONS: Final = frozenset(
    "not no never none nobody nothing neither nor cannot without unable nowhere hardly barely lack lacks lacking "
    "except excluding minus refuse refuses refused avoid prevent stop".split()
)
"""Words that turn a sentence into its opposite."""

CONTRACTIONS: Final = {
    "can't": "cannot",
    "won't": "will not",
    "cant": "cannot",
    "wont": "will not",
    "dont": "do not",
    "doesnt": "does not",
    "didnt": "did not",
    "isnt": "is not",
    "arent": "are not",
    "wasnt": "was not",
    "couldnt": "could not",
    "shouldnt": "should not",
    "wouldnt": "would not",
    "hasnt": "has not",
    "havent": "have not",
    "ain't": "is not",
    "what's": "what is",
    "let's": "let us",
}
"""Besides those in n't, 'm, 're, 've, 'll and 'd, which are taken apart by rule."""

QUESTION_WORDS: Final = ("what", "how", "why", "when", "where", "who", "which")
"""What a question asks for."""

DIRECTIONS: Final = frozenset(
    "from to into onto by than before after over under above below behind against without with for between until "
    "since towards via through inside outside instead".split()
)
"""Words that say which part a thing plays: "from A to B" is not "from B to A"."""

_PAIRS: Final = (
    "enable disable|activate deactivate|allow block|allow forbid|allow deny|allow prevent|accept reject|accept decline|"
    "approve reject|open close|open shut|start stop|start end|start finish|begin end|begin finish|on off|up down|"
    "increase decrease|increase reduce|increase lower|raise lower|raise reduce|rise fall|gain lose|gain loss|win lose|"
    "add remove|add delete|add subtract|create delete|create destroy|insert delete|install uninstall|mount unmount|"
    "lock unlock|pack unpack|subscribe unsubscribe|follow unfollow|mute unmute|freeze unfreeze|encrypt decrypt|"
    "encode decode|compress decompress|zip unzip|serialize deserialize|upload download|import export|push pull|"
    "push pop|send receive|buy sell|lend borrow|give take|borrow return|deposit withdraw|deposit withdrawal|"
    "credit debit|debit credit|income expense|profit loss|asset liability|cheap expensive|cheapest expensive|"
    "hot cold|warm cool|heat cool|summer winter|day night|morning evening|early late|first last|before after|"
    "above below|over under|inside outside|internal external|input output|in out|left right|north south|east west|"
    "northern southern|eastern western|top bottom|upper lower|front back|forward backward|forwards backwards|"
    "high low|higher lower|highest lowest|large small|larger smaller|largest smallest|big small|bigger smaller|"
    "biggest smallest|long short|longer shorter|longest shortest|tall short|wide narrow|deep shallow|thick thin|"
    "heavy light|fast slow|faster slower|fastest slowest|quick slow|good bad|better worse|best worst|positive negative|"
    "advantages disadvantages|advantage disadvantage|pros cons|benefits drawbacks|benefits risks|strengths weaknesses|"
    "more less|most least|more fewer|maximum minimum|max min|maximize minimize|minimise maximise|many few|much little|"
    "always never|all none|everyone nobody|everything nothing|true false|yes no|right wrong|correct incorrect|"
    "success failure|succeed fail|pass fail|safe dangerous|safe unsafe|legal illegal|possible impossible|"
    "healthy unhealthy|easy hard|easy difficult|simple complex|strong weak|rich poor|old new|older newer|old young|"
    "older younger|oldest youngest|oldest newest|modern ancient|male female|man woman|men women|boy girl|boys girls|"
    "husband wife|father mother|son daughter|brother sister|king queen|mother father|husband wife|he she|his her|"
    "public private|single married|single multiple|single double|alive dead|live die|born died|birth death|"
    "love hate|like dislike|happy sad|friend enemy|ally enemy|attack defend|offence defence|offense defense|"
    "arrive depart|arrival departure|arrive leave|arrivals departures|enter exit|enter leave|import export|"
    "entrance exit|connect disconnect|attach detach|join leave|join split|merge split|include exclude|"
    "including excluding|ascending descending|ascend descend|encourage discourage|agree disagree|appear disappear|"
    "prefix suffix|prepend append|head tail|parent child|client server|master slave|primary secondary|primary replica|"
    "read write|readable writable|load save|load unload|show hide|visible hidden|expand collapse|minimize maximize|"
    "synchronous asynchronous|sync async|static dynamic|mutable immutable|local remote|online offline|"
    "employer employee|teacher student|doctor patient|buyer seller|lender borrower|landlord tenant|sender recipient|"
    "sender receiver|seller buyer|demand supply|question answer|cause effect|cause cure|gained lost|won lost|"
    "bought sold|rose fell|increased decreased|raised lowered|opened closed|started stopped|sent received|"
    "enabled disabled|allowed blocked|won lost|domestic foreign|domestic international|native foreign|liquid solid|"
    "acid base|acute chronic|viral bacterial|wet dry|full empty|clean dirty|hire fire|promote demote|upgrade downgrade|"
    "update rollback|commit rollback|encrypted unencrypted|paid free|paid unpaid|refund charge|lost found|"
    "virtual physical|temporary permanent|optional required|optional mandatory|automatic manual|gross net"
)
_ANTONYMS: Final = frozenset(frozenset(pair.split()) for pair in _PAIRS.split("|"))
OPPOSITES: Final = {
    word: frozenset(other for pair in _ANTONYMS if word in pair for other in pair if other != word)
    for word in {word for pair in _ANTONYMS for word in pair}
}
"""Words that turn a text round when they stand for another, by that other."""

OPPOSITE_PREFIXES: Final = ("un", "dis", "de", "in", "im", "ir", "il", "non", "anti", "mis", "a")
"""Put before a word they turn it round: known for a pair of texts only where one has the word with it, one without."""

_COUNT: Final = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
NUMBER_WORDS: Final = {
    **{word: float(i) for i, word in enumerate(f"{_COUNT} seventeen eighteen nineteen".split())},
    **{word: 10.0 * i for i, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)},
    "hundred": 1e2,
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "lakh": 1e5,
    "crore": 1e7,
    "dozen": 12.0,
    "half": 0.5,
    "quarter": 0.25,
    "once": 1.0,
    "twice": 2.0,
    "double": 2.0,
    "triple": 3.0,
    "first": 1.0,
    "second": 2.0,
    "third": 3.0,
    "fourth": 4.0,
    "fifth": 5.0,
    "single": 1.0,
}
"""Written numbers, and their values."""

MONTHS: Final = {
    name: i
    for i, names in enumerate(
        "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug|september sept sep|october oct|"
        "november nov|december dec".split("|"),
        1,
    )
    for name in names.split()
}
"""Names of months, and their numbers."""

DATE_WORDS: Final = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays "
    "sundays today tomorrow yesterday tonight weekend weekday weekends weekdays daily weekly monthly yearly annually "
    "quarterly hourly nightly christmas easter spring autumn fall".split()
)
"""Words that place something in time."""

UNITS: Final[dict[str, tuple[str, float]]] = {
    name: (dimension, scale)
    for dimension, entries in {
        "time": "ms millisecond milliseconds:0.001|s sec secs second seconds:1|min mins minute minutes:60|"
        "h hr hrs hour hours:3600|day days:86400|week weeks:604800|month months:2629800|year years yr yrs:31557600",
        "length": "mm millimeter millimeters millimetres:0.001|cm centimeter centimeters centimetres:0.01|"
        "m meter meters metre metres:1|km kilometer kilometers kilometre kilometres:1000|inch inches:0.0254|"
        "ft foot feet:0.3048|yard yards:0.9144|mile miles mi:1609.344",
        "mass": "mg milligram milligrams:0.000001|g gram grams:0.001|kg kilo kilos kilogram kilograms:1|"
        "oz ounce ounces:0.02835|lb lbs pound pounds:0.4536|ton tons tonne tonnes:1000",
        "bytes": "kb kilobyte kilobytes:1e3|mb megabyte megabytes:1e6|gb gigabyte gigabytes:1e9|"
        "tb terabyte terabytes:1e12",
        "volume": "ml milliliter milliliters millilitres:0.001|l liter liters litre litres:1|gallon gallons:3.785|"
        "cup cups:0.2366|tablespoon tablespoons tbsp:0.0148|teaspoon teaspoons tsp:0.0049",
        "share": "percent % pct:1|percentile:1.001",
        "usd": "$ usd dollar dollars bucks:1",
        "eur": "€ eur euro euros:1",
        "gbp": "£ gbp:1",
        "inr": "₹ rs inr rupee rupees:1",
        "jpy": "¥ jpy yen:1",
        "celsius": "celsius centigrade °c:1",
        "fahrenheit": "fahrenheit °f:1",
        "kelvin": "kelvin:1",
        "power": "w watt watts:1|kw kilowatt kilowatts:1000",
        "speed": "kmh kph:1|mph:1.609",
    }.items()
    for group in entries.split("|")
    for names, scale in [(group.rsplit(":", 1)[0], float(group.rsplit(":", 1)[1]))]
    for name in names.split()
}
"""Dimension and size of a unit: "60 minutes" is "1 hour", and no "60 seconds"."""
