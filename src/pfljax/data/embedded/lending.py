"""`lending`: whether a loan goes bad; a client is one state of the United States, such as "CA".

Lending Club's loans of early 2016: 9,857 in 50 states (Washington, D.C. is one), of which 517 went bad.

lending.npz, sorted by state:
  state [state], state_loans [state] how many rows are a state's, covariates [row, 23] float32 as called in
  names [23], defaulted [row]
"""

import numpy as np

from pfljax.data.embedded.files import about, read
from pfljax.data.embedded.runs import edges
from pfljax.data.population import Population

# {covariate: (what becomes 0, its difference to what becomes 1)}: round numbers of the size of the thing, the same
# for everybody, so that nothing is fitted to any state. All are known when the loan is granted.
SCALES = {
    "funded_amnt": (15_000.0, 9_000.0),  # dollars
    "int_rate": (12.0, 5.0),  # percent a year
    "annual_inc": (2.0, 0.5),  # log, see LOGARITHMS
    "delinq_2yrs": (0.0, 2.0),  # payments more than 30 days late, in two years
    "inq_last_6mths": (0.0, 1.0),  # inquiries by creditors
    "revol_util": (50.0, 25.0),  # percent of the revolving credit used
    "acc_now_delinq": (0.0, 1.0),  # accounts that are late
    "open_il_6m": (3.0, 3.0),  # instalment accounts, here and below by the months since they were opened
    "open_il_12m": (1.0, 2.0),
    "open_il_24m": (2.0, 3.0),
    "total_bal_il": (3.0, 1.5),  # log of the balance of instalment accounts
    "all_util": (60.0, 20.0),  # percent of all credit used
    "inq_fi": (1.0, 1.5),  # inquiries about personal finance
    "inq_last_12m": (2.0, 3.0),
    "delinq_amnt": (0.0, 2.0),  # log of what is owed late
    "num_il_tl": (8.0, 8.0),  # instalment accounts
    "total_il_high_credit_limit": (3.0, 1.5),  # log of their limit
    "term_60": (0.0, 1.0),  # five years, not three
    "sub_grade": (10.0, 7.0),  # of the lender, 0 best to 34
    "source_verified": (0.0, 1.0),  # the source of income
    "verified": (0.0, 1.0),  # the income
    "emp_length": (5.0, 4.0),  # years in employment, 10 for more
    "emp_unknown": (0.0, 1.0),
}
# {amount: the dollars u of log(1 + amount / u)}
LOGARITHMS = {"annual_inc": 10_000, "total_bal_il": 1000, "delinq_amnt": 1000, "total_il_high_credit_limit": 1000}


def load(seed: int = 0) -> Population:
    """x: [loan, 23] float32 in SCALES; y: [loan] int32, 1 for one that went bad (5.2 %).

    seed: shuffles each state's loans before they are split 60/20/20; the source gives no dates
    """
    arrays = read("lending")
    names = tuple(map(str, arrays["names"]))
    zero, one = np.array([SCALES[name] for name in names], np.float32).T
    covariates = arrays["covariates"]
    for name, unit in LOGARITHMS.items():
        column = covariates[:, names.index(name)]
        column[:] = np.log1p(column.astype(np.float64) / unit)
    return Population.from_flat(
        {"x": (covariates - zero) / one, "y": arrays["defaulted"].astype(np.int32)},
        edges(arrays["state_loans"]),
        tuple(map(str, arrays["state"])),
        split=(0.6, 0.2, 0.2),
        seed=seed,
        about=about("lending", "whether a loan goes bad", num_classes=2),
    )
