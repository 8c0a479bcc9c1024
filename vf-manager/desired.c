// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf-manager/desired.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/config_yaml.h"
#include "vf-manager/internal.h"

#define FILE_BYTES_MAX (4u << 20)
#define FILE_PFS_MAX   1024

/* Text as it stands in the file; NULL is what was not given, or given as null. */
struct raw_vf {
	char *index, *driver;
	char *set[VFM_SETTING_COUNT];
};

struct raw_pf {
	char *pf, *num_vfs, *autoprobe, *exclusive, *pool, *eswitch;
	struct raw_vf *vfs;
	unsigned int vfs_count;
};

struct raw {
	struct raw_pf *pfs;
	unsigned int pfs_count;
};

#define OPTIONAL (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER_NULL_STR)

static const cyaml_schema_field_t vf_fields[] = {
	CYAML_FIELD_STRING_PTR("index", CYAML_FLAG_POINTER, struct raw_vf, index, 0, 32),
#define X(name, word, text) \
	CYAML_FIELD_STRING_PTR(word, OPTIONAL, struct raw_vf, set[VFM_SET_##name], 0, 64),
	VFM_SETTINGS(X)
#undef X
		CYAML_FIELD_STRING_PTR(
			"driver", OPTIONAL, struct raw_vf, driver, 0, VFM_NAME_MAX - 1),
	CYAML_FIELD_IGNORE("status", CYAML_FLAG_OPTIONAL),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t vf_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_vf, vf_fields)};

static const cyaml_schema_field_t pf_fields[] = {
	CYAML_FIELD_STRING_PTR("pf", CYAML_FLAG_POINTER, struct raw_pf, pf, 0, 4096),
	CYAML_FIELD_STRING_PTR("num-vfs", OPTIONAL, struct raw_pf, num_vfs, 0, 32),
	CYAML_FIELD_STRING_PTR("autoprobe", OPTIONAL, struct raw_pf, autoprobe, 0, 32),
	CYAML_FIELD_STRING_PTR("exclusive", OPTIONAL, struct raw_pf, exclusive, 0, 32),
	CYAML_FIELD_STRING_PTR("pool", OPTIONAL, struct raw_pf, pool, 0, 256),
	CYAML_FIELD_STRING_PTR("eswitch", OPTIONAL, struct raw_pf, eswitch, 0, 32),
	CYAML_FIELD_SEQUENCE("vfs", OPTIONAL, struct raw_pf, vfs, &vf_schema, 0, VFM_FILE_VFS),
	CYAML_FIELD_IGNORE("status", CYAML_FLAG_OPTIONAL),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t pf_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_pf, pf_fields)};

static const cyaml_schema_field_t top_fields[] = {
	CYAML_FIELD_SEQUENCE(
		"pfs", CYAML_FLAG_POINTER, struct raw, pfs, &pf_schema, 0, FILE_PFS_MAX),
	CYAML_FIELD_IGNORE("status", CYAML_FLAG_OPTIONAL),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t top_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, top_fields)};

/* What a reader of the file knows beside the text. */
struct take {
	struct config_at at;
	struct config_doc *doc;
	size_t vfs; /* so far, of all PFs */
};

static int number_take(struct take *t, const char *key, const char *text, unsigned max, int *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n > max)
		return config_bad(&t->at, key, "%s: 0 to %u, not '%s'", key, max, text);
	*ret = (int)n;
	return 0;
}

/* 1, 0, or -1: neither. YAML 1.1 has these words, JSON the first two. */
static int word_is_true(const char *text)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcasecmp(text, words[i]))
			return i & 1;
	return -1;
}

static int bool_take(struct take *t, const char *key, const char *text, int *ret)
{
	int is = word_is_true(text);

	if (is < 0)
		return config_bad(&t->at, key, "%s: true or false, not '%s'", key, text);
	*ret = is;
	return 0;
}

/* "3" or "0-3". */
static int index_take(struct take *t, const char *text, unsigned *ret_first, unsigned *ret_last)
{
	unsigned first = 0, last = 0;
	int end = 0;

	if (strspn(text, "0123456789") > 5 || sscanf(text, "%5u%n", &first, &end) != 1 ||
		*text < '0' || *text > '9')
		end = 0;
	else if (!text[end])
		last = first;
	else if (text[end] != '-' || text[end + 1] < '0' || text[end + 1] > '9' ||
		 strlen(text + end) > 6 ||
		 strspn(text + end + 1, "0123456789") + 1 < strlen(text + end))
		end = 0;
	else
		last = (unsigned)strtoul(text + end + 1, NULL, 10);
	if (!end)
		return config_bad(&t->at, "index",
			"index: a VF's number such as 0, or a range such as \"0-3\", not '%s'",
			text);
	if (first >= MAX_VFS || last >= MAX_VFS)
		return config_bad(&t->at, "index", "index: VFs are numbered 0 to %u", MAX_VFS - 1);
	if (first > last)
		return config_bad(&t->at, "index", "index: %u-%u runs backwards", first, last);
	*ret_first = first;
	*ret_last = last;
	return 0;
}

