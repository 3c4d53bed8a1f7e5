# What a person runs here. Everything that a target needs, it sets up by itself; it takes
# Debian 12 or 13 on amd64, root, and Rust >= 1.89.
#
#   make deb     the package: target/debian/csihost_*.deb
#   make packages  .deb, .rpm and the program alone, for amd64 and, where the compiler for it can
#                be had, arm64: target/packages
#   make reproducible  builds the packages once more elsewhere, and compares the bytes
#   make demo    boots a disposable node, installs the package there, shows what it does
#   make quick   format, clippy and all tests that need no node
#   make test    all tests, those on real nodes too; prints the time of each step and the ten slowest tests
#   make matrix  the tests on real nodes on each Debian of SUITES (bullseye bookworm trixie sid): systemd 247
#                to 262; make test has all of them on one, and a few on the others
#   make cluster the package under a real Kubernetes, where its binaries are (tests/cluster/README.md)
#   make fuzz    each parser with random input, FUZZ_SECONDS (60) each; not a part of make test
#   make bench   a turn with nothing to do, against an administrator's shell script; finding the
#                kubelet among 5,000 processes, against ps; mount tables of up to 50,000 rows;
#                the contracts of 100 plugins; from a fresh node to a ready one, against the manual
#                steps of Longhorn's documents; the agent: idle, in a storm of mounts, and how soon
#                it repairs (that alone takes half an hour: IDLE=60 TRIES=20 is enough for a look)
#   make deny    licences, sources and doubles of what is in the program, by deny.toml; known
#                vulnerabilities where the database of them can be had
#   make cluster-campaign  kills a driver CAMPAIGN_KILLS (1000) times while its pods are deleted, with
#                CAMPAIGN_REPAIR (graft) in effect; not a part of make test
#   make cluster-upgrade UPGRADE_FROM=DEB  upgrades the package of an earlier commit under pods, with each repair
#   make cluster-power-cut  cuts the power of a cluster in a virtual machine while pods come and go; it takes a quarter
#                of an hour without KVM, and is not a part of make test
#   make soak    random drifts and faults against the agent for SOAK_SECONDS (1800), SOAK_SEED
#   make clean   removes what is in target/; nodes' bases too: make clean-nodes
ifdef CSIHOST_TIMES
# Under `make test`: the same bash, which also writes down how long each line of a recipe took.
SHELL := tests/timed
.SHELLFLAGS = '$@' -euo pipefail -c
else
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
endif
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
export PATH := $(PATH):/usr/sbin:/sbin

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
NODES := $(TARGET)/nodes
CARGO_DEB := $(TARGET)/tools/bin/cargo-deb
CARGO_DEB_VERSION := 3.8.0
CARGO_GENERATE_RPM := $(TARGET)/tools/bin/cargo-generate-rpm
CARGO_GENERATE_RPM_VERSION := 0.21.1
CARGO_FUZZ := $(TARGET)/tools/bin/cargo-fuzz
CARGO_FUZZ_VERSION := 0.13.2
CARGO_DENY := $(TARGET)/tools/bin/cargo-deny
CARGO_DENY_VERSION := 0.20.2
FUZZ_SECONDS ?= 60
SUITES ?= bullseye bookworm trixie sid
# Everything of `make test`, in the order in which steps begin; LANES run side by side, each with its own
# output at its end. What boots nodes comes first: it takes longest, and waits in between.
STEPS := lint node vm cluster test-packages unit deny msrv
LANES ?= 3
# Nodes wait for systemd more than they compute: it looks at the mount table five times a second at most.
NODES_AT_ONCE ?= 4
# A machine has one processor where there is no KVM, and computes all the time.
MACHINES_AT_ONCE ?= 2
SOAK_SECONDS ?= 1800
SOAK_SEED ?= 1
CAMPAIGN_KILLS ?= 1000
CAMPAIGN_REPAIR ?= graft

