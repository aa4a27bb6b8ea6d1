"A small client of Chromium's DevTools, so that tests see a page as a reader's browser does."
import base64, json, shutil, subprocess, tempfile, time, urllib.request
from pathlib import Path
import websocket

def find_browser():
    "A Chromium on this machine, or None."
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None)

QUIET = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-extensions", "--disable-default-apps", "--metrics-recording-only", "--mute-audio", "--hide-scrollbars", "--remote-debugging-port=0", "--remote-allow-origins=*"]

class Browser:
    "One tab; every event it reports is kept in `events`."
    def __init__(self, width=1280, height=900):
        self.folder, self.events, self.last = tempfile.TemporaryDirectory(ignore_cleanup_errors=True), [], 0
        port = Path(self.folder.name)/"DevToolsActivePort"
        self.process = subprocess.Popen([find_browser(), *QUIET, f"--user-data-dir={self.folder.name}", f"--window-size={width},{height}", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.time() + 60
        while not (port.exists() and port.read_text().count("\n")):
            if time.time() > until or self.process.poll() is not None: raise RuntimeError("the browser did not start")
            time.sleep(0.05)
        tabs = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port.read_text().splitlines()[0]}/json/list"))
        self.socket = websocket.create_connection(next(t["webSocketDebuggerUrl"] for t in tabs if t["type"] == "page"), timeout=60)
        for domain in ("Page", "Runtime", "Network", "Log"): self.call(f"{domain}.enable")
    def __enter__(self): return self
    def __exit__(self, *_):
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)
        self.folder.cleanup()
    def _next(self):
        message = json.loads(self.socket.recv())
        if "method" in message: self.events.append(message)
        return message
    def call(self, method, **params):
        "Ask the browser for something and wait for its answer."
        self.last += 1
        self.socket.send(json.dumps(dict(id=self.last, method=method, params=params)))
        while (answer := self._next()).get("id") != self.last: pass
        if "error" in answer: raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]
    def open(self, url):
        "Load a page; the events since then are those of this page."
        self.events = []
        if error := self.call("Page.navigate", url=url).get("errorText"): raise RuntimeError(f"{url}: {error}")
        while not any(e["method"] == "Page.loadEventFired" for e in self.events): self._next()
    def js(self, expression):
        "The value of an expression on the page; a promise is waited for."
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done: raise RuntimeError(f"{expression[:80]}: {done['exceptionDetails'].get('exception', {}).get('description')}")
        return done["result"].get("value")
    def size(self, width, height, phone=False): self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
    def media(self, kind="", dark=False): self.call("Emulation.setEmulatedMedia", media=kind, features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
    def shot(self, path, whole=False):
        "A picture of what is seen, or of the whole page."
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))
    def requests(self): return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
    def complaints(self):
        "What the console would show in red, and what failed to load."
        for e in self.events:
            p = e["params"]
            if e["method"] == "Runtime.exceptionThrown": yield p["exceptionDetails"].get("exception", {}).get("description") or p["exceptionDetails"]["text"]
            if e["method"] == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"): yield " ".join(str(a.get("value", a.get("description"))) for a in p["args"])
            if e["method"] == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"): yield f"{p['entry']['text']} {p['entry'].get('url', '')}"
            if e["method"] == "Network.loadingFailed" and not p.get("canceled"): yield f"not loaded: {p['errorText']}"
