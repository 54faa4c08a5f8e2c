"""Every exporter keeps the promises of the seam; the checks themselves catch those that don't."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from twin.export import ExportError, conformance, formats, make, registry

CHECKS = conformance.checks()


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", registry.FORMATS)
def test_exporter_conforms(name, check, tmp_path):
    check(registry.factory(name), tmp_path)


class Careless:
    """Breaks one promise at a time."""

    name, filename = "careless", "c.txt"

    def __init__(self, setup):
        self.count = 0

    def write(self, correction, path):
        path.write_text(f"{correction.shift_px.tolist()}")


def broken(**changes):
    return type("Broken", (Careless,), changes)


def write_and_leave(self, correction, path):
    path.write_text("x")
    path.with_suffix(".tmp").write_text("x")


def write_and_change(self, correction, path):
    correction.shift_px[:] += 1
    path.write_text("x")


def write_differently(self, correction, path):
    path.write_text(str(id(self)))


@pytest.mark.parametrize(
    ("check", "author"),
    [
        ("has_names", broken(name="two words")),
        ("has_names", broken(filename="folder/c.txt")),
        ("writes_one_file", broken(write=lambda self, c, path: path.write_text(""))),
        ("writes_one_file", broken(write=write_and_leave)),
        ("writes_the_same_again", broken(write=write_differently)),
        ("changes_nothing_it_is_given", broken(write=write_and_change)),
        ("refuses_what_is_not_finite", Careless),
        ("refuses_no_rows", Careless),
        ("keeps_the_old_file_when_it_refuses", Careless),
        ("says_why_it_can_not_write", broken(write=lambda self, c, path: None)),
    ],
)
def test_check_catches(check, author, tmp_path):
    alive = []

    def author_kept(setup):
        alive.append(author(setup))  # no two objects at one address
        return alive[-1]

    with pytest.raises(ExportError):
        getattr(conformance, check)(author_kept, tmp_path)


def test_all_formats_have_files_of_their_own():
    exporters = [make(name, conformance.setup()) for name in registry.FORMATS]
    assert [exporter.name for exporter in exporters] == list(registry.FORMATS)
    assert len({exporter.filename for exporter in exporters}) == len(exporters) == 14


def test_unknown_format_names_the_nearest():
    with pytest.raises(ExportError, match="format 'tabel' is unknown; did you mean 'table'"):
        make("tabel", conformance.setup())
    with pytest.raises(ExportError, match=r"there are astra, cil, .*, nabu, .*, rtk, .*, table, "):
        make("qqqq", conformance.setup())


def test_outsiders_come_through_their_entry_point(monkeypatch):
    points = [
        EntryPoint("mine", "tests.twin.export.test_export_conformance:Careless", registry.GROUP),
        EntryPoint("rtk", "tests.twin.export.test_export_conformance:Careless", registry.GROUP),
        EntryPoint("gone", "no_such_module:X", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])
    assert set(formats()) == {"gone", "mine", *registry.FORMATS}
    assert make("mine", conformance.setup()).name == "careless"
    assert make("rtk", conformance.setup()).filename == "rtk_geometry.xml"
    with pytest.raises(ExportError, match=r"'gone' .*can't be loaded: No module named 'no_such_module'"):
        make("gone", conformance.setup())
