"""Copies: what the chart needs of the rest of the repository, since Helm reads nothing outside a chart.

    configs/alerts.yaml, configs/dashboards/*.json   -> helm/detector/files/
    the types of the settings                        -> `config` in helm/detector/values.schema.json

`make chart` makes them anew; a test holds them current.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from detector.config import ROOT, Settings

CHART: Final = ROOT / "helm" / "detector"
SCHEMA: Final = CHART / "values.schema.json"
FILES: Final = CHART / "files"

OF_THE_CHART: Final = ("base", "instance")
"""Settings that the chart gives: the folder of the file, and the pod's name."""
SECRET_OPTIONS: Final = (
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.client.secret",
)
"""librdkafka's options that are secrets."""
REFERENCE: Final = {
    "type": "string",
    "pattern": r"^\$\{(env|file):[^}]+\}$",
    "description": "a secret by reference, ${env:NAME} or ${file:/path}: values are kept in the cluster as they are",
}


def copied_files() -> dict[str, bytes]:
    """What stands in the chart's folder `files`, by the path below it."""
    sources = [ROOT / "configs" / "alerts.yaml", *sorted((ROOT / "configs" / "dashboards").glob("*.json"))]
    base = ROOT / "configs"
    return {str(path.relative_to(base)): path.read_bytes() for path in sources if path.is_file()}


def chart_files() -> dict[str, bytes]:
    """What is there now."""
    return {str(path.relative_to(FILES)): path.read_bytes() for path in sorted(FILES.rglob("*")) if path.is_file()}


def schema() -> str:
    """`values.schema.json`, its part about the settings made anew from their types."""
    tree = json.loads(SCHEMA.read_text(encoding="utf-8"))
    (settings,), parts = msgspec.json.schema_components([Settings], ref_template="#/$defs/{name}")
    assert settings == {"$ref": "#/$defs/Settings"}
    own = {name: part for name, part in tree["$defs"].items() if name.startswith("chart")}
    tree["$defs"] = own | {name: _with_references(name, part) for name, part in sorted(parts.items())}
    tree["properties"]["config"] = settings
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


def _with_references(name: str, part: dict[str, Any]) -> dict[str, Any]:
    """The part for a chart's values: secrets are references, and what the chart gives cannot be given."""
    properties = dict(part["properties"])
    if name == "Settings":
        for given in OF_THE_CHART:
            del properties[given]
        properties["kafka"] = properties["kafka"] | {"properties": dict.fromkeys(SECRET_OPTIONS, REFERENCE)}
        properties["kafka"].pop("default", None)
    secret = [field for field, its in properties.items() if its.get("description", "").startswith("secret")]
    properties |= dict.fromkeys(secret, REFERENCE)
    return part | {"properties": properties}


def main() -> int:
    """The copies are current; what is no longer there has gone."""
    for name in chart_files().keys() - copied_files().keys():
        (FILES / name).unlink()
    for name, content in copied_files().items():
        path = Path(FILES, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    SCHEMA.write_text(schema(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
