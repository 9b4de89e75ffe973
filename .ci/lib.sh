# Shared by the scripts of this folder; sourced, never run.
# Everything happens in the root of the workspace, wherever the caller stands.

set -euo pipefail
export LC_ALL=C.UTF-8 CARGO_TERM_COLOR=never

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
export CARGO_TARGET_DIR=$target

# A gate builds everything once: what would make a second build faster, and a debugger happy, only costs it time.
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only

# Mosquitto lives in sbin; what cargo installs need not be on everybody's path.
PATH=$PATH:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin
export PATH
export PYTHONPATH=$target/paho:$target/moto:$target/pycose:$target/imgtool${PYTHONPATH:+:$PYTHONPATH}

fail() {
    echo "error: $*" >&2
    exit 1
}

# The crates that go to crates.io, in workspace order.
published() { python3 .ci/workspace.py published; }

has_rustup_target() {
    command -v rustup >/dev/null && rustup target list --installed 2>/dev/null | grep -qx "$1"
}

# bare_cargo TARGET STD ARGS...: cargo for a chip. STD is what build-std builds: core, or core,alloc.
# An installed rustup target is used; otherwise Debian's compiler builds the standard library from source,
# with a cargo home of its own, because two versions of cargo do not share one.
bare_cargo() {
    local chip=$1 std=$2
    shift 2
    if has_rustup_target "$chip"; then
        CARGO_TARGET_DIR=$target/bare cargo "$@" --target "$chip"
    else
        [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src ] ||
            fail "no compiler for $chip: run '.ci/run tools', or 'rustup target add $chip'"
        PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_HOME=${BARE_CARGO_HOME:-$target/bare-home} \
            CARGO_TARGET_DIR=$target/bare /usr/bin/cargo "$@" -Z "build-std=$std" --target "$chip"
    fi
}

# firmware_image BIN: builds one image of examples/firmware, if need be, and sets `image` to its path.
firmware_image() {
    (cd examples/firmware && bare_cargo thumbv7em-none-eabi core build --release --quiet --bin "$1")
    image=$target/bare/thumbv7em-none-eabi/release/$1
    [ -s "$image" ] || fail "the build left no image at $image"
    nameless "$image"
}

# nameless IMAGE: a chip compares object identifiers by their bytes; a table of their names would only fill its flash.
nameless() {
    local names
    arm-none-eabi-objcopy -O binary "$1" "$1.bin"
    names=$(grep -aoE 'id-kp-serverAuth|id-at-countryName|countryName|rsaEncryption|ecdsa-with-SHA256|id-ecPublicKey|subjectAltName' \
        "$1.bin" | sort -u | paste -sd' ') || true
    # What is not in the image cannot be found in it: an empty one would pass.
    [ "$(wc -c <"$1.bin")" -gt 1000 ] || fail "the image $1 has no content"
    rm "$1.bin"
    [ -z "$names" ] || fail "the image $(basename "$1") holds an OID name table: $names"
}

# qemu IMAGE: runs an image on the emulated board; its exit code is the firmware's own verdict.
qemu() {
    timeout 120 qemu-system-arm -cpu cortex-m4 -machine lm3s6965evb -display none -monitor none \
        -serial none -semihosting-config enable=on,target=native -kernel "$1" </dev/null
}

# readme_command PREFIX: the one command of the README's shell blocks that begins so.
readme_command() {
    local found
    found=$(awk '/^```/ { inside = ($0 == "```sh") && !inside; next } inside' README.md | grep -F -- "$1" || true)
    [ "$(printf '%s\n' "$found" | grep -c .)" = 1 ] ||
        fail "README.md must show exactly one command '$1 …', found: '$found'"
    printf '%s\n' "$found"
}

# copy_to FOLDER: the sources as they are, committed or not, without anything built.
# Cargo takes a package at two paths for the same and compares times only. So a copy is built in a target
# folder of its own, and all its files are new: nothing of one copy can pass for another's.
copy_to() {
    rm -rf "$1"
    mkdir -p "$1"
    git ls-files -co --exclude-standard -z | tar --null -T - --ignore-failed-read -c 2>/dev/null | tar -xm -C "$1"
}