# The program is static: one build serves every release of every distribution, those without glibc
# too. It asks nobody for names of users or hosts, for which a static glibc would want its modules.
# For the same sources the bytes are the same: no path of this machine is in them, and times
# are the last commit's.
AMD64 := x86_64-unknown-linux-gnu
ARM64 := aarch64-unknown-linux-gnu
CARGO_HOME_DIR := $(or $(CARGO_HOME),$(HOME)/.cargo)
static := export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$(CURDIR)=/csihost \
    --remap-path-prefix=$(CARGO_HOME_DIR)=/cargo"; unset CARGO_ENCODED_RUSTFLAGS
# Asked once: a commit in the middle is not for half of the packages.
SOURCE_DATE_EPOCH := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml))
export SOURCE_DATE_EPOCH
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: help deny packages rpm reproducible deb demo test quick lint lint-packages test-packages unit msrv node matrix cluster cluster-campaign cluster-power-cut cluster-upgrade vm fuzz soak nodes bases bench program tools tools-deb tools-rpm tools-nodes clean clean-nodes
help:
	@sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' Makefile

# Installs the Debian packages of the commands and files that are missing: COMMAND:PACKAGE or
# /PATH:PACKAGE... Where nothing is missing, the network is not asked. Recommended packages are not
# installed: what is needed of them is named (gcc only recommends the C library that it links with).
# Of steps that run side by side one installs at a time.
define need
	@mkdir -p $(TARGET); exec 9>$(TARGET)/need.lock; flock 9; missing=(); \
	for need in $(1); do \
	    command -v "$${need%%:*}" >/dev/null || [ -e "$${need%%:*}" ] || missing+=("$${need##*:}"); \
	done; \
	if [ "$${#missing[@]}" -gt 0 ]; then \
	    echo "installing $${missing[*]}"; export DEBIAN_FRONTEND=noninteractive; \
	    apt-get -qq update 9>&-; apt-get -qq -y install --no-install-recommends "$${missing[@]}" >/dev/null 9>&-; \
	fi
endef
# Tools run for seconds: their own optimised builds took minutes.
INSTALL := CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo install --quiet --locked --root $(TARGET)/tools
tools: tools-deb tools-rpm tools-nodes
tools-deb:
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust >= $(MSRV) (https://rustup.rs)' >&2; exit 1; }
	$(call need,cc:gcc /usr/lib/x86_64-linux-gnu/rcrt1.o:libc6-dev ar:binutils gzip:gzip)
	@[[ "$$($(CARGO_DEB) --version 2>/dev/null)" = *$(CARGO_DEB_VERSION)* ]] || \
	    $(INSTALL) --version $(CARGO_DEB_VERSION) cargo-deb
tools-nodes:
	$(call need,debootstrap:debootstrap systemd-nspawn:systemd-container \
	    qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils mkfs.ext4:e2fsprogs \
	    setpriv:util-linux shellcheck:shellcheck mandoc:mandoc ignition-validate:ignition)

tools-rpm:
	@[[ "$$($(CARGO_GENERATE_RPM) --version 2>/dev/null)" = *$(CARGO_GENERATE_RPM_VERSION)* ]] || \
	    $(INSTALL) --version $(CARGO_GENERATE_RPM_VERSION) cargo-generate-rpm

# Who makes or packs what packages hold beside the program does so alone.
lock_share := exec 8>$(TARGET)/share.lock; flock 8

# What packages hold beside the program, for the target $(1).
define share
	rm -rf $(TARGET)/$(1)/release/share; mkdir -p $(TARGET)/$(1)/release/share/man; \
	cargo run --quiet --locked --example generate -- $(TARGET)/$(1)/release/share $(1); \
	for page in packaging/man/*.[58]; do \
	    gzip -9nc "$$page" >$(TARGET)/$(1)/release/share/man/"$${page##*/}.gz"; \
	done; \
	printf '%s\n' 'csihost ($(VERSION)-1) unstable; urgency=medium' '' \
	    '  * CHANGELOG.md beside this file has what changed.' '' \
	    " -- The csihost authors <csihost@localhost>  $$(date -uRd @$$SOURCE_DATE_EPOCH)" | \
	    gzip -9nc >$(TARGET)/$(1)/release/share/changelog.Debian.gz
