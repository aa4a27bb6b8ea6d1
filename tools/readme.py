"""README.md from nbs/index.ipynb, without Quarto: text as it stands, code without its options, pictures as files."""
import base64, re
from pathlib import Path
import nbformat

ROOT = Path(__file__).resolve().parent.parent

def option(source, name):
    "The value of a cell option `#| name: value`, empty where there is none."
    found = re.search(rf'^#\| *{name}: *"?(.*?)"?$', source, re.M)
    return found[1] if found else ""

def pieces(notebook, pictures):
    "Markdown of one cell after the other; pictures go into the folder."
    for cell in notebook.cells:
        if re.search(r"^#\| *hide", cell.source, re.M): continue
        if cell.cell_type == "markdown": yield cell.source; continue
        if option(cell.source, "echo") != "false": yield "```python\n" + re.sub(r"^#\|.*\n", "", cell.source, flags=re.M) + "\n```"
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}): yield output.data["text/markdown"]
            if "image/png" not in output.get("data", {}): continue
            path = pictures/f"{option(cell.source, 'label')}.png"
            path.write_bytes(base64.b64decode(output.data["image/png"]))
            yield f"![{option(cell.source, 'fig-alt')}]({path.relative_to(pictures.parent.parent).as_posix()})\n\n*{option(cell.source, 'fig-cap')}*"

def main(root=ROOT):
    "Write README.md and its pictures."
    pictures = root/"nbs"/"images"
    pictures.mkdir(exist_ok=True)
    text = "\n\n".join(pieces(nbformat.read(root/"nbs"/"index.ipynb", 4), pictures))
    text = re.sub(r"\]\((?=\d\d_)", "](nbs/", text).replace("](../", "](")
    (root/"README.md").write_text("<!-- made from nbs/index.ipynb by tools/readme.py -->\n\n" + text + "\n", encoding="utf-8")

if __name__ == "__main__": main()
