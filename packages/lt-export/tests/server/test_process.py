"""The server as a process: limits under load, clients that are slow or leave, and how it stops."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import httpx
import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


def answer_to(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of the next answer."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.read()


def refuses(url: str) -> bool:
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname, address.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_more_requests_than_may_wait_are_turned_away_until_one_is_done(serve, png):
    with serve("--max-concurrent", 1, "--max-waiting", 1) as served:
        with served.begin(png, sent=10) as first, served.begin(png, sent=10) as second:
            served.wait_for_work(2)
            refused = served.predict(png)
            assert refused.status_code == 503
            assert refused.headers["Retry-After"] == "1"
            assert served.client.get("/health").status_code == 200
            for connection in (first, second):
                connection.sendall(png[10:])
                assert answer_to(connection)[0] == 200
        assert served.predict(png).status_code == 200
        assert served.samples()[("lt_export_requests_total", "/predict", "503")] == 1


def test_clients_that_leave_give_back_their_place(serve, png):
    with serve("--max-concurrent", 1, "--max-waiting", 1) as served:
        for sent in (0, 10, len(png)) * 10:
            with served.begin(png, sent=sent):
                pass
            served.wait_for_work(0)
        assert served.predict(png).status_code == 200
        assert "Traceback" not in served.log.read_text()


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(serve, png):
    with serve("--max-bytes", 1000) as served, served.begin(bytes(1001), sent=0) as connection:
        status, body = answer_to(connection)
        assert (status, b"larger than 1000 bytes" in body) == (413, True)


@pytest.mark.parametrize("form", [False, True])
def test_a_body_of_unknown_length_is_refused_as_soon_as_it_is_too_large(serve, form):
    kind = "multipart/form-data; boundary=x" if form else "image/png"
    start = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' if form else b""
    with serve("--max-bytes", 1000) as served, served.connect() as connection:
        lines = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(lines.encode())
        for part in (start, bytes(600), bytes(600)):
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if part else b"")
        assert answer_to(connection)[0] == 413  # the last chunk never comes


def test_a_client_that_sends_far_too_much_still_sees_why_it_was_refused(serve):
    with serve("--max-bytes", 1000) as served:
        sent = (bytes(2**16) for _ in range(300))
        assert served.client.post("/predict", content=bytes(20_000_000)).status_code == 413
        assert served.client.post("/predict", content=sent).status_code == 413


def test_a_slow_body_is_given_up(serve, png):
    with serve("--body-seconds", 0.5) as served, served.begin(png, sent=10) as connection:
        began = time.monotonic()
        status, body = answer_to(connection)
        assert (status, b"within 0.5 seconds" in body) == (408, True)
        assert time.monotonic() - began < 5
        served.wait_for_work(0)


def test_a_slow_head_is_given_up_even_if_it_trickles(serve):
    with serve("--head-seconds", 0.5) as served:
        for first in (b"", b"GET / HTTP/1.1\r\nX: "):
            with served.connect() as connection:
                began = time.monotonic()
                connection.sendall(first)
                connection.settimeout(0.1)
                while time.monotonic() - began < 15:
                    try:
                        if first:
                            connection.sendall(b"x")
                        if not connection.recv(1):
                            break
                    except TimeoutError:
                        continue
                    except ConnectionError:
                        break
                assert 0.3 < time.monotonic() - began < 10
        assert served.client.get("/health").status_code == 200


def test_a_rest_of_a_refused_body_that_never_ends_is_given_up(serve):
    with serve("--max-bytes", 1000, "--head-seconds", 0.5) as served, served.begin(bytes(10**9), sent=0) as connection:
        assert answer_to(connection)[0] == 413
        with pytest.raises(ConnectionError):
            send_slowly(connection, seconds=15)
        assert served.client.get("/health").status_code == 200


def test_a_connection_serves_one_request_after_another(serve, png):
    with serve("--head-seconds", 1) as served, served.connect() as connection:
        for _ in range(3):
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(png) + png)
            assert answer_to(connection)[0] == 200
            time.sleep(0.5)


def test_answers_do_not_wait_for_the_client_to_acknowledge_their_head(served):
    times = []
    for _ in range(60):  # Linux delays acknowledgements, by 40 ms, only once a connection is not new any more
        began = time.perf_counter()
        assert served.client.get("/health").status_code == 200
        times.append(time.perf_counter() - began)
    assert min(times[30:]) < 0.03


@pytest.mark.parametrize(
    "garbage",
    [b"\0\1\2\3" * 100 + b"\r\n\r\n", b"GET / SMTP\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 40_000],
)
def test_garbage_and_heads_that_are_too_large_are_refused(served, garbage):
    with served.connect() as connection:
        connection.sendall(garbage)
        assert answer_to(connection)[0] == 400
    assert served.client.get("/health").status_code == 200


def test_only_this_machine_is_served_unless_more_is_asked_for(serve, served):
    assert served.url.startswith("http://127.0.0.1:")
    port = urlsplit(served.url).port
    with pytest.raises(OSError):  # noqa: PT011  # refused, or no such address on systems other than Linux
        socket.create_connection(("127.0.0.2", port), timeout=5)
    with serve("--host", "0.0.0.0") as everywhere:
        assert everywhere.url.startswith("http://0.0.0.0:")
        assert not refuses(f"http://127.0.0.1:{urlsplit(everywhere.url).port}")


def test_a_port_that_is_taken_is_one_line(served, model):
    program = [sys.executable, "-m", "lt_export.cli", "serve", model, "--port", str(urlsplit(served.url).port)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot listen on 127.0.0.1 port ")
    assert "0 takes a free one" in done.stderr
    assert done.stderr.count("\n") == 1


def test_requests_are_logged_when_asked_for(serve):
    with serve("--access-log") as served:
        served.client.get("/health")
        assert '"GET /health HTTP/1.1" 200' in served.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopping_server_takes_no_connection_and_finishes_what_is_in_work(serve, png, number):
    with serve() as served, served.begin(png, sent=10) as connection:
        served.wait_for_work(1)
        served.process.send_signal(number)
        wait_until_refused(served.url)
        connection.sendall(png[10:])
        status, body = answer_to(connection)
        assert (status, b'"names":["red"]' in body) == (200, True)
        assert served.process.wait(10) == 0
        assert served.log.read_text() == ""


def test_an_idle_server_stops_at_once(serve, png):
    with serve() as served:
        assert served.predict(png).status_code == 200  # the client keeps its connection
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(10) == 0
        assert time.monotonic() - began < 5


def test_requests_that_take_longer_than_stop_seconds_are_told_and_counted(serve, png):
    with serve("--stop-seconds", 1) as served, served.begin(png, sent=10) as connection:
        served.wait_for_work(1)
        served.process.send_signal(signal.SIGTERM)
        status, body = answer_to(connection)
        assert (status, b"stopping" in body) == (503, True)
        assert served.process.wait(10) == 1
        assert "Traceback" not in served.log.read_text()
        assert "error: requests cut off: 1" in served.log.read_text()


def test_a_second_signal_stops_at_once(serve, png):
    with serve("--stop-seconds", 100) as served, served.begin(png, sent=10):
        served.wait_for_work(1)
        served.process.send_signal(signal.SIGTERM)
        wait_until_refused(served.url)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(10) == 1


def test_a_wrong_model_is_one_line(tmp_path):
    program = [sys.executable, "-m", "lt_export.cli", "serve", str(tmp_path / "nothing.onnx")]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nothing.onnx" in done.stderr


def test_a_wrong_origin_is_one_line(model):
    program = [sys.executable, "-m", "lt_export.cli", "serve", str(model), "--cors-origin", "https://shop.example/page"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "cors_origins must be origins without a path" in done.stderr


def send_slowly(connection: socket.socket, *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection.sendall(bytes(1000))
        time.sleep(0.01)


def wait_until_refused(url: str) -> None:
    end = time.monotonic() + 10
    while not refuses(url):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_client_library_needs_nothing_special(serve, png):
    with serve() as served:
        answer = httpx.post(f"{served.url}/predict", files={"image": png}, trust_env=False)
        assert answer.json()["names"] == ["red"]
