/*
 * The names of this host, without asking the DNS.
 */
#ifndef BASE_HOSTNAME_H
#define BASE_HOSTNAME_H

#include "base/settings.h"

#define HOSTNAME_SIZE 256

/* The setting `hostname`; else gethostname(2) if it is dotted, else the first
 * dotted name for it in /etc/hosts, else gethostname(2) as it is.  Always a
 * valid name in lower case ("localhost" if there is nothing better). */
char *host_name(const struct settings *s, char dst[static HOSTNAME_SIZE]);

/* The setting `domain`; else the first line of /etc/mailname, else host_name(). */
char *host_domain(const struct settings *s, char dst[static HOSTNAME_SIZE]);

#endif
