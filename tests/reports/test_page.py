"""The report page: one document that fetches nothing, escapes every name, and says what was measured."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import util
from typing import Any

import numpy as np
import pytest

import refsim
from refsim.exceptions import UsageError
from tests.reports.conftest import HOSTILE, weight_file
from tests.simulation.networks import raw_images, small_network

VOID = {"meta", "img", "br", "input", "link"}


class Document(HTMLParser):
    """Elements with their attributes and text, and whether every element that opens is closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in self._open[-1:]:
            self.texts[tag][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of this kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def walk_of(document: Document) -> dict[str, Any]:
    """The data of the walk, as the script reads it."""
    return json.loads(next(text for text in document.texts["script"] if text.startswith("{")))


@pytest.fixture(scope="module", params=["page", "hostile"])
def document(request: pytest.FixtureRequest) -> Document:
    return Document(request.getfixturevalue(request.param).html)


def test_nothing_is_fetched(document: Document) -> None:
    for tag, attributes in document.elements:
        for key in ("src", "href", "xlink:href", "action", "data", "srcset"):
            value = attributes.get(key)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), (tag, key, value)
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
    assert not any("@import" in text or "url(http" in text for text in document.texts["style"])


def test_only_its_own_script_may_run(document: Document, page: refsim.Page) -> None:
    policies = [each["content"] for each in document.of("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    scripts = [text for text in document.texts["script"] if not text.startswith("{")]
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert policies == [f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"]
    assert len(document.of("script")) == 2


def test_no_name_becomes_markup(document: Document) -> None:
    assert not [each for _, each in document.elements if any(key.startswith("on") for key in each)]
    assert [each for each in document.of("img") if not (each["src"] or "").startswith("data:")] == []
    assert len(document.of("h1")) == 1


def test_hostile_names_are_shown_as_they_are(hostile: refsim.Page) -> None:
    document = Document(hostile.html)
    shown = document.texts["bdi"]
    assert HOSTILE[1] in " ".join(shown)
    assert "{{ 7 * 7 }}" in " ".join(shown)
    assert "\\u202e" in hostile.html
    assert "\u202e" not in hostile.html
    layers = [each["name"] for each in walk_of(document)["layers"]]
    assert all(
        any(name.removeprefix(f"{i}  ")[:8] in each for each in ("\\u202egpj.exe", *HOSTILE))
        for i, name in enumerate(layers, 1)
    )
    assert "</script" not in next(text for text in document.texts["script"] if text.startswith("{"))


def test_hostile_names_in_figures_are_text(hostile: refsim.Page) -> None:
    figures = re.findall(r'<svg class="figure".*?</svg>', hostile.html, re.DOTALL)
    assert figures
    for each in figures:
        inside = Document(each)
        assert {tag for tag, _ in inside.elements} <= {
            *("svg", "g", "path", "text", "tspan", "defs", "style", "use", "clippath", "rect", "image", "pattern"),
            "title",
        }  # fmt: skip


def test_ids_are_unique_and_what_refers_to_them_finds_them(document: Document) -> None:
    ids = [each["id"] for _, each in document.elements if "id" in each]
    assert len(ids) == len(set(ids))
    for _, attributes in document.elements:
        for key in ("for", "aria-labelledby"):
            assert attributes.get(key) is None or attributes[key] in ids
        for key in ("href", "xlink:href"):
            value = attributes.get(key) or ""
            assert not value.startswith("#") or value[1:] in ids


def test_every_control_and_image_has_a_name(document: Document) -> None:
    labelled = {each["for"] for each in document.of("label")}
    for tag in ("select", "input"):
        assert {each["id"] for each in document.of(tag)} <= labelled
    assert all("alt" in each for each in document.of("img"))
    assert all(each.get("aria-hidden") or each.get("aria-label") for each in document.of("svg"))
    assert document.of("html") == [{"lang": "en"}]
    assert document.texts["title"][0].endswith("refsim report")


def test_the_page_is_small(page: refsim.Page) -> None:
    assert len(page.html) < 1_000_000


def test_numbers_on_the_page_are_those_of_the_run(page: refsim.Page) -> None:
    file = weight_file(small_network())
    run = refsim.run(file, T=5, neuron="both")
    for kind in ("if", "dual"):
        assert f"{run[kind].sops_per_image[-1]:,.0f}" in page.html
        assert page.run[kind].sops_per_image.tolist() == run[kind].sops_per_image.tolist()
        assert page.answers[kind].confusion.sum() == 20
        assert np.trace(page.answers[kind].confusion) == run[kind].result.correct[-1]
    errors = refsim.layer_errors(file, refsim.open_images(file)[::3], T=(1, 2, 4, 5), neuron="if")
    assert page.errors is not None
    assert page.errors.to_json() == errors.to_json()


def test_it_says_from_which_step_on_the_snn_stays_close(page: refsim.Page) -> None:
    for kind in ("if", "dual"):
        ann, snn = page.run.ann.accuracy, page.run[kind].accuracy
        assert ann is not None
        close = [t for t in range(1, 6) if (snn[t - 1 :] >= ann - 0.01).all()]
        assert page.first_close(kind) == (close[0] if close else None)


def signs(text: str, n: int) -> np.ndarray:
    """What the page's script unpacks."""
    code = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    unpacked = ((code[:, None] >> np.arange(0, 8, 2)) & 3).ravel()[:n].astype(np.int8)
    return np.where(unpacked == 2, -1, unpacked)


def test_the_walk_shows_the_spikes_of_the_engine(page: refsim.Page) -> None:
    file, walk = weight_file(small_network()), page.walk
    data = walk.to_json()
    chosen = [int(re.search(r"\d+", each.title)[0]) for each in walk.images]  # type: ignore[index]
    x = refsim.open_images(file).data.currents(np.array(chosen))
    for kind, name in enumerate(("if", "dual")):
        trace = refsim.simulate(refsim.compile_network(file.network.with_kind(name)), x, 5, record=("spikes",))
        for i in range(len(chosen)):
            for shown, scene, packed in zip(walk.layers, walk.scenes[kind][i], data["scenes"][kind][i]):
                spikes = trace.populations[shown.name].spikes[:, i].reshape(5, *shown.shape)
                maps = spikes[:, list(shown.channels)]
                assert (scene.maps == maps).all()
                assert (signs(packed["maps"], maps.size) == maps.ravel()).all()
                assert (scene.spikes == np.array([spikes[:, c, h, w] for c, h, w in shown.neurons])).all()


def test_potentials_of_the_walk_fire_where_they_meet_theta(page: refsim.Page) -> None:
    for i, kind in enumerate(("if", "dual")):
        for scenes in page.walk.scenes[i]:
            for layer, scene in zip(page.walk.layers, scenes):
                assert ((scene.spikes == 1) == (scene.m >= 1)).all()
                negative = layer.theta_neg[i]
                if kind == "if":
                    assert negative is None
                else:
                    assert (scene.m[scene.spikes == -1] <= np.max(negative)).all()
                v = scene.m - scene.spikes
                assert np.isfinite(v).all()


def test_activations_of_the_walk_are_the_anns(page: refsim.Page) -> None:
    file = weight_file(small_network())
    number = int(re.search(r"\d+", page.walk.images[0].title)[0])  # type: ignore[index]
    x = refsim.open_images(file)[number : number + 1].currents()
    a = refsim.forward(refsim.compile_network(file.network, fold=False), x, record=True).a
    for layer, scene in zip(page.walk.layers, page.walk.scenes[0][0]):
        theirs = a[layer.name][0].reshape(layer.shape)[list(layer.channels)] / layer.theta[0]
        assert scene.activation is not None
        assert np.array_equal(scene.activation, theirs)


def test_without_labels_there_are_costs_and_no_accuracy() -> None:
    page = refsim.report(weight_file(small_network()), raw_images(6), T=2)
    assert page.answers == {}
    assert page.as_ann is None
    assert "no labels" in page.html
    Document(page.html)


def test_without_L_the_page_says_what_is_missing() -> None:
    page = refsim.report(weight_file(small_network(L=0)), T=2, closer=4)
    assert page.residuals == ()
    assert "does not say L" in page.html
    Document(page.html)


def test_neurons_whose_errors_cannot_be_split_have_the_rest_of_the_page() -> None:
    network = small_network()
    leaky = network.with_neurons({each.name: replace(each.neuron, leak=0.5) for each in network.spiking})
    page = refsim.report(weight_file(leaky), T=2, closer=4)
    assert page.errors is None
    assert "This cannot be said" in page.html
    Document(page.html)


def test_advice_is_measured() -> None:
    page = refsim.report(weight_file(small_network()), T=4, closer=6, neuron="if", advice=True)
    assert page.advice is not None
    names = [each.method for each in page.advice.comparison.methods]
    assert {"qcfs", "ecl"} <= set(names)
    assert all(f'<th scope="row">{name}</th>' in page.html for name in names)


def test_a_notebook_shows_it_in_a_frame(hostile: refsim.Page) -> None:
    shown = hostile._repr_html_()
    assert [tag for tag, _ in Document(shown).elements] == ["iframe"]
    assert Document(shown).of("iframe")[0]["srcdoc"] == hostile.html


def test_it_is_saved(page: refsim.Page, tmp_path: Any) -> None:
    page.save(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page.html


def test_without_jinja_the_error_names_the_extra(page: refsim.Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refsim.reports.page.render.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'refsim\[report\]'"):
        replace(page).html  # noqa: B018
    assert util.find_spec("jinja2") is not None
