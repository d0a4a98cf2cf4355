"""The report page: one network's story as one HTML file, from typed numbers through templates."""

from refsim.reports.page.page import Advice, Answers, Page, Replayed

__all__ = ["Advice", "Answers", "Page", "Replayed"]
