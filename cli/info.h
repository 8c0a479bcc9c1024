/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct info`: what running guests say of themselves, for people. */
#ifndef VIADUCT_CLI_INFO_H
#define VIADUCT_CLI_INFO_H

#include <jansson.h>

/* Each prints to stdout what the guest answered; 0 or -errno. What has another shape prints as "-". */
int info_list_print(const json_t *guests);
int info_guest_print(const json_t *guest);
int info_irqs_print(const json_t *irqs);

#endif
