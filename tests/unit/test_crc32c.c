/*
 * base/crc32c: the vectors of RFC 3720 appendix B.4, and that pieces add up.
 */
#include "tests/unit/unit.h"

#include "base/crc32c.h"

static void
known_vectors_fit(void **state)
{
	unsigned char data[32];

	(void)state;
	assert_int_equal(crc32c(0, "", 0), 0);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	memset(data, 0, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x62a8ab43);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)i;
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x46dd794e);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(31 - i);
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x113fdb5c);
}

static uint32_t
bit_by_bit(const unsigned char *s, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= s[i];
		for (int k = 0; k < 8; k++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

static void
any_length_at_any_place_is_right(void **state)
{
	unsigned char data[300];

	(void)state;
	srandom(1);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)random();
	for (size_t at = 0; at < 17; at++)
		for (size_t len = 0; at + len <= sizeof(data); len++)
			assert_int_equal(crc32c(0, data + at, len), bit_by_bit(data + at, len));
}

static void
pieces_add_up(void **state)
{
	char data[100];

	(void)state;
	memset(data, 'x', sizeof(data));
	for (size_t i = 0; i <= sizeof(data); i++)
		assert_int_equal(crc32c(crc32c(0, data, i), data + i, sizeof(data) - i),
		    crc32c(0, data, sizeof(data)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_vectors_fit),
		cmocka_unit_test(any_length_at_any_place_is_right),
		cmocka_unit_test(pieces_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
