#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: man_pages.py SOURCE_DIR VIADUCT [PAGE.1...]
# The man pages say what --help says: the same commands, options and arguments, both ways; the examples
# in pages and documents use commands and options that exist; man(1) has nothing to complain about.
import os
import re
import subprocess
import sys

source, viaduct = sys.argv[1:3]
built = sys.argv[3:]
man = os.path.join(source, "docs/man")
wrong = []
checked = 0

# Programs whose one page covers what several --help texts say.
SUBCOMMANDS = {"lab": ["run", "shell", "image"], "switch": ["", "mirror", "capture"]}
EVERYWHERE = {"-?", "--help", "--usage"}
OPTION = re.compile(r"(?<![\w-])(--?[a-zA-Z?][a-z0-9-]*)")


def check(good, text):
    global checked
    checked += 1
    if not good:
        wrong.append(text)


def help_text(*words):
    run = subprocess.run([viaduct, *words, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         env=dict(os.environ, ARGP_HELP_FMT="rmargin=1000"), check=False)
    check(run.returncode == 0, f"viaduct {' '.join(words)} --help: status {run.returncode}")
    return run.stdout.decode()


def help_options(text):
    """Options and whether each takes an argument, from argp's list."""
    found = {}
    for line in text.splitlines():
        m = re.match(r"\s+(-[a-zA-Z?], )?(--[a-z0-9-]+)(\[?=)?", line)
        short = re.match(r"\s+(-[a-zA-Z?])(?= |$)( [A-Z]+)?", line)
        if m:
            found[m[2]] = bool(m[3])
            if m[1]:
                found[m[1][:2]] = bool(m[3])
        elif short:
            found[short[1]] = bool(short[2])
    return {o: a for o, a in found.items() if o not in EVERYWHERE}


def help_usages(text):
    lines = re.split(r"\n  or: ", re.sub(r"^Usage:", "", text.split("\n\n")[0]).split("\n\n")[0])
    return [" ".join(u.split("\n")[0].split()) for u in lines]


def commands(text):
    return re.findall(r"^  ([a-z][a-z-]*)\s", text, re.M)


def page_text(page):
    return subprocess.run([os.path.join(man, "build.sh"), "cat", os.path.join(man, page + ".1.scd")],
                          stdout=subprocess.PIPE, check=True).stdout.decode()


def section(text, name):
    m = re.search(rf"^# {name}\n\n(.*?)(?=^# |\Z)", text, re.M | re.S)
    return m[1] if m else ""


def plain(text):
    text = re.sub(r"\\(.)", r"\1", text.replace("++\n", "\n"))
    return re.sub(r"(?<!\w)_|_(?!\w)|\*", "", text)


def page_options(text):
    """Options defined in the page: in its synopsis, and as terms of a list."""
    found = {}
    terms = [l for l in text.splitlines() if l.startswith("*-")]
    for line in [plain(section(text, "SYNOPSIS"))] + [plain(l) for l in terms]:
        for m in re.finditer(r"(?<![\w-])(--?[a-zA-Z?][a-z0-9-]*)(\[?[= ]\[?[A-Z])?", line):
            found[m[1]] = found.get(m[1], False) or bool(m[2])
        # "-t, --timeout=SECONDS": the argument is said once
        m = re.match(r"(-[a-zA-Z]), (--[a-z0-9-]+)", line)
        if m:
            found[m[1]] = found[m[2]]
    return {o: a for o, a in found.items() if o not in EVERYWHERE}


def compare(page, text, in_help):
    in_page = page_options(text)
    for o in sorted(in_help.keys() - in_page.keys()):
        check(False, f"{page}(1) lacks {o}, which --help has")
    for o in sorted(in_page.keys() - in_help.keys()):
        check(False, f"{page}(1) has {o}, which --help lacks")
    for o in sorted(in_page.keys() & in_help.keys()):
        check(in_page[o] == in_help[o], f"{page}(1): {o} takes an argument in one of page and --help only")


def examples(text):
    """Command lines in code blocks, a continued one joined."""
    for block in re.findall(r"^\s*```\w*\n(.*?)^\s*```", text, re.M | re.S):
        yield from re.sub(r"\\\n", " ", block).splitlines()


def check_examples(name, text, tops, verbs, options):
    for line in examples(text):
        for call in re.finditer(r"(?:^|[\s;&|$(])viaduct ([^|;&>)#]*)", line):
            words = call[1].split()
            if not words or words[0].startswith("-") or not re.match(r"[a-z]+$", words[0]):
                continue
            check(words[0] in tops, f"{name}: 'viaduct {words[0]}' in an example is no command")
            if words[0] not in tops:
                continue
            key = words[0]
            if key == "vf" and len(words) > 1 and re.match(r"[a-z]", words[1]):
                key = "vf " + words[1]
                check(words[1] in verbs, f"{name}: '{key}' in an example is no command")
            mine = words[:words.index("--")] if "--" in words else words
            for o in OPTION.findall(" ".join(mine)):
                check(o in options.get(key, {}) or o in EVERYWHERE | {"--version"},
                      f"{name}: 'viaduct {key}' in an example has no {o}")


tops = commands(help_text())
verbs = commands(help_text("vf"))
options = {}
pages = {f[:-6] for f in os.listdir(man) if f.endswith(".1.scd")}
known = {"viaduct"} | {"viaduct-" + c for c in tops} | {"viaduct-vf-" + v for v in verbs}
for p in sorted(known - pages):
    check(False, f"{p}(1) is missing: write docs/man/{p}.1.scd")
for p in sorted(pages - known):
    check(False, f"{p}(1) is of no command that --help lists")

for c in tops:
    if c == "vf":
        continue
    texts = [help_text(c, *([s] if s else [])) for s in SUBCOMMANDS.get(c, [""])]
    options[c] = {o: a for t in texts for o, a in help_options(t).items()}
    if "viaduct-" + c in pages:
        compare("viaduct-" + c, page_text("viaduct-" + c), options[c])
for v in verbs:
    text = help_text("vf", v)
    options["vf " + v] = help_options(text)
    page = "viaduct-vf-" + v
    if page not in pages:
        continue
    source_text = page_text(page)
    compare(page, source_text, options["vf " + v])
    want = sorted(help_usages(text))
    have = sorted(" ".join(l.split()) for l in plain(section(source_text, "SYNOPSIS")).splitlines() if l)
    check(want == have, f"{page}(1): the synopsis is {have}, --help says {want}")

for p in sorted(pages):
    text = page_text(p)
    check(text.startswith(p + "(1) "), f"{p}(1): the first line names another page")
    check(re.search(rf"^# NAME\n\n{p} - \S.*$", text, re.M), f"{p}(1): NAME is not '{p} - what it does'")
    check_examples(p + "(1)", text, tops, verbs, options)
    for m in re.finditer(r"\*(viaduct[a-z-]*)\*\(1\)", text):
        check(m[1] in pages, f"{p}(1) refers to {m[1]}(1), which there is not")
documents = ["README.md", "CONTRIBUTING.md"] + [
    os.path.join("docs", f) for f in os.listdir(os.path.join(source, "docs")) if f.endswith(".md")]
for d in documents:
    with open(os.path.join(source, d), encoding="utf-8") as f:
        check_examples(d, f.read(), tops, verbs, options)

for page in built:
    run = subprocess.run(["man", "--warnings", "-l", page], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         env=dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="80", MAN_KEEP_STDERR="1"), check=False)
    check(run.returncode == 0 and not run.stderr, f"man -l {page}: {run.stderr.decode().strip()}")

for w in wrong:
    print(w)
print(f"{checked} checks, {len(pages)} pages, {len(built)} of them through man")
sys.exit(1 if wrong else 0)
