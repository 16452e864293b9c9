"""The reference's own lifecycle, authorities and violation types, written by hand."""

AUTHORITIES = {"COURT", "POLICE", "CUSTOMS", "PATENT_OFFICE", "MARKET_REGULATOR", "QUALITY_REGULATOR"}
TABLE = """
    alleged       review    -> under_review
    alleged       confirm   -> confirmed
    alleged       dismiss   -> dismissed
    alleged       withdraw  -> withdrawn
    under_review  confirm   -> confirmed
    under_review  dismiss   -> dismissed
    under_review  withdraw  -> withdrawn
    confirmed     appeal    -> appealed
    confirmed     reduce    -> reduced
    confirmed     overturn  -> overturned
    reduced       appeal    -> appealed
    reduced       reduce    -> reduced
    reduced       overturn  -> overturned
    appealed      confirm   -> confirmed
    appealed      reduce    -> reduced
    appealed      overturn  -> overturned
    dismissed     review    -> under_review
    dismissed     reinstate -> confirmed
    overturned    reinstate -> confirmed
"""
LEADS = {(was, action): to for was, action, _, to in map(str.split, TABLE.strip().splitlines())}
TYPES = {
    "counterfeit_goods": (1, (2, 3, 3, 4), 3),
    "misleading_listing": (8, (1, 1, 2, 3), 2),
}
