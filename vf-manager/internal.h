/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of vf-manager share. */
#ifndef VIADUCT_VFM_INTERNAL_H
#define VIADUCT_VFM_INTERNAL_H

#include <limits.h>

#include "vf-manager/explain.h"
#include "vf-manager/phases.h"
#include "vf-manager/vfm.h"

struct nl_sock;

#define MAX_VFS 65535u /* NumVFs is 16 bits: PCIe 5.0 §9.3.3.7 */

struct vfm {
	struct sysfs sys;
	char run_dir[PATH_MAX];
	const struct vfm_ops *ops;
	void *ops_ctx;
	unsigned timeout_ms;
	void (*progress)(void *arg, const char *what, unsigned elapsed_ms);
	void (*note)(void *arg, const char *text);
	void *arg;
	const volatile sig_atomic_t *cancel;
	int lock_fd[2]; /* held locks, -1 = none: a worker that blocks keeps them */
	bool domain_exclusive;
	struct pci_access *ids; /* pci.ids, opened when first asked */
	int worker_fd;          /* worker.c; -1 = none */
	pid_t worker_pid, worker_owner;
	uint64_t questions; /* put to workers */
	uint32_t readers_left;
	enum vfm_phase phase; /* phases.c */
	uint64_t phase_since, phase_us[VFM_PHASES];
	struct nl_sock *sock[2]; /* netlink.c: of rtnetlink and generic netlink, NULL = none yet */
	pid_t sock_owner;
	char boot_id[64];        /* for records, "" = not asked yet */
	uint16_t devlink_family; /* its number while this kernel runs, 0 = not asked yet */
};

