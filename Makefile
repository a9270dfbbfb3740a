# postbag: builds into build/ (or BUILD=DIR); `make help` lists the targets.

VERSION = 0.1.0
PREFIX = /usr/local
SYSCONFDIR = /etc
SPOOLDIR = /var/spool/postbag
RUNDIR = /run/postbag
LIBEXECDIR = $(PREFIX)/libexec/postbag
SBINDIR = $(PREFIX)/sbin
BINDIR = $(PREFIX)/bin
# where programs have looked for sendmail since before there was a PREFIX
LIBDIR = /usr/lib
MANDIR = $(PREFIX)/share/man
DOCDIR = $(PREFIX)/share/doc/postbag
COMPLETIONDIR = $(PREFIX)/share/bash-completion/completions
UNITDIR = $(PREFIX)/lib/systemd/system
SYSUSERSDIR = $(PREFIX)/lib/sysusers.d
TMPFILESDIR = $(PREFIX)/lib/tmpfiles.d

CC = gcc
OPTIMISE = -O2 -g
WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wvla
HARDENING = -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
LINK_HARDENING = -pie -Wl,-z,relro,-z,now

# SANITIZE=1 builds beside the ordinary programs, with AddressSanitizer and
# UndefinedBehaviorSanitizer.
ifdef SANITIZE
BUILD = build/sanitize
OPTIMISE = -O1 -g -fno-omit-frame-pointer
HARDENING = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fPIE
LINK_HARDENING = -pie -fsanitize=address,undefined
else
BUILD = build
endif

CPPFLAGS = -D_GNU_SOURCE -I. -DPOSTBAG_VERSION='"$(VERSION)"' \
	-DSYSCONFDIR='"$(SYSCONFDIR)"' -DSPOOLDIR='"$(SPOOLDIR)"' \
	-DRUNDIR='"$(RUNDIR)"' -DLIBEXECDIR='"$(LIBEXECDIR)"'
CFLAGS = $(OPTIMISE) $(WARNINGS) -Werror
ALL_CFLAGS = -std=c17 $(CFLAGS) $(HARDENING) -MMD -MP
ALL_LDFLAGS = $(LINK_HARDENING) $(LDFLAGS)

# resolv is part of glibc
SESSION_LIBS = -lgnutls -lgsasl -lidn2 -lseccomp -lresolv

# what the scripts of install and uninstall are told
INSTALL_VARIABLES = DESTDIR SBINDIR BINDIR LIBDIR LIBEXECDIR SYSCONFDIR SPOOLDIR RUNDIR \
	MANDIR DOCDIR COMPLETIONDIR UNITDIR SYSUSERSDIR TMPFILESDIR BUILD FORCE PURGE
INSTALL_ENVIRONMENT = $(foreach name,$(INSTALL_VARIABLES),$(name)='$(subst ','\'',$($(name)))')

