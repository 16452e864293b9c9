from scoring.base.errors import PromiseGivenUp
from scoring.features.table import AnyFeature
from scoring.model.promises import broken_promises, is_freed


def refuse_given_up(digest: str, features: tuple[AnyFeature, ...]) -> None:
    """Raise PromiseGivenUp if the model frees a direction on which a promise rests: it must not be champion."""
    lost = broken_promises(features)
    if not lost:
        return
    free = ", ".join(feature.key for feature in features if is_freed(feature))
    texts = "; and that ".join(promise.text for promise in lost)
    raise PromiseGivenUp(
        f"model {digest[:12]} gives up the promise that {texts} ({free} is free), so it may be challenger or shadow, but"
        " never champion: take the freed directions out of its study (where bad is a count, state [exposure] instead) and"
        " train again",
        {"model": digest, "promises": ",".join(promise.name for promise in lost)},
    )
