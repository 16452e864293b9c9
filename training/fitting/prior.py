import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from scoring.base.arrays import Floats
from scoring.base.enums import Severity
from scoring.base.time import DAY
from scoring.features.decay import HALF_LIVES
from scoring.features.facts import Facts, resolve
from scoring.features.fold import Constants, Folder, Sums
from scoring.model.interval import LONGEST, Prior, default_prior, severity_grain
from training.observation.export import LedgerTable
from training.study.definition import Observation, Study

MAX_SELLERS = 100_000
"""More would not visibly move the prior."""


def fit_prior(table: LedgerTable, study: Study, point: Observation) -> Prior:
    """Fit the prior distribution of sellers' rates by what was known at the point, on at most 100,000 sellers."""
    columns = table.columns
    step = max(-(-columns.cases // MAX_SELLERS), 1)
    if step > 1:
        sample = columns.take(columns.case % step == 0)
        columns = sample.of_cases(sample.case // step, -(-columns.cases // step))
    facts = resolve(columns, point.day * DAY, as_reported=True)
    return find_prior(facts, Folder(study.constants).fold(facts), study.constants)


def find_prior(facts: Facts, sums: Sums, constants: Constants) -> Prior:
    """Return the likeliest prior of sellers' rates, by the sums of sellers with an order.

    `mix`: see `Prior.mix`. `grain` also counts the violations of sellers without. Events that no seller has are taken
    from the default prior.
    """
    default = default_prior(constants)
    decayed = HALF_LIVES.index(LONGEST)
    sellers = np.flatnonzero(sums.orders[decayed] > 0)
    sellers = sellers[:: max(-(-len(sellers) // MAX_SELLERS), 1)]
    orders = sums.orders[decayed][sellers]
    *masses, incidents, failures = (series[sellers] for series in sums.series[decayed])
    all_incidents = float(incidents.sum())
    weight_of_severity = np.array(
        [0, *(constants.severity_weights[severity] for severity in Severity)], dtype=np.float64
    )
    weights = weight_of_severity[facts.violations.severity]
    return Prior(
        incidents=fit_gamma(incidents, orders) or default.incidents,
        failures=fit_gamma(failures, orders) or default.failures,
        mix=tuple(_round_number(float(mass.sum()) / all_incidents) for mass in masses)
        if all_incidents
        else default.mix,
        grain=_round_number(severity_grain(weights)) if len(weights) else default.grain,
    )


def fit_gamma(events: Floats, orders: Floats) -> tuple[float, float] | None:
    """Fit a Gamma distribution of sellers' events per order by maximum likelihood; return its (shape, rate in orders).

    Both arrays have the shape (n,), orders above 0. It needs an event, else None.
    """
    if not events.sum():
        return None
    mean = float(events.sum() / orders.sum())

    def compute_loss(logs: Floats) -> float:
        shape, rate = np.exp(logs)
        terms = gammaln(shape + events) - gammaln(shape) - events * np.log(rate + orders)
        return -float(np.mean(terms - shape * np.log1p(orders / rate)))

    start = np.log([0.5, 0.5 / mean])
    optimum = minimize(
        compute_loss, start, method="L-BFGS-B", bounds=[(np.log(0.01), np.log(1e4)), (np.log(0.01), np.log(1e9))]
    )
    shape, rate = np.exp(optimum.x)
    return _round_number(float(shape)), _round_number(float(rate))


def _round_number(value: float) -> float:
    return float(f"{value:.4g}")
