/* SPDX-License-Identifier: GPL-2.0-or-later */
/* That what a command printed has arrived. */
#ifndef VIADUCT_CLI_OUTPUT_H
#define VIADUCT_CLI_OUTPUT_H

/*
 * No command looks at its stdout before it exits, unless it goes on for long: this does for all.
 * Call first in main(): when the process exits and its standard output could not be written, it says
 * so as @who (not copied), and the exit status is 1, whatever it would have been.
 */
void output_guard(const char *who);

#endif
