"""Requests whose right answer changes within days or weeks."""

from __future__ import annotations

from typing import Final

from beast_ml.cache.recognise.instruction import is_about_programs
from beast_ml.cache.recognise.patterns import any_of, starts_with

__all__ = ["is_time_bound"]

_PERIOD: Final = r"(?:week|weekend|month|year|quarter|season|morning|afternoon|evening|night|semester|term)s?"
_WEEKDAY: Final = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
_HOLIDAY: Final = (
    r"(?:christmas|easter|new year|halloween|thanksgiving|ramadan|summer|winter|spring|this year|election)"
)
_OFFICE: Final = (
    r"(?:(?:vice )?president|prime minister|chancellor|ceo|cfo|cto|chair(?:wo)?man|king|queen|pope|mayor|governor"
    r"|champions?|leader|(?:head )?coach|captain|owner|richest|tallest|oldest|director|minister|secretary)"
)
_CHANGING: Final = (
    r"(?:versions?|releases?|prices?|news|models?|papers?|results?|standings|rankings?|polls?|features|rates?|laws?"
    r"|population|record holder)"
)
_CONDITION: Final = (
    r"(?:traffic|air quality|pollen|surf|snow|tide|queue|wait|waiting time|line|crowd|war|situation|market|economy"
    r"|match|game)"
)
_UNDER_WAY: Final = (
    r"(?:hiring|running|playing|coming|saying|going around|streaming|rising|falling|winning|leading|striking"
    r"|approaching|erupting|burning|free (?:on|today)|in a recession)"
)
_HAPPENED: Final = r"(?:released|announced|launched|won|died|resigned|retired|started|ended|recovered|been found)"
_ASSET: Final = r"(?:bitcoin|btc|ethereum|eth|gold|silver|oil|gas)"

