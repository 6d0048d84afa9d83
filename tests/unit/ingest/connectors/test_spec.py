"""What a feed is: mistakes answered at their place, secrets never in the file, and the documentation as good as its word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.config import Settings
from app.errors import Conflict, DubanError, Invalid
from ingest.connectors import registry
from ingest.connectors.folder import Folder
from ingest.connectors.http import hmac_of
from ingest.connectors.registry import SpecOverrides, load_spec, parse_spec, template_names, template_text
from ingest.connectors.spec import ChangeWindow, FeedSpec, Paging, Reconcile, RequestLimits, RequestSpec, Signature

DOCUMENT = (Path(__file__).resolve().parents[4] / "docs" / "intake.md").read_text("utf-8")
SECTION = DOCUMENT.partition("\n## Feeds\n")[2].partition("\n## ")[0]


def documented() -> str:
    """The feed that the documentation shows."""
    found = re.search(r"```toml\n(.*?)```", SECTION, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_documented_feed_is_valid_and_shows_the_defaults() -> None:
    spec = parse_spec(documented())
    assert spec.limits == RequestLimits()
    assert spec.paging.style == "number"
    assert spec.reconcile is not None


@pytest.mark.parametrize(
    "part", [FeedSpec, RequestLimits, RequestSpec, Paging, ChangeWindow, Signature, Reconcile, Folder]
)
def test_the_documentation_names_every_member(part: type[FeedSpec]) -> None:
    assert [name for name in part.model_fields if not re.search(rf"\b{name}\b", SECTION)] == []


def test_the_documented_signature_is_the_one_sent() -> None:
    assert hmac_of("s3cret", "GET", "/api/v1/orders?pageNo=1", "1767225600", "abc", b"") in SECTION


@pytest.mark.parametrize("name", template_names())
def test_each_template_is_a_feed_of_its_own_name(name: str) -> None:
    assert load_spec(name).name == name


def test_a_template_takes_another_name_source_and_address() -> None:
    spec = load_spec("open311", changes=SpecOverrides("boston", "city", "https://311.example.org/v2/"))
    assert (spec.name, spec.source.code, spec.base_url) == ("boston", "city", "https://311.example.org/v2")
    assert spec.profile().source.code == "city"


@pytest.mark.parametrize(
    ("old", "new", "pointer"),
    [
        ('name = "hotline12345"', 'name = "A B"', "/name"),
        ('kind = "rest"', 'kind = "soap"', "/kind"),
        ("attempts = 5", "attempts = 0", "/limits/attempts"),
        ("attempts = 5", "attempt = 5", "/limits/attempt"),
        ('style = "number"', 'style = "token"', "/paging"),
        ('time_zone = "Asia/Shanghai"\noverlap', 'time_zone = "Asia/Nowhere"\noverlap', "/window/time_zone"),
        ("env:DUBAN_FEED_HOTLINE12345_SECRET", "hunter2", "/signature/secret"),
        ("env:DUBAN_FEED_HOTLINE12345_SECRET", "env:HOME", "/signature/secret"),
        ('secret = "env:DUBAN_FEED_HOTLINE12345_SECRET" ', "", "/signature"),
        ("https://12345.example.gov.cn/api", "http://12345.example.gov.cn/api", ""),
        ('external_id = "orderNo"', 'external = "orderNo"', "/mapping"),
    ],
)
def test_a_mistake_is_answered_at_its_place(old: str, new: str, pointer: str) -> None:
    assert old in documented()
    with pytest.raises(Invalid) as wrong:
        parse_spec(documented().replace(old, new, 1))
    assert pointer in [problem.pointer for problem in wrong.value.problems]
    for problem in wrong.value.problems:
        assert problem.zh != problem.en


@pytest.mark.parametrize("text", ["x = [", "", "name = 1", "[" * 5000, "a." * 50_000 + "b = 1", "x" * 250_000])
def test_what_is_no_feed_is_refused(text: str) -> None:
    with pytest.raises(DubanError):
        parse_spec(text)


def test_plain_http_within_a_closed_network_must_be_said() -> None:
    text = documented().replace("https://12345.example.gov.cn/api", "http://10.1.2.3/api")
    with pytest.raises(Invalid):
        parse_spec(text)
    assert parse_spec("plain_http = true\n" + text).base_url == "http://10.1.2.3/api"


def test_a_secret_is_read_from_environment_env_file_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "DUBAN_FEED_HOTLINE12345_SECRET"
    signature = parse_spec(documented()).signature
    monkeypatch.delenv(name, raising=False)
    with pytest.raises(Conflict, match=name):
        signature.reveal()
    (tmp_path / "env").write_text(f"{name}=from the file\n", "utf-8")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / "env")
    assert signature.reveal() == "from the file"
    monkeypatch.setenv(name, "from the environment")
    assert signature.reveal() == "from the environment"
    (tmp_path / "secret").write_text("kept apart\n", "utf-8")
    assert signature.model_copy(update={"secret": f"file:{tmp_path / 'secret'}"}).reveal() == "kept apart"
    with pytest.raises(Conflict, match="nowhere"):
        signature.model_copy(update={"secret": "file:nowhere"}).reveal()


def test_a_template_is_found_by_its_name_alone(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(documented().replace("hotline12345", "own"), "utf-8")
    assert "own" in template_names([tmp_path])
    assert load_spec("own", [tmp_path]).name == "own"
    with pytest.raises(DubanError):
        template_text("../own", [tmp_path])
    assert registry.BUNDLED.is_dir()
