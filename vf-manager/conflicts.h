/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who else makes, sets or binds the VFs of a PF: files of other tools, read for one device. Private to
 * vf-manager.
 */
#ifndef VIADUCT_VFM_CONFLICTS_H
#define VIADUCT_VFM_CONFLICTS_H

#include "vf-manager/doctor_priv.h"

struct conflicts {
	struct doctor *d;
	const struct vfm_function *f;
	char bdf[BDF_STRLEN], mac[18]; /* "" when it has none */
	unsigned found;
	bool denied; /* a file or folder was not to be read */
};

/* Somebody has a hand on it: @what at line @line (0: none in particular) of file @path. */
void conflict(struct conflicts *c, const char *path, unsigned line, const char *what,
	const char *fix_fmt, ...) __attribute__((format(printf, 5, 6)));

/*
 * Call @fn for each file of @dirs (NULL-terminated, the first goes before the others) that ends in
 * @suffix: with its path and its text, which it may cut up. A name that an earlier folder has too
 * hides the later ones.
 */
void conflict_files(struct conflicts *c, const char *const *dirs, const char *suffix,
	void (*fn)(struct conflicts *c, const char *path, char *text));

/* Is @value the PF's interface? With @globs, one of a blank- or @sep-separated list of patterns. */
bool conflict_name_is(const struct conflicts *c, const char *value);
bool conflict_names_fit(const char *list, const char *sep, const char *name);
bool conflict_mac_is(const struct conflicts *c, const char *value);

void conflict_networkmanager(struct conflicts *c);
void conflict_networkd(struct conflicts *c);
void conflict_netplan(struct conflicts *c);
void conflict_libvirt(struct conflicts *c);

/* One file each, which they cut up; @path is for what they say. */
void conflict_nm_profile_file(struct conflicts *c, const char *path, char *text);
void conflict_nm_conf_file(struct conflicts *c, const char *path, char *text);
void conflict_link_file(struct conflicts *c, const char *path, char *text);
void conflict_netplan_file(struct conflicts *c, const char *path, char *text);
void conflict_libvirt_file(struct conflicts *c, const char *path, char *text);
void conflict_script_file(struct conflicts *c, const char *path, char *text);

#endif