# powerset DEPTH: checks every published crate with each set of up to DEPTH features.
# In a copy, because cargo-hack takes the development dependencies out of the manifests while it runs.
powerset() {
    local crate crates args=() copy=$target/powerset
    crates=$(published)
    for crate in $crates; do args+=(-p "$crate"); done
    copy_to "$copy"
    (cd "$copy" && CARGO_TARGET_DIR=$target/powerset-build cargo hack check --quiet "${args[@]}" --feature-powerset --depth "$1" --no-dev-deps)
    rm -rf "$copy"
}

# Each has a workspace of its own in its folder fuzz.
fuzz_crates="iot-core iot-identity iot-ota iot-transport iot-twin"

# fuzz_targets: lines `crate target`, from the manifests; a file that none names would never be run.
fuzz_targets() {
    local crate listed files
    for crate in $fuzz_crates; do
        listed=$(cd "$crate" && cargo fuzz list)
        files=$(find "$crate"/fuzz/fuzz_targets -name '*.rs' -exec basename {} .rs \; | sort)
        [ -n "$listed" ] || fail "$crate has no fuzz target"
        [ "$(sort <<<"$listed")" = "$files" ] || fail "$crate/fuzz/Cargo.toml does not name each file of fuzz_targets"
        sed "s/^/$crate /" <<<"$listed"
    done
}

# fuzz_all SECONDS [SEED]: builds every fuzz target, then runs each so long, two at a time.
# Without a sanitizer, because the code has no unsafe that it could watch: so any compiler will do.
# With a seed a run begins with the target's own small corpus, and where one machine gets, another with the same compiler gets
# too, or nearly: who runs it for longer has seen what a gate can meet. Without one it goes on from what earlier runs learnt.
fuzz_all() {
    local targets crate
    targets=$(fuzz_targets)
    for crate in $fuzz_crates; do
        (cd "$crate" && CARGO_TARGET_DIR=$target/fuzz cargo fuzz build --sanitizer none)
    done
    printf '%s\n' "$targets" | xargs -P 2 -L 1 bash -c '. .ci/lib.sh; fuzz_one "$3" "$4" "$1" "$2"' .ci/lib.sh "$1" "${2:-0}"
}

# fuzz_one CRATE TARGET SECONDS SEED: fails on a finding, and when nothing was executed. Seed 0 is another one each time.
fuzz_one() {
    local corpus=$target/fuzz/corpus/$1/$2 log=$target/fuzz/$1-$2.log runs
    if [ "$4" != 0 ]; then
        corpus=$target/fuzz/seeded/$1/$2
        rm -rf "$corpus"
    fi
    mkdir -p "$corpus" "$target/fuzz/findings"
    (cd "$1" && RUST_BACKTRACE=0 CARGO_TARGET_DIR=$target/fuzz cargo fuzz run --sanitizer none "$2" "$corpus" -- \
        -max_total_time="$3" -seed="$4" -reload=0 -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$target/fuzz/findings/$2-") >"$log" 2>&1 ||
        { fuzz_finding "$log"; fail "the fuzz target $2 found an input that breaks a claim"; }
    runs=$(sed -n 's/^Done \([0-9]*\) runs in .*/\1/p' "$log")
    [ "${runs:-0}" -gt 0 ] || { tail -40 "$log"; fail "the fuzz target $2 executed nothing"; }
    echo "$1 $2: $runs executions in $3 s, no finding"
}

# fuzz_finding LOG: which claim broke, and the bytes that broke it: a machine that is gone with its findings leaves the log.
fuzz_finding() {
    local finding
    grep -A4 -m1 "panicked at" "$1" | cut -c -2000 || tail -40 "$1"
    finding=$(sed -n 's/.*Test unit written to //p' "$1" | head -1)
    [ ! -f "$finding" ] || { echo "the input, for base64 -d:"; head -c 6000 "$finding" | base64; }
}
