"""Prose of an issue -> whether it seems to report a vulnerability, and whether it seems to be advertising.

Patterns are matched by RE2: in time proportional to the text, whatever the text is.
"""

from __future__ import annotations

from collections.abc import Sequence

import re2

SPAM_LINKS = 8
"""Addresses from which on a text with few other words is stuffed with links."""
_SURE_DANGER = re2.compile(
    r"(?i)\b(?:"
    r"CVE-\d{4}-\d{4,}|GHSA(?:-[0-9a-z]{4}){3}"
    r"|(?:remote|arbitrary)[ -](?:code|command|file)[ -](?:execution|read|write|upload|overwrite|deletion)"
    r"|xss|csrf|ssrf|xxe|redos|zip[ -]slip|cross[ -]site[ -](?:scripting|request[ -]forgery)"
    r"|(?:sql|command|code|shell|crlf|ldap|xpath|html|header|template)[ -]injection"
    r"|(?:path|directory)[ -]traversal|prototype[ -]pollution|open[ -]redirect|clickjacking"
    r"|privilege[ -]escalation|escalat\w+ (?:of )?privileges?"
    r"|(?:auth|authentication|authorization|login|permission|access[ -]control)(?:[ -]checks?)?[ -]bypass"
    r"|(?:bypass|circumvent)(?:es|ed|ing)? (?:the )?(?:auth|authentication|authorization|login|access controls?"
    r"|permission checks?|sandbox)"
    r"|insecure deserialization|deserializ\w+ (?:of )?untrusted"
    r"|heap[ -]buffer[ -]overflow|buffer[ -]overflow vulnerability"
    r"|(?:security|critical|severe|serious|known|potential|possible) (?:vulnerabilit(?:y|ies)|exploit)"
    r"|security (?:hole|flaw|advisory|breach)"
    r"|responsible disclosure|0-?day (?:exploit|vulnerability)|zero[ -]day"
    r"|hard-?coded (?:passwords?|credentials?|secrets?|api keys?)"
    r")\b"
)
"""One of these is enough."""
_RCE = re2.compile(r"\bRCE\b")
_HIDDEN = (
    r"(?:secrets?|passwords?|credentials?|api[ -]?keys?|(?:access|auth|api|bearer|session|github) tokens?"
    r"|private keys?)"
)
_LEAK = r"(?:leak(?:s|ed|ing|age)?|expos(?:e|es|ed|ing|ure)|disclos(?:e|es|ed|ing|ure)|stolen|steal(?:s|ing)?)"
_LEAKED = re2.compile(
    rf"(?i)\b(?:{_LEAK}\b[^.\n]{{0,30}}\b{_HIDDEN}|{_HIDDEN}\b[^.\n]{{0,30}}\b(?:{_LEAK}|(?:in|as) (?:plain"
    rf"|clear) ?-?text))\b"
)
_MAYBE_DANGER = re2.compile(
    r"(?i)\b(vulnerab|exploit|malicious|attacker|use[ -]after[ -]free|out[ -]of[ -]bounds (?:read|write)"
    r"|denial[ -]of[ -]service"
    r"|buffer[ -]overflow|double[ -]free|sanitiz|untrusted|security (?:issue|bug|problem|risk|impact|concern))"
)
"""Two different ones are enough, or one in the title that is no wish."""
_TITLE_DANGER = re2.compile(
    r"(?i)\b(?:vulnerab(?:le|ility|ilities)|exploit(?:able|ed|s)?\b|use[ -]after[ -]free|security (?:issue|bug"
    r"|problem|risk))"
)
_NOTICE = re2.compile(
    r"(?i)^\s*[-*] \[[ x]\]"  # a ticked box is the template's sentence, not the author's
    r"|security\.md|security policy|security@|do not (?:report|open|file|disclose|post)|don't (?:report|open"
    r"|file|post)"
    r"|(?:report|send|disclose)\w* (?:\w+ ){0,3}(?:vulnerabilit|security)|\bno known\b|if this is a (?:security"
    r"|vulnerab)"
    r"|\d+ (?:\w+ )?(?:severity )?vulnerabilit|npm audit|\bseo\b"
)
"""Lines that speak about reporting, or count what an audit counted."""
_ADVERT = re2.compile(
    r"(?i)\b(casinos?|sports? ?betting|betting (?:site|app|tips)|slot gacor|judi(?: online)?|togel|poker online"
    r"|viagra|cialis"
    r"|escorts?(?: service)?|call girls?|seo (?:services?|agency|expert|company)|backlinks?|guest posts?"
    r"|buy (?:\w+ )?followers"
    r"|(?:customer|helpline|toll[ -]?free|support|care) (?:care |service |support |helpline )?(?:phone )?numbers?"
    r"|crypto (?:recovery|giveaway|airdrop)|claim (?:your )?(?:free )?airdrop|recover (?:your )?(?:lost"
    r"|stolen) (?:bitcoin|crypto|funds|money)"
    r"|double your (?:bitcoin|btc|money|crypto)|guaranteed (?:profits?|returns?)|binary options?"
    r"|forex (?:trading|signals?)"
    r"|hire a hacker|free (?:robux|v-?bucks|gift cards?)|essay writing service|weight loss|keto gummies|cbd gummies"
    r"|full movie|watch online free|payday loans?|personal loans?|loan app|mod apk|whats ?app (?:me|us|number)"
    r"|earn (?:money|\$?\d+)(?: \w+){0,3} (?:online|daily|per day|a day|from home)|make money online"
    r"|passive income)\b"
)
_PHONE = re2.compile(r"(?:\+|\b1-?8\d\d\b|\b0)[\d() .-]{8,18}\d")
_LINK = re2.compile(r"https?://([^\s/)\]>\"']+)")
_DEVELOPERS = re2.compile(
    r"(?i)(?:^|\.)(?:git(?:hub(?:usercontent)?|lab)\.(?:com|io)|bitbucket\.org|stackoverflow\.com"
    r"|npmjs\.com|pypi\.org|python\.org|crates\.io|docs\.rs|mozilla\.org|microsoft\.com|google\.com|googlesource\.com"
    r"|w3\.org|wikipedia\.org|readthedocs\.io|codesandbox\.io|stackblitz\.com|jsfiddle\.net|imgur\.com|youtube\.com"
    r"|localhost|apache\.org|kernel\.org|debian\.org|ubuntu\.com|golang\.org|go\.dev|rust-lang\.org"
    r"|nodejs\.org)(?::\d+)?$"
)


