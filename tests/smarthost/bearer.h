/*
 * The server side of OAUTHBEARER (RFC 7628) and XOAUTH2, for libgsasl, which has neither.
 */
#ifndef SMARTHOST_BEARER_H
#define SMARTHOST_BEARER_H

#include <stdbool.h>

#include <gsasl.h>

/* The token is asked for as GSASL_PASSWORD once GSASL_AUTHID is known. */
bool bearer_register(Gsasl *context);

#endif
