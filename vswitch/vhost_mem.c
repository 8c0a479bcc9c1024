// SPDX-License-Identifier: GPL-2.0-or-later
#include "vswitch/vhost_mem.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/cleanup.h"

/* A page fault in one of these waits for somebody else, and the datapath with it. */
static const struct {
	uint32_t magic;
	const char *name;
} remote[] = {
	{FUSE_SUPER_MAGIC, "FUSE"},
	{NFS_SUPER_MAGIC, "NFS"},
	{V9FS_MAGIC, "9P"},
	{CEPH_SUPER_MAGIC, "Ceph"},
	{SMB_SUPER_MAGIC, "SMB"},
	{CIFS_SUPER_MAGIC, "SMB"},
	{SMB2_SUPER_MAGIC, "SMB"},
	{AFS_SUPER_MAGIC, "AFS"},
	{CODA_SUPER_MAGIC, "Coda"},
	{OCFS2_SUPER_MAGIC, "OCFS2"},
};

static int file_check(int fd, uint64_t offset, uint64_t size, struct err *e, size_t *ret_page)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return err_sys(e, errno, "look at shared memory");
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "shared memory must be a regular file, such as a memfd");
	for (size_t i = 0; i < ARRAY_SIZE(remote); i++)
		if ((uint32_t)fs.f_type == remote[i].magic)
			return err_set(e, EINVAL,
				"shared memory on %s: its pages may never come; give the guest "
				"memory of a memfd, of /dev/shm or of huge pages",
				remote[i].name);
	if (!size || offset > (uint64_t)st.st_size || size > (uint64_t)st.st_size - offset)
		return err_set(e, EINVAL,
			"shared memory of 0x%" PRIx64 " bytes at 0x%" PRIx64
			" in a file of 0x%" PRIx64,
			size, offset, (uint64_t)st.st_size);
	*ret_page = fs.f_type == HUGETLBFS_MAGIC ? (size_t)st.st_blksize
						 : (size_t)sysconf(_SC_PAGESIZE);
	return 0;
}

int vhost_map_create(
	int fd, uint64_t offset, uint64_t size, int wake_fd, struct err *e, struct vhost_map **ret)
{
	struct vhost_map *m;
	uint64_t before, len;
	size_t page = 1;
	void *base;
	int r;

	r = file_check(fd, offset, size, e, &page);
	if (r < 0)
		return r;
	/* Sizes of files are below 2^63: nothing wraps. */
	before = offset % page;
	len = (before + size + page - 1) / page * page;
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(e, ENOMEM, "out of memory");
	base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		(off_t)(offset - before));
	if (base == MAP_FAILED) {
		r = err_sys(e, errno, "map 0x%" PRIx64 " bytes of shared memory", size);
		free(m);
		return r;
	}
	/* What a crash leaves behind is no place for guests' memory. */
	madvise(base, len, MADV_DONTDUMP);
	m->hva = (uint8_t *)base + before;
	m->guard = (struct bus_guard){
		.base = base, .len = (size_t)len, .page = page, .wake_fd = wake_fd};
	r = bus_guard_add(&m->guard, e);
	if (r < 0) {
		vhost_map_destroy(m);
		return r;
	}
	*ret = m;
	return 0;
}

void vhost_map_destroy(struct vhost_map *m)
{
	if (!m)
		return;
	bus_guard_remove(&m->guard);
	munmap(m->guard.base, m->guard.len);
	free(m);
}

int vhost_mem_add(
	struct vhost_mem *m, const struct vhost_region *region, int fd, int wake_fd, struct err *e)
{
	struct vmem_region v = {.gpa = region->gpa, .size = region->size, .uva = region->user};
	struct vhost_map *map;
	unsigned int i = 0;
	int r;

	while (i < VMEM_REGIONS && m->map[i])
		i++;
	if (i == VMEM_REGIONS)
		return err_set(e, ENOSPC, "more than %d memory regions", VMEM_REGIONS);
	r = vhost_map_create(fd, region->offset, region->size, wake_fd, e, &map);
	if (r < 0)
		return r;
	v.hva = map->hva;
	r = vmem_add(&m->vmem, &v, e);
	if (r < 0) {
		vhost_map_destroy(map);
		return r;
	}
	m->map[i] = map;
	return 0;
}

int vhost_mem_del(struct vhost_mem *m, const struct vhost_region *region, struct err *e)
{
	struct vmem_region v;

	if (vmem_del(&m->vmem, region->gpa, region->user, region->size, &v) < 0)
		return err_set(e, ENOENT, "there is no region of 0x%" PRIx64 " bytes at 0x%" PRIx64,
			region->size, region->gpa);
	for (unsigned int i = 0; i < VMEM_REGIONS; i++)
		if (m->map[i] && m->map[i]->hva == v.hva) {
			vhost_map_destroy(m->map[i]);
			m->map[i] = NULL;
			break;
		}
	return 0;
}

void vhost_mem_finish(struct vhost_mem *m)
{
	for (unsigned int i = 0; i < VMEM_REGIONS; i++)
		vhost_map_destroy(m->map[i]);
	*m = (struct vhost_mem){0};
}
