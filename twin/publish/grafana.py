"""Six things asked of a Grafana server, through grafana-api: ``ctwin dashboards push`` and annotations.

grafana-api is no longer maintained, but the HTTP paths used here (dashboards/db, folders, datasources/uid, annotations)
are in Grafana since version 9 and still in 13. Where its methods would need the numeric ids that Grafana gives up, its
plain ``api`` is used with uids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from grafana_api.grafana_api import GrafanaException, GrafanaServerError
from grafana_api.grafana_face import GrafanaFace

from dashboards.build import DATASOURCE_UID, FOLDER_TITLE, FOLDER_UID, dashboards, datasource
from twin.publish.target import TokenError, plain, read_token, reason

Json = dict[str, Any]


class GrafanaError(Exception):
    """Grafana didn't do what was asked; one line with address, its words and the mend. ``retry``: it may pass."""

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


_MEND = {
    401: "the token is wrong or expired: make a service account token and put it into the token file",
    403: "the token may not do this: its service account needs the role Editor, for data sources Admin",
    412: "somebody has changed it meanwhile",
}


class Grafana:
    """A Grafana server.

    Parameters
    ----------
    url : str
        Address as in the browser, with the sub-path if it has one.
    token_file : Path
        Token of a service account, or ``user:password``.
    timeout_s : float

    Raises
    ------
    GrafanaError
        The address or the token file can't be used.
    """

    def __init__(self, url: str, token_file: Path, timeout_s: float = 10.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise GrafanaError(f"{url}: not an address of Grafana; write http://HOST:PORT")
        if parts.username is not None:
            raise GrafanaError("no user or password in Grafana's address; write user:password into the token file")
        try:
            token = read_token(token_file)
        except TokenError as error:
            raise GrafanaError(str(error)) from None
        user, colon, password = token.partition(":")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        prefix = parts.path.strip("/")
        self._url = url
        self._face = GrafanaFace(
            auth=(user, password) if colon else token, host=host, port=parts.port, protocol=parts.scheme,
            url_path_prefix=f"{prefix}/" if prefix else "", timeout=timeout_s,
        )  # fmt: skip
        self._face.api.s.trust_env = False  # as for InfluxDB: no proxy and no ~/.netrc of whoever starts it

    def folder(self, uid: str, title: str) -> None:
        """Make sure that a folder exists."""
        if self._get(f"/folders/{quote(uid)}") is None:
            self._do("folder", self._face.folder.create_folder, title, uid)

    def find_datasource(self, uid: str) -> Json | None:
        """A data source by uid, None if there is none."""
        return self._get(f"/datasources/uid/{quote(uid)}")

    def put_datasource(self, source: Mapping[str, Any]) -> None:
        """Create a data source, or change the one with its uid."""
        if self.find_datasource(source["uid"]) is None:
            self._do("data source", self._face.datasource.create_datasource, dict(source))
        else:
            self._do("data source", self._face.api.PUT, f"/datasources/uid/{quote(source['uid'])}", dict(source))

    def find_dashboard(self, uid: str) -> Json | None:
        """A dashboard with its meta data by uid, None if there is none."""
        return self._get(f"/dashboards/uid/{quote(uid)}")

    def put_dashboard(self, model: Mapping[str, Any], folder_uid: str) -> str:
        """Create a dashboard, or replace the one with its uid; its address."""
        body = {
            # without a version Grafana takes overwrite at its word
            "dashboard": {key: value for key, value in model.items() if key != "version"} | {"id": None},
            "folderUid": folder_uid, "overwrite": True, "message": "ctwin dashboards push",
        }  # fmt: skip
        answer = self._do("dashboard", self._face.dashboard.update_dashboard, body)
        return f"{self._url.rstrip('/')}/d/{answer.get('uid', model['uid'])}"

    def annotate(
        self, time: float, text: str, tags: Sequence[str], dashboard_uid: str, end: float | None = None
    ) -> int:
        """Mark an instant, or a time until ``end`` [s since 1970], on a dashboard; the annotation's number."""
        body: Json = {"dashboardUID": dashboard_uid, "time": round(time * 1000), "tags": list(tags), "text": text}
        if end is not None:
            body["timeEnd"] = round(end * 1000)
        return int(self._do("annotation", self._face.api.POST, "/annotations", body).get("id", 0))

    def _get(self, path: str) -> Json | None:
        try:
            return self._do(path.split("/")[1], self._face.api.GET, path)
        except GrafanaError as error:
            if isinstance(error.__cause__, GrafanaException) and error.__cause__.status_code == 404:
                return None
            raise

    def _do(self, what: str, call: Any, *arguments: Any) -> Json:
        try:
            answer = call(*arguments)
        except GrafanaException as error:
            status = int(error.status_code)
            mend = f" ({_MEND[status]})" if status in _MEND else ""
            raise GrafanaError(
                f"{self._url}: {what}: {status} {plain(str(error.message))}{mend}",
                retry=isinstance(error, GrafanaServerError) or status == 429,
            ) from error
        except requests.exceptions.JSONDecodeError as error:
            raise GrafanaError(f"{self._url}: {what}: the answer is not Grafana's; see the address") from error
        except requests.RequestException as error:
            raise GrafanaError(f"{self._url}: {what}: no answer: {reason(error)}", retry=True) from error
        return answer if isinstance(answer, dict) else {}


def push(grafana: Grafana, url: str | None = None, database: str = "ct", editable: bool = False) -> list[str]:
    """Bring folder, data source and dashboards to a server; the dashboards' addresses.

    Parameters
    ----------
    url : str, optional
        Address of InfluxDB as Grafana sees it; without it an existing data source is left as it is, and a missing one
        is made for ``http://127.0.0.1:8086``.
    editable : bool
        Push copies that can be changed and saved in Grafana, beside the provisioned ones.
    """
    grafana.folder(FOLDER_UID, FOLDER_TITLE)
    if url is not None:
        grafana.put_datasource(datasource(url, database))
    elif grafana.find_datasource(DATASOURCE_UID) is None:
        grafana.put_datasource(datasource(database=database))
    return [grafana.put_dashboard(model, FOLDER_UID) for model in dashboards(editable).values()]
