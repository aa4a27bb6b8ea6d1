"""The site: built from what is stored with every warning an error, then read as files, then walked in a browser.

One build serves all tests. The browser sees each page as a reader does: on a desktop and on a phone, light and dark; what it
would show in red, what it would fetch from elsewhere, and what nobody could read for want of contrast are faults."""
import functools, http.server, json, re, shutil, threading
from pathlib import Path
import nbformat, pytest
from browser import Browser, find_browser
from p5_nb.docs import Site, build, inspect_site, site_path
from p5_nb.viz import INK, PALETTE, contrast

ROOT = Path(__file__).resolve().parent.parent
SHOTS = ROOT/"_site"/"shots"
WIDTHS = {"desktop": (1400, 900), "phone": (360, 740)}

@pytest.fixture(scope="module")
def site(tmp_path_factory):
    "Built with warnings as errors, away from the checkout's own copy."
    work = tmp_path_factory.mktemp("site")
    return build(work/"html", work/"work").parent

def test_every_notebook_text_and_module_has_a_page(site):
    want = {site_path(p.relative_to(ROOT).as_posix()) for p in [*Site().notebooks, *(ROOT/"docs").rglob("*.md")]} | {f"reference/{m.partition('.')[2]}" for m in Site().exported}
    assert want <= {p.relative_to(site).with_suffix("").as_posix() for p in site.rglob("*.html")}

def test_links_anchors_pictures_and_no_foreign_request(site):
    counts, faults = inspect_site(site)
    print(", ".join(f"{n} {what}" for what, n in counts.items()), f"failing: {len(faults)}")
    assert faults == [] and counts["pages"] > 60 and counts["images"] > 80

def test_a_picture_without_words_stops_the_build():
    site = Site()
    cell = nbformat.v4.new_code_cell('#| label: fig-x\n#| fig-cap: "A dot."\nplot()', outputs=[nbformat.v4.new_output("display_data", {"image/png": "AAAA"})])
    with pytest.raises(ValueError, match="a picture lacks fig-alt in the cell that begins 'plot"): site.figure(cell, "nbs/10_data/100_schema.ipynb")

def test_figures_and_equations_are_numbered_within_their_lesson(site):
    page = (site/"data"/"market.html").read_text(encoding="utf-8")
    assert "Fig. 110.1" in page and "(110.1)" in page
    assert 'class="reference internal" href="#pretrain-t5-eq-attention"' in (site/"pretrain"/"t5.html").read_text(encoding="utf-8").replace("#equation-", "#")

def test_reference_shows_signature_parameters_and_source(site):
    page = re.sub(r"<[^>]+>", "", (site/"reference"/"data.schema.html").read_text(encoding="utf-8"))
    for words in ("leave_one_out(inter, ties='file', seed=0)", "where it is made", "p5_nb/data/schema.py, line"): assert words in page

def test_results_hold_every_record_and_the_papers_rows(site):
    page = re.sub(r"<[^>]+>", "", (site/"results.html").read_text(encoding="utf-8"))
    records = [json.loads(p.read_text(encoding="utf-8")) for p in (ROOT/"data"/"results").glob("*.json")]
    for r in records:
        if r["task"] == "sequential": assert f"{r['metrics']['test']['hit@5']:.4f}" in page, r["run"]
    paper = json.loads((ROOT/"data"/"paper"/"sequential.json").read_text(encoding="utf-8"))
    ours = {r["dataset"] for r in records}
    for row in paper:
        if row["dataset"] in ours: assert f"{row['model']}{' (leaks)' if row['leaks'] else ''}\n" in page

def test_contrast_of_the_palette():
    "Shapes and the ink of figures on both grounds (3 is asked of graphics; the ink is a compromise between white and black)."
    for ground in ("#ffffff", "#131416"):
        assert contrast(INK, ground) >= 4
        print(ground, {c: round(contrast(c, ground), 1) for c in [INK, *PALETTE]})

# --- in the browser

READ = """(async () => {
  if (window.MathJax && MathJax.startup && MathJax.startup.promise) await MathJax.startup.promise;
  const faults = [], seen = e => e.offsetParent !== null && e.getClientRects().length;
  for (const i of document.images) { i.loading = 'eager'; if (!i.complete) await i.decode().catch(() => 0); if (!i.naturalWidth) faults.push('picture not shown: ' + i.src.slice(-60)); }
  const math = document.querySelectorAll('.math').length, set = document.querySelectorAll('mjx-container').length, wrong = document.querySelectorAll('mjx-merror, [data-mjx-error]').length;
  if (math > set || wrong) faults.push(`mathematics: ${set} of ${math} set, ${wrong} wrong`);
  return {faults, math: set, images: document.images.length, title: document.title};
})()"""

