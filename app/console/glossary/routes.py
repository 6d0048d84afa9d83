"""The glossary: terms, codes and figures, each with what it means; made from the catalogues that every surface uses."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.console.base.web import Looking, PageRoute, language, page
from app.domain.words import GROUPS, TERMS
from app.text import Text
from reports.metrics import REGISTRY

router = APIRouter(route_class=PageRoute)

_TERMS = [(code, *term) for code, term in TERMS.items()]
_FIGURES = [(each.key, Text(each.zh, each.en), Text(each.about_zh, each.about_en)) for each in REGISTRY]
_GROUPS = {
    key: {
        "title": group.title,
        "meaning": group.meaning,
        "rows": [(code, word, "") for code, word in group.words.items()],
    }
    for key, group in GROUPS.items()
}


@router.get("/glossary")
def show_glossary(request: Request, looking: Looking) -> Response:
    """All terms, figures and codes in the visitor's language, with the other language and the code beside them."""
    other = "zh" if language(request) == "en" else "en"
    return page(request, "glossary/glossary.html", terms=_TERMS, figures=_FIGURES, groups=_GROUPS, other=other)
