"""``duban profiles``: the mapping profiles there are; one proposed for an unknown file; what an import would bring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tomli_w
import typer

from app import clock
from app.commands.common import JsonFlag, print_json, say
from app.config import get_settings
from app.errors import Conflict
from ingest.profile_wizard.preview import ROWS, ImportPreview, preview
from ingest.profile_wizard.proposal import MappingProposal, propose
from ingest.profile_wizard.sampling import read_sample
from ingest.profile_wizard.saved import saved_profiles
from ingest.profile_wizard.views import identity, preview_view, proposal_view, sample_view, slug, unknown_words
from ingest.rows.profile import load_profile

Sheet = Annotated[
    str | None, typer.Option("--sheet", help="sheet of a spreadsheet; default: the first that holds rows")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="Mapping profiles: list them; propose one for a file; preview an import.")
    group.callback(invoke_without_command=True)(profiles)
    group.command("propose")(propose_profile)
    group.command("preview")(preview_import)
    app.add_typer(group, name="profiles")


def _folder() -> Path:
    return get_settings().data_dir / "profiles"


def profiles(context: typer.Context, as_json: JsonFlag = False) -> None:
    """The mapping profiles there are: the bundled ones, and those in ``profiles`` in the data directory."""
    if context.invoked_subcommand is not None:
        return
    found = saved_profiles(_folder())
    if as_json:
        print_json(
            [
                {"name": p.name, "title": {"zh": p.title.zh, "en": p.title.en}, "source": p.source.code,
                 "time_zone": p.time_zone}
                for p in found
            ]
        )  # fmt: skip
        return
    for each in found:
        typer.echo(f"{each.name}\t{each.title.en if get_settings().lang == 'en' else each.title.zh}")


def propose_profile(
    file: Annotated[Path, typer.Argument(help="CSV, XLSX, NDJSON or JSON, plain, gz or zip")],
    out: Annotated[Path | None, typer.Option("--out", help="write the profile into this TOML file")] = None,
    title: Annotated[str | None, typer.Option("--title", help="what the source is called")] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="code of the source; default: the profile's name")
    ] = None,
    time_zone: Annotated[str | None, typer.Option("--time-zone", help="of times without an offset")] = None,
    sheet: Sheet = None,
    as_json: JsonFlag = False,
) -> None:
    """Propose a mapping for a file without a profile, from its headings and first rows."""
    settings = get_settings()
    if out is not None and out.exists():
        raise Conflict(f"{out} 已存在", f"{out} is there already")
    sample = read_sample(file, sheet=sheet)
    found = propose(sample, time_zone or settings.time_zone)
    found.draft.sheet = sheet
    called = identity(slug(out.name.removesuffix(".toml") if out else file.name) or "profile", title, source)
    view = {"file": sample_view(sample), **proposal_view(found, called, settings.lang)}
    if out is not None:
        out.write_text(_commented(view) + tomli_w.dumps(view["profile"]), encoding="utf-8")
    if as_json:
        print_json(view)
    else:
        _print_proposal(view, found, out)


def _commented(view: dict[str, Any]) -> str:
    lines = [f"# {g['target']}: {g['confidence']:.0%}  {'; '.join(g['reasons'])}" for g in view["guesses"]]
    lines += [f"# {note}" for note in view["notes"]]
    lines += [f"# [values.{field}] ? {', '.join(map(repr, words))}" for field, words in view["unknown_words"].items()]
    return "\n".join(line.replace("\r", " ").replace("\n", " ") for line in lines) + "\n"


def _print_proposal(view: dict[str, Any], found: MappingProposal, out: Path | None) -> None:
    file = view["file"]
    about = "，".join(str(file[name]) for name in ("format", "encoding", "sheet") if file[name])
    say(
        f"{about}；{len(file['columns'])} 列，看了 {file['rows_looked_at']} 行",
        f"{about.replace('，', ', ')}; {len(file['columns'])} columns, {file['rows_looked_at']} rows looked at",
    )
    for guess in view["guesses"]:
        typer.echo(
            f"{guess['target']}\t{' + '.join(guess['columns'])}\t{guess['confidence']:.0%}\t{'; '.join(guess['reasons'])}"
        )
    for note in view["notes"]:
        typer.echo(f"! {note}")
    for field, words in unknown_words(found).items():
        listed = ", ".join(words[:20])
        say(f"! [values.{field}] 还没有对应：{listed}", f"! [values.{field}] has no code yet for: {listed}")
    if out is not None:
        say(f"已写入 {out}", f"written to {out}")


def preview_import(
    file: Annotated[Path, typer.Argument(help="CSV, XLSX, NDJSON or JSON, plain, gz or zip")],
    profile: Annotated[str, typer.Option("--profile", help="name of a mapping profile, or a TOML file")],
    rows: Annotated[int, typer.Option("--rows", min=1, help="how many rows are gone through")] = ROWS,
    sheet: Sheet = None,
    as_json: JsonFlag = False,
) -> None:
    """The tickets and rejects that an import would bring; nothing is stored."""
    settings = get_settings()
    folder = _folder()
    chosen = load_profile(profile, [folder] if folder.is_dir() else [])
    if sheet is not None:
        chosen = chosen.model_copy(update={"file": chosen.file.model_copy(update={"sheet": sheet})})
    found = preview(file, chosen, clock.now(), most=rows)
    view = preview_view(found, settings.lang, settings.zone)
    if as_json:
        print_json(view)
    else:
        _print_preview(view, found)


def _print_preview(view: dict[str, Any], found: ImportPreview) -> None:
    more = "" if found.whole else "+"
    say(
        f"{found.rows}{more} 行：工单 {found.tickets}，重复行 {found.repeated}，拒收 {found.rejects}",
        f"{found.rows}{more} rows: tickets {found.tickets}, repeated {found.repeated}, rejected {found.rejects}",
    )
    for ticket in view["first_tickets"]:
        facts = [str(ticket.get(name, "-")) for name in ("external_id", "received_at", "status", "title")]
        typer.echo(f"{ticket['row']}\t" + "\t".join(facts))
    for reason in view["rejects"]:
        first = reason["examples"][0]
        errors = "; ".join(f"{e['pointer']} {e['detail']}".strip() for e in first["errors"])
        say(
            f"拒收 {reason['count']} 行（{reason['reason']}），如第 {first['row']} 行：{errors}",
            f"{reason['count']} rejected ({reason['reason']}), such as row {first['row']}: {errors}",
        )
    if view["broken"]:
        typer.echo(f"! {view['broken']}")
