/* SPDX-License-Identifier: MIT */
#ifndef GR_CPUS_H
#define GR_CPUS_H

/*
 * CPUs that the quota of the cgroup in @proc_cgroup (the format of /proc/self/cgroup) allows, rounded
 * up; INT_MAX: no quota, or it cannot be read. @mount: where cgroups are mounted.
 */
int cpus_quota(const char *proc_cgroup, const char *mount);

#endif /* GR_CPUS_H */
