/*
 * What the files that read the command line share; for nobody else.
 */
#ifndef SENDMAIL_OPTIONS_PARSER_H
#define SENDMAIL_OPTIONS_PARSER_H

#include "sendmail/options.h"

/* One option: its letter, and its argument or "".  0, or -1 with o->error. */
typedef int option_function(struct options *o, char letter, const char *value);

/* options_o.c: -o, -O, and -e, the old form of -oe */
option_function options_set_option, options_set_long, options_set_errors;

/* Sets o->error; returns -1. */
int options_fail(struct options *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
