"""Any method whose clients forget: what they would keep is made anew in every round."""

from pfljax import keys
from pfljax.errors import PflError
from pfljax.types import Algorithm


def stateless(algorithm: Algorithm) -> Algorithm:
    """The same method for clients that keep nothing; everyone is as at the first participation, in every round.

    For devices or populations that have no room for state. What a method learns over rounds beside the shared model is
    lost: Ditto's v becomes one round of pulled training from the shared model.
    """
    if len(algorithm.passes) > 1:  # state may go from one pass to the next
        raise PflError(
            f"{algorithm.name}: expected a method of one pass, got {len(algorithm.passes)}; it keeps nothing"
        )
    client, server = next(iter(algorithm.passes))
    start, step = algorithm.personal

    def forgetful(key, sent, mine, shard):
        upload, _, info = client(key, sent, algorithm.init_client(keys.use(key, "init"), sent), shard)
        return upload, (), info

    def begin(key, sent, mine, shard):
        return start(key, sent, algorithm.init_client(keys.use(key, "init"), sent), shard)

    return algorithm._replace(init_client=lambda key, sent: (), passes=((forgetful, server),), personal=(begin, step))
