"""A report as files: a page, Markdown, and JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path

from beast_ml.operations.periodic_report.html import to_html
from beast_ml.operations.periodic_report.markdown import to_markdown
from beast_ml.operations.periodic_report.parts import to_document
from beast_ml.operations.periodic_report.report import PeriodicReport

__all__ = ["write_report"]


def write_report(report: PeriodicReport, folder: Path) -> tuple[Path, Path, Path]:
    """Write ``report.html``, ``report.md`` and ``report.json`` into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    document = to_document(report)
    page, text, data = (folder / f"report.{ending}" for ending in ("html", "md", "json"))
    page.write_text(to_html(document), "utf-8")
    text.write_text(to_markdown(document), "utf-8")
    data.write_text(json.dumps(report.to_dict(), indent=2, default=str) + "\n", "utf-8")
    return page, text, data
