"""Page to HTML: templates with autoescape, one style sheet, one script, and a policy under which nothing else runs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from refsim.exceptions import UsageError
from refsim.formats.untrusted.text import clean
from refsim.reports.accuracy_if import AS_ANN
from refsim.reports.costs import ESTIMATE, RATE, layer_costs, layer_rates
from refsim.reports.info import Range
from refsim.reports.origin import SOP
from refsim.reports.page.drawing import draw
from refsim.reports.page.graph import ROW, draw_rows
from refsim.reports.page.page import CLOSE, Page
from refsim.reports.run import shown_steps
from refsim.reports.units import count, joules, percent

MOST_CLASSES = 12
"""A table of confusions has room for so many classes; of more, only the worst pairs are listed."""


def render(page: Page) -> str:
    """The whole page.

    Raises
    ------
    UsageError
        Jinja2 is not installed.
    """
    require_templates()
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("refsim.reports.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": count,
        "joules": joules,
        "percent": percent,
        "clean": lambda text: clean(str(text), 60),
        "whole": lambda text: clean(str(text), None),
        "times": lambda shape: " \N{MULTIPLICATION SIGN} ".join(map(str, shape)),
        "span": _span,
        "signed": lambda value: f"{value:+.4f}",
    }
    folder = files("refsim.reports.page") / "templates"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        page=page,
        run=page.run,
        about=page.about,
        # Our own files, and figures whose text matplotlib has escaped: the only things that are not escaped here.
        style=Markup(style),
        script=Markup(script),
        figures={name: Markup(svg) for name, svg in draw(page).items()},
        walk=Markup(json_in_html(page.walk.to_json())),
        script_sha256=digest,
        rows=draw_rows(page.about.layers),
        row_height=ROW,
        costs={kind: layer_costs(snn) for kind, snn in page.run.snn.items()},
        rates={kind: {each.name: each for each in layer_rates(snn)} for kind, snn in page.run.snn.items()},
        kinds={kind: "dual threshold" if snn.neuron == "dual" else "IF" for kind, snn in page.run.snn.items()},
        steps=shown_steps(page.run.T),
        classes=_classes(page),
        most_classes=MOST_CLASSES,
        close=CLOSE,
        defined={"sop": SOP, "rate": RATE, "estimate": ESTIMATE, "as_ann": AS_ANN, "energy": page.run.model},
        total=_total,
    )


def require_templates() -> None:
    """Check that Jinja2 is there.

    Raises
    ------
    UsageError
        It is not installed.
    """
    if find_spec("jinja2") is None:
        raise UsageError("the report page needs Jinja2: pip install 'refsim[report]'")


def json_in_html(value: Mapping[str, Any]) -> str:
    """JSON that ends no script element, whatever stands in it, and means the same."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _span(value: Range) -> str:
    if not value.shape or value.min == value.max:
        return f"{value.min:.4g}"
    return f"{value.min:.3g} … {value.max:.3g}"


def _classes(page: Page) -> list[str]:
    return [clean(name, 24) for name in page.about.classes] or [str(k) for k in range(page.about.n_classes)]


def _total(values: Iterable[float | None]) -> float:
    return sum(value or 0.0 for value in values)
