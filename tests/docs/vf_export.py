#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: vf_export.py SOURCE_DIR VIADUCT
# `viaduct vf export` on made-up PCI trees, its output read by what will read it: libvirt's own RELAX NG
# schemas (package libvirt0); CDI's own JSON schema where its package is installed, and one of ours that
# also has what its parser demands; Nova's own parser where python3-nova is installed, and a reading as
# oslo.config and Nova do it; for the device plugin a schema after its README.
import configparser
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

source, viaduct = sys.argv[1:3]
RNG = "/usr/share/libvirt/schemas"
CDI_SCHEMA = "/usr/share/gocode/src/github.com/*/container-device-interface/schema/schema.json"
try:
    import jsonschema
except ImportError:
    print("skipped: no python3-jsonschema")
    sys.exit(77)
skipped = []
failed = []


def check(good, text):
    if not good:
        failed.append(text)


class Tree:
    """A sysfs with PFs and their VFs below a directory."""

    def __init__(self, root):
        self.root = root
        os.makedirs(self.path("bus/pci/devices"))

    def path(self, p):
        return os.path.join(self.root, "sys", p)

    def link(self, path, target):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        os.symlink(target, self.path(path))

    def function(self, bdf, ids, cls, driver, group):
        d = f"bus/pci/devices/{bdf}"
        os.makedirs(self.path(d))
        for name, value in (("vendor", ids[0]), ("device", ids[1]), ("class", cls), ("numa_node", "-1")):
            with open(self.path(f"{d}/{name}"), "w", encoding="ascii") as f:
                f.write(value + "\n")
        if driver:
            self.link(f"{d}/driver", f"../../../bus/pci/drivers/{driver}")
        if group is not None:
            self.link(f"{d}/iommu_group", f"../../../kernel/iommu_groups/{group}")
        return d

    def pf(self, bdf, ids, cls, driver, vfs):
        d = self.function(bdf, ids, cls, driver, 1)
        for name, value in (("sriov_totalvfs", "64"), ("sriov_numvfs", str(len(vfs)))):
            with open(self.path(f"{d}/{name}"), "w", encoding="ascii") as f:
                f.write(value + "\n")
        for i, (vf, vf_ids, vf_driver, group) in enumerate(vfs):
            v = self.function(vf, vf_ids, cls, vf_driver, group)
            self.link(f"{v}/physfn", f"../{bdf}")
            self.link(f"{d}/virtfn{i}", f"../{vf}")