def is_dangerous(title: str, prose: str, *, wish: bool) -> bool:
    """Whether a vulnerability or a leaked secret seems to be reported; `wish` if the text asks for something new."""
    lines = "\n".join(line for line in prose.split("\n") if not _NOTICE.search(line))
    text = f"{title}\n{lines}"
    if _SURE_DANGER.search(text) or _RCE.search(text):
        # A wish for a feature may name an attack that it would be good against: then the title decides.
        return not wish or bool(_SURE_DANGER.search(title) or _RCE.search(title))
    if wish:
        return False
    if _LEAKED.search(text) or _TITLE_DANGER.search(title):
        return True
    return len({found.lower() for found in _MAYBE_DANGER.findall(text)}) >= 2


def is_advert(title: str, prose: str, *, technical: bool) -> bool:
    """Whether it seems to be spam; hardly ever where it is not. `technical` if it has code, a trace or a version."""
    if technical:
        return False
    adverts = {found.lower() for found in _ADVERT.findall(f"{title}\n{prose}")}
    strange = _strange_links(f"{title}\n{prose}")
    pushed = bool(strange) or bool(_PHONE.search(f"{title}\n{prose}"))
    if len(adverts) >= 3 or (len(adverts) >= 2 and pushed) or (_ADVERT.search(title) and pushed):
        return True
    words = len(prose.split())
    return len(strange) >= SPAM_LINKS and len(set(strange)) * 3 >= len(strange) and words < 12 * len(strange)


def _strange_links(text: str) -> Sequence[str]:
    """Hosts of addresses that are not of those that developers link to."""
    return [host for host in _LINK.findall(text) if not _DEVELOPERS.search(host)]
