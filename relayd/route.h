/*
 * Which smarthosts carry whose mail: the setting "for".
 */
#ifndef RELAYD_ROUTE_H
#define RELAYD_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/settings.h"

/* Smarthosts are a bit each, the first in the configuration is bit 0. */
#define ROUTE_ALL UINT64_MAX

/* Does it make a difference who sends to whom? */
bool route_is_needed(const struct settings *s);

/* Who carries a message of sender ("" is the null sender) to recipient; 0: nobody. */
uint64_t route_carriers(const struct settings *s, const char *sender, const char *recipient);

#endif
