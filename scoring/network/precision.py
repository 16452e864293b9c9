from scipy.special import betaincinv

from scoring.network.links import PPM, LinkDecisions

ALPHA = 0.05


def find_precision(decided: LinkDecisions) -> tuple[int, int]:
    """Return the 95 % interval (Clopper and Pearson) of the confirmed part of decided links, in parts per million.

    Without a decided link it is 0 to 1,000,000. Worked: 20 confirmed and 0 severed give 831,566 to 1,000,000.
    """
    right, wrong = decided
    low = betaincinv(right, wrong + 1, ALPHA / 2) if right else 0.0
    high = betaincinv(right + 1, wrong, 1 - ALPHA / 2) if wrong else 1.0
    return int(low * PPM), -int(-high * PPM // 1)
