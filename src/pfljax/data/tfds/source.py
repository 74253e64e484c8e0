"""Opens a prepared TFDS data set, refuses what cannot be read whole, reads the rest in chunks."""

import os
import shlex
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from pfljax.data.optional import need
from pfljax.data.tfds import features
from pfljax.errors import PflError, nearest

MOST_ROWS, MOST_BYTES = 2048, 2**25  # of a chunk
TF = "pip install tensorflow-cpu"


def opened(name: Any, data_dir: str | os.PathLike | None = None) -> Any:
    """The TFDS builder of a prepared data set. name: what `tfds.builder` takes, a prepared directory, or a builder.

    Raises PflError for unknown names, for what is not prepared (with the command that prepares it) and for file
    formats that cannot be read or lose rows.
    """
    tfds = need("tensorflow_datasets", "tfds")
    if isinstance(name, tfds.core.DatasetBuilder):
        builder, command = name, "call its download_and_prepare(file_format='array_record')"
    elif not isinstance(name, str | os.PathLike):
        raise PflError(f"name: expected a data set's name, a directory or a TFDS builder, got a {type(name).__name__}")
    elif _is_directory(name):
        if data_dir is not None:
            raise PflError(f"data_dir: expected none beside the directory {str(name)!r}, got {str(data_dir)!r}")
        builder, command = (
            _from_directory(tfds, Path(name).expanduser()),
            "prepare it anew with file_format='array_record'",
        )
    else:
        builder = _from_name(tfds, str(name), data_dir)
        command = f"prepare it: {_command(str(name), data_dir)}"
    if not builder.is_prepared():
        images = any(features.is_image(column.feature) for column in features.columns(builder.info.features).values())
        also = f" (writing images takes tensorflow, reading does not: {TF})" if images else ""
        raise PflError(f"{builder.name}: expected prepared files in {builder.data_path}, got none; {command}{also}")
    _check_format(builder, command)
    return builder


def num_rows(builder: Any, split: str) -> int:
    """The rows that a split is said to have. split: as in TFDS, "train[:80%]+test" say.

    Raises PflError for one that is unknown or empty.
    """
    splits = builder.info.splits
    if not isinstance(split, str):
        raise PflError(f"split: expected a name such as 'train' or {{'train': name, ...}}, got {split!r}")
    try:
        count = splits[split].num_examples
    except (ValueError, KeyError) as error:
        known = ", ".join(splits) or "none"
        raise PflError(
            f"split of {builder.name}: expected one of {known}, got {split!r}{nearest(split, splits)}"
        ) from error
    if not count:
        raise PflError(f"split of {builder.name}: expected at least one row, got none in {split!r}; choose another")
    return count


def check_disjoint(builder: Any, splits: Sequence[str]) -> None:
    """Raises PflError if a row is in two of some splits, or twice in one: it would be trained on and tested on."""
    taken: dict[str, list[tuple[int, int, str]]] = {}
    for split in splits:
        num_rows(builder, split)
        for part in builder.info.splits[split].file_instructions:
            taken.setdefault(str(part.filename), []).append((part.skip, part.skip + part.take, split))
    for spans in taken.values():
        for (_, end, first), (begin, _, second) in pairwise(sorted(spans)):
            if begin < end:
                raise PflError(
                    f"split of {builder.name}: expected every row once, got some in {first!r} and {second!r}"
                )


