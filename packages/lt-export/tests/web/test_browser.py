"""The page in headless Chromium: scores are those of Python, and the page does what it says."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

import lt_export
from lt_data import Calibration

ALL = {"topk": 4}
"""All classes of the model."""


def colors(mode="RGB", height=61, width=90, seed=0):
    """Smooth colours with edges, so that JPEG keeps most of them, and every part of the image differs."""
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    bands = [np.sin(rows * (3 + k) + columns * (7 - 2 * k) + seed) for k in range(4)]
    values = (np.stack(bands, axis=2) * 100 + 128).astype(np.uint8)
    values[height // 3 : height // 2, width // 5 : width // 2] ^= 255
    return Image.fromarray(values).convert(mode) if mode != "RGBA" else Image.fromarray(values)


def save(folder: Path, name: str, image: Image.Image, **options) -> Path:
    image.save(folder / name, **options)
    return folder / name


def python_scores(classifier, file: Path) -> dict[str, float]:
    result = classifier.predict(file, **ALL)
    return {str(i): float(score) for i, score in zip(result["labels"], result["scores"], strict=True)}


def assert_same(found: dict[str, float], expected: dict[str, float], tolerance: float) -> None:
    assert next(iter(found)) == next(iter(expected))
    assert found == pytest.approx(expected, abs=tolerance)


def lossless_files(folder: Path) -> list[Path]:
    """Of every kind that browsers and lt-data read."""
    gamma = PngImagePlugin.PngInfo()
    gamma.add(b"gAMA", (100000).to_bytes(4, "big"))
    palette = colors().quantize(64)
    one_bit = colors("L").convert("1")
    return [
        save(folder, "rgb.png", colors()),
        save(folder, "transparent.png", colors("RGBA")),
        save(folder, "grey.png", colors("L")),
        save(folder, "grey and alpha.png", colors("RGBA").convert("LA")),
        save(folder, "palette.png", palette),
        save(folder, "palette with a transparent colour.png", palette, transparency=3),
        save(folder, "one bit.png", one_bit),
        save(folder, "gamma.png", colors(), pnginfo=gamma),
        save(folder, "tall.png", colors(height=300, width=9)),
        save(folder, "tiny.png", colors(height=1, width=1)),
        save(folder, "lossless.webp", colors(), lossless=True),
        save(folder, "lossless and transparent.webp", colors("RGBA"), lossless=True, exact=True),
        save(folder, "colours.bmp", colors()),
        save(folder, "palette.bmp", palette),
    ]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lossless_files_have_the_scores_of_python(open_model, tmp_path, channels):
    visit, classifier = open_model(num_channels=channels)
    for file in lossless_files(tmp_path):
        assert_same(visit.classify(file), python_scores(classifier, file), 1e-5)


@pytest.mark.parametrize("mode", ["crop", "letterbox", "squash"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_every_kind_of_preprocessing_has_the_scores_of_python(open_model, tmp_path, mode, interpolation):
    visit, classifier = open_model(resize_mode=mode, interpolation=interpolation)
    file = save(tmp_path, "image.png", colors(height=120, width=50))
    assert_same(visit.classify(file), python_scores(classifier, file), 1e-5)


def test_a_colour_profile_is_ignored_as_in_python(open_model, tmp_path):
    visit, classifier = open_model()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    # Green and red change places, so that a browser that follows the profile is far off.
    content = bytearray(profile.tobytes())
    red, green = content.find(b"rXYZ"), content.find(b"gXYZ")
    content[red : red + 4], content[green : green + 4] = b"gXYZ", b"rXYZ"
    file = save(tmp_path, "profile.png", colors(), icc_profile=bytes(content))
    assert_same(visit.classify(file), python_scores(classifier, file), 1e-5)


def test_lossy_files_have_the_label_and_nearly_the_scores_of_python(open_model, tmp_path):
    visit, classifier = open_model()
    files = [
        save(tmp_path, "a.jpg", colors(height=240, width=320), quality=95),
        save(tmp_path, "b.jpg", colors(seed=2), quality=75),
        save(tmp_path, "progressive.jpg", colors(seed=3), progressive=True),
        save(tmp_path, "grey.jpg", colors("L")),
        save(tmp_path, "c.webp", colors(seed=1)),
    ]
    for file in files:
        assert_same(visit.classify(file), python_scores(classifier, file), 5e-3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(open_model, tmp_path, orientation):
    visit, classifier = open_model()
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = save(tmp_path, "photo.jpg", colors(seed=4), exif=exif, quality=95)
    assert_same(visit.classify(file), python_scores(classifier, file), 5e-3)


def test_an_image_larger_than_a_phone_allows_a_canvas_to_be_is_read_in_parts(open_model, tmp_path):
    for channels in (3, 4):
        # Of the whole image, so that its last rows count too.
        visit, classifier = open_model(num_channels=channels, resize_mode="squash")
        file = save(tmp_path, "large.png", colors("RGBA", height=3300, width=2200), compress_level=1)
        assert_same(visit.classify(file), python_scores(classifier, file), 1e-5)


@pytest.mark.parametrize("batch", ["N", 1, 3])
@pytest.mark.parametrize("raw", [False, True])
def test_models_of_a_fixed_batch_and_models_that_preprocess_run_too(open_model, tmp_path, batch, raw):
    visit, classifier = open_model(batch=batch, raw=raw)
    file = save(tmp_path, "image.png", colors())
    assert_same(visit.classify(file), python_scores(classifier, file), 1e-5)


def test_multilabel_models_show_every_class_above_the_threshold(open_model, tmp_path):
    visit, classifier = open_model(task="multilabel")
    file = save(tmp_path, "image.png", colors())
    scores = sorted(classifier.scores([file])[0].tolist(), reverse=True)
    visit.classify(file)
    assert not visit.page.is_visible("#topk")
    for threshold in ("0.5", "0.01", "0.99"):
        visit.page.fill("#threshold", threshold)
        found = list(visit.classify(file).values())
        assert found == pytest.approx([score for score in scores if score > float(threshold)], abs=1e-5)
        assert visit.page.is_visible("#none") == (not found)
    assert not visit.page.is_visible("#fitted")


def test_a_calibrated_model_takes_its_own_thresholds_when_asked(open_model, tmp_path):
    visit, classifier = open_model(task="multilabel", calibration=Calibration(thresholds=(0.01, 0.01, 0.01, 0.99)))
    file = save(tmp_path, "image.png", colors())
    at_half = visit.classify(file)
    visit.page.check("#fitted")
    own = visit.classify(file)
    expected = classifier.predict(file, threshold="auto")
    assert [int(label) for label in own] == expected["labels"].tolist()
    assert own != at_half
    assert visit.page.is_disabled("#threshold")
    visit.page.uncheck("#fitted")
    assert visit.classify(file) == at_half


def test_what_one_model_was_asked_is_not_asked_of_the_next(open_model, tmp_path):
    visit, _ = open_model(task="multilabel", calibration=Calibration(thresholds=(0.01, 0.01, 0.01, 0.99)))
    file = save(tmp_path, "image.png", colors())
    at_half = visit.classify(file)
    visit.page.check("#fitted")
    visit.page.goto("about:blank")
    visit.page.go_back()
    visit.page.wait_for_selector("#controls:not([disabled])")
    assert not visit.page.is_checked("#fitted")
    assert visit.page.is_enabled("#threshold")
    assert visit.classify(file) == at_half


def test_as_many_classes_are_shown_as_asked_for_and_names_are_text(open_model, tmp_path):
    visit, _ = open_model()
    assert len(visit.classify(save(tmp_path, "image.png", colors()))) == 4
    assert any(request.endswith("/model.onnx") for request in visit.requests), "requests of the worker are seen too"
    names = visit.page.locator("#labels .name").all_inner_texts()
    assert sorted(names) == sorted(["<b>cat</b>", "dog & wolf", "ship", "Mühle"])
    for number, count in (("2", 2), ("1", 1), ("", 1), ("9", 4)):
        visit.page.fill("#topk", number)
        assert len(visit.labels()) == count
    assert visit.page.inner_text("h1") == visit.page.title() == "Cats & <dogs>"


@pytest.mark.parametrize("raw", [False, True])
def test_the_self_test_passes(open_model, raw):
    visit, _ = open_model(raw=raw)
    visit.page.click("summary")
    visit.page.click("#selftest")
    visit.page.wait_for_selector("#verdict[data-passed=true]")
    assert "3 images" in visit.page.inner_text("#verdict")


def test_the_self_test_fails_when_scores_are_not_those_of_the_exporting_machine(open_model, visit, serve, tmp_path):
    open_model()
    path = tmp_path / "site/model.json"
    document = json.loads(path.read_text())
    document["reference_scores"][1][0] += 2e-4
    path.write_text(json.dumps(document))
    changed = visit(serve(tmp_path / "site"))
    changed.page.click("summary")
    changed.page.click("#selftest")
    changed.page.wait_for_selector("#verdict[data-passed=false]")
    assert "FAILED: 3 images, largest score difference 2.0e-4" in changed.page.inner_text("#verdict")


def test_the_camera_is_classified_until_it_is_stopped(open_model):
    visit, _ = open_model()
    visit.page.click("#camera")
    visit.page.wait_for_selector("#labels li")
    assert sum(visit.labels().values()) == pytest.approx(1, abs=1e-4)
    # Another frame is classified without anybody asking.
    visit.page.evaluate("document.querySelector('#labels').replaceChildren()")
    visit.page.wait_for_selector("#labels li")
    assert visit.page.is_visible("#video")
    visit.page.click("#camera")
    visit.wait_for_status("The camera is off.")
    assert visit.page.evaluate("document.querySelector('#video').srcObject") is None
    assert not visit.page.is_visible("#video")


DROP = """([kind, name, bytes]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(bytes)], name));
    const options = {bubbles: true, cancelable: true};
    const event = kind === "drop"
        ? new DragEvent("drop", {...options, dataTransfer: transfer})
        : new ClipboardEvent("paste", {...options, clipboardData: transfer});
    document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_images_can_be_dropped_and_pasted(open_model, tmp_path, kind):
    visit, classifier = open_model()
    file = save(tmp_path, "image.png", colors())
    visit.page.evaluate(DROP, [kind, file.name, list(file.read_bytes())])
    visit.page.wait_for_selector("#labels li")
    assert_same(visit.labels(), python_scores(classifier, file), 1e-5)


