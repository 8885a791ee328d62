"""What clients get: answers, refusals, pages, the description of both, and metrics."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import http.server
import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import attrs
import httpx
import jsonschema
import numpy as np
import pytest
from mean_colour import with_thresholds
from openapi_spec_validator import validate
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

import lt_export
from lt_data import Classes
from lt_export import EdgeClassifier
from lt_export.metadata import to_metadata
from lt_export.server import ServerConfig, create_app

UNREADABLE = "lt_export_unreadable_images_total"
COLORS = {"red": (200, 10, 30), "green": (10, 200, 30), "blue": (10, 30, 200)}


def encoded(kind: str, color: tuple[int, int, int] = (200, 90, 30)) -> bytes:
    rng = np.random.default_rng(0)
    pixels = np.clip(np.array(color) + rng.integers(-9, 9, (31, 45, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    if kind == "16 bits":
        Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(buffer, "PNG")
    elif kind == "DICOM":
        dicom(pixels[:, :, 0]).save_as(buffer, enforce_file_format=True)
    else:
        Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def dicom(pixels: np.ndarray) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Rows, data.Columns, data.SamplesPerPixel = *pixels.shape, 1
    data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    return data


def expected(classifier: EdgeClassifier, content: bytes, **arguments: float | str) -> dict[str, list[object]]:
    found = classifier.predict(content, **arguments)
    labels = found["labels"].tolist()
    return {
        "labels": labels,
        "names": [classifier.classes[label] for label in labels],
        "scores": found["scores"].tolist(),
    }


def fits(document: dict, schema: dict, value: object) -> None:
    """`value` is what a schema of the document says."""
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM", "16 bits", "DICOM"])
def test_answers_are_those_of_predict_to_the_last_digit(served, classifier, kind):
    content = encoded(kind)
    answer = served.predict(content, topk=3)
    assert answer.status_code == 200
    assert answer.json() == expected(classifier, content, topk=3)


@pytest.mark.parametrize("kind", ["image/png", "image/anything", "application/octet-stream", "Application/DICOM", None])
def test_content_types_are_taken_and_content_decides(served, classifier, kind):
    content = encoded("JPEG")
    answer = served.client.post("/predict", content=content, headers={"Content-Type": kind} if kind else {})
    assert answer.json() == expected(classifier, content)


def test_a_form_with_one_file_gives_one_answer_and_several_give_a_list(served, classifier):
    files = [("image", (f"{name}.png", encoded("PNG", color))) for name, color in COLORS.items()]
    one = served.client.post("/predict", files=files[:1])
    assert one.json() == expected(classifier, files[0][1][1])
    several = served.client.post("/predict", files=files, params={"topk": 2})
    assert several.json() == [expected(classifier, content, topk=2) for _, (_, content) in files]
    assert [answer["names"][0] for answer in several.json()] == list(COLORS)


def test_a_multilabel_model_takes_a_threshold(serve, onnx_writer, tmp_path, classifier):
    model = onnx_writer(tmp_path / "multilabel.onnx", task="multilabel")
    multilabel = lt_export.load(model)
    with serve(model=model) as served:
        for threshold in (0.51, 0.8, 0.99):
            answer = served.predict(encoded("PNG"), threshold=threshold)
            assert answer.json() == expected(multilabel, encoded("PNG"), threshold=threshold)


def test_a_calibrated_model_takes_its_own_thresholds_and_says_so(serve, onnx_writer, tmp_path, classifier):
    metadata = to_metadata(with_thresholds(0.999, 0.4, 0.6))
    model = onnx_writer(tmp_path / "multilabel.onnx", task="multilabel", metadata=metadata)
    with serve(model=model) as served:
        document = served.client.get("/openapi.json").json()
        answer = served.predict(encoded("PNG"), threshold="auto")
        page = html.unescape(served.client.get("/docs").text)
    validate(document)
    _, threshold = document["paths"]["/predict"]["post"]["parameters"]
    fits(document, threshold["schema"], "auto")
    assert threshold["schema"]["oneOf"][1]["type"] == "string"
    assert '<tr><th>threshold</th><td>number above 0 and below 1 or "auto", 0.5 if not given</td><td>A multi' in page
    assert '; "auto" takes the threshold that the model has for each class.' in page
    assert answer.json() == expected(lt_export.load(model), encoded("PNG"), threshold="auto")
    assert answer.json() != expected(lt_export.load(model), encoded("PNG"))


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("topk=0", "topk must be an integer from 1 to 3"),
        ("topk=4", "topk must be an integer from 1 to 3"),
        ("topk=1.5", "topk must be a number"),
        ("topk=" + 5000 * "1", "topk must be a number"),
        ("topk=1&topk=2", "topk is given twice"),
        ("threshold=nan", "threshold must be above 0"),
        ("threshold=x", 'threshold must be a number or "auto"'),
        ("top_k=1", "unknown parameter 'top_k'; there are topk and threshold"),
    ],
)
def test_a_wrong_parameter_is_named(served, png, query, reason):
    answer = served.client.post(f"/predict?{query}", content=png)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


def test_a_wrong_form_is_refused_with_what_is_wrong(served, png):
    post = served.client.post
    unknown = post("/predict", files={"file": ("a.png", png)})
    assert (unknown.status_code, unknown.json()["error"]) == (
        400,
        "the form has the unknown field 'file'; files are expected in `image`",
    )
    many = post("/predict", files=[("image", ("a.png", png))] * 17)
    assert (many.status_code, "16" in many.json()["error"]) == (400, True)
    empty = post("/predict", content=b"--x--\r\n", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (empty.status_code, empty.json()["error"][:8]) == (400, "the form")
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        damaged = post("/predict", content=b"nothing of the kind", headers={"Content-Type": kind})
        assert (damaged.status_code, damaged.json()["error"][:13]) == (400, "the form cann")


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/x-www-form-urlencoded", "image"])
def test_other_content_types_are_refused(served, png, kind):
    answer = served.client.post("/predict", content=png, headers={"Content-Type": kind})
    assert answer.status_code == 415
    told = answer.json()["error"]
    assert told.startswith("Content-Type must be image/*, application/octet-stream")
    assert f"got '{kind}'; with curl: --data-binary @photo.jpg -H 'Content-Type: image/jpeg'" in told


def test_what_is_no_image_is_refused_with_the_reason_and_without_a_path(served, png):
    for content, reason in ((b"", "is empty"), (b"%PDF-1.4", "is none of the image formats"), (png[:60], "")):
        answer = served.predict(content)
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("this image: ")
        assert reason in answer.json()["error"]
        assert "/" not in answer.json()["error"]
    alone = served.client.post("/predict", files={"image": ("b.png", b"no image")})
    assert (alone.status_code, alone.json()["error"][:12]) == (422, "this image: ")


def test_of_several_files_a_broken_one_has_its_error_in_its_place_and_the_others_are_classified(served, classifier):
    good = [encoded("PNG", COLORS[name]) for name in ("red", "blue")]
    before = served.samples()
    contents = [good[0], b"no image", good[1], good[0][:80]]
    answer = served.client.post("/predict", files=[("image", (f"{i}.png", one)) for i, one in enumerate(contents)])
    assert answer.status_code == 200
    first, none, second, cut = answer.json()
    assert [first, second] == [expected(classifier, content) for content in good]
    assert none == {"error": "this image: is none of the image formats JPEG, PNG, PPM, BMP, TIFF, WEBP, DICOM"}
    assert list(cut) == ["error"]
    nothing = served.client.post("/predict", files=[("image", ("a.png", b"no")), ("image", ("b.png", b"image"))])
    assert (nothing.status_code, [list(one) for one in nothing.json()]) == (200, [["error"], ["error"]])
    after = served.samples()
    counts = {key: after[(key,)] - before[(key,)] for key in ("lt_export_images_total", UNREADABLE)}
    assert counts == {"lt_export_images_total": 2, UNREADABLE: 4}


def test_an_image_with_more_pixels_than_may_be_is_refused_from_its_header(served):
    buffer = io.BytesIO()
    Image.new("1", (50_001, 1000)).save(buffer, "PNG")
    answer = served.predict(buffer.getvalue())
    assert (answer.status_code, answer.json()["error"]) == (
        422,
        "this image: 50001 x 1000 pixels are above 50000000",
    )


def test_urls_and_paths_are_never_followed(served, png, tmp_path):
    (tmp_path / "image.png").write_bytes(png)
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}/image.png"
        for text in (url, (tmp_path / "image.png").as_uri(), str(tmp_path / "image.png")):
            assert served.predict(text.encode()).status_code == 422
            form = served.client.post("/predict", data={"image": text}, files={"image": ("a.png", png)})
            assert form.status_code == 400
            assert "never followed" in form.json()["error"]
        other.shutdown()
    assert asked == []


def test_many_clients_at_once_get_their_own_answers(served, classifier):
    contents = [encoded("PNG", (60 + 3 * i, 255 - 3 * i, (40 * i) % 256)) for i in range(40)]
    wanted = [expected(classifier, content, topk=3) for content in contents]
    before = served.samples()[("lt_export_images_total",)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda content: served.predict(content, topk=3), contents * 5))
    assert [answer.status_code for answer in answers] == [200] * 200
    assert [answer.json() for answer in answers] == wanted * 5
    assert served.samples()[("lt_export_images_total",)] == before + 200


def test_other_answers_go_on_while_a_large_image_is_decoded(served):
    buffer = io.BytesIO()
    Image.new("RGB", (7000, 7000)).save(buffer, "PNG", compress_level=1)
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(served.predict, buffer.getvalue())
        answered = 0
        while not large.done():
            assert served.client.get("/health").status_code == 200
            answered += 1
    assert large.result().status_code == 200
    assert answered > 5


def test_the_openapi_document_is_valid_and_every_answer_is_as_it_says(served, png):
    document = served.client.get("/openapi.json").json()
    validate(document)
    post = document["paths"]["/predict"]["post"]["responses"]
    files = [("image", ("a.png", png))] * 2
    answers = [
        served.predict(png),
        served.client.post("/predict", files=files),
        served.client.post("/predict", files=[*files, ("image", ("b.png", b"no image"))]),
        served.predict(png, topk=0),
        served.predict(b""),
        served.client.post("/predict", content=png, headers={"Content-Type": "text/plain"}),
        served.client.post("/predict", content=bytes(2**25 + 1)),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 400, 422, 415, 413]
    for answer in answers:
        fits(document, post[str(answer.status_code)]["content"]["application/json"]["schema"], answer.json())
    with pytest.raises(jsonschema.ValidationError):
        fits(
            document, post["200"]["content"]["application/json"]["schema"], {"labels": [11], "names": [], "scores": []}
        )
    for path in ("/info", "/health", "/openapi.json"):
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        fits(document, schema, served.client.get(path).json())
    for path, operations in document["paths"].items():
        if "get" in operations:
            (kind,) = operations["get"]["responses"]["200"]["content"]
            assert served.client.get(path).headers["Content-Type"].startswith(kind)


def test_info_says_what_the_model_is(served, classifier):
    found = served.client.get("/info").json()
    assert found["classes"] == [{"id": label, "name": name} for label, name in classifier.classes.items()]
    assert found["preprocessing"]["image_size"] == [16, 24]
    assert found["device"] == classifier.device


def test_info_and_the_first_page_say_that_a_model_is_calibrated(serve, served, onnx_writer, tmp_path):
    described = with_thresholds(0.999, 0.4, 0.6)
    calibration = attrs.evolve(described.task.calibration, temperature=1.25)
    described = attrs.evolve(described, task=attrs.evolve(described.task, calibration=calibration))
    model = onnx_writer(tmp_path / "multilabel.onnx", task="multilabel", metadata=to_metadata(described))
    with serve(model=model) as calibrated:
        document, info = (calibrated.client.get(path).json() for path in ("/openapi.json", "/info"))
        page, docs = (calibrated.client.get(path).text for path in ("/", "/docs"))
        own = calibrated.client.post("/predict?threshold=auto", files={"image": ("a.png", encoded("PNG"))})
        half = calibrated.client.post("/predict", files={"image": ("a.png", encoded("PNG"))})
    named = [{"id": 10, "name": "red"}, {"id": 20, "name": "green"}, {"id": 30, "name": "blue"}]
    thresholds = [{**one, "threshold": value} for one, value in zip(named, (0.999, 0.4, 0.6), strict=True)]
    assert info["calibration"] == {"temperature": 1.25, "thresholds": thresholds}
    fits(document, {"$ref": "#/components/schemas/Info"}, info)
    assert "<tr><th>calibration.thresholds[].threshold</th><td>number above 0 and below 1</td>" in docs
    assert "<td>temperature 1.25; thresholds red 0.999, green 0.4, blue 0.6</td>" in page
    assert '<button formaction="predict?threshold=auto">' in page
    assert (own.status_code, half.status_code) == (200, 200)
    assert own.json() != half.json()
    assert served.client.get("/info").json()["calibration"] == {"temperature": 1.0, "thresholds": None}
    assert "threshold=auto" not in served.client.get("/").text


def test_unknown_paths_and_methods_are_json_too(served):
    for answer, status in ((served.client.get("/nothing"), 404), (served.client.get("/predict"), 405)):
        assert answer.status_code == status
        assert set(answer.json()) == {"error"}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_and_run_nothing(served, path):
    page = served.client.get(path)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "script" not in page.headers["Content-Security-Policy"]
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert not [what for what in ("http:", "https:", 'href="//', "<script", "<img", "<link") if what in page.text]


def test_the_form_of_the_page_is_one_that_the_server_takes(served, png):
    page = served.client.get("/").text
    assert '<form action="predict?topk=3" method="post" enctype="multipart/form-data">' in page
    assert '<input type="file" name="image" multiple required>' in page
    assert served.client.post("/predict?topk=3", files={"image": ("a.png", png)}).status_code == 200


def test_docs_names_every_route_and_answer(served):
    page, document = served.client.get("/docs").text, served.client.get("/openapi.json").json()
    assert all(f"<h2>{method.upper()} {path}</h2>" in page for path, one in document["paths"].items() for method in one)
    assert "The body is larger than 33554432 bytes." in page
    assert "<tr><th>topk</th><td>integer from 1 to 3, 1 if not given</td><td>Number of classes" in page
    assert "<tr><th>200</th><td>Prediction or list of (Prediction or Error)</td><td>Labels" in page
    assert "<tr><th>classes[].id</th><td>integer</td><td></td></tr>" in page
    assert "<tr><th>max_batch_size</th><td>integer or null</td><td></td></tr>" in page
    assert "<tr><th>calibration.thresholds</th><td>list of object or null</td><td>Of each class" in page
    assert "curl -F image=@photo.jpg HOST:PORT/predict" in page
    assert not re.search("[{}]", page.partition("</style>")[2]), "schemas are in words"


def test_pages_of_other_origins_cannot_read_answers_unless_they_are_named(serve, served, png):
    shop, other = "https://shop.example", "https://other.example"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    allowed = "Access-Control-Allow-Origin"
    assert allowed not in served.client.get("/info", headers={"Origin": shop}).headers
    assert served.client.options("/predict", headers={"Origin": shop, **asked}).status_code == 405
    with serve("--cors-origin", shop, "--cors-origin", "http://127.0.0.1:5173") as named:
        post = {"content": png, "headers": {"Content-Type": "image/png", "Origin": shop}}
        assert named.client.post("/predict", **post).headers[allowed] == shop
        preflight = named.client.options("/predict", headers={"Origin": shop, **asked})
        assert (preflight.status_code, preflight.headers[allowed]) == (200, shop)
        assert "Access-Control-Allow-Credentials" not in preflight.headers
        assert named.client.options("/predict", headers={"Origin": other, **asked}).status_code == 400
        assert allowed not in named.client.get("/info", headers={"Origin": other}).headers
    with serve("--cors-origin", "*") as public:
        assert public.client.get("/info", headers={"Origin": other}).headers[allowed] == "*"


def test_names_from_a_model_are_text_on_the_pages(serve, onnx_writer, classifier, tmp_path):
    names = ("<script>alert(1)</script>", '"><b>', "&")
    task = attrs.evolve(classifier.task, classes=Classes((1, 2, 3), names))
    metadata = to_metadata(attrs.evolve(classifier.description, task=task))
    with serve(model=onnx_writer(tmp_path / "hostile.onnx", metadata=metadata)) as served:
        for path in ("/", "/docs"):
            page = served.client.get(path).text
            assert "<script" not in page
            assert "<b>" not in page
            assert "&lt;script&gt;alert(1)" in page


def test_metrics_count_answers_by_route_and_status_in_few_series(served, png):
    before = served.samples()
    assert served.predict(png).status_code == 200
    assert served.predict(b"").status_code == 422
    for i in range(50):
        served.client.get(f"/{i}")
    after = served.samples()

    def grown(*key: str) -> float:
        return after[key] - before.get(key, 0.0)

    assert grown("lt_export_requests_total", "/predict", "200") == 1
    assert grown("lt_export_requests_total", "/predict", "422") == 1
    assert grown("lt_export_requests_total", "other", "404") == 50
    assert grown("lt_export_request_seconds_count", "/predict") == 2
    assert grown("lt_export_preprocess_seconds_count") == 1
    assert grown("lt_export_model_seconds_count") == 1
    assert 0 < grown("lt_export_model_seconds_sum") < 5
    assert after[("lt_export_requests_in_work",)] == 0
    assert not any("/17" in key for key in after)
    (model,) = [key for key in after if key[0] == "lt_export_model_info"]
    assert {"multiclass", "3", "fp32"} <= set(model)
    assert served.client.get("/metrics").headers["Content-Type"].startswith("text/plain; version=0.0.4")


def ask(
    classifier: EdgeClassifier,
    method: str,
    path: str,
    *,
    stopping: bool = False,
    config: ServerConfig | None = None,
    **request: object,
) -> httpx.Response:
    """One request to the application in this process."""
    app = create_app(classifier, config)
    app.state.service.stopping = stopping

    async def one() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.request(method, path, **request)

    answer = asyncio.run(one())
    app.state.service.work.close()
    return answer


def test_an_error_of_the_server_says_nothing_of_its_inside(classifier, png, monkeypatch):
    def fail(self: EdgeClassifier, prepared: object) -> None:
        raise RuntimeError("a secret at /home/somebody")

    monkeypatch.setattr(EdgeClassifier, "run", fail)
    answer = ask(classifier, "POST", "/predict", content=png)
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal error; the server's log says more"}


def test_pages_of_named_origins_may_read_that_the_server_failed(classifier, png, monkeypatch):
    monkeypatch.setattr(EdgeClassifier, "run", lambda self, prepared: 1 / 0)
    shop, allowed = "https://shop.example", "Access-Control-Allow-Origin"
    request = {"config": ServerConfig(cors_origins=(shop,)), "content": png}
    answer = ask(classifier, "POST", "/predict", headers={"Origin": shop}, **request)
    assert (answer.status_code, answer.headers[allowed]) == (500, shop)
    assert answer.json() == {"error": "internal error; the server's log says more"}
    assert (
        allowed
        not in ask(classifier, "POST", "/predict", headers={"Origin": "https://other.example"}, **request).headers
    )


def test_an_error_of_the_server_reaches_its_log_and_its_metrics(classifier, png, monkeypatch):
    monkeypatch.setattr(EdgeClassifier, "run", lambda self, prepared: 1 / 0)
    app = create_app(classifier, ServerConfig(cors_origins=("*",)))

    async def both() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            with pytest.raises(ZeroDivisionError):
                await client.post("/predict", content=png)
            return (await client.get("/metrics")).text

    assert 'lt_export_requests_total{route="/predict",status="500"} 1.0' in asyncio.run(both())
    app.state.service.work.close()


def test_a_stopping_server_is_not_healthy_and_takes_no_more_work(classifier, png):
    assert ask(classifier, "GET", "/health").json() == {"status": "ok"}
    health = ask(classifier, "GET", "/health", stopping=True)
    assert (health.status_code, health.json()) == (503, {"status": "stopping"})
    assert ask(classifier, "POST", "/predict", stopping=True, content=png).status_code == 503


@pytest.mark.parametrize(
    ("origin", "sent"),
    [
        ("HTTPS://shop.example", "https://shop.example"),
        ("https://Shop.Example", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://shop.example:080", "http://shop.example"),
        ("http://shop.example:08080", "http://shop.example:8080"),
        ("http://[0:0::1]:5173", "http://[::1]:5173"),
    ],
)
def test_an_origin_that_no_browser_sends_so_is_refused_with_the_form_that_matches(origin, sent):
    with pytest.raises(ValueError, match=re.escape(f"cors_origins has {origin!r}, which browsers send as {sent!r}")):
        ServerConfig(cors_origins=(origin,))
    assert ServerConfig(cors_origins=(sent,)).cors_origins == (sent,)


@pytest.mark.parametrize(
    "origin",
    [
        *("https://*.shop.example", "https://*", "https://shop.example\n", "https://sh\0op.example", "https://"),
        *("https://a b", "https://a:", "https://a:65536", "https://a:b", "https://straße.example", "https://a@b"),
        *("ftp://a", "null", "https://999.1.1.1", "https://127.1", "http://[::zz]", "http://[1:2]", "", "a,b"),
    ],
)
def test_what_is_no_origin_of_a_page_is_refused(origin):
    with pytest.raises(ValueError, match="cors_origins must be origins without a path"):
        ServerConfig(cors_origins=(origin,))


@pytest.mark.parametrize("origin", ["*", "http://localhost:5173", "https://1.2.3.4", "http://[::ffff:102:304]"])
def test_an_origin_as_browsers_send_it_is_taken(origin):
    assert ServerConfig(cors_origins=("https://a.b", origin)).cors_origins == ("https://a.b", origin)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_bytes": 0},
        {"max_concurrent": 0},
        {"max_waiting": -1},
        {"body_seconds": 0.0},
        {"max_images": 0},
        {"cors_origins": "https://a.b"},
        {"cors_origins": ("a.b",)},
        {"cors_origins": ("https://a.b/",)},
    ],
)
def test_impossible_limits_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ServerConfig(**wrong)
