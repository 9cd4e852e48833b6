# The PostgreSQL side of immbackup: the server module, installation and installcheck. Everything that
# does not include postgres.h is built by CMake, which is called from here.
#
#   make && make install && make installcheck        PG_CONFIG=… for another PostgreSQL than on PATH

EXTENSION = immbackup
DATA = immbackup--0.1.0.sql
MODULE_big = immbackup
OBJS = $(patsubst %.cpp,%.o,$(sort $(wildcard src/postgres/*.cpp)))
PGFILEDESC = "immbackup - immutable logical backups"

PG_CONFIG ?= pg_config
# The one version number.
IMMBACKUP_VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" immbackup.control)

# What CMake builds: the command line program, and the libraries that the module is linked with. Of the
# store, the linker takes the reader of the audit log only.
CMAKE ?= cmake
CMAKE_BUILD ?= build
CMAKE_OPTIONS ?=
BUILD_JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
LIBRARIES = $(CMAKE_BUILD)/libimmbackup_store.a $(CMAKE_BUILD)/libimmbackup_io.a \
            $(CMAKE_BUILD)/libimmbackup_core.a
PROGRAM_FILE = $(CMAKE_BUILD)/immbackup

# PostgreSQL's headers are system headers here: they are not written for our warnings.
PG_CPPFLAGS = -Isrc -isystem $(shell $(PG_CONFIG) --includedir-server) \
              -D_GNU_SOURCE -DIMMBACKUP_VERSION='"$(IMMBACKUP_VERSION)"'
PG_CXXFLAGS = -std=c++20 -Wall -Wextra -Wpedantic -Wshadow -Wconversion
SHLIB_LINK = -Wl,--version-script=src/postgres/exports.map $(LIBRARIES) \
             -lfmt -ldate-tz -lcrypto -lstdc++ -lm
EXTRA_CLEAN = $(CMAKE_BUILD)

# The tests need the library preloaded and a backup directory: they run on a private server that
# test/installcheck.sh makes, not on the one that PGXS would look for.
REGRESS = shape schedule run views errors settings
NO_INSTALLCHECK = 1

# Where a link to the program goes, since Debian's PostgreSQL programs are not on PATH. Empty: none.
CLI_LINKDIR ?= /usr/local/bin

PGXS := $(shell $(PG_CONFIG) --pgxs)
# clang's bitcode pass refuses PostgreSQL's headers in C++20; nothing here would gain by inlining.
override with_llvm := no
include $(PGXS)

all: $(PROGRAM_FILE)

# CMake knows by itself what is out of date; the stamp holds what it was configured for.
CMAKE_FOR = $(shell command -v '$(PG_CONFIG)') $(CMAKE_OPTIONS)
.PHONY: cmake-build
cmake-build:
	@if ! test "$$(cat $(CMAKE_BUILD)/configured-for 2>/dev/null)" = '$(CMAKE_FOR)'; then \
	    $(CMAKE) -S . -B $(CMAKE_BUILD) -DCMAKE_BUILD_TYPE=RelWithDebInfo -DIMMBACKUP_TESTS=OFF \
	        -DIMMBACKUP_BINDIR= -DPG_CONFIG=$(CMAKE_FOR) && \
	    echo '$(CMAKE_FOR)' > $(CMAKE_BUILD)/configured-for; \
	fi
	+@$(CMAKE) --build $(CMAKE_BUILD) $(if $(findstring jobserver,$(MAKEFLAGS)),,--parallel $(BUILD_JOBS)) \
	    --target immbackup immbackup_store immbackup-vault

$(LIBRARIES) $(PROGRAM_FILE): cmake-build ;

$(OBJS): $(wildcard src/*/*.h) immbackup.control Makefile
$(shlib): $(LIBRARIES) src/postgres/exports.map

install: install-program
.PHONY: install-program
install-program: $(PROGRAM_FILE)
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) $(PROGRAM_FILE) '$(DESTDIR)$(bindir)/immbackup'
ifneq ($(CLI_LINKDIR),)
ifneq ($(CLI_LINKDIR),$(bindir))
	$(MKDIR_P) '$(DESTDIR)$(CLI_LINKDIR)'
	ln -sf '$(bindir)/immbackup' '$(DESTDIR)$(CLI_LINKDIR)/immbackup'
endif
endif

uninstall: uninstall-program
.PHONY: uninstall-program
uninstall-program:
	rm -f '$(DESTDIR)$(bindir)/immbackup'
	test ! -L '$(DESTDIR)$(CLI_LINKDIR)/immbackup' || rm -f '$(DESTDIR)$(CLI_LINKDIR)/immbackup'

# The vault (docs/vault.md): the privileged helper, its user and its folders; as root.
.PHONY: install-vault uninstall-vault
install-vault: cmake-build
	scripts/vault-install.sh install $(CMAKE_BUILD)/immbackup-vault
uninstall-vault:
	scripts/vault-install.sh uninstall

.PHONY: installcheck
installcheck:
	test/installcheck.sh '$(PG_CONFIG)' $(REGRESS)
