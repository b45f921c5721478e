"""The near-duplicates of a dataset as one page: nothing outside of it is loaded, and no script runs."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from html import escape
from typing import Any

# More members of a cluster than these are folded away.
MEMBERS_OPEN = 4

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; --soft: light-dark(#5a6370, #a2abb8);
  --line: light-dark(#d9dee5, #363d47); --card: light-dark(#ffffff, #1b2027); --page: light-dark(#f4f6f9, #12161b);
  --mark: light-dark(#ffe3a3, #6b4d00); --bar: light-dark(#4c72b0, #7fa3de) }
body { margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 60rem; background: var(--page);
  color: light-dark(#1a1f26, #e6e9ee) }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .4rem 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem }
.soft { color: var(--soft) } .numbers { display: grid; gap: .8rem; padding: 0; margin: 1rem 0; list-style: none;
  grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)) }
.numbers li, article { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .7rem .9rem }
.numbers b { display: block; font-size: 1.45rem; font-variant-numeric: tabular-nums }
.tables { display: grid; gap: 0 2rem; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); align-items: start }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .25rem .4rem .25rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere } th { font-weight: 600; color: var(--soft) }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; padding-right: 0 }
article { margin: .8rem 0 } article h3 { margin: 0 0 .3rem; font-size: 1rem }
ol { margin: 0; padding: 0; list-style: none } li.q { padding: .5rem 0; border-top: 1px solid var(--line) }
.q p { margin: 0; overflow-wrap: anywhere; white-space: pre-line } .q .soft { font-size: .85rem }
mark { background: var(--mark); color: inherit; border-radius: .2rem; padding: 0 .15em }
summary { cursor: pointer; color: var(--soft); padding: .4rem 0 }
"""


def near_page(report: Mapping[str, Any]) -> str:
    """A whole HTML document of a report, as `read_near_report` gives it."""
    title = f"Near-duplicates in {report['dataset']}"
    clusters = report["clusters_shown"]
    hidden = report["clusters"] - len(clusters)
    more = f'<p class="soft">{hidden:,} smaller clusters are not shown.</p>' if hidden > 0 else ""
    heading = "Clusters, the largest first" if clusters else "No two questions are near-duplicates"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1>",
            '<p class="soft">Questions that are near enough to count as repeats, directly or through others. '
            "Nothing was deleted: discard by hand what should go.</p>",
            _numbers(report),
            f'<div class="tables">{_cells(report)}{_sources(report)}{_told_apart(report)}</div>',
            f"<h2>{heading}</h2>",
            *(_cluster(place, each) for place, each in enumerate(clusters, 1)),
            f"{more}\n</body>\n</html>\n",
        ]
    )


def _numbers(report: Mapping[str, Any]) -> str:
    numbers = {
        "questions": report["questions"],
        "in clusters": report["in_clusters"],
        "clusters": report["clusters"],
        "in the largest": report["largest"],
        "pairs compared": report["pairs"]["compared"],
    }
    items = "".join(f"<li><b>{number:,}</b>{name}</li>" for name, number in numbers.items())
    return f'<ul class="numbers">{items}</ul>'


def _cells(report: Mapping[str, Any]) -> str:
    rows = ((f"{each['domain']} / {each['difficulty']}", each["questions"]) for each in report["cells"])
    return _table("In clusters, by cell", ("cell", "questions"), rows)


def _sources(report: Mapping[str, Any]) -> str:
    rows = ((each["source"], each["questions"]) for each in report["sources"])
    return _table("In clusters, by source", ("source", "questions"), rows)


def _told_apart(report: Mapping[str, Any]) -> str:
    return _table("Similar, but told apart", ("because of", "pairs"), report["told_apart"].items())


def _table(title: str, heads: tuple[str, str], rows: Iterable[tuple[str, int]]) -> str:
    body = "".join(f'<tr><td>{escape(name)}</td><td class="n">{count:,}</td></tr>' for name, count in rows)
    if not body:
        return ""
    head = f'<tr><th>{heads[0]}</th><th class="n">{heads[1]}</th></tr>'
    return f"<section><h2>{title}</h2><table>{head}{body}</table></section>"


def _cluster(place: int, cluster: Mapping[str, Any]) -> str:
    members: Sequence[Mapping[str, Any]] = cluster["members"]
    first = str(members[0]["text"])
    items = [_member(each, first) for each in members]
    folded = ""
    if len(items) > MEMBERS_OPEN:
        note = "" if len(items) == cluster["size"] else f", the first {len(items):,} of {cluster['size']:,}"
        rest = "".join(items[MEMBERS_OPEN:])
        folded = f"<details><summary>{len(items) - MEMBERS_OPEN:,} more{note}</summary><ol>{rest}</ol></details>"
    shown = "".join(items[:MEMBERS_OPEN])
    return f"<article><h3>{place}. {cluster['size']:,} questions</h3><ol>{shown}</ol>{folded}</article>"


def _member(member: Mapping[str, Any], first: str) -> str:
    about = f"#{member['id']}, {member['domain']} / {member['difficulty']}, {member['state']}, {member['source']}"
    similarity = "" if member["text"] == first else f", similarity {member['similarity']:.2f}"
    text = _marked(str(member["text"]), first)
    return f'<li class="q"><p>{text}</p><span class="soft">{escape(about)}{similarity}</span></li>'


def _marked(text: str, first: str) -> str:
    """The text, what differs from the first one's words marked."""
    words, others = _words(text), _words(first)
    pieces = []
    for change, start, end, *_ in SequenceMatcher(None, words, others, autojunk=False).get_opcodes():
        piece = escape("".join(words[start:end]))
        bare = piece.rstrip()
        pieces.append(f"<mark>{bare}</mark>{piece[len(bare) :]}" if change != "equal" and bare else piece)
    return "".join(pieces)


def _words(text: str) -> list[str]:
    """The words, each with the space behind it."""
    words: list[str] = []
    for character in text:
        if words and (character.isspace() or not words[-1][-1].isspace()):
            words[-1] += character
        else:
            words.append(character)
    return words