endef

# The rpm for the target $(1), with the options $(2). It would hold times of files that are older than
# the last commit, which no two checkouts share: so it is made of copies of one age.
define make_rpm
	stage=$$(mktemp -d); cp -a Cargo.toml LICENSE *.md units packaging os-profiles driver-profiles docs src $$stage/; \
	mkdir -p $$stage/target/$(1)/release; \
	cp -a $(TARGET)/$(1)/release/{csihost,share} $$stage/target/$(1)/release/; \
	find $$stage -exec touch -h -d @$$SOURCE_DATE_EPOCH {} +; \
	(cd $$stage && $(CARGO_GENERATE_RPM) --target $(1) --target-dir $$stage/target $(2)); rm -rf $$stage
endef

# Only Cargo knows whether the program is up to date; a package is made anew if it is
# older than the program or than what goes into it.
program: tools-deb
	@$(static); cargo build --quiet --release --locked --bin csihost --target $(AMD64)
CONTENT := Cargo.toml Cargo.lock LICENSE units packaging os-profiles driver-profiles docs $(wildcard *.md)
deb: program
	@$(lock_share); deb=$$(ls $(TARGET)/debian/csihost_*.deb 2>/dev/null || :); \
	if [ -z "$$deb" ] || [ -n "$$(find $(TARGET)/$(AMD64)/release/csihost $(CONTENT) \
	        -newer "$$deb" -print -quit)" ]; then \
	    rm -f $(TARGET)/debian/csihost_*.deb; mkdir -p $(TARGET)/debian; \
	    $(call share,$(AMD64)); \
	    $(CARGO_DEB) deb --quiet --locked --no-build --no-strip --target $(AMD64) --output $(TARGET)/debian/; \
	fi; \
	ls $(TARGET)/debian/csihost_*.deb
rpm: deb tools-rpm
	@$(lock_share); rpm=$$(ls $(TARGET)/rpm/csihost-*.rpm 2>/dev/null || :); \
	if [ -z "$$rpm" ] || [ $(TARGET)/debian/csihost_*.deb -nt "$$rpm" ]; then \
	    rm -f $(TARGET)/rpm/csihost-*.rpm; mkdir -p $(TARGET)/rpm; \
	    $(call make_rpm,$(AMD64),--payload-compress gzip --output $(TARGET)/rpm/); \
	fi; \
	ls $(TARGET)/rpm/csihost-*.rpm

# Everything of one release. The compiler for arm64 is asked for first: where it cannot be had this
# is said at once, and not after the rest was built.
packages: tools-deb tools-rpm
	$(call need,file:file aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu \
	    /usr/aarch64-linux-gnu/lib/rcrt1.o:libc6-dev-arm64-cross)
	@rm -rf $(TARGET)/packages; mkdir -p $(TARGET)/packages; \
	triples=$(AMD64); $(static); \
	if rustc=$$(packaging/arm64-rustc $(ARM64) $(TARGET)/tools/arm64); then triples+=" $(ARM64)"; fi; \
	for triple in $$triples; do \
	    unset RUSTC; [ $$triple = $(AMD64) ] || export RUSTC=$$rustc CARGO_TARGET_DIR=$(TARGET)/arm64 \
	        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$(CURDIR)/packaging/arm64-cc; \
	    cargo build --quiet --release --locked --bin csihost --target $$triple; \
	done; \
	unset RUSTC CARGO_TARGET_DIR RUSTFLAGS; $(lock_share); \
	for triple in $$triples; do \
	    if [ $$triple = $(ARM64) ]; then \
	        mkdir -p $(TARGET)/$$triple/release; \
	        install $(TARGET)/arm64/$$triple/release/csihost $(TARGET)/$$triple/release/; \
	    fi; \
	    $(call share,$$triple); \
	    $(CARGO_DEB) deb --quiet --locked --no-build --no-strip --target $$triple --output $(TARGET)/packages/; \
	    $(call make_rpm,$$triple,--payload-compress gzip --output $(TARGET)/packages/); \
	    install $(TARGET)/$$triple/release/csihost $(TARGET)/packages/csihost-$(VERSION)-$${triple%%-*}; \
	    file --brief $(TARGET)/packages/csihost-$(VERSION)-$${triple%%-*} | grep -q 'static-pie linked' || \
	        { echo "the program for $$triple is not static, or not position-independent" >&2; exit 1; }; \
	done
	@cd $(TARGET)/packages; sha256sum csihost* >SHA256SUMS; ls -l