LOOK = """(() => {
  const faults = [], root = document.documentElement;
  for (const box of [root, ...document.querySelectorAll('.page, .main, .content')]) if (box.scrollWidth > box.clientWidth) {
    const clipped = e => { for (e = e.parentElement; e && !e.matches('.content'); e = e.parentElement) if (getComputedStyle(e).overflowX != 'visible') return true; };
    const wide = [...document.querySelectorAll('article *')].find(e => e.getBoundingClientRect().right > root.clientWidth + 1 && !clipped(e));
    faults.push(`${box.scrollWidth} wide on ${box.clientWidth}: ` + (wide ? wide.outerHTML.slice(0, 120) : box.className));
  }
  for (const i of document.querySelectorAll('figure img, [role=tabpanel] img')) if (i.clientWidth && i.clientWidth < Math.min(i.naturalWidth, 480) - 1) faults.push(`a picture ${i.clientWidth} wide, too small to read: ` + i.alt.slice(0, 40));
  for (const e of document.querySelectorAll('div.math .eqno')) if (e.getBoundingClientRect().left < e.parentElement.querySelector('mjx-container').getBoundingClientRect().right - 1) faults.push('a number lies on its equation: ' + e.innerText);
  const rgb = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
  const lum = c => c.slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const ground = e => { const layers = []; for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3]) layers.push(c); if (c[3] == 1) break; } return layers.reverse().reduce((b, a) => over(a, b), [255, 255, 255, 1]); };
  const bad = new Map(), walk = document.createTreeWalker(document.querySelector('.main') || document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || e.closest('svg, script, style, mjx-container, .visually-hidden, template') || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), key = style.color + e.className + e.parentElement.className;
    if (bad.has(key) || style.visibility == 'hidden' || +style.opacity == 0) continue;
    const b = ground(e), [hi, lo] = [lum(over(rgb(style.color), b)), lum(b)].sort((x, y) => y - x), ratio = (hi + .05) / (lo + .05);
    const large = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.66 && +style.fontWeight >= 700;
    bad.set(key, ratio < (large ? 3 : 4.5) ? `contrast ${ratio.toFixed(2)}: ${walk.currentNode.textContent.trim().slice(0, 40)}` : '');
  }
  return faults.concat([...bad.values()].filter(Boolean));
})()"""

@pytest.fixture(scope="module")
def served(site):
    "The site as a server on this machine would give it."
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_): pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()

@pytest.fixture(scope="module")
def browser():
    if not find_browser(): pytest.skip("no Chromium on this machine: the walk in a browser is left out")
    shutil.rmtree(SHOTS, ignore_errors=True)
    with Browser(*WIDTHS["desktop"]) as b: yield b

def faults_of(browser, home):
    "What the browser complained about since the page was opened, and what it asked others for."
    yield from (f"console: {c[:200]}" for c in browser.complaints())
    yield from (f"asked {url[:80]}" for url in browser.requests() if not url.startswith((home, "data:", "blob:", "about:")))

LOOKS = [(device, theme) for device in WIDTHS for theme in ("light", "dark")]
SHOWN = {"index", "learner", "results", "figures", "data/market", "pretrain/t5", "reference/data.schema", "glossary"}

def test_slides(browser, served, site):
    "Each deck: no complaint, nothing fetched from elsewhere, formulas set, every picture shown, no slide fuller than its frame, the last one reached by key."
    decks, faults, slides = sorted((site/"slides").glob("*.html")), [], 0
    for path in decks:
        browser.size(*WIDTHS["desktop"])
        browser.open(f"{served}slides/{path.name}")
        faults += [f"{path.stem}: {f}" for f in browser.js(READ)["faults"] + list(faults_of(browser, served))]
        total = browser.js("Reveal.getTotalSlides()")
        for n in range(total):
            full = browser.js(f"Reveal.slide({n}); Reveal.getCurrentSlide().scrollHeight")
            if full > 720: faults.append(f"{path.stem}: slide {n + 1} is {full} high, and 720 fit")
        browser.js("Reveal.slide(0)")
        for _ in range(total): browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
        assert browser.js("Reveal.isLastSlide()") and browser.js("document.querySelectorAll('aside.notes').length") > 0, path.stem
        browser.js("Reveal.slide(3)"); browser.shot(SHOTS/f"slides-{path.stem}.png")
        slides += total
    print(f"{len(decks)} decks, {slides} slides, failing: {len(faults)}", *faults, sep="\n")
    assert {"tour", "template", "audit"} <= {p.stem for p in decks} and faults == []

