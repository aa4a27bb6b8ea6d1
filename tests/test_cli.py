"The command line as a person meets it: help, messages, exit codes, and a run from the first word to the recommendation."
import os, subprocess, sys
from pathlib import Path
import nbformat, pytest
import p5_nb.cli as cli
from p5_nb.core import read_json
from p5_nb.data.market import load_market

VERBS = ["run", "resume", "data", "recommend", "rate", "explain", "results", "figures", "course"]

def p5nb(*words, cwd, **env):
    "Exit code, output and errors of the installed command."
    done = subprocess.run([sys.executable, "-c", "import sys; from p5_nb.cli import main; sys.exit(main())", *map(str, words)], cwd=cwd, env={**os.environ, "COLUMNS": "80", **env}, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr

@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_fits_a_screen(verb, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end: cli.main([*verb.split(), "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert end.value.code == 0 and len(lines) <= 24 and max(map(len, lines)) <= 80 and "usage: p5nb" in lines[0]

def test_every_verb_is_listed(capsys):
    with pytest.raises(SystemExit): cli.main(["--help"])
    said = capsys.readouterr().out
    assert all(f"    {verb}" in said for verb in VERBS)

@pytest.mark.parametrize("words", ["", "dance", "recommend", "recommend x y -k two", "run market --run huge"])
def test_wrong_words_have_code_2(words, capsys):
    with pytest.raises(SystemExit) as end: cli.main(words.split())
    assert end.value.code == 2 and "usage: p5nb" in capsys.readouterr().err

@pytest.mark.parametrize("words, said", [("run logs/none.csv", "no file logs/none.csv"), ("run beuaty", "Did you mean 'beauty'?"), ("data spots", "Did you mean 'sports'?"),
    ("recommend nowhere user_0001", "no folder nowhere"), ("resume nowhere", "nowhere holds no parameters.json"), ("results nowhere", "no run record in nowhere"), ("data market --to xml out", "--to xml: choose sequences, recbole, lcrec")])
def test_a_mistake_is_one_line_with_code_1(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words.split()) == 1
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1 and err.startswith("p5nb: ")

def test_statistics_of_the_market(capsys):
    assert cli.main(["data", "market"]) == 0
    said, stats = capsys.readouterr().out.split(), load_market().interactions.stats()
    assert {f"{stats['users']:,}", f"{stats['items']:,}", f"{stats['interactions']:,}"} <= set(said)

def test_own_columns(tmp_path, capsys):
    (tmp_path/"shop.csv").write_text("buyer,thing,when\n" + "".join(f"b{u},t{i},{1_500_000_000 + 9 * i}\n" for u in range(3) for i in range(4)))
    assert cli.main(["data", str(tmp_path/"shop.csv"), "--user", "buyer", "--item", "thing", "--time", "when"]) == 0
    assert "12" in capsys.readouterr().out.split()
    assert cli.main(["data", str(tmp_path/"shop.csv")]) == 1
    assert "buyer" in capsys.readouterr().err

@pytest.mark.parametrize("form", ["sequences", "recbole", "lcrec"])
def test_another_format(form, tmp_path, capsys):
    assert cli.main(["data", "market", "--to", form, str(tmp_path/"out")]) == 0
    assert any(p.stat().st_size > 1000 for p in (tmp_path/"out").rglob("*") if p.is_file())

def test_output_into_head_is_quiet(tmp_path):
    done = subprocess.run(f"'{sys.executable}' -c 'from p5_nb.cli import main; main([\"data\"])' | head -n 0", shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr

@pytest.fixture
def notebook(tmp_path, monkeypatch):
    "A run notebook of our own in place of the real ones."
    def write(*cells):
        n = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("## Start"), *(nbformat.v4.new_code_cell(c) for c in ("DATA = RUN = SEED = OUT = None", *cells))])
        n.cells[1].metadata["tags"] = ["parameters"]
        nbformat.write(n, tmp_path/"made.ipynb")
        monkeypatch.setattr(cli, "run_notebook", lambda data: tmp_path/"made.ipynb")
        return tmp_path/"out"
    return write

def test_a_run_gets_its_parameters(notebook, capsys):
    out = notebook("open(OUT + '/seen.txt', 'w').write(f'{RUN} {SEED}')")
    assert cli.main(["run", "--run", "smoke", "--seed", "3", "--out", str(out)]) == 0
    assert (out/"seen.txt").read_text() == "smoke 3" and "Start  (1 of 1)" in capsys.readouterr().out
    assert read_json(out/"parameters.json") == dict(data="market", run="smoke", seed=3)

def test_a_failing_run_says_why_and_where(notebook, capsys):
    out = notebook("raise ValueError('no users')")
    assert cli.main(["run", "--out", str(out)]) == 1
    err = capsys.readouterr().err
    assert "ValueError: no users" in err and str(out) in err and (out/"out.ipynb").exists()

def test_a_dead_kernel_is_told_and_resume_goes_on(notebook, capsys):
    out = notebook("from pathlib import Path\nimport os\nmark = Path(OUT)/'begun'\nif not mark.exists(): mark.touch(); os._exit(1)")
    assert cli.main(["run", "--out", str(out)]) == 1
    assert f"p5nb resume {out}" in capsys.readouterr().err
    assert cli.main(["resume", str(out)]) == 0

def test_a_log_of_ones_own(tmp_path):
    load_market().interactions.df[["user", "item", "time"]].to_csv(tmp_path/"my.csv", index=False)
    code, out, err = p5nb("run", "my.csv", "--run", "smoke", cwd=tmp_path)
    assert code == 0, err + out
    assert list((tmp_path/"runs").glob("my-*/report.html")) and "markov" in out
