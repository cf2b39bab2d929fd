"""Writes requirements.lock, with a SHA-256 of every package, and sbom.json, from what pip would install.

    pip install --dry-run --ignore-installed --no-deps --report report.json -r constraints.txt
    python scripts/lock_dependencies.py report.json

The lock is of one platform (its first lines say which). Install with it, then the project without its dependencies,
since pip refuses hashes together with ``-e .``::

    pip install --require-hashes -r requirements.lock
    pip install --no-deps -e .
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HEADER = """\
# Every package with its SHA-256, for {platform}. Written by scripts/lock_dependencies.py; do not edit by hand.
# pip install --require-hashes -r requirements.lock, then pip install --no-deps -e .
"""


def locked(report: dict[str, Any]) -> str:
    """The lines of requirements.lock."""
    environment = report["environment"]
    platform = (
        f"{environment['sys_platform']} {environment['platform_machine']}, Python {environment['python_version']}"
    )
    lines = [
        f"{name(item)}=={version(item)} \\\n    --hash=sha256:{digest(item)}"
        for item in sorted(report["install"], key=name)
    ]
    return HEADER.format(platform=platform) + "\n".join(lines) + "\n"


def bill_of_materials(report: dict[str, Any]) -> dict[str, Any]:
    """A CycloneDX 1.5 document of the project and what it needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = {"type": "library", "name": project["name"], "version": project["version"]}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**own, "licenses": [{"expression": project["license"]}]}},
        "components": [component(item) for item in sorted(report["install"], key=name)],
    }


def component(item: dict[str, Any]) -> dict[str, Any]:
    """One package."""
    metadata = item["metadata"]
    purl = f"pkg:pypi/{name(item)}@{version(item)}"
    found = {"type": "library", "bom-ref": purl, "name": name(item), "version": version(item), "purl": purl}
    expression = metadata.get("license_expression")
    licence = {"licenses": [{"expression": expression}]} if expression else {}
    return {**found, **licence, "hashes": [{"alg": "SHA-256", "content": digest(item)}]}


def name(item: dict[str, Any]) -> str:
    """Its name as package indexes write it."""
    return str(item["metadata"]["name"]).lower().replace("_", "-").replace(".", "-")


def version(item: dict[str, Any]) -> str:
    """Its version."""
    return str(item["metadata"]["version"])


def digest(item: dict[str, Any]) -> str:
    """SHA-256 of its file."""
    return str(item["download_info"]["archive_info"]["hashes"]["sha256"])


def main() -> None:
    """Write both files."""
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    (ROOT / "requirements.lock").write_text(locked(report), encoding="utf-8")
    (ROOT / "sbom.json").write_text(json.dumps(bill_of_materials(report), indent=1) + "\n", encoding="utf-8")
    print(f"{len(report['install'])} packages")


if __name__ == "__main__":
    main()
