from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from tests.helpers.servers import exposure, identity, violation

SAID = {"actor": "staff", "reason": "seen"}


SELLER, STAFF = score_pb.AUDIENCE_SELLER, score_pb.AUDIENCE_STAFF


def reported() -> list[entry_pb.Entry]:
    return [
        identity("i-s1", "s1"),
        exposure("x-s1", "s1", 5_000),
        violation(
            "v1", "s1", notifier="brand-1", ground="Art. 9 EUTMR", listing="l-118", automated=True, trusted_flagger=True
        ),
        violation("v2", "s1", source=entry_pb.SOURCE_BUYER, notifier="buyer-7", violation_type="not_as_described"),
        violation("v3", "s1", notifier="brand-2", incident="other"),
        violation("v4", "s1", notifier="brand-9"),
    ]
