from scoring.base.canonical import JsonObject

HEADER = "record,no,licence,shop,final"
SEIZURE: JsonObject = {
    "kind": "violation",
    "when": {"column": "record", "equals": "seizure"},
    "entry_id": "c-{no}",
    "seller": "{@seller}",
    "occur_time": "2026-01-10",
    "violation_type": "customs_seizure",
    "harm": "low",
    "source": "customs",
    "final": "{final}",
    "identifier_verified": "{@verified}",
}
REVOCATION: JsonObject = {
    "kind": "status",
    "when": [{"column": "record", "equals": "revocation"}, {"column": "@verified", "equals": "true"}],
    "entry_id": "c-{no}-revoked",
    "seller": "{@seller}",
    "violation": "c-{no}",
    "action": "overturn",
    "actor": "customs",
    "reason": "revoked",
}
MATCH: JsonObject = {
    "identifiers": [
        {"attribute": "licence", "value": "{licence}", "verified": True},
        {"attribute": "shop", "value": "{shop}"},
    ]
}
