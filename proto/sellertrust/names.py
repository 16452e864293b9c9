"""The resource names of the contract, made of the marketplace's own ids."""


def marketplace_name(marketplace: str) -> str:
    """Return `marketplace_name("m") == "marketplaces/m"`."""
    return f"marketplaces/{marketplace}"


def seller_name(marketplace: str, seller: str) -> str:
    """Return the name for `Entry.seller`: `seller_name("m", "s") == "marketplaces/m/sellers/s"`."""
    return f"marketplaces/{marketplace}/sellers/{seller}"


def violation_name(marketplace: str, violation: str) -> str:
    """Return `violation_name("m", "v") == "marketplaces/m/violations/v"`; a violation's id is its report's `entry_id`."""
    return f"marketplaces/{marketplace}/violations/{violation}"


def notifier_name(marketplace: str, notifier: str) -> str:
    """Return `notifier_name("m", "n") == "marketplaces/m/notifiers/n"`."""
    return f"marketplaces/{marketplace}/notifiers/{notifier}"


def proposal_name(proposal: str, marketplace: str = "") -> str:
    """Return `proposal_name("p", "m") == "marketplaces/m/proposals/p"`; `proposals/p` for all marketplaces."""
    return f"{marketplace_name(marketplace)}/proposals/{proposal}" if marketplace else f"proposals/{proposal}"


def model_name(model: str) -> str:
    """Return a model's name from an alias, a digest or its beginning: `model_name("champion") == "models/champion"`."""
    return model if model.startswith("models/") else f"models/{model}"


def policy_name(policy: str) -> str:
    """Return a policy's name from `head`, a digest or its beginning: `policy_name("head") == "policies/head"`."""
    return policy if policy.startswith("policies/") else f"policies/{policy}"