def test_walk(browser, served, site):
    "Every page: loaded without complaint, mathematics set, pictures shown; readable light and dark, on a desktop and on a phone."
    faults, counts = [], dict(pages=0, images=0, formulas=0, looks=0)
    for path in sorted(site.rglob("*.html")):
        name = path.relative_to(site).with_suffix("").as_posix()
        browser.size(*WIDTHS["desktop"])
        browser.open(f"{served}{name}.html")
        read = browser.js(READ)
        found = read["faults"] + list(faults_of(browser, served))
        counts["pages"] += 1; counts["images"] += read["images"]; counts["formulas"] += read["math"]
        for device, theme in LOOKS if name in SHOWN else [("desktop", "light"), ("phone", "dark")]:        # colours do not depend on width, nor width on colours
            browser.size(*WIDTHS[device], device == "phone")
            browser.js(f"document.body.dataset.theme = '{theme}'")
            found += [f"{device}, {theme}: {f}" for f in browser.js(LOOK)]
            counts["looks"] += 1
            if name in SHOWN: browser.shot(SHOTS/f"{name.replace('/', '-')}-{device}-{theme}.png")
        faults += [f"{name}: {f}" for f in found]
    print(", ".join(f"{n} {what}" for what, n in counts.items()), f"failing: {len(faults)}", *faults, sep="\n")
    assert faults == [] and counts["formulas"] > 20

def test_the_walk_sees_faults(browser, served):
    "Faint text, a thing too wide, a missing picture, a script in trouble and a foreign request are each found."
    browser.size(*WIDTHS["phone"], True)
    browser.open(f"{served}glossary.html")
    browser.js("""document.querySelector('article').insertAdjacentHTML('afterbegin', '<p style="color:#999;background:#fff">faint</p><div style="width:500px">wide</div><img src="no.png">');
        setTimeout(() => { throw Error('trouble') }); fetch('http://127.0.0.1:9/x').catch(() => 0); new Promise(r => setTimeout(r, 200))""")
    found = " ".join(browser.js(READ)["faults"] + browser.js(LOOK) + list(faults_of(browser, served)))
    for words in ("contrast 2.85: faint", "wide on 360", "picture not shown", "trouble", "asked http://127.0.0.1:9/x"): assert words in found

def search(browser, home, word):
    "Titles found for a word."
    browser.open(f"{home}search.html?q={word}")
    return browser.js("""(async () => { for (let i = 0; i < 100 && !/found|did not match/.test(document.querySelector('#search-results').innerText); i++) await new Promise(r => setTimeout(r, 50));
        return [...document.querySelectorAll('#search-results li a')].map(a => a.innerText) })()""")

def test_search_finds_trie(browser, served):
    found = search(browser, served, "trie")
    assert any("p5_nb.index.trie" in t for t in found) and len(found) > 3, found
    assert not list(faults_of(browser, served)) and search(browser, served, "xyzzy") == []

def test_from_a_folder_without_a_server(browser, site):
    "Opened as files: pages, mathematics and search work too."
    home = site.as_uri() + "/"
    browser.open(f"{home}data/market.html")
    assert browser.js(READ)["faults"] == [] and not list(faults_of(browser, home))
    assert any("trie" in t for t in search(browser, home, "trie")) and not list(faults_of(browser, home))

def test_keyboard(browser, served):
    "The first stop of the tab key leads past the navigation; what has the focus can be seen."
    browser.size(*WIDTHS["desktop"])
    browser.open(f"{served}data/market.html")
    stops = []
    for _ in range(12):
        for kind in ("keyDown", "keyUp"): browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        stops.append(browser.js("(e => [e.innerText || e.ariaLabel || e.name || e.tagName, getComputedStyle(e).outlineStyle])(document.activeElement)"))
    assert "skip" in stops[0][0].lower(), stops
    assert all(outline != "none" for _, outline in stops), stops

def test_named_for_a_screen_reader(browser, served):
    "Nothing that can be pressed is without a name, and the page has its landmarks."
    browser.open(f"{served}index/trie.html")
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    role = lambda n: n.get("role", {}).get("value")
    nameless = [role(n) for n in tree if not n["ignored"] and role(n) in ("button", "link", "textbox", "searchbox", "image") and not n.get("name", {}).get("value", "").strip()]
    assert nameless == [] and {"main", "navigation"} <= {role(n) for n in tree}

def test_print(browser, served):
    "On paper there is the text and no navigation."
    browser.open(f"{served}data/market.html")
    browser.media("print")
    shown = browser.js("['.sidebar-drawer', '.toc-drawer', '.mobile-header', 'article'].map(s => getComputedStyle(document.querySelector(s)).display != 'none')")
    pdf = browser.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"]
    browser.media()
    assert shown == [False, False, False, True] and len(pdf) > 50_000
