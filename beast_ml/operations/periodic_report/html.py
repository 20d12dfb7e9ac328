"""A report as one HTML file that fetches nothing: pictures and style lie in it; light, dark and on paper."""

from __future__ import annotations

import base64
from html import escape
from typing import Final

from beast_ml.operations.periodic_report.document import (
    CODE,
    Block,
    Bullets,
    Commands,
    Document,
    Grid,
    Paragraph,
    Picture,
)

__all__ = ["to_html"]

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2127; --soft: #545d68; --paper: #ffffff; --card: #f5f6f8; --line: #d4d8dd;
  --accent: #1f5673; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaee; --soft: #a9b2bd; --paper: #14181d; --card: #1e242b;
  --line: #38414b; --accent: #8fc4e4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main, header, nav { max-width: 60rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
.soft { color: var(--soft); }
.strong { font-weight: 600; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; padding: 0; list-style: none; }
a { color: var(--accent); }
a:focus-visible, .scroll:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--paper); padding: .5rem; }
li { margin: .3rem 0; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; min-width: 34rem; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .35rem; }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: break-word; }
tbody th { font-weight: 500; }
thead th { border-bottom: 2px solid var(--line); overflow-wrap: normal; }
.n { text-align: right; white-space: nowrap; }
figure { margin: 1.2rem 0; }
img { display: block; width: 100%; height: auto; padding: .8rem; background: #fff; border: 1px solid var(--line);
  border-radius: .8rem; }
@media (prefers-color-scheme: dark) { img { filter: brightness(.86); } }
dl { margin: 1rem 0; } dt { color: var(--soft); margin-top: .8rem; } dd { margin: .2rem 0 0; }
code.word { font: .92em ui-monospace, monospace; overflow-wrap: anywhere; }
dd code { display: block; background: var(--card); border: 1px solid var(--line); border-radius: .4rem;
  padding: .5rem .8rem; font: .9rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
footer { height: 3rem; }
@media print { :root { --ink: #000; --soft: #333; --paper: #fff; --card: #fff; --line: #999; --accent: #000; }
  body { font-size: 10.5pt; } nav, .skip { display: none; } h2 { break-after: avoid; } .scroll { overflow: visible; }
  table { min-width: 0; }
  figure, tr, dl > div, li { break-inside: avoid; } @page { margin: 16mm; } }
"""


def to_html(document: Document) -> str:
    """Return a report as a whole HTML page."""
    links = "".join(f'<li><a href="#part-{i}">{escape(s.title)}</a></li>' for i, s in enumerate(document.sections, 1))
    parts = "".join(
        f'<section aria-labelledby="part-{i}"><h2 id="part-{i}">{escape(section.title)}</h2>'
        f"{''.join(map(_block, section.blocks))}</section>\n"
        for i, section in enumerate(document.sections, 1)
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(document.title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<style>{_STYLE}</style>\n</head>\n<body>\n<a class="skip" href="#content">To the content</a>\n'
        f'<header><h1>{escape(document.title)}</h1><p class="soft">{escape(document.subtitle)}</p></header>\n'
        f'<nav aria-label="Parts"><ul>{links}</ul></nav>\n<main id="content">\n{parts}</main>\n<footer></footer>\n'
        "</body>\n</html>\n"
    )


def _block(block: Block) -> str:
    match block:
        case Paragraph(text, strong):
            return f'<p class="strong">{_text(text)}</p>' if strong else f"<p>{_text(text)}</p>"
        case Bullets(items, numbered):
            tag = "ol" if numbered else "ul"
            return f"<{tag}>{''.join(f'<li>{_text(item)}</li>' for item in items)}</{tag}>"
        case Grid():
            return _grid(block)
        case Picture(png, words):
            data = base64.b64encode(png).decode()
            return f'<figure><img alt="{escape(words)}" src="data:image/png;base64,{data}"></figure>'
        case Commands(lines):
            rows = "".join(
                f"<div><dt>{_text(why)}</dt><dd><code>{escape(command)}</code></dd></div>" for command, why in lines
            )
            return f"<dl>{rows}</dl>"


def _text(text: str) -> str:
    """Return a text for the page, what stands in backticks as code."""
    return CODE.sub(r'<code class="word">\1</code>', escape(text))


def _grid(grid: Grid) -> str:
    classes = [' class="n"' if i in grid.numeric else "" for i in range(len(grid.columns))]
    heads = "".join(f'<th scope="col"{c}>{escape(name)}</th>' for name, c in zip(grid.columns, classes, strict=True))
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td{c}>{escape(cell)}</td>" for cell, c in zip(row[1:], classes[1:], strict=True))
        + "</tr>"
        for row in grid.rows
    )
    return (  # focusable, so that a keyboard can scroll what is wider than the screen
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(grid.caption)}"><table>'
        f"<caption>{escape(grid.caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )
