"""Read pages of a REST upstream: resume from a position, yield each page's records and the next position.

A position is a small JSON object that is committed with the page that led to it:

    numbered pages   {"since", "until", "size", "page", "total", …}   within a span of change times; then {"since"}
    a token          {"token"}
    a span alone     {"since"}

Numbered pages shift when a record leaves the span between two requests, and the first record of the next page would be
missed. So where the total changes meanwhile, the span is read once more; what is known already costs next to nothing.
One whose total has changed in ``MOST_PASSES`` is left as it is: its last page says how much of it is ``unsettled``.

The total does not tell where the upstream's clock is behind, or it writes late: a record that is changed then leaves its
place and comes again at the end of the very same span. That can be so in the last minutes alone, as many as the overlap
has. They are a span of their own, which the next pull reads again, and none older with it. A pull that was cut off in them
says where they began (``back``): once what it had begun is ended, they are read again from there, however long ago that is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import model_validator

from app.validation import objection
from ingest.connectors.base import Page, PageConnector, Position, Record, Span, no_list
from ingest.connectors.http import UnreadableBody, UpstreamError
from ingest.connectors.spec import ChangeWindow, HttpSpec, Reconcile

MOST_PASSES = 5
MOST_PAGES = 1_000_000
MOST_PARTS = 1_000_000
"""Arrays and objects, or elements, of one answer: an empty one takes thirty times its own bytes in memory."""


def read_json(body: bytes) -> Any:
    """The JSON document of an answer. Raises ``UnreadableBody``."""
    if body.count(b"[") + body.count(b"{") > MOST_PARTS:
        raise UnreadableBody(f"more than {MOST_PARTS} arrays and objects")
    try:
        return json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UnreadableBody(f"not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableBody(f"not JSON: {str(error)[:120]}") from error


def member(document: Any, path: str) -> Any:
    """Return the value of ``document`` at the dotted ``path``: the document itself for an empty path, None if absent."""
    for step in path.split(".") if path else ():
        document = document.get(step) if isinstance(document, Mapping) else None
    return document


class RestSpec(HttpSpec):
    """A feed of ``kind = rest``."""

    @model_validator(mode="after")
    def _has_progress(self) -> RestSpec:
        if self.paging.style == "none" and self.window is None:
            raise objection("[paging] 与 [window] 至少要有一个", "needs [paging] or [window], or both")
        if self.paging.style == "token" and self.window is not None:
            raise objection(
                "style = token 的游标自带进度，不能再有 [window]", "a token is a cursor: no [window] beside it"
            )
        return self


class RestFeed(PageConnector):
    """Reads a feed of ``kind = rest``."""

    name = "rest"
    spec_type = RestSpec

    def pages(self, position: Position, now: datetime) -> Iterator[Page]:
        """Every page from ``position`` to the upstream's end as of ``now``. The next is asked for only after the
        caller has taken one. Raises ``UpstreamError``."""
        if self.spec.paging.style == "token":
            yield from self._by_token(position)
            return
        if self.spec.window is None:
            yield from self._numbered({}, {}, {})
            return
        resumed = "until" in position
        for page in self._by_spans(self.spec.window, position, now):
            position = page.position
            yield page
        if resumed and "back" in position:
            yield from self._by_spans(self.spec.window, position, now)

    def _by_spans(self, window: ChangeWindow, position: Position, now: datetime) -> Iterator[Page]:
        settled = now - timedelta(minutes=window.overlap_minutes) - self.widen
        cut_off = {"back": position["back"]} if "until" in position and "back" in position else {}
        for whole in spans(window, position, now, self.widen):
            begun = position if position.get("since") == whole[0].isoformat() and "until" in position else {}
            for since, until in [whole] if begun else self._parts(window, *whole, settled):
                back = {"back": settled.isoformat()} if until > settled else {}
                kept = {"since": since.isoformat(), "until": until.isoformat(), **back, **cut_off}
                after = {"since": until.isoformat(), "through": until.isoformat(), **cut_off}
                behind = (since, min(until, settled)) if since < settled else None
                yield from self._numbered({**begun, **kept}, window_params(window, since, until), after, behind)
                position = after

    def _parts(self, window: ChangeWindow, since: datetime, until: datetime, settled: datetime) -> list[Span]:
        """A span, in two where it reaches beyond ``settled`` and comes in pages that can shift."""
        if self.spec.paging.style == "number" and window.until and since < settled < until:
            return [(since, settled), (settled, until)]
        return [(since, until)]

    def one(self, external_id: str) -> Record | None:
        """The record of one id, for the reconciliation; None where the upstream has none."""
        reconcile = self._list()
        path = reconcile.detail.replace("{id}", _quoted(external_id))
        try:
            return member(self._ask(path, {}), reconcile.detail_item)
        except UpstreamError as error:
            if error.http == 404:
                return None
            raise

    def ids_between(self, since: datetime, until: datetime) -> list[str]:
        """The upstream's own list of the ids of a day. Raises ``UpstreamError`` where its total disagrees with it."""
        reconcile = self._list()
        params = {reconcile.date_param: since.strftime(reconcile.format)}
        if reconcile.until_param:
            params[reconcile.until_param] = until.strftime(reconcile.format)
        document = self._ask(reconcile.path, params)
        found = member(document, reconcile.ids)
        if not isinstance(found, list):
            raise UpstreamError("对账清单不是数组", "the list of ids is not an array")
        ids = [str(member(each, reconcile.id) if reconcile.id else each) for each in found]
        total = member(document, reconcile.total) if reconcile.total else None
        if isinstance(total, int) and total != len(ids):
            raise UpstreamError(
                f"对账清单有 {len(ids)} 个编号，上游却说有 {total} 个",
                f"the list has {len(ids)} ids, and the upstream says {total}",
            )
        return ids

    def _list(self) -> Reconcile:
        if self.spec.reconcile is None:
            raise no_list()
        return self.spec.reconcile

    def _ask(self, path: str, params: Mapping[str, str]) -> Any:
        return self.upstream.get(path, params, self._read)

    def _read(self, body: bytes) -> Any:
        document = read_json(body)
        for path, good in self.spec.request.success.items():
            value = member(document, path)
            if str(value) not in good:
                raise UnreadableBody(f"{path} does not report success")
        return document

    def _items(self, document: Any) -> list[Record]:
        items = member(document, self.spec.request.items)
        if items is None:
            return []
        if not isinstance(items, list):
            path = self.spec.request.items
            raise UpstreamError(f"{path or '应答'} 不是数组", f"{path or 'the answer'} is not an array")
        return items

    def _by_token(self, position: Position) -> Iterator[Page]:
        paging = self.spec.paging
        assert paging.next is not None, "checked when the spec was read"
        token = position.get("token")
        seen = {token}
        for _ in range(MOST_PAGES):
            params = self._size() | ({paging.param: token} if token else {})
            document = self._ask(self.spec.request.path, params)
            items, following = self._items(document), member(document, paging.next)
            if following is None or not items or following == token:
                yield Page(items, {"token": str(following)} if following is not None else dict(position))
                return
            token = str(following)
            if token in seen:
                raise UpstreamError(
                    f"上游的游标在原地打转：{token[:80]}", f"pagination loop: upstream repeated a cursor: {token[:80]}"
                )
            seen.add(token)
            position = {"token": token}
            yield Page(items, position)

    def _numbered(
        self, begun: Position, params: Mapping[str, str], after: Position, behind: Span | None = None
    ) -> Iterator[Page]:
        """The pages of one span. ``behind``: how much of it the next pull does not read again."""
        paging = self.spec.paging
        base: Position = {key: begun[key] for key in ("since", "until", "back") if key in begun}
        base["size"] = paging.size
        if begun.get("size") != paging.size:
            begun = base  # what was begun counts pages of another size
        page, total, passes = begun.get("page", paging.first), begun.get("total"), begun.get("again", 0)
        moved = bool(begun.get("moved"))
        before: list[Record] | None = None
        for _ in range(MOST_PAGES):
            asked = {**params, **self._size()}
            if paging.style == "number":
                asked[paging.param] = str(page)
            document = self._ask(self.spec.request.path, asked)
            items = self._items(document)
            stated = member(document, paging.total) if paging.total else None
            moved = moved or (total is not None and stated is not None and stated != total)
            total = stated if total is None else total
            if paging.style == "number" and not self._is_last(items, page, stated):
                if items == before:
                    raise UpstreamError(
                        f"上游把同一页又给了一遍（第 {page} 页），请核对分页参数",
                        f"the upstream gave the same page again (page {page}): look at the paging parameters",
                    )
                before = items
                page += 1
                yield Page(items, {**base, "page": page, "total": total, "again": passes, "moved": moved})
                continue
            if not moved or passes + 1 >= MOST_PASSES:
                yield Page(items, dict(after), behind if moved else None)
                return
            passes, page, total, moved, before = passes + 1, paging.first, None, False, None
            yield Page(items, {**base, "page": page, "total": None, "again": passes, "moved": False})

    def _is_last(self, items: list[Record], page: int, stated: Any) -> bool:
        paging = self.spec.paging
        if not items:
            return True
        if isinstance(stated, int):
            return (page - paging.first + 1) * paging.size >= stated
        return paging.size_param is not None and len(items) < paging.size

    def _size(self) -> dict[str, str]:
        paging = self.spec.paging
        return {paging.size_param: str(paging.size)} if paging.size_param else {}


