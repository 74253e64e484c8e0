"""`insurance`: next year's doctor visits, or medical spending, of an insured person; a client is one person.

The RAND Health Insurance Experiment, 1974 to 1982: 20,190 years of 5,912 people, who have 1 to 5 each.

insurance.npz, one row for each person and year, in this order:
  person [person] the source's number, person_years [person] how many rows are theirs,
  covariates [row, 21] float32 as called in names [21], visits [row], spend [row] dollars, enrolled [row]
"""

from typing import Literal

import numpy as np

from pfljax.data.embedded.files import about, choice, read
from pfljax.data.embedded.runs import edges
from pfljax.data.population import Population
from pfljax.errors import PflError, whole

# {covariate: (what becomes 0, its difference to what becomes 1)}: round numbers of the size of the thing,
# the same for everybody, so that nothing is fitted to any client or year.
SCALES = {
    "logc": (2.0, 2.0),  # log of the coinsurance rate in percent, plus 1
    "idp": (0.0, 1.0),  # has an individual deductible plan
    "lpi": (5.0, 3.0),  # log of the payment for taking part, in dollars a year
    "fmde": (4.0, 3.0),  # log of the largest expenditure before all is free, over the coinsurance rate
    "year": (2.0, 1.0),  # of the study, from 1
    "tookphys": (0.0, 1.0),  # was examined at enrolment
    "black": (0.0, 1.0),
    "income": (8000.0, 4000.0),  # of the family, in dollars a year
    "xage": (25.0, 15.0),  # years
    "female": (0.0, 1.0),
    "educdec": (12.0, 3.0),  # years of schooling of the family's head
    "lfam": (1.0, 0.5),  # log of the family's size
    "child": (0.0, 1.0),
    "fchild": (0.0, 1.0),  # a girl
    "mhi": (75.0, 10.0),  # mental health, 0 to 100, at enrolment like all below
    "disea": (10.0, 5.0),  # number of chronic diseases
    "physlm": (0.0, 1.0),  # has a physical limitation
    "xghindx": (75.0, 15.0),  # general health, 0 to 100
    "hlthg": (0.0, 1.0),  # calls their health good; if all three are 0: excellent
    "hlthf": (0.0, 1.0),  # fair
    "hlthp": (0.0, 1.0),  # poor
}


def load(target: Literal["visits", "spend"] = "visits", min_years: int = 3) -> Population:
    """x: [year, 21] float32, what was known before the year, in SCALES; y: [year] float32; exposure: [year] float32.

    target: "visits" counts face-to-face visits to a doctor; "spend" is log(1 + dollars) of medical expenses,
      outpatient psychotherapy apart
    min_years: people with fewer years are left out. Test is a person's last year, validation the one before.
      With 2, who has two years has no validation; with 1 all 5,912 are there, and 269 of them only train.

    `exposure` is the share of the year that somebody was enrolled, 0.08 to 1: known afterwards, so it is no
    input; expected visits are proportional to it.
    """
    choice("target", target, ("visits", "spend"))
    whole("min_years", min_years, 1)
    arrays = read("insurance")
    names = tuple(map(str, arrays["names"]))
    all_years = arrays["person_years"].astype(np.int64)
    kept = all_years >= min_years
    if not kept.any():
        raise PflError(f"min_years: expected at most {all_years.max()}, the longest enrolment, got {min_years}")
    rows, years = np.repeat(kept, all_years), all_years[kept]
    zero, one = np.array([SCALES[name] for name in names], np.float32).T
    y = arrays["visits"] if target == "visits" else np.log1p(arrays["spend"])
    return Population(
        arrays={
            "x": (arrays["covariates"][rows] - zero) / one,
            "y": y[rows].astype(np.float32),
            "exposure": arrays["enrolled"][rows],
        },
        offsets=edges(years),
        bounds=np.stack([np.maximum(years - 2, 1), np.maximum(years - 1, 1)], axis=1),
        ids=tuple(f"person{number}" for number in arrays["person"][kept].tolist()),
        about=about("insurance", "doctor visits in a year" if target == "visits" else "log medical spending in a year"),
    )
