/*
 * Which addresses mean this host, and under which name its users are known to
 * aliases(5) and to the setting `map`.
 */
#ifndef SENDMAIL_LOCAL_H
#define SENDMAIL_LOCAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/settings.h"
#include "sendmail/address.h"
#include "sendmail/identity.h"

#define LOCAL_NAME_SIZE 256

/* Without a domain, or @localhost[.localdomain], @ the host's name, @ one of local_domains.  What
 * the setting `domain` names is local only if local_domains names it, too. */
bool local_is(const struct settings *s, const struct identity *id, const struct address *a);

/* The domain that makes an address of this host one of the network: its own, if that
 * has a dot, else the host's `domain`. */
const char *local_domain(const struct identity *id, const struct address *a);

/* How many octets of a->text are its local part. */
size_t local_part_length(const struct address *a);

/* The name that a local part stands for: without quotation, in lower case.  False if
 * it is too long to be one. */
bool local_name(const char *part, size_t len, char name[static LOCAL_NAME_SIZE]);

/* The address that takes the place of a name, or NULL. */
const char *local_map(const struct settings *s, const char *name);

#endif
