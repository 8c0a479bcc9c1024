// SPDX-License-Identifier: GPL-2.0-or-later
#include "lab/lab.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lab/proto.h"

const char *const lab_iommu_names[] = {"vtd", "vtd-eim", "vtd-noir", "amd", "none", NULL};
const char *const lab_nic_names[] = {"igb", "e1000", "e1000e", NULL};

/*
 * tsc=reliable: two software CPUs otherwise make L1 distrust its TSC, and its guests as well.
 * no_timer_check: the AMD IOMMU model does not remap the timer's own interrupt, and a busy machine
 * can be too late with it; L1 would panic, though it keeps time by other means.
 */
#define CMDLINE_COMMON "console=ttyS0 tsc=reliable no_timer_check panic=-1 loglevel=5"

struct iommu_model {
	const char *device;
	const char *cmdline;
};

static const struct iommu_model iommu_models[] = {
	[LAB_IOMMU_VTD] = {"intel-iommu,intremap=on,eim=off,device-iotlb=on,aw-bits=48",
		"intel_iommu=on"},
	[LAB_IOMMU_VTD_EIM] = {"intel-iommu,intremap=on,eim=on,device-iotlb=on,aw-bits=48",
		"intel_iommu=on"},
	/* It translates DMA and leaves interrupts alone: what VFIO calls unsafe. */
	[LAB_IOMMU_VTD_NOIR] = {"intel-iommu,intremap=off,eim=off,device-iotlb=on,aw-bits=48",
		"intel_iommu=on"},
	[LAB_IOMMU_AMD] = {"amd-iommu,intremap=on,device-iotlb=on", ""},
	[LAB_IOMMU_NONE] = {NULL, "intel_iommu=off amd_iommu=off"},
};

void strv_finish(struct strv *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct strv){0};
}

/* Append one argument; the first failure sticks in @ret. */
static void __attribute__((format(printf, 3, 4)))
arg_add(struct strv *s, int *ret, const char *fmt, ...)
{
	char **v, *text;
	va_list ap;
	int n;

	if (*ret < 0)
		return;
	v = realloc(s->v, (s->n + 2) * sizeof(*v));
	if (!v) {
		*ret = -ENOMEM;
		return;
	}
	s->v = v;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		*ret = -ENOMEM;
		return;
	}
	s->v[s->n++] = text;
	s->v[s->n] = NULL;
}

static void root_port_add(struct strv *s, int *r, unsigned slot, bool acs)
{
	arg_add(s, r, "-device");
	arg_add(s, r, "pcie-root-port,id=rp%u,chassis=%u,addr=0x%x,disable-acs=%s", slot, slot + 1,
		0x10 + slot, acs ? "off" : "on");
}

/* QEMU reads a doubled comma as one. */
static char *comma_double(const char *text)
{
	char *out = malloc(2 * __builtin_strlen(text) + 1), *p = out;

	if (!out)
		return NULL;
	for (; *text; text++) {
		if (*text == ',')
			*p++ = ',';
		*p++ = *text;
	}
	*p = '\0';
	return out;
}

static void export_add(
	struct strv *s, int *r, unsigned n, const char *path, const char *tag, bool readonly)
{
	char *quoted = comma_double(path);

	if (!quoted) {
		*r = -ENOMEM;
		return;
	}
	arg_add(s, r, "-fsdev");
	arg_add(s, r, "local,id=fs%u,path=%s,security_model=none,readonly=%s,multidevs=remap", n,
		quoted, readonly ? "on" : "off");
	arg_add(s, r, "-device");
	arg_add(s, r, "virtio-9p-pci,fsdev=fs%u,mount_tag=%s", n, tag);
	free(quoted);
}

/* @bus is "rp" of its own, or the bridge all share. */
static void nic_add(struct strv *s, int *r, unsigned i, enum lab_nic model, const char *bus)
{
	arg_add(s, r, "-netdev");
	arg_add(s, r, "hubport,id=net%u,hubid=0", i);
	arg_add(s, r, "-device");
	arg_add(s, r, "%s,id=nic%u,bus=%s,netdev=net%u,mac=" LAB_MAC_FORMAT, lab_nic_names[model],
		i, bus, i, i + 1);
}

static void bridge_add(struct strv *s, int *r, const struct lab_config *cfg, unsigned slot)
{
	root_port_add(s, r, slot, !cfg->no_acs);
	arg_add(s, r, "-device");
	arg_add(s, r, "pcie-pci-bridge,id=bridge,bus=rp%u", slot);
	for (unsigned i = 0; i < cfg->nr_bridged; i++)
		nic_add(s, r, (unsigned)cfg->nr_nics + i, LAB_NIC_E1000, "bridge");
}

