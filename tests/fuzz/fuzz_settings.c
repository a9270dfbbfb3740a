/*
 * Any octets as postbag.conf: either all is well, or each line of the errors
 * names the file; and what is used is within its range in both cases.
 */
#include "tests/fuzz/fuzz.h"

#include "base/number.h"
#include "base/settings.h"

static void
check_errors(const char *errors, const char *path)
{
	while (*errors != '\0') {
		CHECK(strncmp(errors, path, strlen(path)) == 0);
		errors = strchr(errors, '\n');
		CHECK(errors != NULL);
		errors++;
	}
}

static void
check_smarthost(const struct settings_smarthost *h, int whole)
{
	CHECK(h->connections >= 1 && h->connections <= 100);
	CHECK(h->connect_timeout > 0 && h->command_timeout > 0);
	CHECK(h->tls >= TLS_REQUIRED && h->tls <= TLS_NONE);
	if (!whole)
		return;
	CHECK(h->host != NULL && *h->host != '\0' && strlen(h->host) <= 255);
	CHECK(strpbrk(h->host, " \t\r\n") == NULL);
	CHECK(h->srv ? h->port == 0 && !h->implicit_tls : h->port >= 1 && h->port <= 65535);
	CHECK((h->password == NULL && h->token == NULL) || h->user != NULL);
	CHECK(h->password == NULL || h->token == NULL);
	CHECK(h->user == NULL || h->password != NULL || h->token != NULL ||
	      h->tls_cert_file != NULL);
	CHECK(h->tls_pin_count <= SETTINGS_PINS_MAX);
	CHECK(h->tls_pin_count == 0 || h->tls == TLS_REQUIRED);
	CHECK((h->tls_cert_file == NULL) == (h->tls_key_file == NULL));
	CHECK((h->password == NULL && h->token == NULL) || h->tls == TLS_REQUIRED || h->insecure_auth);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings s;
	struct buf errors = BUF_INIT(0);
	char path[64];
	int fd = memory_file(data, size), r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = settings_read(&s, path, &errors);
	close(fd);
	CHECK((r == 0) == (errors.len == 0));
	if (!errors.failed)
		check_errors(buf_string(&errors), path);
	CHECK(s.spool_directory[0] == '/' && s.runtime_directory[0] == '/');
	CHECK(*s.user != '\0');
	CHECK(s.retry_first >= USEC_PER_MS && s.retry_first <= s.retry_max);
	CHECK(s.reconnect_first >= USEC_PER_MS && s.reconnect_first <= s.reconnect_max);
	for (size_t i = 0; i < s.smarthost_count; i++)
		check_smarthost(&s.smarthosts[i], r == 0);
	settings_free(&s);
	buf_free(&errors);
	return 0;
}
