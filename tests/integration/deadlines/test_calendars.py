"""Calendars through the REST interface: shown, published, edited; and deadlines asked about."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.services.rules import calendars
from tests.support import Service, at, moment

WEEK = {day: [["09:00", "12:00"], ["13:30", "17:30"]] for day in ("mon", "tue", "wed", "thu", "fri")}
DAYS_5 = {"unit": "working_days", "amount": 5}
YEAR_2027 = {"2027-01-01": [], "2027-02-05": [], "2027-02-08": [], "2027-02-20": WEEK["mon"]}


def preview(service: Service, **body: Any) -> Any:
    answer = service.call("POST", "/deadlines/preview", json={"calendar": "cn", "limit": DAYS_5, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_preview_says_when_and_why_in_the_zone_of_the_calendar(service: Service) -> None:
    told = preview(service, start="2026-02-13T08:30:00Z")
    assert told["due_at"] == "2026-02-27T17:30:00+08:00"
    assert told["provisional"] is False
    assert [line["verdict"] for line in told["receipt"]].count("counted") == 4
    assert told["receipt"][0]["date"] == "2026-02-13"
    assert told["receipt"][-1]["verdict"] == "due"


def test_a_preview_takes_a_calendar_as_an_object_and_suspensions(service: Service) -> None:
    calendar = {"time_zone": "America/New_York", "week": WEEK}
    told = preview(
        service, calendar=calendar, start="2026-03-06T12:00:00-05:00", limit={"unit": "working_days", "amount": 1}
    )
    assert told["due_at"] == "2026-03-09T17:30:00-04:00", "over the change to summer time"
    held = preview(
        service, start=at("2026-03-02 10:00"), suspensions=[[at("2026-03-04 10:00"), at("2026-03-05 10:00")]]
    )
    assert held["due_at"] == at("2026-03-10 17:30")


def test_a_deadline_beyond_the_published_years_is_provisional(service: Service) -> None:
    assert preview(service, start=at("2026-12-30 10:00"))["provisional"] is True
    assert preview(service, start=at("2026-12-23 10:00"))["provisional"] is False


def test_measuring_undoes_adding_and_counts_back(service: Service) -> None:
    both = {"calendar": "cn", "start": at("2026-02-13 16:30"), "end": at("2026-02-27 17:30")}
    told = service.call("POST", "/deadlines/elapsed", json=both).json()
    assert told == {"working_seconds": (1 + 7 * 5) * 3600, "working_days": 5}
    back = service.call("POST", "/deadlines/elapsed", json={**both, "start": both["end"], "end": both["start"]}).json()
    assert back == {"working_seconds": -36 * 3600, "working_days": -5}


LIMIT = "/limit/amount"


BAD_INPUT: list[tuple[dict[str, Any], str]] = [
    ({"calendar": "nowhere"}, "/calendar"),
    ({"calendar": 5}, "/calendar"),
    ({"calendar": {"week": {"mon": [["09:00", "12:00"], ["11:00", "17:00"]]}}}, "/calendar/week/mon"),
    ({"calendar": {"week": {"mon": []}}}, "/calendar/week"),
    ({"calendar": {"week": WEEK, "published": [2026, 2026]}}, "/calendar/published/1"),
    ({"calendar": {"week": WEEK, "days": {"2027-02-29": []}}}, "/calendar/days/2027-02-29"),
    ({"calendar": {"week": WEEK, "time_zone": "Mars/Base"}}, "/calendar/time_zone"),
    ({"limit": {"unit": "working_days", "amount": 10**9}}, LIMIT),
    ({"limit": {"unit": "working_days", "amount": 1.5}}, LIMIT),
    ({"limit": {"unit": "working_days", "amount": "5"}}, LIMIT),
    ({"limit": {"unit": "weeks", "amount": 5}}, "/limit/unit"),
    ({"limit": {"unit": "days", "amount": 5, "ends": "noon"}}, "/limit/ends"),
    ({"limit": 5}, "/limit"),
    ({"start": "9999-12-31T23:59:59Z"}, "/start"),
    ({"start": "2026-03-02T10:00:00"}, "/start"),
    ({"start": "soon"}, "/start"),
    ({"suspensions": [["2026-03-04T10:00:00Z", "2026-03-03T10:00:00Z"]]}, "/suspensions/0"),
    ({"colour": "red"}, "/colour"),
]  # fmt: skip


def test_bad_calendar_input_is_refused_quickly_with_pointer(service: Service) -> None:
    service.key("admin")
    for change, pointer in BAD_INPUT:
        body = {"calendar": "cn", "start": at("2026-03-02 10:00"), "limit": DAYS_5, **change}
        answer = service.call("POST", "/deadlines/preview", json=body)
        assert answer.status_code == 422, (change, answer.text)
        assert [error["pointer"].startswith(pointer) for error in answer.json()["errors"]] == [True], answer.text


def test_a_calendar_is_read_with_its_version_who_and_when(service: Service) -> None:
    told = service.get("/calendars/cn", role="auditor")
    assert (told["version"], told["who"], told["time_zone"]) == (1, "system:duban", "Asia/Shanghai")
    assert told["days"]["2026-02-17"] == []
    assert datetime.fromisoformat(told["when"]).utcoffset() is not None
    assert told["next_year_published"] is False
    service.get("/calendars/nowhere", expect=404)
    service.get("/calendars/cn", version=7, expect=404)


def test_publishing_a_year_adds_a_version_and_keeps_the_old_one(service: Service) -> None:
    answer = service.call(
        "PUT", "/calendars/cn/years/2027", role="dispatcher", json={"days": YEAR_2027, "note": "通知"}
    )
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["version"], told["note"], told["changed"]) == (2, "通知", True)
    assert 2027 in told["published"]
    assert told["who"].startswith("key:")
    assert 2027 not in service.get("/calendars/cn", version=1)["published"]
    assert [row["version"] for row in service.get("/calendars/cn/versions")["items"]] == [2, 1]
    again = service.call("PUT", "/calendars/cn/years/2027", json={"days": YEAR_2027}).json()
    assert (again["version"], again["changed"]) == (2, False), "saying the same again changes nothing"


def test_a_year_in_the_shape_of_holiday_cn_is_the_same(service: Service) -> None:
    listed = [
        {"name": "元旦", "date": "2027-01-01", "isOffDay": True},
        {"name": "春节", "date": "2027-02-05", "isOffDay": True},
        {"name": "春节", "date": "2027-02-20", "isOffDay": False},
    ]
    told = service.call("PUT", "/calendars/cn/years/2027", json={"year": 2027, "days": listed, "papers": []}).json()
    assert told["days"]["2027-02-05"] == []
    assert told["days"]["2027-02-20"] == WEEK["mon"], "a make-up day works the usual hours"
    assert told["names"]["2027-02-20"] == "春节"
    both = {"holiday_cn": {"year": 2027, "days": listed}, "days": {"2027-02-20": [["09:00", "12:00"]]}}
    told = service.call("PUT", "/calendars/cn/years/2027", json=both).json()
    assert told["days"]["2027-02-20"] == [["09:00", "12:00"]], "a map is laid over the list"
    assert told["days"]["2027-02-05"] == []


def test_a_file_without_days_publishes_nothing(service: Service) -> None:
    told = service.call("PUT", "/calendars/cn/years/2027", json={"year": 2027, "days": []}).json()
    assert (told["changed"], told["version"]) == (False, 1)
    assert 2027 not in told["published"]


BAD_YEARS: list[tuple[int, Any, str]] = [
    (2027, {}, "/days"),
    (2027, {"days": 5}, "/days"),
    (2027, {"days": {"2027-02-29": []}}, "/days/2027-02-29"),
    (2027, {"days": {"2026-02-17": []}}, "/days/2026-02-17"),
    (2027, {"days": {"2027-02-17": [["09:00", "12:00"], ["11:00", "13:00"]]}}, "/days/2027-02-17"),
    (2027, {"year": 2026, "days": []}, "/year"),
    (2027, {"days": [{"name": "x", "date": "2027-02-30", "isOffDay": True}]}, "/days/0/date"),
    (2027, {"days": [{"name": "x", "date": "2027-02-05", "isOffDay": True}] * 2}, "/days/1/date"),
    (2027, {"days": {}, "note": 5}, "/note"),
    (9999, {"days": {}}, "/year"),
]  # fmt: skip


def test_a_bad_year_is_refused_at_its_place(service: Service) -> None:
    for year, body, pointer in BAD_YEARS:
        answer = service.call("PUT", f"/calendars/cn/years/{year}", json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"].startswith(pointer), answer.text
    assert service.get("/calendars/cn")["version"] == 1


def test_a_calendar_is_made_and_its_week_replaced(service: Service) -> None:
    made = service.call("PUT", "/calendars/night", json={"week": {"mon": [["22:00", "06:00"]]}, "name": "夜班"})
    assert made.status_code == 201, made.text
    service.call("PUT", "/calendars/night/years/2026", json={"days": {"2026-03-02": []}})
    changed = service.call("PUT", "/calendars/night", json={"week": {"tue": [["22:00", "06:00"]]}}).json()
    assert changed["week"]["mon"] == []
    assert changed["days"] == {"2026-03-02": []}, "what is left out stays"
    assert changed["name"] == "夜班"
    assert {item["code"] for item in service.get("/calendars")["items"]} == {"cn", "night"}
    refused = service.call("PUT", "/calendars/night", json={"week": {}, "days": {}})
    assert refused.json()["errors"][0]["pointer"] == "/week"


def test_a_week_without_working_hours_is_refused(service: Service) -> None:
    weeks: tuple[dict[str, list[list[str]]], ...] = ({}, {"mon": [], "sun": []})
    for week in weeks:
        refused = service.call("PUT", "/calendars/cn", json={"week": week})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/week"), (
            "whatever dated days it has"
        )
    service.push()


def test_administrators_and_dispatchers_edit_and_everybody_reads(service: Service) -> None:
    body = {"calendar": "cn", "start": at("2026-03-02 10:00"), "limit": DAYS_5}
    for role in ("admin", "dispatcher", "supervisor", "caller", "leader", "auditor", "integrator"):
        status = 200 if role in ("admin", "dispatcher") else 403
        service.get("/calendars/cn", role=role)
        assert (
            service.call("PUT", "/calendars/cn/years/2027", role=role, json={"days": YEAR_2027}).status_code == status
        )
        assert service.call("PUT", "/calendars/cn", role=role, json={"week": WEEK}).status_code == status
        assert service.call("POST", "/deadlines/preview", role=role, json=body).status_code == 200
    assert service.client.post("/api/v1/deadlines/preview", json=body).status_code == 401


def test_from_the_first_of_december_the_next_year_is_asked_for(service: Service) -> None:
    asked = {"2026-11-30 23:59:59": [], "2026-12-01 00:00": [2027], "2027-01-01 00:00": [2027]}
    with service.runtime.reading() as (_, ref):
        for now, years in asked.items():
            assert [one.year for one in calendars.unpublished_warning(ref, moment(now))] == years
    service.call("PUT", "/calendars/cn/years/2027", json={"days": YEAR_2027})
    with service.runtime.reading() as (_, ref):
        assert not any(calendars.unpublished_warning(ref, moment(now)) for now in asked)
