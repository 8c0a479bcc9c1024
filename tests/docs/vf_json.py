#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: vf_json.py SOURCE_DIR VIADUCT_VF TOPOLOGY_MAKE
# What `viaduct vf list --json`, `show --json` and `isolate --json` print of each recorded machine fits
# the schemas in docs/schema, and what show prints can be applied: it is a file that plan reads and finds done.
import glob
import json
import os
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError:
    print("skipped: python3-jsonschema is not installed")
    sys.exit(77)

source, vf, make = sys.argv[1:4]
schemas = {}
for path in glob.glob(os.path.join(source, "docs/schema/*.json")):
    with open(path, encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    schemas[schema.get("$id", path)] = schema
BASE = "https://viaduct.invalid/schema/"
failed = 0
checked = 0


def check(good, text):
    global failed, checked
    checked += 1
    if not good:
        failed += 1
        print("FAILED:", text)


def run(root, *args, stdin=None):
    return subprocess.run([vf, *args, "--root", root, "--run-dir", root + "/run"], input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)


def validator(schema):
    """Debian 12's jsonschema knows RefResolver, later ones a registry."""
    try:
        from referencing import Registry, Resource
    except ImportError:
        resolver = jsonschema.RefResolver.from_schema(schema, store=schemas)
        return jsonschema.Draft202012Validator(schema, resolver=resolver)
    known = [(i, Resource.from_contents(s)) for i, s in schemas.items()]
    return jsonschema.Draft202012Validator(schema, registry=Registry().with_resources(known))


def validate(what, name, data):
    errors = list(validator(schemas[name]).iter_errors(data))
    check(not errors, f"{what}: {[(list(e.path), e.message[:200]) for e in errors[:3]]}")


def fetch(what, schema, root, *args):
    r = run(root, *args)
    check(r.returncode == 0, f"{what}: status {r.returncode}, {r.stderr.decode()}")
    data = json.loads(r.stdout)
    validate(what, schema, data)
    return data


def isolated(name, root, bdf):
    what = f"{name}: isolate {bdf}"
    r = run(root, "isolate", "--json", bdf)
    data = json.loads(r.stdout)
    validate(what, BASE + "vf-isolate.json", data)
    check(r.returncode == {"PASS": 0, "WARN": 5, "FAIL": 6}[data["verdict"]], f"{what}: {r.returncode}")
    check(data["bdf"] == bdf, f"{what}: is about {data['bdf']}")
    ids = [f["id"] for f in data["findings"]]
    check(len(set(ids)) == len(ids), f"{what}: {ids}")
    for f in data["findings"]:
        check(f["remedy"] is None or f["status"] != "PASS", f"{what}: what to do about PASS: {f}")
        check(f["remedy"] is not None or f["status"] == "PASS", f"{what}: no remedy: {f}")
    text = run(root, "isolate", bdf)
    check(text.returncode == r.returncode and
          text.stdout.decode().endswith(f"{bdf}: {data['verdict']}\n") and b"\033" not in text.stdout,
          f"{what}: as text: {text.stdout.decode()}")


def machine(path, root):
    name = os.path.basename(path)
    subprocess.run([make, path, root], check=True)
    listed = fetch(f"{name}: list", BASE + "vf-list.json", root, "list", "--json")["functions"]
    everything = fetch(f"{name}: list --all", BASE + "vf-list.json", root, "list", "--all",
                       "--json")["functions"]
    check(len(everything) >= len(listed), f"{name}: --all lists less")
    shown = fetch(f"{name}: show", BASE + "vf-show.json", root, "show", "--json")
    pfs = {f["bdf"]: f for f in listed if f["kind"] == "pf"}
    vfs = [f for f in listed if f["kind"] == "vf"]
    check([p["pf"] for p in shown["pfs"]] == list(pfs), f"{name}: show without names shows all PFs")
    for p in shown["pfs"]:
        check(p["num-vfs"] == len(p["vfs"]) == pfs[p["pf"]]["num_vfs"], f"{name}: number of VFs")
        predicted = p["status"]["predicted_vfs"]
        for v in p["vfs"]:
            check(predicted[v["index"]] == v["status"]["bdf"], f"{name}: VF {v['index']} as predicted")
        for s in p["status"]["selectors"] if len(listed) < 100 else []:
            one = fetch(f"{name}: show {s}", BASE + "vf-show.json", root, "show", "--json", s)
            check([x["pf"] for x in one["pfs"]] == [p["pf"]], f"{name}: {s} selects {p['pf']}")
        r = run(root, "plan", "--json", "-", stdin=json.dumps({"pfs": [p]}).encode())
        check(r.returncode == 0 and json.loads(r.stdout)["steps"] == [],
              f"{name}: plan of what show printed: {r.stdout.decode()} {r.stderr.decode()}")
        other = {"pfs": [{"pf": p["pf"], "num-vfs": 1, "vfs": [{"index": 0, "driver": "vfio-pci"}]},
                         {"pf": "nosuch0"}]}
        for verb in ("plan", "diff"):
            r = run(root, verb, "--json", "-", stdin=json.dumps(other).encode())
            check(r.returncode == 1, f"{name}: {verb} of a PF that is not there: {r.returncode}")
            validate(f"{name}: {verb}", f"{BASE}vf-{verb}.json", json.loads(r.stdout))
        r = run(root, "apply", "--dry-run", "--json", "-", stdin=json.dumps(other).encode())
        validate(f"{name}: apply", f"{BASE}vf-plan.json", json.loads(r.stdout))
        check("phases_us" in json.loads(r.stdout), f"{name}: apply tells its phases")
        r = run(root, "diff", "--json", "-", stdin=json.dumps({"pfs": other["pfs"][:1]}).encode())
        data = json.loads(r.stdout)
        check(data["pfs"][0]["error"] if r.returncode == 1 else r.returncode == 7 and data["differences"],
              f"{name}: diff: {r.returncode} {data}")
    for f in [x for x in everything if x["kind"] == "other"]:
        one = fetch(f"{name}: show {f['bdf']}", BASE + "vf-show.json", root, "show", "--json", f["bdf"])
        check(one["pfs"] == [] and one["status"]["functions"][0]["bdf"] == f["bdf"],
              f"{name}: {f['bdf']} is under status")
    if vfs:
        some = [f["bdf"] for f in vfs[:2]]
        one = fetch(f"{name}: show VFs", BASE + "vf-show.json", root, "show", "--json", *some)
        check(len(one["pfs"]) == 1 and "num-vfs" not in one["pfs"][0] and
              [v["status"]["bdf"] for v in one["pfs"][0]["vfs"]] == some,
              f"{name}: VFs alone come with their PF and no number of VFs: {one}")
    for f in everything[:6]:
        isolated(name, root, f["bdf"])
    for args in (["list"], ["list", "--all"], ["show"], ["show", *[f["bdf"] for f in everything[:5]]]):
        r = run(root, *args)
        check(r.returncode == 0 and b"\033" not in r.stdout, f"{name}: {args}: {r.stderr.decode()}")


try:
    import yaml
    with open(os.path.join(source, "docs/examples/vf.yaml"), encoding="utf-8") as example:
        validate("docs/examples/vf.yaml", BASE + "vf-file.json", yaml.safe_load(example))
except ImportError:
    pass
for topology in sorted(glob.glob(os.path.join(source, "tests/unit/vf-manager/topologies/*.topo"))):
    with tempfile.TemporaryDirectory() as tree:
        machine(topology, tree)
print(f"{checked} checks, {failed} failed")
sys.exit(failed != 0)
