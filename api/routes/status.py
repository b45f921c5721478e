"""/: what runs here, for a person with a browser. Rendered on the server, without scripts."""

from html import escape
from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from api.services import Wired
from shared.jobs.progress import list_jobs, read_job

router = APIRouter(include_in_schema=False)

JOBS_SHOWN = 20
REFRESH_SECONDS = 5
# Nothing on the page needs more than its own style.
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #8884; vertical-align: top }
progress { width: 100%; min-width: 8rem }
.number { text-align: right; font-variant-numeric: tabular-nums }
.note { opacity: .75 }
"""


@router.get("/")
async def show_status(wired: Wired) -> HTMLResponse:
    """The newest jobs, how far they are, what they cost."""
    newest = await list_jobs(wired.engine, before=None, limit=JOBS_SHOWN)
    jobs = [await read_job(wired.engine, job["id"]) for job in newest]
    rows = (
        "".join(map(_row, jobs)) or '<tr><td colspan="6">No job yet: <code>./run questmill submit SPEC</code></td></tr>'
    )
    page = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Questmill</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH_SECONDS}"><style>{STYLE}</style></head><body>
<h1>Questmill</h1>
<table><thead><tr><th>Dataset</th><th>State</th><th>Questions</th><th class="number">A minute</th>
<th class="number">Cost</th><th>Job</th></tr></thead><tbody>{rows}</tbody></table>
<p class="note">The API describes itself at <a href="/openapi.json">/openapi.json</a>; batches are in Flower.</p>
</body></html>"""
    return HTMLResponse(page, headers={"Content-Security-Policy": CONTENT_POLICY, "X-Content-Type-Options": "nosniff"})


def _row(job: dict[str, Any]) -> str:
    progress = job["progress"]
    selected, target = progress["selected"], progress["target"]
    reason = f'<br><span class="note">{escape(job["reason"])}</span>' if job["reason"] else ""
    rehearsal = ' <span class="note">(rehearsal: nothing is paid)</span>' if job["rehearsal"] else ""
    return f"""<tr><td>{escape(job["dataset"])}{rehearsal}</td><td>{escape(job["state"])}{reason}</td>
<td><progress value="{selected}" max="{max(1, target)}"></progress><br>{selected:,} of {target:,}</td>
<td class="number">{progress["per_minute"]:,.0f}</td>
<td class="number">${progress["cost_usd"]:,.2f} of ${job["budget_usd"]:,.2f}</td>
<td><a href="/v1/jobs/{job["id"]}">{job["id"]}</a></td></tr>"""
