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
_WORLD: Final = any_of(*_WEATHER, *_NEWS, *_PRICES, *_STATES, *_WHEN)

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
