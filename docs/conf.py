"Sphinx settings of the site. p5_nb.docs copies this file to the pages it writes and calls Sphinx there."
import json
from importlib.metadata import files
from pathlib import Path

here = Path(__file__).parent
known = json.loads((here/"site.json").read_text(encoding="utf-8"))
project, author, release = known["title"], known["author"], known["version"]
html_title, copyright = project, f"2026 onwards, {author}"

extensions = ["myst_nb", "sphinx_copybutton", "sphinxcontrib.bibtex"]
language = "en"
nb_execution_mode, nb_merge_streams, nb_ipywidgets_js = "off", True, {}        # nothing is executed, no script from elsewhere
nb_render_markdown_format, nb_code_prompt_show, nb_code_prompt_hide = "myst", "Imports", "Imports"
myst_enable_extensions = ["dollarmath", "amsmath", "attrs_inline", "attrs_block", "colon_fence", "deflist"]
myst_heading_anchors, myst_dmath_double_inline = 4, True
suppress_warnings = ["myst.header"]
add_module_names, toc_object_entries_show_parents, python_use_unqualified_type_names = False, "hide", True
bibtex_bibfiles, bibtex_reference_style, bibtex_default_style, bibtex_cite_id = ["references.bib"], "author_year", "plain", "{key}"

numfig, math_numfig, numfig_format = True, True, {"figure": "Fig. %s"}
math_eqref_format = "equation ({number})"

html_theme, html_static_path, html_css_files = "furo", ["site.css"], ["site.css"]
html_show_sourcelink, html_copy_source, html_favicon, templates_path = False, False, "favicon.svg", ["_templates"]
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"
html_theme_options = dict(
    light_css_variables={"color-brand-primary": "#2f5cb0", "color-brand-content": "#2f5cb0", "color-brand-visited": "#7a3b8f"},
    dark_css_variables={"color-brand-primary": "#8fc1ee", "color-brand-content": "#8fc1ee", "color-brand-visited": "#d0a6e0"})

mathjax = next(f for f in files("sphinx-mathjax-offline") if f.name == "tex-svg-full.js")      # MathJax 3.2 in one file, from its own package
html_static_path.append(str(mathjax.locate()))
mathjax_path = mathjax.name
mathjax3_config = {"options": {"enableMenu": False}}

def number(app, env):
    "A figure or equation is numbered within its lesson: Fig. 110.3 is the third figure of lesson 110."
    for page, kinds in env.toc_fignumbers.items():
        for ids in kinds.values():
            for i, key in enumerate(sorted(ids, key=ids.get), 1): ids[key] = (known["numbers"][page], i) if page in known["numbers"] else (i,)
    return []

def setup(app):
    app.connect("env-get-updated", number, priority=900)
    app.add_js_file(None, body="if (location.protocol == 'file:') DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false", priority=300)      # excerpts need a server
