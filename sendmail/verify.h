/*
 * Questions about addresses that no message comes with: where would mail go
 * (sendmail -bv), and is the alias file right (newaliases).  Both print, and return
 * the exit code.
 */
#ifndef SENDMAIL_VERIFY_H
#define SENDMAIL_VERIFY_H

#include <stdbool.h>
#include <stdio.h>

#include "base/settings.h"
#include "sendmail/identity.h"
#include "sendmail/options.h"

/*
 * For each address among the arguments a line "ADDRESS: FINAL, FINAL" on standard
 * output, or why not on standard error.  0: all are good; 2: one is bad, or an alias
 * behind it is; 1: it cannot be decided now (no alias file, no memory), and none is
 * bad; 64: there are no arguments.
 */
int verify_run(const struct settings *s, const struct options *o);

/* 0, or 78 with a line on standard error for each error in the alias file. */
int newaliases_run(const struct settings *s);

/* The same for a given host, printing elsewhere. */
int verify_print(const struct settings *s, const struct identity *id, bool no_aliases,
    char *const *arguments, size_t count, FILE *out, FILE *err);
int newaliases_print(const struct settings *s, const struct identity *id, FILE *out, FILE *err);

#endif
