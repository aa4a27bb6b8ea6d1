"Downloads against a local server that can break off, lie and vanish."
import hashlib, socket, threading, zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import pytest
from p5_nb.data import download
from p5_nb.data.download import FILES, OWNERS, digest, fetch, unpack

CONTENT = bytes(range(256)) * 2000
SHA = hashlib.sha256(CONTENT).hexdigest()

@pytest.fixture
def server():
    "A server; set .cut to break off after so many bytes, .ranges to ignore ranges; .asked holds the Range of each request."
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args): pass
        def do_GET(self):
            asked = self.headers.get("Range")
            s.asked.append(asked)
            if self.path == "/gone": return self.send_error(404)
            start = int(asked[6:-1]) if asked and s.ranges else 0
            if start >= len(s.content):
                self.send_response(416); self.send_header("Content-Range", f"bytes */{len(s.content)}"); self.send_header("Content-Length", "0"); return self.end_headers()
            self.send_response(206 if start else 200); self.send_header("Content-Length", str(len(s.content) - start)); self.end_headers()
            self.wfile.write(s.content[start:s.cut])
    s = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    s.cut, s.ranges, s.asked, s.content, s.url = None, True, [], CONTENT, f"http://127.0.0.1:{s.server_port}/"
    thread = threading.Thread(target=s.serve_forever); thread.start()
    yield s
    s.shutdown(); s.server_close(); thread.join()

def names(folder): return sorted(p.name for p in folder.iterdir())

def test_whole_file_then_cache(server, tmp_path):
    path = fetch(server.url + "a.bin", tmp_path/"deep/a.bin", SHA)
    assert path.read_bytes() == CONTENT and names(path.parent) == ["a.bin"]
    assert fetch(server.url + "a.bin", path, SHA) == path and len(server.asked) == 1

@pytest.mark.parametrize("cut", [1, 100_000, len(CONTENT) - 1])
def test_resume_after_a_cut(server, tmp_path, cut):
    server.cut = cut
    with pytest.raises(ConnectionError, match=rf"the line broke after {cut:,} bytes.*{cut:,} bytes are kept in a.bin.part: call again.*put it at .*a.bin"): fetch(server.url + "a.bin", tmp_path/"a.bin", SHA)
    assert names(tmp_path) == ["a.bin.part"]
    server.cut = None
    assert fetch(server.url + "a.bin", tmp_path/"a.bin", SHA).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={cut}-"] and names(tmp_path) == ["a.bin"]

def test_many_cuts(server, tmp_path):
    for server.cut in (10, 5000, 5000, 200_000):
        with pytest.raises(ConnectionError): fetch(server.url + "a.bin", tmp_path/"a.bin", SHA)
    server.cut = None
    assert fetch(server.url + "a.bin", tmp_path/"a.bin", SHA).read_bytes() == CONTENT

def test_server_without_ranges_starts_anew(server, tmp_path):
    (tmp_path/"a.bin.part").write_bytes(b"old rest"); server.ranges = False
    assert fetch(server.url + "a.bin", tmp_path/"a.bin", SHA).read_bytes() == CONTENT

def test_part_that_is_whole_already(server, tmp_path):
    (tmp_path/"a.bin.part").write_bytes(CONTENT)
    assert fetch(server.url + "a.bin", tmp_path/"a.bin", SHA).read_bytes() == CONTENT

def test_part_longer_than_the_file_starts_anew(server, tmp_path):
    (tmp_path/"a.bin.part").write_bytes(CONTENT + b"more")
    assert fetch(server.url + "a.bin", tmp_path/"a.bin", SHA).read_bytes() == CONTENT and server.asked == [f"bytes={len(CONTENT) + 4}-", None]

def test_wrong_hash_leaves_nothing(server, tmp_path):
    with pytest.raises(ValueError, match=f"SHA-256 {SHA}, {'0'*64} was expected.*removed"): fetch(server.url + "a.bin", tmp_path/"a.bin", "0"*64)
    assert names(tmp_path) == []

