"""Profiles by REST: listed, read, saved and used; one proposed for a file; an import tried without storing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.schemas.profile import PROFILE
from app.security.principal import SYSTEM
from app.services.intake.rejects import RejectFilter, count_open
from ingest.files.importer import import_file
from ingest.profile_wizard.saved import named_profile, toml_of
from ingest.rows.profile import load_profile
from tests.support import Service, moment, running

NOW = moment("2026-03-02 10:00")
LETTERS = "信件编号,信件标题,来信时间,信件类型\n1,甲,2026/1/5,投诉\n2,乙,昨天,其他\n3,丙,2026/1/6,咨询\n"


def sent(
    service: Service, path: str, content: str = LETTERS, *, expect: int = 200, role: str = "admin", **fields: str
) -> Any:
    """Send a file with a form; what is answered."""
    answer = service.call("POST", path, role=role, files={"file": ("letters.csv", content.encode())}, data=fields)
    assert answer.status_code == expect, answer.text
    return answer.json()


def test_a_saved_profile_is_listed_read_and_used_by_an_import(service: Service, tmp_path: Path) -> None:
    assert service.call("POST", "/profiles", json=PROFILE).status_code == 201
    listed = {each["name"]: each for each in service.get("/profiles")["items"]}
    assert (listed["mycity"]["bundled"], listed["pingshan"]["bundled"]) == (False, True)
    assert service.get("/profiles/mycity") == PROFILE
    as_toml = service.call("GET", "/profiles/mycity", headers={"Accept": "application/toml"})
    folder = service.runtime.settings.data_dir / "profiles"
    assert as_toml.text == toml_of(named_profile("mycity", folder))
    (tmp_path / "letters.csv").write_text(LETTERS, encoding="utf-8")
    tally = import_file(service.runtime, tmp_path / "letters.csv", load_profile("mycity", [folder]), NOW).tally
    assert (tally.created, tally.rejected) == (2, 1)


def test_a_profile_is_replaced_on_request_but_no_bundled_one(service: Service) -> None:
    toml = toml_of(named_profile("duban", Path("nowhere"))).replace('name = "duban"', 'name = "mine"')
    headers = {"Content-Type": "application/toml"}
    assert service.call("POST", "/profiles", content=toml.encode(), headers=headers).status_code == 201
    assert service.call("POST", "/profiles", content=toml.encode(), headers=headers).status_code == 409
    again = service.call("POST", "/profiles?replace=true", content=toml.encode(), headers=headers)
    assert again.status_code == 201
    bundled = {**PROFILE, "name": "pingshan"}
    assert service.call("POST", "/profiles?replace=true", json=bundled).status_code == 409


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"fields": {"title": "标题"}}, ""),
        ({"time_zone": "Asia/Beijing"}, "/time_zone"),
        ({"name": "../x"}, "/name"),
        ({"times": ["%Y-%Q"]}, "/times"),
        ({"colour": 1}, "/colour"),
    ],
)
def test_a_profile_with_a_mistake_is_answered_at_its_place(
    service: Service, change: dict[str, Any], pointer: str
) -> None:
    answer = service.call("POST", "/profiles", json={**PROFILE, **change})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert not (service.runtime.settings.data_dir / "profiles").exists()


def test_a_mapping_is_proposed_and_previewed_before_it_is_stored(service: Service) -> None:
    found = sent(service, "/profiles/propose")
    assert found["profile"]["fields"] == {
        "external_id": "信件编号", "title": "信件标题", "kind": "信件类型", "received_at": "来信时间",
    }  # fmt: skip
    assert found["unknown_words"] == {"kind": ["其他"]}
    assert found["file"]["first_rows"][0] == ["1", "甲", "2026/1/5", "投诉"]
    assert all(guess["reasons"] for guess in found["guesses"])
    assert service.call("POST", "/profiles", json=found["profile"]).status_code == 201
    by_name = sent(service, "/profiles/preview", profile="letters")
    assert (by_name["rows"], by_name["tickets"], by_name["rejected"]) == (3, 2, 1)
    assert {e["pointer"] for e in by_name["rejects"][0]["examples"][0]["errors"]} == {"/kind", "/received_at"}
    folder = service.runtime.settings.data_dir / "profiles"
    as_toml = sent(service, "/profiles/preview", profile=toml_of(named_profile("letters", folder)))
    assert as_toml == by_name
    assert sent(service, "/profiles/preview?rows=1", profile="letters")["whole"] is False
    assert service.get("/tickets")["items"] == []
    assert list((service.runtime.settings.data_dir / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "content", "fields", "status"),
    [
        ("/profiles/propose", "%PDF-1.7\n", {}, 400),
        ("/profiles/propose", "", {}, 400),
        ("/profiles/preview", LETTERS, {}, 422),
        ("/profiles/preview", LETTERS, {"profile": "nosuch"}, 404),
        ("/profiles/preview", LETTERS, {"profile": "name = "}, 422),
        ("/profiles/preview", LETTERS, {"profile": "pingshan"}, 422),
    ],
)
def test_what_cannot_be_tried_says_why_and_leaves_nothing(
    service: Service, path: str, content: str, fields: dict[str, str], status: int
) -> None:
    sent(service, path, content, expect=status, **fields)
    folder = service.runtime.settings.data_dir / "uploads"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_large_upload_is_streamed_and_an_oversized_one_refused(database_url: str, tmp_path: Path) -> None:
    with running(database_url, data_dir=tmp_path / "small", upload_mib=6) as service:
        large = LETTERS + "".join(f"{n},{'长' * 150},2026/1/5,投诉\n" for n in range(10, 11_000))
        assert 4 * 2**20 < len(large.encode()) < 6 * 2**20
        assert sent(service, "/profiles/propose", large)["file"]["rows_looked_at"] == 1_000
        sent(service, "/profiles/propose", large * 2, expect=413)
        assert list((tmp_path / "small" / "uploads").iterdir()) == []


def test_a_body_that_is_no_form_is_refused(service: Service) -> None:
    assert service.call("POST", "/profiles/propose", json={}).status_code == 415
    assert service.call("POST", "/profiles/propose", files={"other": ("x", b"1")}).status_code == 422


@pytest.mark.parametrize("role", ["caller", "leader", "auditor", "supervisor", "integrator"])
def test_others_take_no_files_in(service: Service, role: str) -> None:
    assert service.call("GET", "/profiles", role=role).status_code == 403
    assert service.call("POST", "/profiles", role=role, json=PROFILE).status_code == 403
    sent(service, "/profiles/propose", role=role, expect=403)


# ------------------------------------------------------------------------------ rejects of a file, many settled at once


def bad_letters(service: Service, folder: Path, rows: int = 5) -> None:
    """A file of which every row has a word without a code, and one more a time that cannot be read."""
    service.call("POST", "/profiles?replace=true", json=PROFILE)
    body = [f"{n},第{n}件,2026/1/5,闲聊" for n in range(rows)] + ["99,另一件,昨天,闲聊"]
    (folder / "bad.csv").write_text("信件编号,信件标题,来信时间,信件类型\n" + "\n".join(body), encoding="utf-8")
    profile = named_profile("mycity", service.runtime.settings.data_dir / "profiles")
    import_file(service.runtime, folder / "bad.csv", profile, NOW)


def test_retrying_with_a_fixed_profile_leaves_other_errors(service: Service, tmp_path: Path) -> None:
    bad_letters(service, tmp_path)
    before = service.get("/rejects", group="reason")["items"]
    assert [(group["reason"], group["count"]) for group in before] == [("value_unknown", 6)]
    mended = {**PROFILE, "values": {"kind": {**PROFILE["values"]["kind"], "闲聊": "consult"}}}
    assert service.call("POST", "/profiles?replace=true", json=mended).status_code == 201
    done = service.call("POST", "/rejects/retry", json={"reason": "value_unknown"}).json()
    assert done == {"taken": 5, "refused": 1}
    after = service.get("/rejects", group="reason")["items"]
    assert [(group["reason"], group["count"]) for group in after] == [("moment_written", 1)]
    assert len(service.get("/tickets")["items"]) == 5


def refuse_titles(service: Service, title: str) -> None:
    """Have the database refuse tickets of this title, as it refuses what it cannot hold."""
    raising = "$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '23514'; END $$"
    before = "CREATE TRIGGER refuse BEFORE INSERT ON ticket"
    if service.runtime.database.engine.dialect.name == "postgresql":
        statements = [
            f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS {raising}",
            f"{before} FOR EACH ROW WHEN (NEW.title = '{title}') EXECUTE FUNCTION refuse()",
        ]
    else:
        statements = [f"{before} WHEN NEW.title = '{title}' BEGIN SELECT RAISE(ABORT, 'refused'); END"]
    with service.runtime.database.write() as session:
        for statement in statements:
            session.execute(text(statement))


def test_a_row_refused_by_the_database_fails_alone_in_a_retry(service: Service, tmp_path: Path) -> None:
    bad_letters(service, tmp_path, rows=4)
    refuse_titles(service, "第2件")
    mended = {**PROFILE, "values": {"kind": {"闲聊": "help"}}}
    service.call("POST", "/profiles?replace=true", json=mended)
    answer = service.call("POST", "/rejects/retry", json={"reason": "value_unknown"})
    assert answer.json() == {"taken": 3, "refused": 2}
    assert sorted(t["title"] for t in service.get("/tickets")["items"]) == ["第0件", "第1件", "第3件"]


def test_what_waits_is_counted_no_further_than_asked(service: Service, tmp_path: Path) -> None:
    bad_letters(service, tmp_path)
    with service.runtime.database.read() as session:
        assert [count_open(session, SYSTEM, most=most) for most in (3, 100)] == [3, 6]
    assert RejectFilter().state == "open"
