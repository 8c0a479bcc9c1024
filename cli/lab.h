/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of `viaduct lab` share. */
#ifndef VIADUCT_CLI_LAB_H
#define VIADUCT_CLI_LAB_H

#define EXIT_USAGE      2
#define EXIT_LAB_FAILED 125

/* viaduct lab @verb: argv[1] is for messages, argv[2] the device. Returns an exit status. */
int lab_plug(char **argv, const char *verb);

#endif