def export(root, *args, status=0):
    run = subprocess.run([viaduct, "vf", "export", "--root", root, "--run-dir", root + "/run", *args],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    err = run.stderr.decode()
    check(run.returncode == status, f"export {' '.join(args)}: status {run.returncode}: {err}")
    check(status == 0 or not run.stdout, f"export {' '.join(args)} failed and printed something")
    return run.stdout.decode() if status == 0 else err


def relaxng(schema, text):
    if not os.path.exists(f"{RNG}/{schema}.rng"):
        skipped.append(f"libvirt's {schema} schema (package libvirt0)")
        return
    run = subprocess.run(["xmllint", "--noout", "--relaxng", f"{RNG}/{schema}.rng", "-"],
                         input=text.encode(), stderr=subprocess.PIPE, check=False)
    check(run.returncode == 0, f"libvirt's {schema} schema: {run.stderr.decode()}{text}")


DOMAIN = """<domain type='kvm'><name>x</name><memory>262144</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{}</devices></domain>"""


def ours(name, text):
    with open(os.path.join(source, "tests/docs/schema", name), encoding="utf-8") as f:
        schema = json.load(f)
    try:
        jsonschema.Draft7Validator(schema).validate(json.loads(text))
    except (ValueError, jsonschema.ValidationError) as e:
        check(False, f"{name}: {e}")


def cdi_own(text):
    for path in glob.glob(CDI_SCHEMA):
        with open(path, encoding="utf-8") as f:
            schema = json.load(f)
        resolver = jsonschema.RefResolver("file://" + os.path.realpath(path), schema)
        try:
            jsonschema.Draft7Validator(schema, resolver=resolver).validate(json.loads(text))
        except jsonschema.ValidationError as e:
            check(False, f"CDI's own schema: {e}")
        return
    skipped.append("CDI's own schema (package golang-github-container-orchestrated-devices-"
                   "container-device-interface-dev)")


def nova(text):
    """The entries, read as oslo.config (several values of one key) and Nova (strings in an object) do."""
    check(text.startswith("[pci]\n") and "$" not in text, f"nova: not a [pci] section: {text}")
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text)
    specs = [json.loads(l.split("=", 1)[1]) for l in text.splitlines()[1:]]
    known = {"vendor_id", "product_id", "address", "physical_network", "managed"}
    for s in specs:
        check(set(s) <= known and all(isinstance(v, str) for v in s.values()), f"nova: {s}")
        check(re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", s["address"]), f"nova: {s}")
        check(s["managed"] == "no", f"nova: {s}")
    try:
        from nova.pci import devspec  # pylint: disable=import-outside-toplevel
    except ImportError:
        skipped.append("Nova's own parser (package python3-nova)")
        return specs
    for s in specs:
        d = devspec.PciDeviceSpec(dict(s))
        device = {"vendor_id": s["vendor_id"], "product_id": s["product_id"], "address": s["address"]}
        check(d.match(device), f"Nova does not match {s}")
        check(d.get_tags().get("managed") == "no", f"Nova has other tags of {s}")
    return specs


IGB, IGBVF = ("0x8086", "0x10c9"), ("0x8086", "0x10ca")
with tempfile.TemporaryDirectory() as top:
    tree = Tree(top)
    tree.pf("0000:01:00.0", IGB, "0x020000", "igb",
            [(f"0000:01:10.{2 * i}", IGBVF, "vfio-pci", 10 + i) for i in range(4)])
    tree.pf("0000:3b:00.1", ("0x15b3", "0x101d"), "0x020000", "mlx5_core",
            [("0000:3b:01.2", ("0x15b3", "0x101e"), "mlx5_vfio_pci", 40),
             ("0000:3b:01.3", ("0x15b3", "0x101e"), "mlx5_core", 41)])
    tree.pf("0000:05:00.0", ("0x1b36", "0x0010"), "0x010802", "nvme",
            [("0000:05:00.1", ("0x1b36", "0x0010"), "vfio-pci", 50)])
    tree.pf("0000:06:00.0", ("0x8086", "0x4940"), "0x120000", "qat", [])
    tree.function("0000:00:1c.0", ("0x8086", "0x1234"), "0x060400", "pcieport", 2)

    # One network function, one disk, a pool, a named pool of one.
    for args in (["0000:01:10.0"], ["0000:05:00.1"]):
        relaxng("domain", DOMAIN.format(export(top, "libvirt", *args)))
    for args in (["0000:01:00.0"], ["--name", "dmz", "0000:01:10.2"],
                 ["0000:01:10.0", "0000:3b:01.2"]):
        relaxng("network", export(top, "libvirt", *args))

    for args in (["0000:01:00.0"], ["0000:05:00.1", "--name", "disk"], []):
        text = export(top, "cdi", *args)
        ours("cdi.json", text)
        cdi_own(text)
    names = [d["name"] for d in json.loads(export(top, "cdi"))["devices"]]
    check(names == ["0000:01:10.0", "0000:01:10.2", "0000:01:10.4", "0000:01:10.6", "0000:05:00.1",
                    "0000:3b:01.2"], f"all that are on VFIO, and no others: {names}")

    for args in (["0000:01:00.0"], ["--name", "fast", "0000:01:00.0", "0000:3b:00.1"]):
        ours("device-plugin.json", export(top, "device-plugin", *args))

    specs = nova(export(top, "nova", "--name", "physnet1"))
    check(len(specs) == 6, f"nova: {len(specs)} device_spec")
    check(sum("physical_network" in s for s in specs) == 5, "nova: the disk is on a network")
    nova(export(top, "nova", "0000:05:00.1"))

    # A pool is what apply noted of its PFs (journal.c): of this device, not an earlier one.
    os.makedirs(top + "/run", exist_ok=True)
    for bdf, pool, age in (("0000:01:00.0", "fast", 0), ("0000:05:00.0", "disks", 0),
                           ("0000:3b:00.1", "fast", 1)):
        inode = os.stat(tree.path(f"bus/pci/devices/{bdf}")).st_ino + age
        with open(f"{top}/run/{bdf}.pool", "w", encoding="ascii") as f:
            f.write(f"device unknown/{inode}\nvalue {pool}\noverride \nend\n")
    check("no PF is in pool slow" in export(top, "libvirt", "--pool", "slow", status=1), "no such pool")
    text = export(top, "libvirt", "--pool", "fast")
    relaxng("network", text)
    check("<name>fast</name>" in text and text.count("<address") == 4, f"pool: {text}")
    check('"viaduct/disks"' in export(top, "cdi", "--pool", "disks"), "pool: of disks")
    check("'0000:01:10.0' is one too many" in
          export(top, "cdi", "--pool", "fast", "0000:01:10.0", status=2), "--pool and a function")

    # What cannot be told of says what to do.
    for args, says, status in (
            (["libvirt", "0000:3b:01.3"], "viaduct vf bind 0000:3b:01.3 vfio-pci", 1),
            (["cdi", "0000:06:00.0"], "viaduct vf carve 0000:06:00.0 N", 1),
            (["device-plugin", "0000:05:00.1"], "export it to cdi or libvirt", 1),
            (["libvirt", "0000:00:1c.0"], "is a bridge", 1),
            (["libvirt", "0000:09:00.0"], "0000:09:00.0", 1),
            (["docker", "0000:01:10.0"], "device-plugin, cdi, libvirt and nova", 2),
            (["libvirt", "--name", "<x>", "0000:01:10.0"], "--name <x>", 1),
            (["nova", "--iommufd"], "--iommufd is for cdi", 2)):
        err = export(top, *args, status=status)
        check(says in err, f"export {' '.join(args)}: '{says}' is not in: {err}")

for t in failed:
    print(t)
for t in sorted(set(skipped)):
    print(f"not checked against {t}: not installed")
sys.exit(1 if failed else 0)
