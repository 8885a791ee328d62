from __future__ import annotations

import contextlib
import hashlib
import http.server
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import attrs
import pytest

from lt_models import WeightsError
from lt_models.weights import download as download_module
from lt_models.weights.cache import cache_folder
from lt_models.weights.fetch import fetch, is_cached
from lt_models.weights.lock import exclusive
from lt_models.weights.published import Published, published_on_hub

CONTENT = bytes(range(256)) * 12000  # 3 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@attrs.define
class Page:
    """What the server gives at one path."""

    content: bytes = CONTENT
    etag: str | None = '"1"'
    ranges: bool = True
    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict)
    break_after: list[int] = attrs.field(factory=list)
    """Bytes that each further request gets before the connection is cut; later ones get all."""
    pause_s: float = 0.0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        page = server.pages.get(self.path)
        if page is None:
            return self.send_error(404)
        if page.status != 200:
            self.send_response(page.status)
            for name, value in {"Content-Length": "0", **page.headers}.items():
                self.send_header(name, value)
            return self.end_headers()
        start = self._start(page)
        body = page.content[start:]
        self.send_response(206 if start else 200)
        headers = {"Content-Length": str(len(body)), **page.headers}
        if page.etag:
            headers["ETag"] = page.etag
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(page.content) - 1}/{len(page.content)}"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        time.sleep(page.pause_s)
        cut = page.break_after.pop(0) if page.break_after else len(body)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[:cut])
            server.sent += min(cut, len(body))
        if cut < len(body):
            self.close_connection = True
        return None

    def _start(self, page: Page) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, page.etag)
        return int(found[1]) if found and page.ranges and same else 0

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "LIGHTLY_TRAIN_OFFLINE", "HF_TOKEN", "HF_ENDPOINT", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("LIGHTLY_TRAIN_MODEL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(download_module, "PAUSES_S", (0.01, 0.01))
    return tmp_path / "cache"


def at(*urls: str, sha256: str | None = SHA256, name: str = "net.pth") -> Published:
    return Published(name, urls, sha256, "Apache-2.0", model="dinov2/vits14")


def left_behind(cache: Path) -> list[str]:
    """What is in the cache folder beside the empty lock files."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def test_a_file_is_fetched_whole_and_then_comes_from_the_cache_without_a_request(server, cache, caplog):
    server.pages["/net.pth"] = Page()
    published = at(f"{server.url}/net.pth")
    assert not is_cached(published)
    with caplog.at_level(logging.INFO, "lt_models"):
        path = fetch(published)
    assert path == cache / "net.pth"
    assert path.read_bytes() == CONTENT
    assert left_behind(cache) == ["net.pth"]
    assert is_cached(published)
    assert fetch(published) == path
    assert len(server.requests) == 1
    for told in ("dinov2/vits14", f"{server.url}/net.pth", SHA256[:8], "Apache-2.0"):
        assert told in caplog.text


@pytest.mark.parametrize("sha256", [SHA256, SHA256[:8], None])
def test_a_prefix_of_the_checksum_is_enough_and_none_is_allowed(server, sha256):
    server.pages["/net.pth"] = Page()
    assert fetch(at(f"{server.url}/net.pth", sha256=sha256)).read_bytes() == CONTENT


def test_a_file_with_another_checksum_is_refused_and_nothing_is_left_behind(server, cache):
    server.pages["/net.pth"] = Page(content=b"<html>please log in</html>")
    with pytest.raises(WeightsError, match="another file") as caught:
        fetch(at(f"{server.url}/net.pth"))
    assert SHA256 in str(caught.value)
    assert left_behind(cache) == []


def test_a_wrong_file_in_the_cache_folder_is_refused_and_kept(cache):
    cache.mkdir()
    (cache / "net.pth").write_bytes(b"put here by hand")
    with pytest.raises(WeightsError, match="not the published file") as caught:
        fetch(at("http://127.0.0.1:1/net.pth"))
    assert caught.value.path == cache / "net.pth"
    assert (cache / "net.pth").read_bytes() == b"put here by hand"


def test_a_file_put_into_the_cache_folder_by_hand_needs_no_address(cache):
    cache.mkdir()
    (cache / "net.pth").write_bytes(CONTENT)
    assert fetch(at()) == cache / "net.pth"


def test_a_broken_connection_is_resumed_and_no_byte_is_sent_twice(server):
    server.pages["/net.pth"] = Page(break_after=[1_000_000, 1_500_000])
    assert fetch(at(f"{server.url}/net.pth")).read_bytes() == CONTENT
    assert [headers.get("Range") for _, headers in server.requests] == [None, "bytes=1000000-", "bytes=2500000-"]
    assert server.sent == len(CONTENT)


def test_what_an_earlier_run_fetched_is_gone_on_from(server, cache):
    server.pages["/net.pth"] = Page(break_after=[600_000, 100_000, 100_000])
    with pytest.raises(WeightsError, match=r"0\.8 MB are kept"):
        fetch(at(f"{server.url}/net.pth"))
    assert ".net.pth.part" in left_behind(cache)
    assert fetch(at(f"{server.url}/net.pth")).read_bytes() == CONTENT
    assert server.sent == len(CONTENT)
    assert left_behind(cache) == ["net.pth"]


def test_a_server_that_cannot_resume_sends_the_file_again(server):
    server.pages["/net.pth"] = Page(ranges=False, break_after=[1_000_000])
    assert fetch(at(f"{server.url}/net.pth")).read_bytes() == CONTENT
    assert server.sent == len(CONTENT) + 1_000_000


def test_without_a_validator_nothing_is_resumed(server):
    server.pages["/net.pth"] = Page(etag=None, break_after=[1_000_000])
    assert fetch(at(f"{server.url}/net.pth")).read_bytes() == CONTENT
    assert [headers.get("Range") for _, headers in server.requests] == [None, None]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(server, cache):
    server.pages["/net.pth"] = Page(content=b"x" * 3_000_000, etag='"old"', break_after=[1_000_000, 0, 0, 0])
    with pytest.raises(WeightsError):
        fetch(at(f"{server.url}/net.pth"))
    server.pages["/net.pth"] = Page(etag='"new"')
    assert fetch(at(f"{server.url}/net.pth")).read_bytes() == CONTENT
    assert server.requests[-1][1]["If-Range"] == '"old"'
    assert left_behind(cache) == ["net.pth"]


def test_a_file_that_changed_under_the_same_tag_is_found_by_its_checksum_and_fetched_anew(server):
    server.pages["/net.pth"] = Page(content=b"x" * 3_000_000, break_after=[1_000_000, 0, 0, 0])
    with pytest.raises(WeightsError):
        fetch(at(f"{server.url}/net.pth"))
    server.pages["/net.pth"] = Page()
    assert fetch(at(f"{server.url}/net.pth")).read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server, cache):
    server.pages["/net.pth"] = Page(break_after=[1_000_000, 0, 0, 0])
    with pytest.raises(WeightsError):
        fetch(at(f"{server.url}/net.pth"))
    server.pages["/net.pth"] = Page(status=416)
    with pytest.raises(WeightsError, match="416"):
        fetch(at(f"{server.url}/net.pth"))
    assert left_behind(cache) == []


PROGRAM = """
    import sys
    from lt_models.weights.fetch import fetch
    from lt_models.weights.published import Published
    print(fetch(Published("net.pth", (sys.argv[1],), None, "Apache-2.0")))
"""


def start(program: str, *arguments: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_processes_that_start_at_once_fetch_the_file_once(server, cache):
    server.pages["/net.pth"] = Page(pause_s=0.5)
    processes = [start(PROGRAM, f"{server.url}/net.pth") for _ in range(3)]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [out.strip() for out, _ in answers] == [str(cache / "net.pth")] * 3, answers
    assert len(server.requests) == 1
    assert (cache / "net.pth").read_bytes() == CONTENT


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_the_lock_of_a_killed_process_holds_up_nobody(server, cache):
    cache.mkdir()
    holder = start(
        """
        import sys, time
        from pathlib import Path
        from lt_models.weights.lock import exclusive
        with exclusive(Path(sys.argv[1])):
            print("held", flush=True)
            time.sleep(600)
        """,
        str(cache / ".net.pth.lock"),
    )
    assert holder.stdout.readline() == "held\n"
    server.pages["/net.pth"] = Page()
    found = []
    waiting = threading.Thread(target=lambda: found.append(fetch(at(f"{server.url}/net.pth"))))
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()
    assert server.requests == []
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    waiting.join(30)
    assert found == [cache / "net.pth"]


def test_a_file_system_without_locks_is_told_of_and_the_file_comes_all_the_same(server, cache, monkeypatch, caplog):
    def unsupported(_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("lt_models.weights.lock._try_lock", unsupported)
    server.pages["/net.pth"] = Page()
    assert fetch(at(f"{server.url}/net.pth")).read_bytes() == CONTENT
    assert "no locks" in caplog.text
    assert left_behind(cache) == ["net.pth"]


def test_the_lock_is_free_again_after_the_block(tmp_path):
    for _ in range(2):
        with exclusive(tmp_path / "x.lock") as locked:
            assert locked


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_names_file_addresses_reasons_place_and_the_way_without_weights(server, cache, status):
    server.pages["/gone.pth"] = Page(status=status)
    urls = (f"{server.url}/gone.pth", "http://127.0.0.1:1/net.pth")
    with pytest.raises(WeightsError) as caught:
        fetch(at(*urls))
    message = str(caught.value)
    for told in ("net.pth", *urls, f"HTTP {status}", "refused", str(cache / "net.pth"), "dinov2/vits14-notpretrained"):
        assert told in message
    assert len(server.requests) == 1
    assert caught.value.path == cache / "net.pth"


def test_the_second_address_is_tried_when_the_first_fails(server):
    server.pages["/net.pth"] = Page()
    assert fetch(at(f"{server.url}/none.pth", f"{server.url}/net.pth")).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again_but_not_for_ever(server):
    server.pages["/net.pth"] = Page(status=503)
    with pytest.raises(WeightsError, match="503"):
        fetch(at(f"{server.url}/net.pth"))
    assert len(server.requests) == 1 + len(download_module.PAUSES_S)


def test_a_server_that_says_nothing_is_given_up(server, monkeypatch):
    monkeypatch.setattr(download_module, "READ_TIMEOUT_S", 0.2)
    server.pages["/net.pth"] = Page(pause_s=5)
    started = time.monotonic()
    with pytest.raises(WeightsError, match="timed out"):
        fetch(at(f"{server.url}/net.pth"))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/net.pth", "data:,x"])
def test_redirects_go_to_http_and_https_only(server, cache, target):
    server.pages["/net.pth"] = Page(status=302, headers={"Location": target})
    with pytest.raises(WeightsError, match="not http or https"):
        fetch(at(f"{server.url}/net.pth"))
    assert left_behind(cache) == []


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/net.pth", "/etc/hostname", "http://"])
def test_addresses_are_http_and_https_only(url):
    with pytest.raises(WeightsError, match="only http and https"):
        fetch(at(url))


def test_redirects_are_followed_and_a_circle_is_not(server):
    server.pages["/net.pth"] = Page(status=307, headers={"Location": "/here.pth"})
    server.pages["/here.pth"] = Page()
    assert fetch(at(f"{server.url}/net.pth")).read_bytes() == CONTENT
    server.pages["/circle"] = Page(status=302, headers={"Location": "/circle"})
    with pytest.raises(WeightsError, match="redirect"):
        fetch(at(f"{server.url}/circle", name="other.pth"))


@pytest.mark.parametrize("variable", ["LIGHTLY_TRAIN_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_no_request_is_made_and_the_error_says_where_to_put_the_file(server, cache, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    server.pages["/net.pth"] = Page()
    with pytest.raises(WeightsError, match=variable) as caught:
        fetch(at(f"{server.url}/net.pth"))
    assert str(cache / "net.pth") in str(caught.value)
    assert server.requests == []
    assert not cache.exists()


def test_a_cached_file_serves_offline(cache, monkeypatch):
    monkeypatch.setenv("LIGHTLY_TRAIN_OFFLINE", "1")
    cache.mkdir()
    (cache / "net.pth").write_bytes(CONTENT)
    assert fetch(at("http://127.0.0.1:1/net.pth")) == cache / "net.pth"


def test_the_default_folder_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("LIGHTLY_TRAIN_MODEL_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "lightly-train" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "lightly-train" / "models"
    monkeypatch.setenv("LIGHTLY_TRAIN_MODEL_CACHE_DIR", "~/weights")
    assert cache_folder() == tmp_path / "weights"


@pytest.mark.parametrize("name", ["../net.pth", "a/b.pth", "..", "", "/etc/passwd", "a\\b.pth", "C:net.pth", "a\0b"])
def test_file_names_never_leave_the_cache_folder(name):
    with pytest.raises(ValueError, match="plain name"):
        at("http://127.0.0.1:1/net.pth", name=name)


def test_a_file_that_no_disk_holds_is_refused_before_it_comes(server, cache):
    server.pages["/net.pth"] = Page(headers={"Content-Length": str(10**18)})
    with pytest.raises(WeightsError, match="needs 1000000000000.0 MB"):
        fetch(at(f"{server.url}/net.pth"))
    assert left_behind(cache) == []


@pytest.mark.skipif(sys.platform == "win32", reason="limits are set by POSIX's resource module")
def test_a_disk_that_fills_up_on_the_way_leaves_nothing_behind(server, cache):
    server.pages["/net.pth"] = Page()
    # The system refuses the write that crosses the limit, as it does on a full disk, only with another number.
    limited = start(
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        + textwrap.dedent(PROGRAM),
        f"{server.url}/net.pth",
    )
    _, problems = limited.communicate(timeout=60)
    assert "WeightsError" in problems
    assert "cannot be written" in problems
    assert left_behind(cache) == []


def test_a_cache_folder_that_cannot_be_made_is_an_error_that_names_it(monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("LIGHTLY_TRAIN_MODEL_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(WeightsError, match="cannot be written"):
        fetch(at("http://127.0.0.1:1/net.pth"))


@pytest.fixture
def hub(server, monkeypatch):
    """A hub: the address of a file redirects to where it is stored, and tells its SHA-256."""
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    location = {"Location": f"http://localhost:{server.server_port}/storage?signature=secret"}
    address = "/timm/net.a1_in1k/resolve/main/model.safetensors"
    server.pages[address] = Page(status=302, headers={**location, "X-Linked-ETag": f'"{SHA256}"'})
    server.pages["/storage?signature=secret"] = Page()
    return server


def test_a_file_of_the_hub_is_verified_by_the_checksum_that_the_hub_tells(hub, cache):
    published = published_on_hub("timm/net.a1_in1k", licence="apache-2.0")
    assert fetch(published) == cache / "timm--net.a1_in1k.safetensors"
    (cache / "timm--net.a1_in1k.safetensors").unlink()
    hub.pages["/storage?signature=secret"] = Page(content=b"damaged")
    with pytest.raises(WeightsError, match=SHA256):
        fetch(published)


def test_the_hubs_token_goes_to_the_hub_and_nowhere_else(hub, monkeypatch, caplog):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with caplog.at_level(logging.DEBUG):
        fetch(published_on_hub("timm/net.a1_in1k"))
    (_, to_hub), (_, to_storage) = hub.requests
    assert to_hub["Authorization"] == "Bearer hf_secret"
    assert "Authorization" not in to_storage
    assert "secret" not in caplog.text
    hub.pages["/net.pth"] = Page()
    monkeypatch.delenv("HF_ENDPOINT")
    fetch(at(f"{hub.url}/net.pth"))
    assert "Authorization" not in hub.requests[-1][1]


def test_the_token_follows_where_the_hub_has_moved_a_repository(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    address = "/timm/net.a1_in1k/resolve/main/model.safetensors"
    hub.pages["/old/net/resolve/main/model.safetensors"] = Page(status=307, headers={"Location": address})
    fetch(published_on_hub("old/net"))
    assert [headers.get("Authorization") for _, headers in hub.requests] == ["Bearer hf_secret"] * 2 + [None]


def test_a_gated_file_of_the_hub_says_what_to_accept_and_what_to_set(hub):
    hub.pages["/timm/net.a1_in1k/resolve/main/model.safetensors"] = Page(status=401)
    with pytest.raises(WeightsError) as caught:
        fetch(published_on_hub("timm/net.a1_in1k"))
    assert f"{hub.url}/timm/net.a1_in1k and set HF_TOKEN" in str(caught.value)


def test_a_download_that_was_broken_off_at_the_hub_is_resumed_at_its_storage(hub):
    hub.pages["/storage?signature=secret"] = Page(break_after=[2_000_000])
    assert fetch(published_on_hub("timm/net.a1_in1k")).read_bytes() == CONTENT
    assert hub.sent == len(CONTENT)


def test_large_files_tell_in_the_log_how_far_they_are(server, monkeypatch, caplog):
    monkeypatch.setattr(download_module, "LOG_EVERY_S", 0.0)
    server.pages["/net.pth"] = Page()
    with caplog.at_level(logging.INFO, "lt_models"):
        fetch(at(f"{server.url}/net.pth"))
    assert re.search(r"net\.pth: \d\.\d MB of 3\.1 MB", caplog.text)


def test_a_proxy_of_the_environment_is_used(server, monkeypatch):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", server.url)
    server.pages["http://weights.invalid/net.pth"] = Page()
    assert fetch(at("http://weights.invalid/net.pth")).read_bytes() == CONTENT


def test_a_host_that_does_not_exist_is_told_at_once():
    started = time.monotonic()
    with pytest.raises(WeightsError, match=r"weights\.invalid cannot be reached"):
        fetch(at("https://weights.invalid/net.pth"))
    assert time.monotonic() - started < 10
