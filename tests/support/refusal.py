"""What a call that must be refused says."""

import re

import pytest

from pfljax.errors import PflError


def refusal(make, *arguments, **options) -> str:
    """The message of the PflError that the call must raise; it has to say what was expected and what came."""
    with pytest.raises(PflError) as error:
        make(*arguments, **options)
    message = str(error.value)
    assert re.search(r"expected .+ got .+", message, re.DOTALL), message
    return message