def chunks(builder: Any, split: str, row_bytes: int) -> Iterator[dict[str, Any] | list[dict[str, Any]]]:
    """The rows of a split in the order of their files: lists of examples, or from `tfrecord` examples stacked.

    Raises PflError for files that cannot be read and for a number of rows that is not the recorded one.
    """
    expected, got = num_rows(builder, split), 0
    size = max(1, min(MOST_ROWS, MOST_BYTES // max(1, row_bytes)))
    read = _stacked if builder.info.file_format.value == "tfrecord" else _listed
    try:
        for chunk, count in read(builder, split, size):
            got += count
            yield chunk
    except PflError:
        raise
    except Exception as error:  # whatever readers and decoders raise: their types are their own
        raise PflError(
            f"{builder.name}, split {split!r}: expected readable records in {builder.data_path}, got "
            f"{type(error).__name__} after {got} rows: {_line(error)}; prepare it again"
        ) from error
    if got != expected:
        raise PflError(
            f"{builder.name}, split {split!r}: expected the {expected} rows that were recorded at preparation, "
            f"got {got}; the files are incomplete, prepare it again"
        )


def _listed(builder: Any, split: str, size: int) -> Iterator[tuple[list[dict[str, Any]], int]]:
    source = builder.as_data_source(split)
    for begin in range(0, len(source), size):
        rows = source.__getitems__(range(begin, min(begin + size, len(source))))
        yield rows, len(rows)


def _stacked(builder: Any, split: str, size: int) -> Iterator[tuple[dict[str, Any], int]]:
    tfds = need("tensorflow_datasets", "tfds")
    in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    for chunk in tfds.as_numpy(builder.as_dataset(split=split, batch_size=size, read_config=in_order)):
        leaf = chunk
        while isinstance(leaf, dict):
            leaf = next(iter(leaf.values()))
        yield chunk, len(leaf)


def _is_directory(name: str | os.PathLike) -> bool:
    """Whether a path is meant, not a name: a path object, an absolute or dotted one, a folder that is prepared."""
    if not isinstance(name, str):
        return True
    return name.startswith((os.sep, "~", ".")) or (Path(name) / "dataset_info.json").is_file()


def _from_directory(tfds: Any, folder: Path) -> Any:
    try:
        return tfds.builder_from_directory(folder)
    except ModuleNotFoundError as error:
        raise _tensorflow(str(folder), error) from error
    except Exception as error:
        raise PflError(
            f"directory {folder}: expected a prepared data set's folder, which holds dataset_info.json and its files "
            f"(name/config/version), got {type(error).__name__}: {_line(error)}"
        ) from error


def _from_name(tfds: Any, name: str, data_dir: str | os.PathLike | None) -> Any:
    if name.startswith("pfl_"):
        import pfljax.tfds_builders  # noqa: F401 (registers them)
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        raise PflError(
            f"name: expected a data set that TFDS {tfds.__version__} knows or a prepared directory, got {name!r}"
            f"{nearest(name.split('/')[0], known)}"
        ) from error
    except ModuleNotFoundError as error:
        raise _tensorflow(name, error) from error
    except (ValueError, AssertionError) as error:  # unknown configurations and versions
        raise PflError(
            f"name: expected name[/config][:version] as TFDS knows it, got {name!r}: {_line(error)}"
        ) from error


def _tensorflow(name: str, error: ModuleNotFoundError) -> PflError:
    module = error.name or getattr(error.__cause__, "name", None) or "tensorflow"  # TFDS raises it again, nameless
    install = TF if module == "tensorflow" else f"pip install {module}"
    return PflError(f"{name}: expected {module}, which TFDS needs for its features, got ModuleNotFoundError; {install}")


def _check_format(builder: Any, command: str) -> None:
    kind = builder.info.file_format.value
    if kind == "parquet":
        raise PflError(
            f"{builder.name}: expected files as array_record, got parquet, of which TFDS's writer loses rows without a "
            f"word (5,000 written, 900 stored); delete {builder.data_path}, then {command}"
        )
    if kind == "tfrecord":
        if find_spec("tensorflow") is None:
            raise PflError(
                f"{builder.name}: expected tensorflow, which tfrecord files need, got no such package; {TF}, or "
                f"delete {builder.data_path}, then {command}"
            )
    elif kind == "array_record":
        need("array_record", "tfds")
    else:
        raise PflError(f"{builder.name}: expected files as array_record or tfrecord, got {kind}; {command}")


def _command(name: str, data_dir: str | os.PathLike | None) -> str:
    """What to type so that a data set is prepared where it was looked for."""
    where = "" if data_dir is None else f", data_dir={os.fspath(data_dir)!r}"
    ours = "import pfljax.tfds_builders; " if name.startswith("pfl_") else ""
    code = (
        f"{ours}import tensorflow_datasets as tfds; "
        f"tfds.builder({name!r}{where}).download_and_prepare(file_format='array_record')"
    )
    return f'python -c "{code}"' if not set('"$`\\') & set(code) else f"python -c {shlex.quote(code)}"


def _line(error: Exception) -> str:
    """The first line of an error's message, at most 200 characters."""
    return (str(error).strip().splitlines() or ["no message"])[0][:200]
