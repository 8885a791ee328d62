from __future__ import annotations

import hashlib
import io
import json
import shlex

import pytest
from PIL import Image

import lt_export
from lt_export import EdgeModelError, ExportError
from lt_export.cli import main

FILES = [
    "app.js",
    "camera.js",
    "classes.js",
    "classifier.js",
    "formats.js",
    "index.html",
    "model.json",
    "model.onnx",
    "onnxruntime-web/LICENSE.txt",
    "onnxruntime-web/ort-wasm-simd-threaded.wasm",
    "onnxruntime-web/ort.wasm.bundle.min.mjs",
    "pixels.js",
    "preprocess.js",
    "probes.js",
    "scores.js",
    "style.css",
    "worker.js",
]


def below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_site_is_the_model_the_page_and_the_runtime_with_its_licence(make_model, archive, tmp_path):
    model = make_model()
    site = lt_export.write_site(model, tmp_path / "site", title="<Cats> & dogs", onnxruntime_web=archive)
    assert site.folder == tmp_path / "site"
    assert sorted(site.files) == below(site.folder) == FILES
    assert site.bytes == sum((site.folder / name).stat().st_size for name in FILES)
    assert (site.folder / "model.onnx").read_bytes() == model.read_bytes()
    assert "<title>&lt;Cats&gt; &amp; dogs</title>" in (site.folder / "index.html").read_text()
    assert "Microsoft Corporation" in (site.folder / "onnxruntime-web/LICENSE.txt").read_text()


def test_the_runtime_comes_from_npm_when_none_is_given(make_model, archive, tmp_path):
    by_npm = lt_export.write_site(make_model(), tmp_path / "npm")
    given = lt_export.write_site(make_model(), tmp_path / "given", onnxruntime_web=archive)
    digests = [
        {name: hashlib.sha256((site.folder / name).read_bytes()).digest() for name in site.files}
        for site in (by_npm, given)
    ]
    assert digests[0] == digests[1]


def test_without_npm_the_message_says_how_to_go_on(make_model, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExportError, match=r"npm, which is not on the PATH.*npm pack onnxruntime-web@.*onnxruntime_web"):
        lt_export.write_site(make_model(), tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_what_npm_says_reaches_the_user(make_model, archive, tmp_path, monkeypatch):
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "empty"))
    with pytest.raises(ExportError, match=r"npm pack onnxruntime-web@\S+` failed: .*ENOTCACHED"):
        lt_export.write_site(make_model(), tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_an_unpacked_package_gives_the_same_runtime(make_model, package, tmp_path):
    site = lt_export.write_site(make_model(), tmp_path / "site", onnxruntime_web=package)
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
        assert (site.folder / "onnxruntime-web" / name).read_bytes() == (package / "dist" / name).read_bytes()


def test_an_archive_with_another_content_is_refused(make_model, archive, tmp_path):
    content = bytearray(archive.read_bytes())
    content[-1] ^= 1
    (tmp_path / "changed.tgz").write_bytes(content)
    with pytest.raises(ExportError, match=r"changed\.tgz: is not onnxruntime-web .*expected sha512-"):
        lt_export.write_site(make_model(), tmp_path / "site", onnxruntime_web=tmp_path / "changed.tgz")
    assert not (tmp_path / "site").exists()


def test_a_folder_of_another_version_or_package_is_refused(make_model, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    for content, reason in (
        (None, r"package\.json: No such file"),
        ("{}", "does not name a package"),
        ("[]", "does not name a package"),
        ('{"name": "onnxruntime-web", "version": "1.0.0"}', "is onnxruntime-web 1.0.0, expected onnxruntime-web"),
    ):
        if content is not None:
            (package / "package.json").write_text(content)
        with pytest.raises(ExportError, match=reason):
            lt_export.write_site(make_model(), tmp_path / "site", onnxruntime_web=package)


def test_a_site_is_written_over_a_site_and_over_nothing_else(make_model, package, tmp_path):
    out = tmp_path / "site"
    out.mkdir()
    first = lt_export.write_site(make_model(), out, title="first", onnxruntime_web=package)
    second = lt_export.write_site(make_model(task="multilabel"), out, title="second", onnxruntime_web=package)
    assert (first.replaced, second.replaced) == (False, True)
    assert "second" in (out / "index.html").read_text()
    assert json.loads((out / "model.json").read_text())["task"] == "multilabel"

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/index.html").write_text("mine")
    (tmp_path / "mine/model.json").write_text('{"format": "mine"}')
    for place, reason in (("mine", "holds files"), ("mine/index.html", "is a file"), ("no/where", "no such folder")):
        with pytest.raises(ExportError, match=reason):
            lt_export.write_site(make_model(), tmp_path / place, onnxruntime_web=package)
    assert below(tmp_path / "mine") == ["index.html", "model.json"]


def test_a_place_that_cannot_be_written_to_is_refused_before_the_runtime_is_fetched(
    make_model, tmp_path, sealed_folder
):
    with pytest.raises(ExportError, match=f"{sealed_folder}: cannot be written to"):
        lt_export.write_site(make_model(), f"{sealed_folder}/site", onnxruntime_web=tmp_path / "missing.tgz")


def test_a_file_that_is_no_model_of_ours_is_refused(tmp_path):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    (tmp_path / "x.onnx").write_bytes(stream.getvalue())
    with pytest.raises(EdgeModelError, match=r"x\.onnx"):
        lt_export.write_site(tmp_path / "x.onnx", tmp_path / "site")


def test_a_model_of_channels_that_no_browser_gives_is_refused(make_model, tmp_path):
    model = make_model(num_channels=5, mean=(0.5,) * 5, std=(0.5,) * 5)
    with pytest.raises(EdgeModelError, match="5 channels; a browser gives 1"):
        lt_export.write_site(model, tmp_path / "site")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"title": " "}, "title must be text"),
        ({"title": 5}, "title must be text"),
        ({"out": None}, "out must be a path"),
        ({"onnxruntime_web": 5}, "onnxruntime_web must be a path"),
    ],
)
def test_wrong_arguments_are_refused_before_npm_is_asked(make_model, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExportError, match=message):
        lt_export.write_site(**{"model": make_model(), "out": tmp_path / "site", **arguments})
    assert not (tmp_path / "site").exists()


def test_the_command_writes_the_same_site_and_says_how_to_open_it(make_model, archive, tmp_path, capsys):
    model = make_model()
    arguments = ["--title", "mine", "--onnxruntime-web", str(archive)]
    for done in ("wrote", "replaced"):
        assert main(["web", str(model), "--out", str(tmp_path / "my site"), *arguments]) == 0
        first, server, address = capsys.readouterr().out.splitlines()
        assert first.startswith(f"{done} {tmp_path / 'my site'} (")
        words = ["python", "-m", "http.server", "8000", "--bind", "127.0.0.1", "--directory", str(tmp_path / "my site")]
        assert shlex.split(server.removeprefix("to try it: ")) == words
        assert address == "and open http://127.0.0.1:8000"
    assert below(tmp_path / "my site") == FILES
    assert "<title>mine</title>" in (tmp_path / "my site" / "index.html").read_text()
