/*
 * OAUTHBEARER (RFC 7628) and XOAUTH2 (its forerunner, of Google and Microsoft), which
 * libgsasl 2.2 does not have.
 */
#ifndef RELAYD_SESSION_BEARER_H
#define RELAYD_SESSION_BEARER_H

#include <gsasl.h>

/* Adds both to the library.  They take GSASL_AUTHID, GSASL_HOSTNAME, and the token as
 * GSASL_PASSWORD.  0 or -1. */
int bearer_register(Gsasl *library);

#endif