static void nvme_add(struct strv *s, int *r, unsigned slot, const struct lab_config *cfg, int disk)
{
	unsigned vfs = cfg->nvme_vfs;
	char vectors[32] = "";

	root_port_add(s, r, slot, !cfg->no_acs);
	/* A memfd takes no lock of the kind QEMU wants, and nobody else can open it. */
	arg_add(s, r, "-blockdev");
	arg_add(s, r,
		"driver=raw,node-name=disk,file.driver=file,file.locking=off,"
		"file.filename=/proc/self/fd/%d",
		disk);
	arg_add(s, r, "-device");
	arg_add(s, r, "nvme-subsys,id=subsys0");
	if (cfg->nvme_vectors)
		snprintf(vectors, sizeof(vectors), ",msix_qsize=%u", cfg->nvme_vectors);
	/* Each VF needs an admin and an I/O queue pair, and one interrupt. */
	arg_add(s, r, "-device");
	arg_add(s, r,
		"nvme,id=nvme0,serial=viaduct-lab,bus=rp%u,subsys=subsys0,sriov_max_vfs=%u,"
		"sriov_vq_flexible=%u,sriov_vi_flexible=%u%s",
		slot, vfs, vfs * 2, vfs, vectors);
	arg_add(s, r, "-device");
	arg_add(s, r, "nvme-ns,drive=disk,bus=nvme0,nsid=1");
}

int machine_argv(const struct lab_config *cfg, const struct machine_files *files, const char *qemu,
	struct strv *ret)
{
	const struct iommu_model *iommu = &iommu_models[cfg->iommu];
	struct strv s = {0};
	unsigned slot = 0;
	int r = 0;

	arg_add(&s, &r, "%s", qemu);
	arg_add(&s, &r, "-no-user-config");
	arg_add(&s, &r, "-nodefaults");
	arg_add(&s, &r, "-no-reboot");
	arg_add(&s, &r, "-display");
	arg_add(&s, &r, "none");
	arg_add(&s, &r, "-M");
	arg_add(&s, &r, "q35");
	/* The SVM of this CPU is what makes /dev/kvm in L1; VT-d beside it is no contradiction. */
	arg_add(&s, &r, "-accel");
	arg_add(&s, &r, "tcg,thread=multi");
	arg_add(&s, &r, "-cpu");
	arg_add(&s, &r, "EPYC,+svm,+npt,+x2apic");
	arg_add(&s, &r, "-smp");
	arg_add(&s, &r, "%u", cfg->cpus);
	arg_add(&s, &r, "-m");
	arg_add(&s, &r, "%u", cfg->memory_mib);
	arg_add(&s, &r, "-kernel");
	arg_add(&s, &r, "%s", files->kernel);
	arg_add(&s, &r, "-initrd");
	arg_add(&s, &r, "%s", files->initrd);
	arg_add(&s, &r, "-append");
	arg_add(&s, &r, CMDLINE_COMMON " %s", iommu->cmdline);
	/* Before every device it is to translate for. */
	if (iommu->device) {
		arg_add(&s, &r, "-device");
		arg_add(&s, &r, "%s", iommu->device);
	}
	arg_add(&s, &r, "-chardev");
	arg_add(&s, &r, "file,id=console,path=/proc/self/fd/%d", files->console);
	arg_add(&s, &r, "-serial");
	arg_add(&s, &r, "chardev:console");
	arg_add(&s, &r, "-chardev");
	arg_add(&s, &r, "socket,id=control,fd=%d", files->control);
	arg_add(&s, &r, "-device");
	arg_add(&s, &r, "virtio-serial-pci,max_ports=3");
	arg_add(&s, &r, "-device");
	arg_add(&s, &r, "virtserialport,chardev=control,name=" LAB_PORT_NAME);
	/* L1 asks us to plug; QEMU's own monitor would give it this machine's files as well. */
	arg_add(&s, &r, "-chardev");
	arg_add(&s, &r, "socket,id=hotplug,fd=%d", files->hotplug);
	arg_add(&s, &r, "-device");
	arg_add(&s, &r, "virtserialport,chardev=hotplug,name=" LAB_HOTPLUG_NAME);
	arg_add(&s, &r, "-chardev");
	arg_add(&s, &r, "socket,id=monitor,fd=%d", files->monitor);
	arg_add(&s, &r, "-mon");
	arg_add(&s, &r, "chardev=monitor,mode=control");
	export_add(&s, &r, 0, "/", LAB_ROOT_TAG, true);
	for (unsigned i = 0; i < cfg->nr_shares; i++) {
		char tag[16];

		snprintf(tag, sizeof(tag), "share%u", i);
		export_add(&s, &r, i + 1, cfg->shares[i], tag, false);
	}
	for (; slot < cfg->nr_nics; slot++) {
		char bus[16];

		root_port_add(&s, &r, slot, !cfg->no_acs);
		snprintf(bus, sizeof(bus), "rp%u", slot);
		nic_add(&s, &r, slot, cfg->nics[slot], bus);
	}
	if (lab_has_nvme(cfg))
		nvme_add(&s, &r, slot++, cfg, files->disk);
	if (cfg->nr_bridged)
		bridge_add(&s, &r, cfg, slot);
	if (r < 0) {
		strv_finish(&s);
		return r;
	}
	*ret = s;
	return 0;
}
