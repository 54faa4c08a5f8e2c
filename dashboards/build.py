"""Dashboards and Grafana's provisioning as files.

``python -m dashboards.build`` rewrites the files committed beside this module; a test compares them with the code.
"""

from __future__ import annotations

import json
from pathlib import Path

from dashboards.panels import Json
from dashboards.system import system

FOLDER_UID = "ctwin"
FOLDER_TITLE = "ctwin"
DATASOURCE_UID = "ctwin-influxdb"
DATASOURCE_NAME = "ctwin InfluxDB"


def dashboards(editable: bool = False) -> dict[str, Json]:
    """File name → dashboard."""
    return {"system.json": system(editable)}


def datasource(url: str = "http://127.0.0.1:8086", database: str = "ct", with_token: bool = False) -> Json:
    """An InfluxDB data source that speaks InfluxQL.

    Parameters
    ----------
    url : str
        As Grafana's server sees it.
    database : str
        Database of InfluxDB 1.x, or a bucket's name (InfluxDB 2 maps it if a DBRP mapping exists).
    with_token : bool
        Send ``Authorization: Token …`` (InfluxDB 2 and 3); the token itself is asked of Grafana's environment
        variable ``CTWIN_INFLUX_TOKEN`` and is in no file.
    """
    source: Json = {
        "name": DATASOURCE_NAME, "uid": DATASOURCE_UID, "type": "influxdb", "access": "proxy", "url": url,
        "jsonData": {"version": "InfluxQL", "dbName": database, "httpMode": "POST", "timeInterval": "10s"},
    }  # fmt: skip
    if with_token:
        source["jsonData"]["httpHeaderName1"] = "Authorization"
        source["secureJsonData"] = {"httpHeaderValue1": "Token ${CTWIN_INFLUX_TOKEN}"}
    return source


def files(
    url: str = "http://127.0.0.1:8086",
    database: str = "ct",
    with_token: bool = False,
    path: str = "${CTWIN_DASHBOARDS}",
) -> dict[str, str]:
    """Every file by its relative path; ``path`` is where Grafana finds the folder ``grafana``.

    Examples
    --------
    >>> sorted(files())
    ['grafana/system.json', 'provisioning/dashboards/ctwin.yml', 'provisioning/datasources/ctwin.yml']
    """
    provider = {
        "name": "ctwin", "folder": FOLDER_TITLE, "folderUid": FOLDER_UID, "type": "file", "updateIntervalSeconds": 30,
        "allowUiUpdates": False, "options": {"path": path},
    }  # fmt: skip
    return {
        **{f"grafana/{name}": _text(model) for name, model in dashboards().items()},
        "provisioning/dashboards/ctwin.yml": _yaml("providers", provider),
        "provisioning/datasources/ctwin.yml": _yaml("datasources", datasource(url, database, with_token)),
    }


def export(
    folder: Path, url: str = "http://127.0.0.1:8086", database: str = "ct", with_token: bool = False
) -> list[Path]:
    """Write dashboards and provisioning into ``folder``, ready for Grafana to read; the files written.

    Raises
    ------
    OSError
        The folder can't be written.
    """
    written = []
    for name, text in files(url, database, with_token, str((folder / "grafana").resolve())).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
    return written


def _text(model: Json) -> str:
    return json.dumps(model, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _yaml(what: str, entry: Json) -> str:
    # JSON is YAML, so no YAML library is needed and nothing can be quoted wrongly
    return f"apiVersion: 1\n{what}:\n  - {json.dumps(entry, ensure_ascii=False)}\n"


if __name__ == "__main__":
    here = Path(__file__).parent
    for relative, content in files().items():
        (here / relative).parent.mkdir(parents=True, exist_ok=True)
        (here / relative).write_text(content, encoding="utf-8", newline="\n")
