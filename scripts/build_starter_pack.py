"""Build the starter pack's shards, attribution and checksums from their public sources.

Get the sources first (any folder will do)::

    npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0
    tar -xzf emoji-datasource-google-16.0.0.tgz && mv package google
    tar -xzf emoji-datasource-twitter-16.0.0.tgz && mv package twitter
    apt-get download sonic-pi-samples
    dpkg-deb -x sonic-pi-samples_*.deb sounds

Then, where anyloom is installed::

    python scripts/build_starter_pack.py google twitter sounds

Given the same sources, the output has the same bytes each time. Pillow's libwebp, libsndfile and soxr
decide how pixels and samples are packed, so another version of these may pack the same content differently;
SHA256SUMS.json names the versions used.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from starter_pack.attribution import attribution
from starter_pack.pictures import Pictures
from starter_pack.shards import write_shard
from starter_pack.sounds import Sounds

DATA = Path(__file__).resolve().parent.parent / "plugins/datasets/anyloom_starter/data"


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and build what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("google", type=Path, help="unpacked emoji-datasource-google")
    parser.add_argument("twitter", type=Path, help="unpacked emoji-datasource-twitter")
    parser.add_argument("sounds", type=Path, help="unpacked sonic-pi-samples")
    parser.add_argument("--output", type=Path, default=DATA, help="folder to write to (%(default)s)")
    parser.add_argument("--only", help="build this shard alone, e.g. images-000007.tar, and nothing else")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    build(options.google, options.twitter, options.sounds, options.output, options.only)


def build(google: Path, twitter: Path, sounds: Path, output: Path, only: str | None = None) -> None:
    """Write the shards into ``output``; with ``only`` just the shard of that name."""
    pictures, recordings = Pictures(google, twitter), Sounds(sounds)
    shards = {f"images-{i:06d}.tar": (lambda i=i: pictures.members(i)) for i in range(pictures.num_shards)}
    shards["sounds-000000.tar"] = recordings.members
    if only is not None and only not in shards:
        raise SystemExit(f"no shard is called {only}; there are {', '.join(shards)}")
    for name, members in shards.items():
        if only in (None, name):
            write_shard(output / name, members())
            print(f"{name}: {(output / name).stat().st_size / 1e6:.2f} MB", flush=True)
    if only is None:
        (output / "ATTRIBUTION.md").write_text(attribution(pictures, recordings), encoding="utf-8")
        _write_checksums(output, [*shards, "ATTRIBUTION.md"])


def _write_checksums(output: Path, names: list[str]) -> None:
    record = {
        "built_with": {name: version(name) for name in ("pillow", "soundfile", "soxr")},
        "files": {name: hashlib.sha256((output / name).read_bytes()).hexdigest() for name in names},
    }
    (output / "SHA256SUMS.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