_WEATHER: Final = (
    r"weather\b(?! (?:forecasting|stations?|patterns?|maps?|balloons?|systems?|fronts?))",
    r"(?:is|will) it (?:\w+ )?(?:raining|snowing|rain|snow|be (?:sunny|hot|cold|windy|cloudy))\b",
)
_NEWS: Final = (
    r"(?:headlines|breaking news|trending|live scores?|power outages?|what's hot)\b",
    r"(?:any|the|some|today's|recent|latest) (?:\w+ )?(?:news|updates?)\b(?! (?:agenc|cycle|statement|method))",
    r"(?:news (?:on|about|from|in|today)|updates? on)\b",
    r"what(?:'s| is| has)? (?:going on|happening|happened)\b(?! (?:to|if|when|in (?:1|20[01])\d)\b)",
    r"what(?:'s| is) (?:new|(?:on|playing|showing) (?:tv|tonight|at))\b",
    r"who (?:won|is winning|'s winning)\b(?!.{0,200}\b(?:war|battle|1\d{3}|20[01]\d)\b)",
    r"score (?:of|in|for)\b",
)
_PRICES: Final = (
    r"(?:stock|share|gas|petrol|oil|gold|silver|crypto|house) prices?\b",
    rf"(?:price|value|worth|cost) of (?:an? (?:ounce|barrel|share) of )?{_ASSET}\b",
    rf"{_ASSET} (?:price|worth|value)\b",
    rf"how much is (?:an? \w+ of )?{_ASSET}\b",
    r"how much (?:is|are) (?:\S+ ){1,3}(?:stocks?|shares?)\b",
    r"what(?:'s| is) the (?:dollar|euro|pound|yen|yuan|market|dow|nasdaq) (?:at|doing|trading)\b",
    r"(?:exchange|interest|mortgage|inflation|unemployment|base|tax) rates?\b",
    r"(?:minimum wage|(?:lowest|best|cheap) (?:air)?fares?)\b",
    r"[a-z]{3}\s?/\s?[a-z]{3} rate\b",
    r"how(?:'s| is| are) (?:the )?(?:\S+ )?(?:markets?|nasdaq|dow(?: jones)?|s&p|ftse|dax|stocks?|economy) doing\b",
)
_STATES: Final = (
    rf"how(?:'s| \w+ is| is) the (?:\w+ )?{_CONDITION}\b",
    r"(?:is|are) (?:\S+ ){1,4}(?:cancell?ed|delayed|postponed|sold out|running late)\b",
    rf"(?:has|have) (?:\S+ ){{1,4}}{_HAPPENED}\b",
    r"did the (?:fed|ecb|bank of \w+|government|court|senate|parliament) \w+",
    r"(?:top of the|leading (?:in )?the|leads the|ahead in the) (?:\S+ ){0,2}(?:polls|race|league|table|charts)\b",
    r"(?:oldest|richest|tallest|youngest|fastest) (?:living|person alive|people alive|man alive|woman alive)\b",
    r"how many (?:\S+ )?(?:cases|infections|deaths|subscribers|followers|users)\b.{0,30}\b(?:are|have|has)\b",
    r"top (?:\d+ )?(?:songs|movies|films|shows|games|apps|stocks|hits)\b",
    r"(?:best[- ]sell(?:ing|ers?)|cheapest|on sale|deals on)\b",
    rf"(?:is|are|who's|what's|what are|which \S+(?: of \S+)? is) (?:\S+ ){{0,4}}?{_UNDER_WAY}\b",
    r"(?:is|are) there (?:an?|any) (?:\w+ )?(?:hurricane|storm|strike|outage|war|recession|sale|protest|curfew)\b",
    r"are we in an?\b",
    r"did it (?:snow|rain|freeze|hail)\b",
    r"in season\b",
    r"(?:population of|how many people live|most popular|standings|world champion|chess champion|status of the)\b",
    r"good time to (?:buy|sell|invest|refinance)\b",
    r"delays? (?:on|at|in)\b",
    r"traffic (?:on|in|to)\b",
    r"is \S+(?: \S+)? (?:down|offline|out of stock|in stock|sold out|open|closed|available)\b(?! (?:source|set|ended))",
    r"(?:has|have|is|are|did)\b.{0,200} (?:yet|already)\b(?!.{0,200}\bwhy\b)",
    r"how old (?:is|are) (?!(?:the|a|an|you|this|i) )",
    rf"who(?:'s| is| are)(?: the)?(?: (?:current|present|new|reigning))? (?:\S+ ){{0,2}}{_OFFICE} (?:of|at|in)\b",
    rf"(?:current|present|reigning|new|incumbent) (?:\w+ )?{_OFFICE}\b",
    rf"(?:latest|newest|current|most recent|new) (?:\S+ ){{0,2}}{_CHANGING}\b",
    r"(?:versions?|releases?) (?:is|are) (?:the )?(?:latest|newest|current)\b",
)
_WHEN: Final = (
    rf"how (?:many|long|much)\b.{{0,200}}\b(?:until|till|before|left (?:in|to))\b.{{0,200}}(?:{_HOLIDAY}|20\d\d)",
    r"when(?:'s| is| are| does| do| will)\b.{0,200} next\b",
    r"(?:until|till|before) the (?:weekend|holidays|deadline|election|end of the \w+)\b",
    r"when will\b",
    r"what (?:time|day|date|year|month)\b.{0,20} is it\b",
    r"what(?:'s| is) the (?:time|date)\b(?! (?:complexity|format|difference))",
    rf"(?:what time|when|is|are|will)\b.{{0,200}}\b(?:on|this|next) {_WEEKDAY}\b",
    r"(?:right now|at the moment|as of (?:now|today|this)|so far this|up[- ]to[- ]date|these days)\b",
    rf"(?:this|last|next|past|coming) (?:few )?{_PERIOD}\b(?! (?:or|of (?:the|a)) )",
    r"(?:last|past) (?:few|couple of|\d+) (?:days|hours|weeks|months|years)\b",
    r"in 20(?:2[4-9]|3\d)\b",
)
_ON_SALE: Final = (
    r"(?:phones?|smartphones?|laptops?|tablets?|headphones|tvs?|cameras?|cars?|suvs?|credit cards?|broadband|hotels?"
    r"|restaurants?|airlines?|vpns?|stocks?|etfs?|savings accounts?|graphics cards?|gpus?|consoles?|bikes?)"
)
_MOVES: Final = (
    r"(?:death toll (?:of|in|from) the (?:\w+ )?(?:earthquake|floods?|storm|crash|fires?|attack)|water level|snow depth"
    r"|pollen count|moon phase|phase of the moon|jackpot|approval rating|subscriber count"
    r"|tour dates)"
)
_COUNTED: Final = (
    r"(?:employees|staff|stores|users|subscribers|followers|members|customers|goals|titles|medals|oscars|grammys|awards"
    r"|wins|caps|downloads|satellites|listeners|patients|refugees)"
)
_AS_THINGS_ARE: Final = (
    # No word says so, but whoever owns, costs, leads or is open today may not be so next month.
    r"(?:flights?|trains?|bus(?:es)?|ferr(?:y|ies)) from \S+(?: \S+)? to \S+",
    r"(?:is|are) (?:\S+ ){1,4}?(?:flooded|blocked|spreading|on strike|on fire|bankrupt|evacuated)\b",
    r"(?:is|are) (?:\S+ ){1,4}?(?:alive|pregnant|engaged|injured|in office|in charge|in prison|in jail|in power)\W*$",
    r"is (?:\S+ ){1,3}?(?<!carried )(?<!worked )(?<!left )(?<!ruled )(?<!way )out(?: in \S+| on \S+)?\W*$",
    r"safe to (?:travel|fly|go|visit|swim)\b(?! (?:for|with|after|while|on an?|during)\b)",
    r"(?:need|require)s? (?:an? )?(?:visa|vaccinations?|permit|negative test)\b",
    rf"how many {_COUNTED} (?:does|do|has|have|are|is|did)\b",
    rf"{_MOVES}\b",
    r"(?:'s (?:net worth|market cap)\b(?! (?:at|upon|when|in 1))|(?:net worth|market cap) of (?!an?\b))",
    (
        r"who (?:owns|runs|heads|leads|coaches|manages|chairs|governs|hosts|presents|captains|sponsors|commands)"
        r" (?!(?:an?|the means)\b)"
    ),
    (
        r"who(?:'s| is) (?!the best\b)(?:\S+ ){1,3}?(?:dating|married to|engaged to|seeing|playing for|touring with"
        r"|in talks)\b"
    ),
    (
        r"(?:which|what) (?:team|club|party|label|company|channel|network) (?:is|does) (?:\S+ ){1,3}?(?:at|in|on|with"
        r"|play for"
        r"|work for|belong to)\W*$"
    ),
    r"(?:what time|when) (?:does|do) (?:\S+ ){1,5}?(?:open|close|go on sale|come out|leave|depart|air|premiere)\b",
    (
        r"when(?:'s| is) (?:easter|ramadan|eid|diwali|passover|hanukkah|(?:chinese|lunar) new year|mother's day"
        r"|father's day"
        r"|black friday|the (?:\w+ ){0,2}(?:super bowl|world cup|olympics|election|final|eclipse|deadline|sale|draw))\b"
    ),
    r"in (?:the )?(?:cinemas?|movie theat(?:er|re)s?)\b",
    r"how far along\b",
    r"did the (?:bill|vote|motion|strike|merger|talks|deal|launch|rocket)\b",
    rf"best (?:\w+ ){{0,2}}?{_ON_SALE}\b(?! (?:brand )?(?:of all time|ever|in history))",
    rf"which {_ON_SALE} (?:should|is the|are the|would)\b",
    (
        r"how much (?:is|are) (?:the )?(?:postage|admission|entry|tickets?|parking|shipping|tuition|an? (?:ticket"
        r"|flight))\b"
    ),
)

