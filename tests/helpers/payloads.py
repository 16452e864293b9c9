import json
from typing import Any

from google.protobuf import json_format

from sellertrust.v1.entry_pb2 import Entry

MARKET = "acme"


def message(values: dict[str, Any], *, binary: bool = False) -> bytes:
    named = values | ({"seller": f"marketplaces/{MARKET}/sellers/{values['seller']}"} if values.get("seller") else {})
    parsed = json_format.ParseDict(named, Entry())
    if binary:
        return parsed.SerializeToString()
    return json_format.MessageToJson(parsed, preserving_proto_field_name=True, indent=None).encode()


def exposure(number: int, seller: str = "s", orders: int = 10, *, binary: bool = False) -> bytes:
    day = f"2025-{number // 28 % 12 + 1:02d}-{number % 28 + 1:02d}"
    fact = {"day": day, "settled_orders": str(orders), "revision": str(number)}
    return message({"entry_id": f"x-{seller}-{number}", "seller": seller, "exposure": fact}, binary=binary)


def violation(name: str, seller: str = "s", harm: str = "HARM_HIGH", **more: Any) -> bytes:
    fact = {"violation_type": "counterfeit_goods", "harm": harm, "source": "SOURCE_BRAND"}
    return message({"entry_id": name, "seller": seller, "occur_time": "2026-01-05T00:00:00Z", "violation": fact} | more)


def decision(name: str, about: str, action: str = "ACTION_CONFIRM", seller: str = "") -> bytes:
    fact = {"violation": about, "action": action, "actor": "staff", "reason": "seen"}
    return message({"entry_id": name, "seller": seller, "status": fact})


def bare(name: str) -> bytes:
    fact = {"violation_type": "counterfeit_goods", "harm": "low", "source": "brand"}
    values = {"entry_id": name, "seller": "s", "occur_time": "2026-01-05T00:00:00Z", "violation": fact}
    return json.dumps(values).encode()
