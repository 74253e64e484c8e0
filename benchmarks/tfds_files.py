"""A data set of EMNIST-62's shape as TFDS prepares it, written in seconds; see benchmarks/data.py."""

from pathlib import Path

import numpy as np


def write_emnist(folder: Path, num_rows: int, num_clients: int, num_images: int = 10_000) -> None:
    """array_record files of 28 x 28 uint8 images with a label and a writer's name, rows in no order of writers.

    Rows repeat `num_images` different images, and each is an image's bytes followed by a writer's, which together
    are one protocol buffer: TFDS would serialize every row anew, which is not what is measured.
    """
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter

    shape = {"image": tfds.features.Tensor(shape=(28, 28, 1), dtype=np.uint8), "label": np.int64}
    name = {"writer": tfds.features.Text()}
    draw = np.random.default_rng(0)
    ink = draw.integers(1, 256, (num_images, 28, 28, 1)) * (draw.random((num_images, 28, 28, 1)) < 0.25)
    labels = draw.integers(0, 62, num_images)
    write = tfds.features.FeaturesDict(shape).serialize_example
    images = [write({"image": ink[i].astype(np.uint8), "label": int(labels[i])}) for i in range(num_images)]
    write = tfds.features.FeaturesDict(name).serialize_example
    writers = [write({"writer": f"f{index:04d}"}) for index in range(num_clients)]

    weights = np.maximum(draw.normal(197.5, 77.0, num_clients), 10.0)  # examples of a writer, about
    sizes = np.maximum((weights / weights.sum() * num_rows).astype(np.int64), 2)
    sizes[: num_rows - sizes.sum()] += 1
    rows = draw.permutation(np.repeat(np.arange(num_clients), sizes)).tolist()
    which = draw.integers(0, num_images, num_rows).tolist()

    folder.mkdir(parents=True)
    edges = np.linspace(0, num_rows, 5).astype(int).tolist()
    num_bytes = 0
    for shard in range(4):
        path = folder / f"emnist_like-train.array_record-{shard:05d}-of-00004"
        file = ArrayRecordWriter(str(path), "group_size:1")  # as TFDS does
        for row in range(edges[shard], edges[shard + 1]):
            file.write(images[which[row]] + writers[rows[row]])
        file.close()
        num_bytes += path.stat().st_size
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name="emnist_like", split="train", filetype_suffix="array_record"
    )
    split = tfds.core.SplitInfo(
        name="train", shard_lengths=np.diff(edges).tolist(), num_bytes=num_bytes, filename_template=template
    )
    tfds.folder_dataset.write_metadata(
        data_dir=folder, features=shape | name, split_infos=[split], filename_template=template, check_data=False
    )