_WORLD: Final = any_of(*_WEATHER, *_NEWS, *_PRICES, *_STATES, *_WHEN, *_AS_THINGS_ARE)

_CALENDAR: Final = any_of(
    r"(?:today|tonight|tomorrow|yesterday|currently|nowadays|recently|upcoming|up-coming|ongoing|present-day)\b",
    r"(?:latest|newest|recent)\b",
    r"current (?!(?:directory|working|flow|density|divider|source|limit|law|carrying|in an?|through)\b)",
    r"(?:open|happening|doing|available|live|playing|on air) now\b",
    r"(?<!from )now\W*$",
    r"now (?:in|at)\b",
)
"""Words of the calendar; in a request about programs they are seldom about the world's."""

_OTHER_SENSES: Final = any_of(
    r"(?:electric(?:al)?|alternating|direct|ocean|eddy|an?|the|of|induced|tidal|gulf) current\b(?! \w)",
    r"here today,? gone tomorrow",
)
_EXPLAINS: Final = starts_with(
    "explain",
    "define",
    "what causes",
    "what does",
    "how (?:do|does|did|are|can|should)",
    r"how is\b.{0,200}\b(?:calculated|measured|made|determined|defined|computed|set|predicted|formed)",
    "why (?:do|does|is|are)",
    "what (?:is|are|'s) (?:the )?(?:difference|meaning|definition|purpose|concept)",
)
_AS_OF_NOW: Final = any_of(
    r"(?:today|tonight|tomorrow|yesterday|now|currently|current|latest|newest|recent|recently)\b",
    r"this (?:week|month|year)\b",
)
_INVENTS: Final = any_of(
    r"(?:write|compose|create|make up|tell|draft|invent)\b.{0,200}"
    r"\b(?:poem|haiku|sonnet|limerick|story|song|lyrics|rap|joke|riddle|essay|speech|dialogue|screenplay|fable|tale)\b"
)


def is_time_bound(instruction: str) -> bool:
    """Return whether the right answer depends on when it is asked.

    Parameters
    ----------
    instruction
        As `instruction_of` returns it; English.

    Examples
    --------
    >>> is_time_bound("what's the weather like in oslo?"), is_time_bound("how does weather differ from climate?")
    (True, False)
    """
    if _WORLD.search(instruction) is None and _CALENDAR.search(instruction) is None:
        return False  # nearly always: the other senses need not be looked for
    if _INVENTS.search(instruction):
        return False
    words = _OTHER_SENSES.sub(" ", instruction)
    if _WORLD.search(words) and (_AS_OF_NOW.search(words) or not _EXPLAINS.match(words)):
        return True
    return _CALENDAR.search(words) is not None and not is_about_programs(words)