static int setting_take(
	struct take *t, enum vfm_setting setting, const char *text, struct vfm_settings *s)
{
	const uint32_t switches = VFM_BIT(SPOOFCHK) | VFM_BIT(RSS_QUERY) | VFM_BIT(TRUST);
	const char *key = vfm_setting_name(setting);
	struct err why = {0};
	char word[128];
	int is = 1u << setting & switches ? word_is_true(text) : -1;

	if (is >= 0)
		text = is ? "on" : "off";
	snprintf(word, sizeof(word), "%s=%s", key, text);
	if (vfm_setting_parse(word, s, &why) < 0)
		return config_bad(&t->at, key, "%s", why.text);
	return 0;
}

/* Everything of an entry but its index. */
static int vf_take(
	struct take *t, const struct raw_vf *raw, bool several, struct vfm_desired_vf *ret)
{
	const uint32_t single = VFM_BIT(MAC) | VFM_BIT(NODE_GUID) | VFM_BIT(PORT_GUID);
	static const uint8_t none[6];
	struct vfm_desired_vf vf = {0};
	struct err why = {0};
	int r;

	config_doc_find(t->doc, t->at.base, &vf.line, &vf.column);
	for (unsigned int i = 0; i < VFM_SETTING_COUNT; i++) {
		if (!raw->set[i])
			continue;
		r = setting_take(t, i, raw->set[i], &vf.settings);
		if (r < 0)
			return r;
		if (several && 1u << i & single &&
			!(i == VFM_SET_MAC && !memcmp(vf.settings.mac, none, 6)))
			return config_bad(&t->at, vfm_setting_name(i),
				"%s: several VFs cannot have the same: give each an entry of its "
				"own",
				vfm_setting_name(i));
	}
	if (vfm_settings_check(&vf.settings, &why) < 0)
		return config_bad(&t->at, "", "%s", why.text);
	if (raw->driver) {
		if (!name_is_plain(raw->driver))
			return config_bad(&t->at, "driver",
				"driver: a driver's name, none, or default, not '%s'", raw->driver);
		snprintf(vf.driver, sizeof(vf.driver), "%s", raw->driver);
	}
	*ret = vf;
	return 0;
}

/* One entry for one VF over what one for several said of it. */
static void vf_override(struct vfm_desired_vf *to, const struct vfm_desired_vf *from)
{
	if (from->settings.set & VFM_BIT(VLAN) && !from->settings.vlan)
		to->settings.set &= ~VFM_VLAN_BITS;
	vfm_settings_merge(&to->settings, &from->settings, from->settings.set);
	if (*from->driver)
		memcpy(to->driver, from->driver, sizeof(to->driver));
	to->line = from->line;
	to->column = from->column;
}

/* Where a VF is in the list, by its index; 0 = nowhere yet. */
struct places {
	uint32_t at[MAX_VFS];
	bool single[MAX_VFS];
};

static int vf_add(struct take *t, struct vfm_desired_pf *pf, struct places *p, unsigned index,
	bool single, const struct vfm_desired_vf *vf)
{
	struct vfm_desired_vf *have;
	struct err why = {0};

	if (p->at[index] && p->single[index] == single)
		return config_bad(&t->at, "index", "VF %u of this PF is given twice", index);
	p->single[index] = single;
	if (p->at[index]) {
		have = &pf->vf[p->at[index] - 1];
		vf_override(have, vf);
		if (vfm_settings_check(&have->settings, &why) < 0)
			return config_bad(&t->at, "", "with what its range says: %s", why.text);
		return 0;
	}
	if (pf->num_vfs >= 0 && index >= (unsigned)pf->num_vfs)
		return config_bad(&t->at, "index", "there is no VF %u: num-vfs is %d%s", index,
			pf->num_vfs, pf->num_vfs ? ", and the first is 0" : "");
	if (t->vfs == VFM_FILE_VFS)
		return config_bad(&t->at, "index", "more than %u VFs in one file", VFM_FILE_VFS);
	if (!(pf->n_vfs & (pf->n_vfs - 1))) {
		size_t cap = pf->n_vfs ? pf->n_vfs * 2 : 1;
		void *grown = realloc(pf->vf, cap * sizeof(*pf->vf));

		if (!grown)
			return err_set(t->at.e, ENOMEM, "out of memory");
		pf->vf = grown;
	}
	pf->vf[pf->n_vfs] = *vf;
	pf->vf[pf->n_vfs].index = index;
	p->at[index] = (uint32_t)++pf->n_vfs;
	t->vfs++;
	return 0;
}