def spans(window: ChangeWindow, position: Position, now: datetime, widen: timedelta = timedelta(0)) -> Iterator[Span]:
    """The spans to ask for from ``position`` until ``now``, the one that was begun first. A finished span says where
    it ended (``through``); the next begins so much before as the overlap has it, and ``widen`` besides, or where it is
    asked to return to."""
    longest = timedelta(days=window.longest_days)
    overlap = timedelta(minutes=window.overlap_minutes) + widen
    if "until" in position:
        begin, end = _moment(position["since"]), _moment(position["until"])
        yield begin, end
        begin = end
    elif "since" in position:
        begin = _moment(position["since"]) - overlap
        if "back" in position:
            begin = min(begin, _moment(position["back"]))
    else:
        begin = now - timedelta(days=window.first_days)
    while begin < now:
        end = min(begin + longest, now)
        yield begin, end
        begin = end


def window_params(window: ChangeWindow, since: datetime, until: datetime) -> dict[str, str]:
    """A span as the upstream wants it written, its ends rounded outwards to the second."""
    found = {window.since: written(since.replace(microsecond=0), window)}
    if window.until:
        whole = until.replace(microsecond=0) + timedelta(seconds=1 if until.microsecond else 0)
        found[window.until] = written(whole, window)
    return found


def written(moment: datetime, window: ChangeWindow) -> str:
    """A moment in the window's zone and format."""
    local = moment.astimezone(ZoneInfo(window.time_zone))
    if window.format == "iso":
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if window.time_zone == "UTC" else local.isoformat()
    return local.strftime(window.format)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _quoted(external_id: str) -> str:
    return "".join(
        c
        if c.isascii() and (c.isalnum() or c in "-_.~")
        else "".join(f"%{b:02X}" for b in c.encode("utf-8", "surrogatepass"))
        for c in external_id
    )