# From a fresh clone in another directory, with a target directory of its own.
reproducible: packages
	@dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; \
	git clone --quiet . $$dir/elsewhere; \
	[ -z "$$(git status --porcelain)" ] || echo 'what is not committed is not in the other build' >&2; \
	mkdir -p $$dir/elsewhere/target; cp -a $(TARGET)/tools $$dir/elsewhere/target/; \
	env -u CARGO_TARGET_DIR $(MAKE) --silent --no-print-directory -C $$dir/elsewhere packages >/dev/null; \
	cd $$dir/elsewhere/target/packages; sha256sum --check $(TARGET)/packages/SHA256SUMS

# Prometheus' own judge of metrics, out of its package: nothing of it is to run here.
$(NODES)/promtool:
	@mkdir -p $(NODES); exec 9>$(TARGET)/need.lock; flock 9; \
	dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; cd $$dir; chmod 755 .; \
	{ apt-get -qq download prometheus || { apt-get -qq update; apt-get -qq download prometheus; }; } 2>/dev/null; \
	dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool; \
	install promtool $@

# What tests install in nodes beside the base.
NODE_PACKAGES := rpm dnf cloud-init
# Of Debian's releases sid has the zypper and the dnf5 that others have today.
SID_PACKAGES := rpm zypper dnf5