/* context.c */
extern const struct vfm_ops vfm_kernel_ops;
void vfm_note(struct vfm *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Append "; <text>" to the message in @e (may be NULL). */
void err_append(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int dev_write(struct vfm *v, struct bdf b, const char *attr, const char *text);
int dev_read_u64(struct vfm *v, struct bdf b, const char *attr, uint64_t *ret);
/* Copy as much as fits, "?" for what is not printable. */
void copy_printable(char *to, size_t size, const char *from);
/* As the kernel allows an interface's name, of what is to be printed: any but letters too. */
bool netdev_name_is_plain(const char *s);
bool name_is_plain(const char *s); /* letters, digits, '-', '_', '.', ':'; not "." or ".." */

static inline void cleanup_names(char ***names)
{
	sysfs_list_free(*names);
}
#define _cleanup_names_ __attribute__((cleanup(cleanup_names)))

/* wait.c */
unsigned now_ms(void); /* CLOCK_MONOTONIC */
uint64_t now_us(void);
/* Call @cond until it returns 1 or -errno. 0, that errno, -ETIMEDOUT, or -EINTR when cancelled. */
int wait_until(struct vfm *v, const char *what, unsigned timeout_ms,
	int (*cond)(struct vfm *v, void *arg), void *arg);

/* phases.c */
void phases_start(struct vfm *v);
/* From now on it is @p; the one it was, to return to. */
enum vfm_phase phase_enter(struct vfm *v, enum vfm_phase p);
void phases_end(struct vfm *v, struct vfm_phases *ret);

/* worker.c */
#define WORKER_ARG_MAX   512
#define WORKER_REPLY_MAX 1024
#define WORKER_PATH_MAX  256 /* of worker_write() */
/* In the worker: @arg is a copy, so nothing in it may point to what is younger than the context. */
typedef int (*worker_fn)(struct vfm *v, const void *arg, void *reply);
struct worker_call {
	const char *what; /* for progress, NULL: none is reported */
	worker_fn fn;
	const void *arg;
	size_t arg_size; /* up to WORKER_ARG_MAX */
	void *reply;     /* what @fn left, written when it returned */
	size_t reply_size;
	unsigned timeout_ms;
	bool with_locks;  /* it changes something: as long as it does, our locks are held */
	pid_t *ret_stuck; /* NULL: not wanted */
};
/*
 * Call @c->fn in another process and return what it returned; -EIO that process died. -ETIMEDOUT: it
 * is left waiting in the kernel, and *ret_stuck names it.
 */
int worker_run(struct vfm *v, const struct worker_call *c);
/* A write that may block, with the context's deadline. @path is relative to the root. */
int worker_write(
	struct vfm *v, const char *what, const char *path, const char *text, pid_t *ret_stuck);
void worker_finish(struct vfm *v);

/* reader.c */
/*
 * Read an attribute that the kernel may keep us waiting for. As sysfs_read(), or -ETIMEDOUT: somebody
 * has the device's lock. @buf is then empty.
 */
int dev_read_guarded(struct vfm *v, struct bdf b, const char *attr, char *buf, size_t size);

/* journal.c */
/* The runtime directory, opened; -errno. */
int run_dir_open(struct vfm *v, bool create);
/* flock(2) with a deadline: 0, -ETIMEDOUT, -EINTR when cancelled, or its errno. */
int flock_wait(struct vfm *v, int fd, int how, unsigned timeout_ms);
/* The rest of the line of @text that starts with @key, copied; false when missing or too long. */
bool record_field(const char *text, const char *key, char *buf, size_t size);
enum journal_kind { JOURNAL_DRIVER, JOURNAL_AUTOPROBE, JOURNAL_SETTINGS, JOURNAL_POOL };
struct journal_entry {
	char value[VFM_NAME_MAX];    /* the driver, or the autoprobe switch */
	char override[VFM_NAME_MAX]; /* driver_override */
};
/* Written for good when this returns 0: file and directory are synced. */
int journal_write(struct vfm *v, struct bdf b, enum journal_kind kind,
	const struct journal_entry *entry, struct err *e);
/* -ENOENT when there is none, or it is of an earlier device at this address. */
int journal_read(struct vfm *v, struct bdf b, enum journal_kind kind, struct journal_entry *ret);
void journal_remove(struct vfm *v, struct bdf b, enum journal_kind kind);
/*
 * Remove the records of functions of PCI domain @domain that are not there any more: a carve that was
 * killed could not. Whoever calls has the domain's lock alone. @count_only: leave them, only count.
 */
unsigned journal_sweep(struct vfm *v, uint32_t domain, bool count_only);
/*
 * The same for what vfm_set() found when it first changed each setting: @s->set are those it
 * changed. None set: the record is removed.
 */
int journal_write_settings(
	struct vfm *v, struct bdf b, const struct vfm_settings *s, struct err *e);
int journal_read_settings(struct vfm *v, struct bdf b, struct vfm_settings *ret);
/* A VF is gone, and all that was recorded of it means nothing any more. */
void journal_forget(struct vfm *v, struct bdf b);
/* Both locks are dropped by locks_drop(). -EBUSY when another process keeps it. */
int lock_domain(struct vfm *v, struct bdf b, bool exclusive, struct err *e);
int lock_function(struct vfm *v, struct bdf b, struct err *e);
/* Write @pid into the domain lock's file if we hold it alone: its children keep the lock. */
void lock_hand_over(struct vfm *v, pid_t pid);
void locks_drop(struct vfm **v);
#define _drops_locks_ __attribute__((cleanup(locks_drop), unused))

/* function.c */
/* A text attribute; "" when absent or too long, "?" for what is not printable. */
void dev_read_text(struct vfm *v, struct bdf b, const char *attr, char *buf, size_t size);
/* A number up to @max; 0 when it is not there, or none. */
unsigned dev_read_number(struct vfm *v, struct bdf b, const char *attr, unsigned max);
/* "52:54:00:00:00:01" and nothing else. */
bool mac_parse(const char *s, uint8_t ret[static 6]);
/* What needs neither /proc nor netlink nor pci.ids. -ENODEV. */
int function_read(struct vfm *v, struct bdf b, struct vfm_function *ret);
/* The same of a VF whose place is known. */
int function_read_vf(
	struct vfm *v, struct bdf b, struct bdf pf, unsigned index, struct vfm_function *ret);
#define CARRIER_TIMEOUT_MS 5000 /* how long a link may take to come back, as after a carve of igb */
/* Has @f's interface a link? 1, 0, or -errno: it has no interface, or one that is off and does not tell. */
int function_carrier(struct vfm *v, const struct vfm_function *f);
/* What function_read_some() need not find out, as it costs much for many functions. */
enum {
	FUNCTION_NO_OVERRIDE = 1 << 0, /* driver_override: another process is asked */
	FUNCTION_NO_RECORD = 1 << 1,   /* taken: there is no record of any */
};
/* Either of them; @pf NULL: it may be a VF or not. */
int function_read_some(struct vfm *v, struct bdf b, const struct bdf *pf, unsigned index,
	unsigned leave, struct vfm_function *ret);
/* The driver alone, "" = none; false: the device is gone. */
bool function_driver(struct vfm *v, struct bdf b, char ret[static VFM_NAME_MAX]);
/* driver_override alone, "" = none, or another process keeps the device locked. */
void function_override(struct vfm *v, struct bdf b, char ret[static VFM_NAME_MAX]);
/* Is there a node in /dev/vfio for it: its group's, or its own? */
bool function_has_node(struct vfm *v, struct bdf b);
/* VF number @index of @pf, from its virtfn link. 0 or -errno. */
int vf_bdf(struct vfm *v, struct bdf pf, unsigned index, struct bdf *ret);

/* inventory.c */
/* All functions in address order; free() it. Their number or -errno. */
int functions_list(struct vfm *v, struct bdf **ret);

/* names.c: the name of @f by its ids, "" when pci.ids has none. */
void name_lookup(struct vfm *v, struct vfm_function *f);

/* held.c */
/*
 * Is the function open in VFIO? 1: by *ret (pid 0 when /proc does not tell). Looks at /proc, and
 * at whether the group can be opened, since a device fd outlives the group's.
 */
int function_holder(struct vfm *v, const struct vfm_function *f, struct holder *ret);
/* -EBUSY with the holder's name when it is open, else 0. @doing: "carve", ... */
int refuse_if_held(struct vfm *v, struct bdf b, const char *doing, struct err *e);
bool driver_is_vfio(struct vfm *v, const char *driver);
/* Who has any VFIO node open; NULL when there is no node but the container's. */
struct holder_table *vfio_holders(struct vfm *v);
/* Who has this function open by its nodes, as the table knows it: pid 0 = nobody it has seen. */
void function_holder_in(
	const struct holder_table *t, const struct vfm_function *f, struct holder *ret);

/* bind.c: VFIO and stubs are made to be forced on any device. */
bool driver_takes_any(struct vfm *v, const char *driver);
/* What vfm_bind() would find to be so already; @may_probe: its PF's autoprobe is on. */
bool binding_is(struct vfm *v, const struct vfm_function *f, const char *driver, bool may_probe);
/*
 * Driver and override as @before has them, and @record in the journal, NULL = none. As vfm_bind().
 */
int binding_restore(struct vfm *v, struct bdf b, const struct vfm_function *before,
	const struct journal_entry *record, struct err *e);

/* inuse.c */
/*
 * -EBUSY with what uses them when VFs of @pf are in use, else 0. @doing: what would happen to them.
 * @force: 0 all the same, and what is lost is noted; that is offered if @forceable.
 */
int refuse_if_any_used(struct vfm *v, const struct vfm_function *pf, const char *doing,
	bool forceable, bool force, struct err *e);

/* configure.c */
enum settings_outcome {
	SETTINGS_NOT_BEGUN,  /* for another call */
	SETTINGS_GIVEN,      /* all of it, as was read back */
	SETTINGS_FAILED,     /* undone, or why says what is not */
	SETTINGS_TAKEN_BACK, /* for one before it that failed */
	SETTINGS_STUCK,      /* was to be taken back: why says what is not */
};
struct settings_change {
	struct bdf bdf; /* the VF, and its number */
	unsigned index;
	struct vfm_settings want;
	/* written: */
	enum settings_outcome outcome;
	uint32_t changed; /* if it was given */
	struct err why;   /* unless it was, or was not begun */
};
/* What a VF with @before has when it was given @want: without a VLAN no priority either. */
void settings_whole(const struct vfm_settings *before, const struct vfm_settings *want,
	struct vfm_settings *ret);
/*
 * vfm_set() of @n VFs of @pf, each once, in this order: what they have is read once before all of them
 * and once after. The first that fails ends it, those before it stay. 0: at least one is begun, and all that
 * are have been given theirs; else the first failure, as vfm_set() has them.
 */
int settings_give(struct vfm *v, struct bdf pf, struct settings_change *c, size_t n, struct err *e);
/*
 * Put back what vfm_set() recorded of @b and forget the record; *ret (what it had until now) is empty
 * when there was none. Also while the PF is down. Locks by itself. Failures as for vfm_set().
 */
int settings_release(struct vfm *v, struct bdf b, struct vfm_settings *ret, struct err *e);
/* pf_vfs.c: what @pf, which has an interface, gives its VFs 0..n), in either mode of its switch. */
int settings_read_all(struct vfm *v, const struct vfm_function *pf, struct vfm_settings *vf,
	size_t n, struct err *e);

/* netlink.c */
struct nl_msg;
/* vfm_ops.talk of the kernel; @ctx is the struct vfm, which keeps the socket for the next request. */
int kernel_talk(void *ctx, int protocol, void *req, size_t len, unsigned timeout_ms,
	void **ret_reply, size_t *ret_len);
void kernel_talk_finish(struct vfm *v);
/*
 * Send @m (NULL: -ENOMEM) through vfm_ops.talk with the time that one request may take. *ret_reply is
 * to be freed, whatever is returned; what it says is for the caller to read. 0, -EBADMSG an answer
 * to something else, or -errno of sending and waiting.
 */
int netlink_talk(struct vfm *v, int protocol, struct nl_msg *m, void **ret_reply, size_t *ret_len);
/* Switch interface @ifindex on or off. */
int link_set_up(struct vfm *v, int ifindex, bool up, struct err *e);
/* One attribute: see vf_set_encode(). */
int link_set_vf(struct vfm *v, int ifindex, unsigned vf, const struct vfm_settings *s,
	uint32_t bits, struct err *e);
/* Fill @vf[0..n): what the kernel did not report is not set. */
int link_get_vfs(struct vfm *v, int ifindex, struct vfm_settings *vf, size_t n, struct err *e);
/* The same for what they have received and sent. */
struct vfm_counters;
int link_get_stats(struct vfm *v, int ifindex, struct vfm_counters *vf, size_t n, struct err *e);

/* klog.c: the kernel's messages from here on. */
int klog_open(struct vfm *v);
/* The last one that names @b, into @buf; "" when there is none. */
void klog_last(int fd, struct bdf b, char *buf, size_t size);
/* The same of any of @n functions. */
void klog_last_of(int fd, const struct bdf *b, size_t n, char *buf, size_t size);

/* explain.c: the text of vfm_explain(), "" when there is none. */
const char *explain(enum vfm_where where, int code, const char *klog);

#endif