def test_a_file_that_is_refused_leaves_no_earlier_result_on_the_page(open_model, tmp_path):
    visit, _ = open_model()
    visit.classify(save(tmp_path, "image.png", colors()))
    assert visit.page.is_visible("#result")
    visit.classify(save(tmp_path, "image.tif", colors()))
    assert "image.tif: The file is TIFF." in visit.status
    assert not visit.page.is_visible("#result")
    assert not visit.page.is_visible("#preview")
    stream = io.BytesIO()
    colors().save(stream, "PNG")
    damaged = bytearray(stream.getvalue())
    damaged[60:200] = bytes(140)
    visit.classify({"name": "damaged.png", "mimeType": "image/png", "buffer": bytes(damaged)})
    assert "may be damaged" in visit.status


def test_threads_are_used_where_the_server_allows_them(open_model, tmp_path):
    visit, classifier = open_model(isolated=True)
    threads = min(4, visit.page.evaluate("navigator.hardwareConcurrency"))
    visit.page.click("summary")
    assert f", {threads} thread" in visit.page.inner_text("#facts")
    file = save(tmp_path, "image.png", colors())
    assert_same(visit.classify(file), python_scores(classifier, file), 1e-5)


def test_loading_is_told_step_by_step(make_model, package, serve, chromium, tmp_path):
    lt_export.write_site(make_model(), tmp_path / "site", onnxruntime_web=package)
    page = chromium.new_page()
    page.add_init_script("""
        window.told = [];
        new MutationObserver(() => {
          const [status, bar] = ["status", "loading"].map((id) => document.getElementById(id));
          if (status) window.told.push([status.textContent, bar.hidden, bar.max, bar.value]);
        }).observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
    """)
    page.goto(serve(tmp_path / "site"))
    page.locator("#status", has_text="Ready.").wait_for()
    told = page.evaluate("window.told")
    page.close()
    runtime = (package / "dist" / "ort-wasm-simd-threaded.wasm").stat().st_size
    words = list(dict.fromkeys(text.partition(":")[0] for text, *_ in told))
    assert words == [
        "Loading …",
        "Loading the runtime",
        "Loading the model",
        "Loading is done, the model starts …",
        "Ready.",
    ]
    assert max(value for text, _, most, value in told if most == runtime) == runtime
    assert [hidden for text, hidden, *_ in told if text == "Ready."][-1]
    assert not any(hidden for text, hidden, *_ in told if text.startswith("Loading the"))


