"""Requests whose right answer depends on who asks, and those that name a person."""

from __future__ import annotations

import re
from typing import Final

from beast_ml.cache.recognise.instruction import ends_of
from beast_ml.cache.recognise.patterns import ASKED_POLITELY, any_of, starts_with

__all__ = ["is_personal", "names_a_person"]

_THING: Final = (
    r"(?:accounts?|orders?|purchases?|balances?|subscriptions?|bills?|invoices?|payments?|money|cards?|passwords?"
    r"|profile"
    r"|bookings?|reservations?|flights?|appointments?|tickets?|cases?|claims?|polic(?:y|ies)|deliver(?:y|ies)|packages?"
    r"|parcels?|shipments?|refunds?|salary|payslips?|paychecks?|plans?|membership|cart|basket|wish ?list|address(?:es)?"
    r"|phone numbers?|e-?mails?|inbox|mailbox|calendar|meetings?|schedule|agenda|files|documents|notes|photos|contacts"
    r"|portfolio|transactions?|transfers?|statements?|loans?|mortgage|rent|savings|checking|credit score|deductible"
    r"|benefits|coverage|insurance|contract|warranty|points|rewards|miles|usage|devices?|servers?|instances?|projects?"
    r"|tasks?|to-?do(?: list)?|reminders?|alarms?|shopping list|playlists?|watchlist|history|settings|preferences"
    r"|prescriptions?|results?|grades?|classes|courses|enrol?lment|applications?|vacation(?: days)?|leave|pto|shifts?"
    r"|timesheet|car|house|location|team|manager|boss|bank|tax(?:es)?|return|exchange|replacement"
    r"|confirmation|deposits?|withdrawals?|top[ -]?ups?|pin|sim|licen[cs]e|visa|passport|repos(?:itor(?:y|ies))?"
    r"|dashboard|limits?|fees?)"
)
_ENDS: Final = r"(?:cancel|stop|track|resend|reschedule|renew|refund|pause|end|change)"
_RUNNING: Final = (
    r"(?:renewal|order|booking|delivery|payment|subscription|shipment|parcel|transfer|reservation|appointment"
    r"|membership"
    r"|plan)"
)
_DID: Final = r"(?:\w+ed|sent|bought|made|left|paid|wrote|told)"
_OPERATION: Final = (
    r"(?:cancel|track|update|show|check|delete|close|book|resend|transfer|send|pay|open|reschedule|renew|activate|block"
    r"|freeze|unsubscribe|upgrade|downgrade|refund|return|find|read|add|remove|list|summari[sz]e|search|look up|confirm"
    r"|get|pull up|retrieve|download|export|turn (?:on|off)|set|play|call|text|email|move|rename|share|order|buy|remind"
    r"|change|replace)"
)
_NUMBERED: Final = (
    r"(?:order|account|booking|tracking|invoice|ticket|case|claim|reference|confirmation|reservation|customer|policy)"
)

