/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the doctor's files share. Private to vf-manager. */
#ifndef VIADUCT_VFM_DOCTOR_PRIV_H
#define VIADUCT_VFM_DOCTOR_PRIV_H

#include "vf-manager/caps.h"
#include "vf-manager/doctor.h"
#include "vf-manager/internal.h"
#include "vf-manager/usage.h"

#define DOCTOR_CHECKS_MAX 64

#define KIND(k)        (1u << (k))
#define KIND_PF        KIND(VFM_PF)
#define KIND_ANY       (KIND(VFM_PF) | KIND(VFM_VF) | KIND(VFM_OTHER))
#define KIND_ASSIGNED  (KIND(VFM_VF) | KIND(VFM_OTHER)) /* what guests are given */
#define GUEST_DEFAULT  (1ull << 30)
#define CONF_FILE_MAX  (1u << 20)
#define CONF_FILES_MAX 512u

struct doctor {
	struct vfm *v;
	const struct doctor_config *cfg;
	const struct doctor_check *const *checks;
	size_t n_checks;
	enum vfm_status worst[DOCTOR_CHECKS_MAX];
	bool ran[DOCTOR_CHECKS_MAX];

	/* The functions looked at, with who uses them. */
	struct vfm_function *all;
	struct vfm_usage *usage; /* of each, or NULL: could not be told, see usage_error */
	struct err usage_error;
	size_t n;
	int list_error;
	/* Of the host, then of the device at hand: what `vf isolate` says. */
	struct vfm_findings *isolation;

	/* The check that runs, and its device. */
	size_t at;
	const struct vfm_function *f; /* NULL in a host check */
	const struct vfm_usage *use;  /* of f, or NULL */
	struct vfm_caps caps;         /* of f */
	struct doctor_finding pending;
	bool has_pending;
	unsigned said;
};

/* doctor.c: repeat what isolation says under the id of the check that runs. */
void isolation_relay(struct doctor *d);

/* ---- doctor_text.c: what several checks read ---- */

/*
 * The text of file @path below the root, its first @max bytes; NULs become '?'. free() it. Its
 * length, or -errno; -EINVAL when it is no regular file.
 */
int text_load(struct vfm *v, const char *path, size_t max, char **ret);
/* Cut the next line off *@next, without its newline; NULL at the end. */
char *line_next(char **next);
/* Skip blanks; cut those at the end off. */
char *line_trim(char *s);
/* Is @word among the blank-separated words of @text? With a final '=', a word that begins so. */
bool word_in(const char *text, const char *word);
/* The value of KEY=VALUE on the kernel's command line, its last; false when not there. */
bool cmdline_value(struct vfm *v, const char *key, char *buf, size_t size);
/* "Y" or "1" (1), "N" or "0" (0), else -1, of a module's parameter. */
int module_switch(struct vfm *v, const char *module, const char *parameter);
/* A CONFIG_ of the running kernel: 'y', 'm', 'n', or '?' when its configuration is not to be had. */
char kernel_config(struct vfm *v, const char *name);
/* "6.1" as 601, 0 when unknown; the whole release into @buf. */
unsigned kernel_version(struct vfm *v, char *buf, size_t size);
/* "vmx", "svm" or "" from the CPU's flags. */
const char *cpu_virtualisation(struct vfm *v);
bool cpu_flag(struct vfm *v, const char *flag);
bool cpu_is_amd(struct vfm *v);
/* Is @cap (CAP_*) among the caller's? -1: cannot be told. */
int capability_has(struct vfm *v, unsigned cap);
/* The caller's effective user as /proc tells it; -1: cannot be told. */
int effective_uid(struct vfm *v);

/* ---- doctor_user.c ---- */

/* May the doctor's user read and write @path? 1, 0, or -errno: cannot be told. */
int user_may_write(struct doctor *d, const char *path);
/* "you" or the user's name. */
const char *user_name(struct doctor *d);
#define USER_MAX 64
/* For a command line: the user's account, "USER" when it has no name. Returns @buf. */
const char *user_account(struct doctor *d, char buf[static USER_MAX]);

/* The checks, by file. */
/* In the order of their running. */
#define DOCTOR_TABLE(X)        \
	X(privilege)           \
	X(environment)         \
	X(versions)            \
	X(lockdown)            \
	X(cpu_virtualisation)  \
	X(kvm_access)          \
	X(vfio_modules)        \
	X(iommu_table)         \
	X(iommu)               \
	X(iommu_options)       \
	X(interrupt_remapping) \
	X(unsafe_interrupts)   \
	X(no_iommu)            \
	X(acs_override)        \
	X(memlock)             \
	X(dma_entry_limit)     \
	X(hugepages)           \
	X(device_cgroup)       \
	X(stale_leases)        \
	X(kernel_log)          \
	X(sriov_devices)       \
	X(sriov_capability)    \
	X(pf_driver)           \
	X(bus_numbers)         \
	X(vf_bars)             \
	X(pf_safety)           \
	X(managed_elsewhere)   \
	X(group_viable)        \
	X(group_shared)        \
	X(pf_vf_group)         \
	X(acs_path)            \
	X(reserved_regions)    \
	X(vf_token)            \
	X(peer_to_peer)        \
	X(dma_fault)           \
	X(pf_link)             \
	X(attributes)          \
	X(in_use)              \
	X(numa)                \
	X(vfio_node)           \
	X(reset_method)        \
	X(stale_override)      \
	X(unused_vfs)
#define X(name) extern const struct doctor_check doctor_##name;
DOCTOR_TABLE(X)
#undef X

#endif
