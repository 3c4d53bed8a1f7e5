# What a person runs here. Everything that a target needs, it sets up by itself; it takes
# Debian 12 or 13 on amd64, root, and Rust >= 1.89.
#
#   make deb     the package: target/debian/csihost_*.deb
#   make demo    boots a disposable node, installs the package there, shows what it does
#   make test    all tests, those on real nodes too
#   make fuzz    each parser with random input, FUZZ_SECONDS (60) each; not a part of make test
#   make bench   a turn with nothing to do, against an administrator's shell script; finding the
#                kubelet among 5,000 processes, against ps; mount tables of up to 50,000 rows;
#                the contracts of 100 plugins; the agent: idle, in a storm of mounts, and how soon
#                it repairs (that alone takes half an hour: IDLE=60 TRIES=20 is enough for a look)
#   make soak    random drifts and faults against the agent for SOAK_SECONDS (1800), SOAK_SEED
#   make clean   removes what is in target/; nodes' bases too: make clean-nodes
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
export PATH := $(PATH):/usr/sbin:/sbin

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
NODES := $(TARGET)/nodes
CARGO_DEB := $(TARGET)/tools/bin/cargo-deb
CARGO_DEB_VERSION := 3.8.0
CARGO_FUZZ := $(TARGET)/tools/bin/cargo-fuzz
CARGO_FUZZ_VERSION := 0.13.2
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 1800
SOAK_SEED ?= 1

.PHONY: help deb demo test lint unit node vm fuzz soak nodes bench tools tools-deb tools-nodes clean clean-nodes
help:
	@sed -n '2,/^SHELL/{/^#/s/^# \{0,1\}//p}' Makefile

# Installs the Debian packages of the commands that are missing: COMMAND:PACKAGE...
# Where nothing is missing, the network is not asked.
define need
	@missing=(); \
	for need in $(1); do command -v "$${need%%:*}" >/dev/null || missing+=("$${need##*:}"); done; \
	if [ "$${#missing[@]}" -gt 0 ]; then \
	    echo "installing $${missing[*]}"; export DEBIAN_FRONTEND=noninteractive; \
	    apt-get -qq update; apt-get -qq -y install --no-install-recommends "$${missing[@]}" >/dev/null; \
	fi
endef
tools: tools-deb tools-nodes
tools-deb:
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust >= 1.89 (https://rustup.rs)' >&2; exit 1; }
	$(call need,cc:gcc dpkg-shlibdeps:dpkg-dev ar:binutils)
	@[[ "$$($(CARGO_DEB) --version 2>/dev/null)" = *$(CARGO_DEB_VERSION)* ]] || \
	    cargo install --quiet --locked --root $(TARGET)/tools --version $(CARGO_DEB_VERSION) cargo-deb
tools-nodes:
	$(call need,debootstrap:debootstrap systemd-nspawn:systemd-container \
	    qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils mkfs.ext4:e2fsprogs \
	    setpriv:util-linux shellcheck:shellcheck mandoc:mandoc)

# Only Cargo knows whether the program is up to date; the package is made anew if it is
# older than the program or than what goes into it.
deb: tools-deb
	@cargo build --quiet --release --locked --bin csihost
	@deb=$$(ls $(TARGET)/debian/csihost_*.deb 2>/dev/null || :); \
	if [ -z "$$deb" ] || [ -n "$$(find $(TARGET)/release/csihost Cargo.toml units packaging os-profiles \
	        *.md -newer "$$deb" -print -quit)" ]; then \
	    rm -f $(TARGET)/debian/csihost_*.deb; \
	    $(CARGO_DEB) deb --quiet --locked --no-build; \
	fi; \
	ls $(TARGET)/debian/csihost_*.deb

# Prometheus' own judge of metrics, out of its package: nothing of it is to run here.
$(NODES)/promtool:
	@mkdir -p $(NODES); dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; cd $$dir; chmod 755 .; \
	{ apt-get -qq download prometheus || { apt-get -qq update; apt-get -qq download prometheus; }; } 2>/dev/null; \
	dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool; \
	install promtool $@

# What every node is given as /share.
nodes: deb tools-nodes $(NODES)/promtool
	@cargo build --quiet --locked --example kubelet --example bus
	@mkdir -p $(NODES)
	@install -m 644 $(TARGET)/debian/csihost_*.deb $(NODES)/csihost.deb
	@install $(TARGET)/release/csihost $(TARGET)/debug/examples/{kubelet,bus} $(NODES)/
	@install -m 644 os-profiles/debian.toml tests/nodes/kubelet.service tests/nodes/guest/{lib,plugin}.sh benches/admin.sh benches/drifts $(NODES)/
	@install tests/nodes/guest/{iscsi-target,demo,soak} benches/rounds $(NODES)/
	@tests/nodes/build-base >/dev/null
	@mkdir -p $(NODES)/debs
	@install -m 644 $${CSIHOST_NODES:-/var/tmp/csihost-nodes}/debs/open-iscsi_*.deb $(NODES)/debs/

demo: nodes
	@tests/nodes/machine --share $(NODES) -- /share/demo

bench: nodes
	@cargo build --quiet --release --locked --example floor --example mounts
	@install $(TARGET)/release/examples/floor $(NODES)/
	@benches/apply $(NODES)
	@benches/detect $(NODES)
	@$(TARGET)/release/examples/mounts
	@benches/contracts $(NODES)
	@benches/agent $(NODES)

test: lint unit node vm
lint: tools
	cargo fmt --all --check
	cargo clippy --quiet --locked --all-targets --features node-tests -- -D warnings
	mandoc -T lint -W warning packaging/man/*.[58]
	shellcheck -x tests/nodes/{build-base,container,machine,plain,lib.sh} .ci/run packaging/deb/scripts/* \
	    tests/nodes/guest/{agent,demo,iscsi-target,lib.sh,plugin.sh,soak} \
	    benches/{apply,rounds,detect,contracts,agent,drifts,admin.sh}
unit: tools-deb
	cargo test --quiet --locked
node: nodes
	cargo test --locked --features node-tests $(patsubst tests/%.rs,--test %,$(wildcard tests/node*.rs))
vm: nodes
	cargo test --locked --features node-tests --test vm

# libFuzzer wants coverage, which a stable compiler gives to whoever asks in this way. No
# sanitizer: there is no unsafe code to catch, and with one the compiler must be a nightly.
fuzz:
	$(call need,g++:g++)
	@[[ "$$($(CARGO_FUZZ) --version 2>/dev/null)" = *$(CARGO_FUZZ_VERSION)* ]] || \
	    cargo install --quiet --locked --root $(TARGET)/tools --version $(CARGO_FUZZ_VERSION) cargo-fuzz
	@export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$(TARGET)/fuzz; cd tests/fuzz; \
	for target in $$(sed -n 's/^name = "\(.*\)"/\1/p' Cargo.toml | tail -n +2); do \
	    echo "=== $$target"; mkdir -p $(TARGET)/fuzz/corpus/$$target; \
	    $(CARGO_FUZZ) run --fuzz-dir . --sanitizer none $$target $(TARGET)/fuzz/corpus/$$target -- \
	        -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -print_final_stats=0 -verbosity=0; \
	done

soak: nodes
	@tests/nodes/container --share $(NODES) --timeout $$(($(SOAK_SECONDS) + 600)) -- \
	    "bash /share/soak $(SOAK_SECONDS) $(SOAK_SEED)"

clean:
	rm -rf $(TARGET)
clean-nodes:
	rm -rf --one-file-system "$${CSIHOST_NODES:-/var/tmp/csihost-nodes}"