_MINE: Final = any_of(rf"(?:my|our) (?:[\w'-]+ ){{0,3}}?{_THING}\b", r"(?:of|belong to) mine\b")
_HOW_THINGS_ARE_DONE: Final = starts_with(
    # The same for everyone, whoever's things they are.
    r"(?:(?:tell|show|explain)(?: to)?(?: me| us)? |i (?:want|need|would like|'d like) to know )?(?:"
    r"how (?:do|can|should|could|would|might) (?:i|we|you|one)\b"
    r"(?! (?:know|see|check|find out) (?:if|when|whether|why))|how to",
    r"is it (?:possible|ok|okay|safe|allowed|legal)",
    r"(?:can|could|may|should) (?:i|we|you|someone|one)\b(?! (?:possibly )?(?:check|see if|find out|look|cancel|resend"
    r"|update|change (?:my|our)|send me|tell me if|confirm|refund|close|track|delete))",
    r"what (?:happens|should|can|could|do i need|do i have to|documents|is needed)",
    r"what(?:'s| is) a (?:good|safe|quick|better) way",
    r"what(?:'s| is| are) the (?:steps|fees|rules|requirements|process|procedure|best way|difference)",
    r"where (?:can|should|do) i (?!park|leave|put|live|work|see)",
    r"why (?:does|do|would|should|might)(?! my)",
    r"(?:explain|steps to|ways to|tips|best way|guide|what if|which (?:way|form))\b(?! why my)",
    r"give me (?:tips|advice|ideas|steps)",
    r"(?:when (?:should|can) i|how long (?:does|do|will|would)|do i (?:need|have to))\b)",
)
_STATE: Final = any_of(
    # What is so for the one who asks; no manner of asking makes it general.
    r"(?:did|was|am|were) i (?!supposed\b|wrong\b|right\b)",
    r"(?:have|had) i (?!to\b)",
    r"i(?:'ve| have)? (?:been|was|were|got) (?:\w+ )?(?:charged|billed|declined|refused|blocked|denied|locked out)\b",
    r"i'?m (?:locked out|still waiting|being charged)\b",
    rf"the (?:[\w-]+ ){{1,3}}?(?:that )?i(?:'ve| have)? (?!(?:need|used|wanted|liked)\b){_DID}\b",
    r"do i (?:owe|own|still|currently|get paid)\b",
    r"do i have (?:left|remaining|on|in)\b",
    r"i (?:bought|ordered|purchased|booked|paid|returned|sent back|subscribed|applied|signed up|submitted|deposited)\b",
    r"i (?:haven't|have not|still haven't|never|didn't|did not|still didn't) (?:yet )?(?:receive[d]?|get|got|gotten)\b",
    r"i(?: want| need| would like| wish|'d like)(?: to)? (?:return|cancel|close|dispute|report|reschedule|a refund"
    r"|my money|rebook|know the status|an update|track|speak|talk to|change my)\b",
    rf"{_ENDS} the (?:[\w-]+ )?{_RUNNING}\b(?! (?:in|of|with)\b)",
    r"(?:balance|status) (?:of|on|for) the\b",
    r"i (?:left|lost|forgot) (?:my|our)\b",
    r"(?:let me know|tell me|notify me|alert me|remind me) (?:when|if|once) (?:it|the|my)\b",
    r"(?:you promised|you (?:owe|sent|told|gave|charged) me|you know about (?:me|her|him|them|us))\b",
    r"(?:(?:turn|switch) (?:on|off)|dim|lock|unlock) the (?:\w+ )?(?:lights?|lamp|door|alarm|heating|tv|fan|ac)\b",
    r"add (?:\w+ ){1,3}to the (?:\w+ )?(?:list|cart|basket|calendar)\b",
    r"(?:show|open|read|find|list) (?:the |all )?(?:e-?mails|messages|photos|files|notes) (?:from|about|with|by)\b",
    r"(?:password|code|key|pin) (?:for|to|of) (?:my|our)\b",
    r"can i (?:possibly )?(?:check|track|cancel|see if) (?:the|my|our)\b",
    r"(?:status of|update on|eta (?:of|for)|track|where is|where's|where are) (?:my|our)\b",
    r"(?:charged?|billed?|owe|send|sent|resend|call|emailed|issued|sold) (?:to )?(?:me|us)\b"
    r"(?= twice| again| the| my| an? |\W*$)",
    r"(?:book|rebook|reserve|order|reorder|schedule) me\b",
    r"(?:who|where) am i\b",
    r"(?:what|how)(?:'s| is) (?:(?:in|on) )?my\b",
    r"(?:see|hear|access) my\b",
    r"(?:where|when) do i (?:live|work|start|leave|fly|sit|check in)\b",
    r"it(?:'s| has) been (?:\w+ ){1,3}(?:days|weeks|hours|months)\b",
    r"(?:did we (?:decide|agree|discuss|talk|say)|we were (?:writing|talking|discussing|doing|working))\b",
    r"(?:within )?walking distance\b",
    r"tracking (?:code|number|id)\b",
    r"(?:know|remember|told you|stored?|saved?|have) (?:\w+ )?(?:about|on) me\b",
    r"about me\b",
    r"remember (?:me|my|what i|when i)",
    r"i (?:told|asked|said to|mentioned to) you\b",
    r"(?:last time|earlier|previously) (?:we|i)\b",
    r"we (?:talked|spoke|discussed)\b",
    r"our (?:last|previous|earlier) (?:chat|conversation|session|discussion|call)\b",
    r"based on (?:my|what i|the (?:things|movies|books|items) i)\b",
    r"(?:i've|i have) (?:watched|read|bought|earned|listened)\b",
    r"same \w+ (?:i|as i|we|as) (?:had|ordered|used|last|before)\b",
    r"(?:near ?by|near (?:me|us|here)|clos(?:est|e) to me|around here)\b",
    r"in my (?:area|city|town|region|neighbou?rhood)\b",
    r"(?:which|some|all|any|one|none) of (?:my|our)\b",
    r"(?:according to|in) my (?:notes|calendar|files|e-?mails?)\b",
    rf"{_NUMBERED}(?: (?:number|no\.?|id|code))?(?: is)?:? ?#?[a-z]{{0,4}}-?\d[\d-]{{2,}}\b",
)
_DEALING: Final = (
    r"(?:orders?|payments?|transfers?|bookings?|reservations?|appointments?|invoices?|bills?|refunds?|deliver(?:y|ies)"
    r"|packages?|parcels?|shipments?|claims?|applications?|requests?|technician|plumber|electrician|courier|driver"
    r"|landlord|tenants?|dentist|contractors?|cleaner|babysitter|instal?lments?|deposits?|warranty|subscriptions?|rent"
    r"|interview|meetings?|invitations?|build|deployment|pipeline|(?:merge|pull) request|tickets?|backup|upload"
    r"|download"
    r"|print job|laundry|contract|offer|proposal|quote|reimbursements?|prescriptions?|test results?)"
)
_STANDS: Final = (
    r"(?= (?:\w+(?:ed|ing)|been|be|go|gone|still|not|never|done|ready|due|overdue|up|here|there|in|arrive|reply|answer"
    r"|call|come|ring|show|fail|start|finish|pass|run out|end|paid|sent|signed|late|free|lost|missing)\b(?! (?:of|by) )"
    r"|\W*$)"
)
_AT_HOME: Final = (
    r"(?:garage|front door|back door|door|gate|windows?|oven|stove|heating|lights?|washing machine|dishwasher|dryer"
    r"|alarm|thermostat|tv|printer|router|dog|cat|baby|kids?|children|car|fridge)"
)
_COMES_IN: Final = (
    r"(?:messages?|mail|e-?mails?|texts?|calls|voicemails?|applicants|applications|orders|tickets|bookings|invoices"
    r"|notifications|comments|replies|visitors|sign-?ups|alerts|requests)"
)
_UNMARKED: Final = any_of(
    # Nobody is named, but "the payment", "the landlord", "we" are those of the one who asks.
    rf"(?<!what )(?<!which )(?<!who )(?:has|have|did|does|do|is|are|was|were) (?:the|that|this) (?:[\w-]+ )?"
    rf"{_DEALING}\b{_STANDS}",
    rf"(?:why|when|how|where)(?: \w+)? (?:the|that|this) (?:[\w-]+ )?{_DEALING}\b{_STANDS}",
    rf"when(?:'s| is| does| will) the (?:next |last |first )?{_DEALING}\b{_STANDS}",
    r"what(?:'s| is) on the (?:shopping|grocery|to-?do|guest|wish|packing|waiting) ?list\b",
    r"(?:left|remaining) (?:on|in) the (?:\w+ )?(?:card|account|budget|plan|tank|policy|allowance|subscription)\b",
    r"(?:did|has) [\w']+ (?:repl(?:y|ied)|answer(?:ed)?|wr(?:ite|itten) back|call(?:ed)? back|text(?:ed)?"
    r"|respond(?:ed)?"
    r"|rsvp|sign(?:ed)? off|confirm(?:ed)?)(?: yet| to (?:the|that) (?:e-?mail|message|invitation|offer|request))?\W*$",
    r"what did [\w']+ (?:write back|reply|respond|text)\W*$",
    r"has (?:hr|it|legal|finance|accounting|procurement|management|security|support|the (?:team|bank|boss|manager))"
    r" (?:\w+ed|sent|paid|signed)\b",
    rf"any (?:new |unread |missed |urgent |open )?{_COMES_IN}\b(?: (?:from|for|about|today|yet|since)\b.{{0,80}})?\W*$",
    r"(?:did|have) we (?:spend|spent|pay|paid|buy|bought|order|ordered|book|booked|agree|agreed|decide|decided|sell"
    r"|sold"
    r"|invite|invited|hire|hired|ship|shipped|send|sent|earn|earned|plan|planned|meet|met|run out)\b",
    r"(?:are|were) we (?:over|under|out of|low on|behind|late|ahead|on (?:budget|track|schedule|time)|short of"
    r"|meeting)\b",
    r"do we (?:still )?have (?:any|enough)\b(?! (?:evidence|proof|data|records?|idea|reason|free|control|knowledge"
    r"|rights?|choice))",
    r"(?:is|are|was|were) assigned(?: to\b|\W*$)",
    r"(?:which|how many)(?: of the)? (?:\w+ ){1,2}(?:is|are|was|were) (?:overdue|unpaid|due|assigned|pending|booked)\b",
    r"who has access to the\b",
    rf"who (?:approved|requested|booked|ordered|merged|deleted|closed|opened|sent|signed) the (?:[\w-]+ )?{_DEALING}\b",
    r"the (?:wi-?fi|door|gate|alarm|guest|network|garage|locker) (?:\w+ )?(?:password|code|pin|key)\b(?! (?:strength"
    r"|to))",
    rf"(?:is|are|was|were) the {_AT_HOME} (?:\w+ )?(?:on|off|open|closed|locked|running|done|empty|asleep|fed"
    rf"|charged)\W*$",
)
_SESSION: Final = starts_with(
    r"(?:undo|redo|revert|discard|repeat|resend|archive|print|save) (?:the|that|this|it)\b"
    r"(?: (?:last|previous|latest))?(?: (?:changes?|edits?|messages?|drafts?|steps?|actions?|documents?|pages?"
    r"|e-?mails?))?"
    r"\W*$",
)