# A room is a folder; a program is its room with the rooms that it may know.
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out $(2),$(wildcard $(1)/*.c)))
BASE = $(call objects,base)
SPOOL = $(call objects,spool,spool/spoolctl.c)
SENDMAIL = $(call objects,sendmail)
RELAYD = $(call objects,relayd)
SESSION = $(call objects,relayd/session) $(BUILD)/obj/relayd/ipc.o
SMARTHOST = $(call objects,tests/smarthost,tests/smarthost/testca.c)

# Unit tests and fuzzers take what they need out of everything that is not a main.
MAINS = sendmail/main.c relayd/main.c relayd/session/main.c spool/spoolctl.c
LIBRARY = $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out $(MAINS),$(wildcard \
	base/*.c spool/*.c sendmail/*.c relayd/*.c relayd/session/*.c)))
FUZZERS = $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
UNIT_TESTS = $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))

PROGRAMS = $(BUILD)/sendmail $(BUILD)/relayd $(BUILD)/relayd-session $(BUILD)/spoolctl
TEST_PROGRAMS = $(BUILD)/tests/smarthost $(BUILD)/tests/testca \
	$(BUILD)/tests/floor $(BUILD)/tests/empty $(BUILD)/tests/pairs $(BUILD)/tests/fill \
	$(BUILD)/tests/delay $(BUILD)/tests/usage $(BUILD)/tests/flood $(BUILD)/tests/repair \
	$(BUILD)/tests/convert

.PHONY: all deps demo check bench fuzz install uninstall clean help tests-build unit-build FORCE
.SECONDARY:

all: $(PROGRAMS)

help:
	@echo 'make              build the programs into $(BUILD)/'
	@echo 'make deps         install what the build needs (Debian; as root or with sudo)'
	@echo 'make demo         send messages to a throw-away smarthost, and show it'
	@echo 'make check        run all tests; SANITIZE=1: with the sanitizers'
	@echo 'make fuzz         run the fuzzers, SECONDS=600 each'
	@echo 'make bench        measure it, beside other mail programs from Debian, and with a queue of'
	@echo '                  BACKLOG=1000000 messages (half an hour)'
	@echo 'make install      with DESTDIR: files only; PREFIX, SBINDIR, BINDIR, LIBEXECDIR, SYSCONFDIR,'
	@echo '                  SPOOLDIR, RUNDIR, MANDIR, DOCDIR, UNITDIR; FORCE=1: replaces another MTA'
	@echo 'make uninstall    keeps configuration and mail; PURGE=1: removes user and group, too'

$(BUILD)/sendmail: $(SENDMAIL) $(SPOOL) $(BASE)
$(BUILD)/spoolctl: $(BUILD)/obj/spool/spoolctl.o $(SPOOL) $(BASE)
$(BUILD)/relayd: $(RELAYD) $(SPOOL) $(BASE)
$(BUILD)/relayd-session: $(SESSION) $(SPOOL) $(BASE)
$(BUILD)/relayd-session: LDLIBS = $(SESSION_LIBS)
$(BUILD)/tests/smarthost: $(SMARTHOST)
$(BUILD)/tests/smarthost: LDLIBS = -lgnutls -lgsasl -pthread
$(BUILD)/tests/testca: $(BUILD)/obj/tests/smarthost/testca.o
$(BUILD)/tests/testca: LDLIBS = -lgnutls

$(BUILD)/tests/floor: $(BUILD)/obj/tests/bench/floor.o
$(BUILD)/tests/empty: $(BUILD)/obj/tests/bench/empty.o
$(BUILD)/tests/pairs: $(BUILD)/obj/tests/bench/pairs.o
$(BUILD)/tests/fill: $(BUILD)/obj/tests/bench/fill.o $(SPOOL) $(BASE)
$(BUILD)/tests/delay: $(BUILD)/obj/tests/bench/delay.o
$(BUILD)/tests/usage: $(BUILD)/obj/tests/bench/usage.o
$(BUILD)/tests/flood: $(BUILD)/obj/tests/bench/flood.o
$(BUILD)/tests/flood: LDLIBS = -lgnutls
$(BUILD)/tests/repair: $(BUILD)/obj/tests/unit/repair.o $(BUILD)/tests/library.a
$(BUILD)/tests/repair: LDLIBS = $(SESSION_LIBS)
$(BUILD)/tests/convert: $(BUILD)/obj/tests/unit/convert.o $(BUILD)/tests/library.a
$(BUILD)/tests/convert: LDLIBS = $(SESSION_LIBS)

$(BUILD)/tests/library.a: $(LIBRARY)
	@mkdir -p $(@D)
	@rm -f $@
	@ar rcs $@ $^
$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/tests/library.a
	@mkdir -p $(@D)
	@echo '  LINK $@'
	@$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -Wl,--as-needed -o $@ $^ $(SESSION_LIBS) -lcmocka
# cmocka's macros convert freely; private: not what these are built from, like $(BUILD)/flags
$(BUILD)/obj/tests/unit/%.o: private WARNINGS += -Wno-conversion -Wno-sign-conversion

# Fuzzers are built once, by clang, whatever else is built how.
FUZZ_CFLAGS = -std=c17 -O1 -g -Wall -Wextra -Wshadow -Wformat=2 -MMD -MP \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined
build/fuzz/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo '  FUZZ $<'
	@clang $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link $(CPPFLAGS) -c -o $@ $<
build/fuzz/library.a: $(LIBRARY:$(BUILD)/obj/%=build/fuzz/obj/%)
	@rm -f $@
	@ar rcs $@ $^
build/fuzz/%: build/fuzz/obj/tests/fuzz/%.o build/fuzz/library.a
	@echo '  LINK $@'
	@clang $(FUZZ_CFLAGS) -fsanitize=fuzzer -Wl,--as-needed -o $@ $^ $(SESSION_LIBS)

# --as-needed: sendmail and relayd link libc alone, and a test holds them to it
$(PROGRAMS) $(TEST_PROGRAMS):
	@mkdir -p $(@D)
	@echo '  LINK $@'
	@$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -Wl,--as-needed -o $@ $^ $(LDLIBS)

# how it is built is part of what it is built from
$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo '  CC   $<'
	@$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -c -o $@ $<

$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS) $(subst ','\'',$(CPPFLAGS)) $(ALL_LDFLAGS)' | cmp -s - $@ || \
		echo '$(CC) $(ALL_CFLAGS) $(subst ','\'',$(CPPFLAGS)) $(ALL_LDFLAGS)' > $@
FORCE:

-include $(shell find $(BUILD)/obj build/fuzz/obj -name '*.d' 2>/dev/null)

# As root a host that can send mail, see dist/install.sh; with DESTDIR, or not as
# root, only files and links.  Give uninstall the same directories.
install: all
	@$(INSTALL_ENVIRONMENT) dist/install.sh
uninstall:
	@$(INSTALL_ENVIRONMENT) dist/uninstall.sh

deps:
	@tests/deps build

# the dependencies first, then a make that finds them
demo:
	@tests/deps build
	@$(MAKE) --no-print-directory -j2 BUILD=$(BUILD) all tests-build
	@POSTBAG_BUILD='$(abspath $(BUILD))' tests/demo

check:
	@tests/deps check
	@$(MAKE) --no-print-directory -j2 all tests-build unit-build
	@POSTBAG_BUILD='$(abspath $(BUILD))' POSTBAG_SANITIZE=$(SANITIZE) tests/run

# SECONDS each; what it finds is written beside the corpus of its run
SECONDS = 600
fuzz: $(FUZZERS)
	@for f in $(FUZZERS); do \
		name=$${f##*/fuzz_}; mkdir -p build/fuzz/found/$$name; \
		$$f -max_total_time=$(SECONDS) -artifact_prefix=build/fuzz/found/ \
			build/fuzz/found/$$name tests/fuzz/corpus/$$name || exit 1; \
	done

# messages in a long queue
BACKLOG = 1000000
bench: all tests-build
	@tests/deps check
	@POSTBAG_BUILD='$(abspath $(BUILD))' BACKLOG=$(BACKLOG) /usr/bin/python3 -B tests/bench/bench.py

tests-build: $(TEST_PROGRAMS)
unit-build: $(UNIT_TESTS) $(FUZZERS)

clean:
	rm -rf build