def test_classes_are_listed_and_found_by_a_part_of_their_name_or_by_their_id(open_model):
    opened, _ = open_model()
    opened.page.click("summary")
    listed = opened.page.locator("#classes li").all_inner_texts
    assert listed() == ["10 <b>cat</b>", "20 dog & wolf", "30 ship", f"{-(2**63)} Mühle"]
    assert opened.page.inner_text("#found") == "4 of 4"
    for typed, expected in (("MÜH", [f"{-(2**63)} Mühle"]), ("20", ["20 dog & wolf"]), ("bird", [])):
        opened.page.fill("#find", typed)
        assert listed() == expected
        assert opened.page.inner_text("#found") == f"{len(expected)} of 4"


def test_of_a_thousand_classes_some_are_shown_and_all_can_be_found(open_model):
    opened, _ = open_model()
    opened.page.click("summary")
    opened.page.evaluate("""async () => {
        const { showClasses } = await import("./classes.js");
        const many = Array.from({ length: 1000 }, (_, i) => ({ id: String(i), name: `class ${i}` }));
        const [field, list, count] = ["find", "classes", "found"].map((id) => document.getElementById(id));
        showClasses(many, { field, list, count });
    }""")
    assert opened.page.locator("#classes li").count() == 200
    assert opened.page.inner_text("#found").startswith("1000 of 1000, the first 200 are shown; type")
    box = opened.page.eval_on_selector("#classes", "list => [list.clientHeight, list.scrollHeight]")
    assert box[0] < 300 < box[1]
    opened.page.fill("#find", "class 99")
    assert opened.page.inner_text("#found") == "11 of 1000"


def test_a_model_that_is_not_the_described_one_is_refused(open_model, make_model, visit, serve, tmp_path):
    open_model()
    other = make_model(image_size=(32, 32), name="other")
    (tmp_path / "site/model.onnx").write_bytes(other.read_bytes())
    changed = visit(serve(tmp_path / "site"))
    changed.page.wait_for_selector("#status.error")
    assert "not the model that model.json describes" in changed.status
    assert changed.page.is_disabled("#camera")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_can_be_used_with_the_keyboard(open_model, tmp_path, scheme):
    phone = {"viewport": {"width": 360, "height": 740}, "color_scheme": scheme}
    visit, _ = open_model(context=phone)
    visit.classify(save(tmp_path, "image.png", colors(height=400, width=1600)))
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 360
    visit.page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(5):
        visit.page.keyboard.press("Tab")
        reached.append(visit.page.evaluate("document.activeElement.id || document.activeElement.localName"))
    assert reached[:4] == ["file", "camera", "topk", "summary"]