_HAVE_I: Final = re.compile(r"^\W*do i have\b(?! to\b)")
_OPERATES: Final = re.compile(
    ASKED_POLITELY
    + rf"(?:i (?:want|need|'d like|would like) (?:you )?to )?{_OPERATION}\b.{{0,200}}\b(?:my|me|our|mine)\b",
)
_TELL_ME: Final = any_of(r"(?:show|get|find|send|list|read|give) me (?!my\b|the (?:last|latest|status)\b)")
"""Asks for an answer, where "send me my invoice" asks for an operation."""

_ADDRESS: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}\.\w")
_NUMBER: Final = re.compile(
    r"(?<![\d.])\+?\d(?:[ -]?\d){8,18}(?![\d.])"  # of a telephone, a card, an account
    r"|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b"  # IBAN
    r"|\b[Ii](?:'m| am) (?:an? )?\d{1,3}(?:[ -]years?[ -]old|yo\b)"
)
_NAME: Final = re.compile(r"\b(?:[Tt]his is|[Ii]'m|[Ii] am) [A-Z][a-z]+ [A-Z][a-z]+")
_DIGIT: Final = re.compile(r"\d")
_ABOUT_ONESELF: Final = any_of(
    r"(?:my name is|my name's|i am called|i'm called|call me)\b",
    r"my (?:ssn|social security|date of birth|dob|passport number|phone number|address) is\b",
)


def is_personal(instruction: str) -> bool:
    """Return whether the right answer depends on who asks.

    Parameters
    ----------
    instruction
        As `instruction_of` returns it; English.

    Examples
    --------
    >>> is_personal("where is my order?"), is_personal("how do i reset my password?")
    (True, False)
    """
    if _STATE.search(instruction) or _HAVE_I.match(instruction):
        return True
    if _UNMARKED.search(instruction) or _SESSION.match(instruction):
        return not _HOW_THINGS_ARE_DONE.match(instruction)
    if _OPERATES.match(instruction) and _OPERATES.match(_TELL_ME.sub(" ", instruction)):
        return True
    return _MINE.search(instruction) is not None and not _HOW_THINGS_ARE_DONE.match(instruction)


def names_a_person(text: str) -> bool:
    """Return whether a text carries who somebody is: a name given as one's own, an address, a long number, an age."""
    text = ends_of(text.replace("’", "'"))
    return bool(
        _NAME.search(text)
        or _ABOUT_ONESELF.search(text.lower())
        or ("@" in text and _ADDRESS.search(text))
        or (_DIGIT.search(text) and _NUMBER.search(text))
    )