def test_part_of_another_version_is_found_out(server, tmp_path):
    (tmp_path/"a.bin.part").write_bytes(b"x"*1000)
    with pytest.raises(ValueError, match="was expected"): fetch(server.url + "a.bin", tmp_path/"a.bin", SHA)
    assert fetch(server.url + "a.bin", tmp_path/"a.bin", SHA).read_bytes() == CONTENT

def test_other_file_in_the_place_is_not_overwritten(server, tmp_path):
    (tmp_path/"a.bin").write_bytes(b"mine")
    with pytest.raises(ValueError, match="move it away"): fetch(server.url + "a.bin", tmp_path/"a.bin", SHA)
    assert (tmp_path/"a.bin").read_bytes() == b"mine" and not server.asked

def test_moved_file(server, tmp_path):
    with pytest.raises(ConnectionError, match="the server answers 404.*put it at"): fetch(server.url + "gone", tmp_path/"a.bin")

def test_no_network(tmp_path):
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]      # nobody listens there any more
    with pytest.raises(ConnectionError) as e: fetch(f"http://127.0.0.1:{port}/a.bin", tmp_path/"a.bin")
    for part in (f"http://127.0.0.1:{port}/a.bin", "could not be fetched", "get a.bin another way", f"put it at {tmp_path/'a.bin'}"): assert part in str(e.value)
    assert "\n" not in str(e.value) and names(tmp_path) == []

def test_known_name_terms_once_and_place(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("P5NB_DATA", str(tmp_path)); monkeypatch.setattr(download, "_told", set())
    monkeypatch.setitem(FILES, "set/a.bin", ("yelp", server.url + "a.bin", SHA)); monkeypatch.setitem(FILES, "set/b.bin", ("yelp", server.url + "b.bin", SHA))
    assert fetch("set/a.bin") == tmp_path/"set/a.bin" and fetch("set/b.bin").read_bytes() == CONTENT
    out = capsys.readouterr().out
    assert out.count(OWNERS["yelp"]["terms"]) == 1 and out.count(OWNERS["yelp"]["citation"]) == 1
    fetch("set/a.bin"); assert len(server.asked) == 2

def test_archive_is_unpacked_as_a_folder(server, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path/"x.zip", "w") as z: z.writestr("ml/u.data", "1\t2\t3\t4\n"); z.writestr("ml/", "")
    server.content = (tmp_path/"x.zip").read_bytes()
    monkeypatch.setenv("P5NB_DATA", str(tmp_path/"d")); monkeypatch.setitem(FILES, "ml-100k", ("grouplens", server.url + "ml.zip", None))
    assert names(fetch("ml-100k")) == ["u.data"] and names(tmp_path/"d") == ["ml-100k"]
    fetch("ml-100k"); assert len(server.asked) == 1

def test_broken_archive_leaves_no_folder(tmp_path):
    (tmp_path/"x.zip").write_bytes(b"no zip")
    with pytest.raises(zipfile.BadZipFile): unpack(tmp_path/"x.zip", tmp_path/"out")
    assert names(tmp_path) == ["x.zip"]

def test_archive_cannot_write_outside(tmp_path):
    with zipfile.ZipFile(tmp_path/"x.zip", "w") as z: z.writestr("../../evil.txt", "x")
    unpack(tmp_path/"x.zip", tmp_path/"a/b") if (tmp_path/"a").mkdir() is None else None
    assert names(tmp_path/"a/b") == ["evil.txt"] and not (tmp_path.parent/"evil.txt").exists()

@pytest.mark.parametrize("name", ["beauty.txt", "file:///etc/passwd", "ftp://x/y"])
def test_unknown_names_and_other_schemes_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="is no file we know"): fetch(name, tmp_path/"x")

def test_address_needs_a_place():
    with pytest.raises(ValueError, match="dest="): fetch("http://127.0.0.1:1/x")

def test_owner_without_address_says_where_to_go(tmp_path, monkeypatch):
    monkeypatch.setenv("P5NB_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"https://www.yelp.com/dataset.*put it at .*yelp_academic_dataset_review.json"): fetch("yelp/yelp_academic_dataset_review.json")

def test_digest_of_known_texts(tmp_path):
    (tmp_path/"a").write_bytes(b"abc")
    assert digest(tmp_path/"a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