static int vf_by_index(const void *a, const void *b)
{
	const struct vfm_desired_vf *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

/* The address of a VF, to be sorted. */
struct mac_of {
	uint8_t mac[6];
	unsigned index, line;
};

static int mac_cmp(const void *a, const void *b)
{
	const struct mac_of *x = a, *y = b;
	int r = memcmp(x->mac, y->mac, sizeof(x->mac));

	return r ? r : x->index < y->index ? -1 : x->index > y->index;
}

/* Two functions with one address on one wire: their frames go to either. */
static int macs_check(struct take *t, const struct vfm_desired_pf *pf)
{
	static const uint8_t none[6];
	_cleanup_free_ struct mac_of *m = calloc(pf->n_vfs + 1, sizeof(*m));
	size_t n = 0;

	if (!m)
		return err_set(t->at.e, ENOMEM, "out of memory");
	for (size_t i = 0; i < pf->n_vfs; i++) {
		const struct vfm_desired_vf *vf = &pf->vf[i];

		if (!(vf->settings.set & VFM_BIT(MAC)) || !memcmp(vf->settings.mac, none, 6))
			continue;
		m[n] = (struct mac_of){.index = vf->index, .line = vf->line};
		memcpy(m[n++].mac, vf->settings.mac, 6);
	}
	qsort(m, n, sizeof(*m), mac_cmp);
	for (size_t i = 1; i < n; i++) {
		struct vfm_settings s = {.set = VFM_BIT(MAC)};
		char text[VFM_VALUE_MAX];

		if (memcmp(m[i - 1].mac, m[i].mac, 6))
			continue;
		memcpy(s.mac, m[i].mac, 6);
		return config_bad(&t->at, "vfs", "VFs %u and %u (line %u) both have mac %s",
			m[i - 1].index, m[i].index, m[i].line,
			vfm_setting_format(&s, VFM_SET_MAC, text));
	}
	return 0;
}

static int vfs_take(struct take *t, const struct raw_pf *raw, struct vfm_desired_pf *pf)
{
	_cleanup_free_ struct places *p = calloc(1, sizeof(*p));
	char base[sizeof(t->at.base)];
	int r = 0;

	if (!p)
		return err_set(t->at.e, ENOMEM, "out of memory");
	snprintf(base, sizeof(base), "%s", t->at.base);
	/* Those for several first, wherever they stand: one for one VF goes over them. */
	for (int single = 0; single < 2; single++)
		for (unsigned int i = 0; i < raw->vfs_count && r >= 0; i++) {
			struct vfm_desired_vf vf;
			unsigned first = 0, last = 0;

			snprintf(t->at.base, sizeof(t->at.base), "%.32s/vfs/%u", base, i);
			r = index_take(t, raw->vfs[i].index, &first, &last);
			if (r < 0 || (!strchr(raw->vfs[i].index, '-')) != single)
				continue;
			r = vf_take(t, &raw->vfs[i], first != last, &vf);
			for (unsigned index = first; r >= 0 && index <= last; index++)
				r = vf_add(t, pf, p, index, single, &vf);
		}
	if (r < 0)
		return r;
	snprintf(t->at.base, sizeof(t->at.base), "%s", base);
	if (pf->n_vfs)
		qsort(pf->vf, pf->n_vfs, sizeof(*pf->vf), vf_by_index);
	return macs_check(t, pf);
}

static int pf_take(struct take *t, const struct raw_pf *raw, struct vfm_desired_pf *pf)
{
	struct err why = {0};
	int is = 0, r;

	pf->num_vfs = pf->autoprobe = -1;
	config_doc_find(t->doc, t->at.base, &pf->line, &pf->column);
	if (vfm_selector_check(raw->pf, &why) < 0)
		return config_bad(&t->at, "pf", "pf: %s", why.text);
	snprintf(pf->selector, sizeof(pf->selector), "%s", raw->pf);
	r = raw->num_vfs ? number_take(t, "num-vfs", raw->num_vfs, MAX_VFS, &pf->num_vfs) : 0;
	if (r >= 0 && raw->autoprobe)
		r = bool_take(t, "autoprobe", raw->autoprobe, &pf->autoprobe);
	if (r >= 0 && raw->exclusive)
		r = bool_take(t, "exclusive", raw->exclusive, &is);
	if (r < 0)
		return r;
	pf->exclusive = is;
	if (raw->pool) {
		if (!name_is_plain(raw->pool) || strlen(raw->pool) >= VFM_POOL_MAX)
			return config_bad(&t->at, "pool",
				"pool: a name of letters, digits, '-', '_', '.', not '%s'",
				raw->pool);
		snprintf(pf->pool, sizeof(pf->pool), "%s", raw->pool);
	}
	if (raw->eswitch) {
		if (strcmp(raw->eswitch, "legacy") && strcmp(raw->eswitch, "switchdev"))
			return config_bad(&t->at, "eswitch",
				"eswitch: legacy or switchdev, not '%s'", raw->eswitch);
		snprintf(pf->eswitch, sizeof(pf->eswitch), "%s", raw->eswitch);
	}
	return vfs_take(t, raw, pf);
}

static int top_take(struct take *t, const struct raw *raw, struct vfm_desired *d)
{
	d->pf = calloc(raw->pfs_count + 1, sizeof(*d->pf));
	if (!d->pf)
		return err_set(t->at.e, ENOMEM, "out of memory");
	while (d->n_pfs < raw->pfs_count) {
		struct vfm_desired_pf *pf = &d->pf[d->n_pfs];
		int r;

		snprintf(t->at.base, sizeof(t->at.base), "pfs/%zu", d->n_pfs++);
		r = pf_take(t, &raw->pfs[d->n_pfs - 1], pf);
		if (r < 0)
			return r;
		for (size_t i = 0; i + 1 < d->n_pfs; i++)
			if (!strcmp(d->pf[i].selector, pf->selector))
				return config_bad(&t->at, "pf",
					"pf: %s is given twice, in line %u too: one entry holds "
					"all "
					"of a PF",
					pf->selector, d->pf[i].line);
	}
	return 0;
}

int vfm_desired_parse(
	const char *what, const void *text, size_t len, struct vfm_desired **ret, struct err *e)
{
	const struct config_text t = {what, text, len};
	struct err own = {0};
	struct take take = {.at.e = e ? e : &own};
	struct vfm_desired *d = NULL;
	void *raw = NULL;
	int r = config_yaml_load(&t, &top_schema, e, &raw);

	if (r < 0)
		return r;
	r = config_doc_open(&t, &take.doc, e);
	if (r < 0)
		goto out;
	d = calloc(1, sizeof(*d));
	if (d)
		d->file = strdup(what);
	r = d && d->file ? top_take(&take, raw, d) : err_set(e, ENOMEM, "out of memory");
	if (r < 0) {
		config_yaml_blame(&t, &take.at, r);
		vfm_desired_free(d);
	} else {
		*ret = d;
	}
out:
	config_doc_close(take.doc);
	config_yaml_free(&top_schema, raw);
	return r;
}

static int text_read(int fd, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *text = malloc(FILE_BYTES_MAX + 1);
	size_t len = 0;
	ssize_t n;

	if (!text)
		return -ENOMEM;
	while ((n = read(fd, text + len, FILE_BYTES_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return -errno;
	if (len > FILE_BYTES_MAX)
		return -EFBIG;
	*ret = ptr_steal(text);
	*ret_len = len;
	return 0;
}

int vfm_desired_load(const char *path, struct vfm_desired **ret, struct err *e)
{
	bool is_stdin = !strcmp(path, "-");
	const char *what = is_stdin ? "standard input" : path;
	_cleanup_free_ char *text = NULL;
	_cleanup_fd_ int fd = -1;
	size_t len = 0;
	int r;

	if (!is_stdin) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_sys(e, errno, "open %s", path);
	}
	r = text_read(is_stdin ? STDIN_FILENO : fd, &text, &len);
	if (r == -EFBIG)
		return err_set(e, EFBIG, "%s has more than %u MiB: is this the right file?", what,
			FILE_BYTES_MAX >> 20);
	if (r < 0)
		return err_sys(e, -r, "read %s", what);
	return vfm_desired_parse(what, text, len, ret, e);
}

void vfm_desired_free(struct vfm_desired *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n_pfs; i++)
		free(d->pf[i].vf);
	free(d->pf);
	free(d->file);
	free(d);
}
