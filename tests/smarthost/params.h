/*
 * The arguments of MAIL and RCPT: a path and its ESMTP parameters (RFC 5321 4.1.2, 1870, 3461,
 * 4954, 6152, 6531).
 */
#ifndef SMARTHOST_PARAMS_H
#define SMARTHOST_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct params_path {
	const char *text; /* "<...>", not NUL-terminated */
	size_t length;
	const char *parameters; /* the rest of the line, blanks skipped */
};

/* Which parameters are allowed, and what they said. */
struct params_mail {
	bool esmtp;
	bool has_size, has_8bitmime, has_smtputf8, has_dsn, has_auth;
	uint64_t size; /* 0 when not given */
	bool utf8;
};

/* keyword is "FROM:" or "TO:"; false when the line is none of `keyword<path>[ parameters]`. */
bool params_parse_path(const char *arguments, const char *keyword, struct params_path *path);

/* 0, or the reply code that refuses the parameters: 501 or 555. */
unsigned params_check_mail(const char *parameters, struct params_mail *mail);
unsigned params_check_rcpt(const char *parameters, const struct params_mail *mail);

#endif