# What every node is given as /share.
nodes: rpm tools-nodes $(NODES)/promtool
	@# Static, for nodes of a Debian whose glibc is older than this machine's.
	@for example in kubelet bus runtime; do \
	    cargo rustc --quiet --locked --example $$example -- -C target-feature=+crt-static; \
	done
	@mkdir -p $(NODES)
	@install -m 644 $(TARGET)/debian/csihost_*.deb $(NODES)/csihost.deb
	@install -m 644 $(TARGET)/rpm/csihost-*.rpm $(NODES)/csihost.rpm
	@install $(TARGET)/$(AMD64)/release/csihost $(TARGET)/debug/examples/{kubelet,bus,runtime} $(NODES)/
	@install -m 644 os-profiles/debian.toml tests/nodes/kubelet.service tests/nodes/guest/{lib,plugin}.sh benches/admin.sh benches/drifts $(NODES)/
	@install tests/nodes/guest/{iscsi-target,demo,soak} benches/{ready,rounds} $(NODES)/
	@base=$$(tests/nodes/build-base); tests/nodes/packages "$$base" $(NODE_PACKAGES)
	@mkdir -p $(NODES)/debs $(NODES)/boot
	@install -m 644 packaging/boot/* $(NODES)/boot/
	@$(lock_share); $(CARGO_GENERATE_RPM) --target $(AMD64) --target-dir $(TARGET) --payload-compress none \
	    --set-metadata 'version = "99.0.0"' --output $(NODES)/csihost-99.rpm

# Nodes of other releases, and the disk of virtual machines: made while the compiler runs.
bases: tools-nodes
	@tests/nodes/build-base --disk
	@for suite in $(SUITES); do CSIHOST_SUITE=$$suite tests/nodes/build-base; done
	@base=$$(CSIHOST_SUITE=sid tests/nodes/build-base); tests/nodes/packages "$$base" $(SID_PACKAGES)

demo: nodes
	@tests/nodes/machine --share $(NODES) -- /share/demo

bench: nodes
	@cargo build --quiet --release --locked --example floor --example mounts
	@install $(TARGET)/release/examples/floor $(NODES)/
	@benches/apply $(NODES)
	@benches/detect $(NODES)
	@$(TARGET)/release/examples/mounts
	@benches/contracts $(NODES)
	@benches/install $(NODES)
	@benches/agent $(NODES)

test:
	@times=$(TARGET)/times; rm -rf $$times; mkdir -p $$times; rc=0; \
	CSIHOST_TIMES=$$times $(MAKE) --no-print-directory --keep-going -j $(LANES) --output-sync=target $(STEPS) || rc=$$?; \
	tests/times $$times; exit $$rc
# For after each edit: under a minute where everything was built before, on two cores. Of new mounts it foretells other random ones
# each time, a fifth of the number that `make test` has.
quick:
	cargo fmt --all --check
	cargo clippy --quiet --locked --all-targets -- -D warnings
	CSIHOST_PROPAGATION_CASES=2000 tests/run --quiet pure
# All of a release, for each architecture: it makes the packages, looks into them and starts the program.
test-packages: lint-packages
	$(call need,qemu-aarch64-static:qemu-user-static)
	CSIHOST_PACKAGES=$(TARGET)/packages cargo test --locked --test packages -- --ignored
lint-packages: packages
	$(call need,lintian:lintian rpmlint:rpmlint rpm:rpm)
	lintian --allow-root --fail-on error,warning --tag-display-limit 0 $(TARGET)/packages/csihost_*.deb
	rpmlint --strict --config packaging/rpm/rpmlint.toml $(TARGET)/packages/csihost-*.rpm
lint: tools
	cargo fmt --all --check
	cargo clippy --quiet --locked --all-targets -- -D warnings
	mandoc -T lint -W warning packaging/man/*.[58]
	for file in packaging/boot/*.ign; do ignition-validate "$$file"; done
	shellcheck -s sh packaging/rpm/{post,preun,postun}
	shellcheck -x tests/nodes/{build-base,packages,container,machine,plain,lib.sh} tests/{run,timed,times} .ci/run packaging/deb/scripts/* \
	    packaging/arm64-{cc,rustc} \
	    tests/nodes/guest/{agent,demo,iscsi-target,lib.sh,plugin.sh,soak} tests/cluster/{binaries,serve,words.sh,campaign.sh,power-cut.sh,upgrade.sh} \
	    benches/{apply,rounds,detect,contracts,agent,drifts,install,ready,admin.sh}
# What clippy says of the standard library (incompatible_msrv), the oldest compiler says of all.
msrv:
	@toolchain=$$(rustup toolchain list 2>/dev/null | \
	    awk -v want=$(MSRV) '$$1 ~ "^" want "[.-]" { print $$1; exit }' || :); \
	if [ -n "$$toolchain" ]; then \
	    CARGO_TARGET_DIR=$(TARGET)/msrv rustup run $$toolchain \
	        cargo check --quiet --locked --all-targets; \
	else \
	    echo 'Rust $(MSRV): not tried, rustup has no such toolchain here'; \
	fi
unit: tools-deb
	$(call need,zsh:zsh fish:fish runc:runc crun:crun)
	tests/run pure
	cargo test --quiet --locked --doc
node: nodes bases
	CSIHOST_SHARE=$(NODES) tests/run --threads $(NODES_AT_ONCE) nodes -- --ignored
# Each suite has a base of its own; the virtual machine boots Debian's kernel of that suite.
matrix: nodes bases
	@failed=; \
	for suite in $(SUITES); do \
	    export CSIHOST_SUITE=$$suite CSIHOST_SHARE=$(NODES); base=$$(tests/nodes/build-base); \
	    echo "=== $$suite"; tests/nodes/packages "$$base" $(NODE_PACKAGES); \
	    tests/run --at-once 1 --threads $(NODES_AT_ONCE) nodes vm -- --ignored || failed+=" $$suite"; \
	done; \
	[ -z "$$failed" ] || { echo "tests failed on:$$failed" >&2; exit 1; }
cluster: nodes
	CSIHOST_SHARE=$(NODES) cargo test --locked --test cluster -- --ignored
cluster-campaign: nodes
	@binaries=$$(tests/cluster/binaries $(TARGET)/kubernetes); \
	tests/nodes/container --cluster "$$binaries" --shared-root --share $(NODES) --timeout $$((300 + 6 * $(CAMPAIGN_KILLS))) -- \
	    'bash /cluster/campaign.sh $(CAMPAIGN_KILLS) $(CAMPAIGN_REPAIR)'
cluster-upgrade: nodes
	@install -m 644 $(UPGRADE_FROM) $(NODES)/older.deb; binaries=$$(tests/cluster/binaries $(TARGET)/kubernetes); \
	for repair in graft align; do \
	    tests/nodes/container --cluster "$$binaries" --shared-root --share $(NODES) --timeout 600 -- \
	        "bash /cluster/upgrade.sh $$repair"; \
	done; rm $(NODES)/older.deb
cluster-power-cut: nodes
	@script='mkdir -p /cluster; mountpoint -q /cluster || mount -t 9p -o trans=virtio,version=9p2000.L,ro cluster /cluster; bash /cluster/power-cut.sh'; \
	tests/nodes/machine --cluster "$$(tests/cluster/binaries $(TARGET)/kubernetes)" --share $(NODES) --timeout 7200 \
	    --cut-on 'cut now' --then "$$script after" -- "$$script before $(CAMPAIGN_REPAIR)"
vm: nodes bases
	CSIHOST_SHARE=$(NODES) tests/run --threads $(MACHINES_AT_ONCE) vm -- --ignored

# libFuzzer wants coverage, which a stable compiler gives to whoever asks in this way. No
# sanitizer: there is no unsafe code to catch, and with one the compiler must be a nightly.
fuzz:
	$(call need,g++:g++)
	@[[ "$$($(CARGO_FUZZ) --version 2>/dev/null)" = *$(CARGO_FUZZ_VERSION)* ]] || \
	    $(INSTALL) --version $(CARGO_FUZZ_VERSION) cargo-fuzz
	@export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$(TARGET)/fuzz; cd tests/fuzz; \
	for target in $$(sed -n 's/^name = "\(.*\)"/\1/p' Cargo.toml | tail -n +2); do \
	    echo "=== $$target"; mkdir -p $(TARGET)/fuzz/corpus/$$target; \
	    $(CARGO_FUZZ) run --fuzz-dir . --sanitizer none $$target $(TARGET)/fuzz/corpus/$$target -- \
	        -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -print_final_stats=0 -verbosity=0; \
	done

# The database is a repository that not everybody can fetch; the rest asks nobody.
deny:
	@[[ "$$($(CARGO_DENY) --version 2>/dev/null)" = *$(CARGO_DENY_VERSION)* ]] || \
	    $(INSTALL) --version $(CARGO_DENY_VERSION) cargo-deny
	@$(CARGO_DENY) --locked check --hide-inclusion-graph licenses bans sources
	@if $(CARGO_DENY) fetch db >/dev/null 2>&1; then \
	    $(CARGO_DENY) --locked check --disable-fetch advisories; \
	else \
	    echo 'advisories: not checked, their database cannot be fetched'; \
	fi

soak: nodes
	@tests/nodes/container --share $(NODES) --timeout $$(($(SOAK_SECONDS) + 600)) -- \
	    "bash /share/soak $(SOAK_SECONDS) $(SOAK_SEED)"

clean:
	rm -rf $(TARGET)
clean-nodes:
	rm -rf --one-file-system "$${CSIHOST_NODES:-/var/tmp/csihost-nodes}"
