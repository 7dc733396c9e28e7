"""The software bill of materials of an image: CycloneDX 1.6, the Debian and Python packages in it."""

import email.parser
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from images.builder.tree import EPOCH

_NAMESPACE = uuid.UUID("0b6f8b1e-6a0c-5d0e-9a53-5b1c3a7d2f10")


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """One package; `purl` is its package URL, `control` Debian's record of it."""

    purl: str
    name: str
    version: str
    license: str = ""
    control: str = ""


def debian_component(control: str) -> Component:
    """The component of a Debian package from its control fields."""
    fields = email.parser.HeaderParser().parsestr(control)
    name, version, arch = fields["Package"], fields["Version"], fields["Architecture"]
    purl = f"pkg:deb/debian/{quote(name, safe='')}@{quote(version, safe='')}?arch={arch}&distro=debian-13"
    return Component(purl, name, version, control=control)


def python_component(metadata: Path) -> Component:
    """The component of an installed Python distribution from its METADATA file."""
    fields = email.parser.HeaderParser().parsestr(metadata.read_text())
    name, version = fields["Name"], fields["Version"]
    license_ = fields["License-Expression"] or fields["License"] or ""
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    return Component(purl, name, version, license=license_ if len(license_) < 80 and "\n" not in license_ else "")


def document(image: str, arch: str, version: str, components: Iterable[Component]) -> bytes:
    """The SBOM as JSON; the same components always give the same bytes."""
    rows = [
        {"type": "library", "bom-ref": part.purl, "name": part.name, "version": part.version, "purl": part.purl}
        | ({"licenses": [{"license": {"name": part.license}}]} if part.license else {})
        for part in sorted(set(components))
    ]
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps([image, arch, version, rows]))}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(EPOCH, UTC).isoformat().replace("+00:00", "Z"),
            "component": {"type": "container", "name": f"botdock/{image}", "version": version},
            "properties": [{"name": "botdock:architecture", "value": arch}],
        },
        "components": rows,
    }
    return json.dumps(body, indent=1).encode() + b"\n"


def dpkg_records(components: Iterable[Component]) -> dict[str, bytes]:
    """dpkg's records, one file per package, where image scanners look for them in images without dpkg."""
    return {
        f"var/lib/dpkg/status.d/{part.name}": part.control.encode() for part in sorted(set(components)) if part.control
    }
