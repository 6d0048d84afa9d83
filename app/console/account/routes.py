"""Sign-in, sign-out, password change and language."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app import clock
from app.console.base.i18n import as_lang
from app.console.base.web import (
    AnyChecked,
    AnyLooking,
    Checked,
    Looking,
    PageRoute,
    Posted,
    Run,
    go,
    keep_language,
    language,
    local_path,
    page,
)
from app.errors import Invalid, Unauthorized
from app.security.sessions import SESSION_COOKIE
from app.services.access import accounts

router = APIRouter(route_class=PageRoute)


@router.get("/signin")
def sign_in_page(request: Request, next: str = "/") -> Response:  # noqa: A002 - the parameter's name in the address
    """The sign-in form."""
    return page(request, "account/signin.html", target=local_path(next), name="", refusal=None)


@router.post("/signin")
def sign_in(request: Request, run: Run, fields: Posted) -> Response:
    """Create a session and redirect to the page requested before the sign-in."""
    name, target = fields.get("name", ""), local_path(fields.get("next"))
    now = clock.now()
    try:
        with run.database.read() as session:
            user = accounts.check_password(session, name, fields.get("password", ""), now)
    except Unauthorized as error:
        refusal = error.text(language(request))
        return page(request, "account/signin.html", status=401, target=target, name=name, refusal=refusal)
    with run.database.write() as session:
        signed = accounts.begin_session(session, user, now, hours=run.settings.session_hours)
    answer = go("/password" if signed.must_change_password else target)
    answer.set_cookie(
        SESSION_COOKIE,
        signed.token,
        max_age=run.settings.session_hours * 3600,
        httponly=True,
        samesite="lax",
        secure=run.settings.secure_cookies,
    )
    own = as_lang(user.lang)
    if own:
        keep_language(request, answer, own)
    return answer


@router.post("/signout")
def sign_out(run: Run, looking: AnyLooking, fields: AnyChecked) -> Response:
    """End the session."""
    with run.database.write() as session:
        accounts.sign_out(session, looking.token)
    answer = go("/signin")
    answer.delete_cookie(SESSION_COOKIE)
    return answer


@router.get("/password")
def password_page(request: Request, looking: AnyLooking) -> Response:
    """Show the form for changing the password."""
    return page(request, "account/password.html", refusals={}, forced=looking.must_change_password)


@router.post("/password")
def change_password(request: Request, run: Run, looking: AnyLooking, fields: AnyChecked) -> Response:
    """Change the person's password; other sessions end."""
    refusals: dict[str, str] = {}
    lang = language(request)
    new = fields.get("new", "")
    try:
        if new != fields.get("again", ""):
            raise Invalid.at("/again", "两次输入的新密码不一致", "the two new passwords differ")
        with run.database.write() as session:
            user = accounts.get_user(session, looking.user_id)
            accounts.change_password(session, user, fields.get("old", ""), new, clock.now(), token=looking.token)
    except Invalid as error:
        refusals = {p.pointer.removeprefix("/"): p.text(lang) for p in error.problems}
    except Unauthorized as error:
        refusals = {"old": error.text(lang)}
    if refusals:
        return page(
            request, "account/password.html", status=422, refusals=refusals, forced=looking.must_change_password
        )
    return go("/")


@router.post("/language")
def choose_language(request: Request, run: Run, looking: Looking, fields: Checked) -> Response:
    """Store the person's language, for this and later sign-ins."""
    answer = go(local_path(fields.get("next")))
    lang = as_lang(fields.get("lang"))
    if lang:
        with run.database.write() as session:
            accounts.set_language(session, looking.user_id, lang)
        keep_language(request, answer, lang)
    return answer
