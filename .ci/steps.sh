#!/usr/bin/env bash
# One step of the gate, by name; `.ci/run` calls it. A step that found nothing to do has failed.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

apt_missing() {
    local missing=() pair
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || [ -e "${pair%%:*}" ] || missing+=(${pair##*:})
    done
    [ ${#missing[@]} -eq 0 ] && return
    echo "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

step_tools() {
    apt_missing cc:gcc cc:libc6-dev c++:g++ python3:python3 qemu-system-arm:qemu-system-arm \
        arm-none-eabi-ld:gcc-arm-none-eabi arm-none-eabi-size:binutils-arm-none-eabi arm-none-eabi-objcopy:binutils-arm-none-eabi \
        mosquitto:mosquitto mosquitto_pub:mosquitto-clients nats-server:nats-server nginx:nginx-light coap-server-notls:libcoap3-bin openssl:openssl ld.lld:lld \
        softhsm2-util:softhsm2 swtpm:swtpm strace:strace valgrind:valgrind /usr/lib/postgresql:postgresql
    if ! command -v cargo >/dev/null; then
        apt_missing cargo:cargo-web cargo:rustc-web rustfmt:rustfmt-web cargo-clippy:rust-web-clippy
    fi
    if ! has_rustup_target thumbv7em-none-eabi; then
        apt_missing /usr/bin/cargo:cargo-web /usr/bin/rustc:rustc-web /usr/lib/rustlib/src/rust:rust-web-src
    fi
    # A client of another language, for the hub; in a folder of its own, which lib.sh puts on Python's path.
    if ! python3 -c 'import paho.mqtt.client' 2>/dev/null; then
        python3 -m pip --version >/dev/null 2>&1 || apt_missing pip3:python3-pip
        python3 -m pip install --quiet --root-user-action ignore --target "$target/paho" paho-mqtt==2.1.0
    fi
    # MCUboot's own tool, for its trailers; the same way.
    if ! python3 -c 'import imgtool' 2>/dev/null; then
        python3 -m pip --version >/dev/null 2>&1 || apt_missing pip3:python3-pip
        python3 -m pip install --quiet --root-user-action ignore --target "$target/imgtool" imgtool==2.5.0
    fi
    # Other people's shadow service, for the adapter; the same way.
    if ! python3 -c 'import moto.server, flask' 2>/dev/null; then
        python3 -m pip --version >/dev/null 2>&1 || apt_missing pip3:python3-pip
        python3 -m pip install --quiet --root-user-action ignore --target "$target/moto" 'moto[server]==5.2.1'
    fi
    # COSE as others understand it, for the manifest tool; the same way.
    if ! python3 -c 'import cbor2, pycose' 2>/dev/null; then
        python3 -m pip --version >/dev/null 2>&1 || apt_missing pip3:python3-pip
        python3 -m pip install --quiet --root-user-action ignore --target "$target/pycose" cbor2==6.3.0 pycose==1.1.0
    fi
    local tool
    for tool in cargo-hack cargo-deny cargo-fuzz; do
        # The tools are not the project's code: a target folder of their own would only fill the disk.
        command -v "$tool" >/dev/null || cargo install --locked --quiet --debug "$tool"
    done
    cargo --version
    /usr/bin/cargo --version || true
    qemu-system-arm --version | head -1
}

step_fmt() {
    scripts_parse
    cargo fmt --all --check
    (cd examples/firmware && cargo fmt --check)
    (cd benches/embassy_boot && cargo fmt --check)
    local crate
    for crate in $fuzz_crates; do
        (cd "$crate/fuzz" && cargo fmt --check)
    done
}

# What no step of the gate calls must be readable too.
scripts_parse() {
    local script checked=0
    for script in .ci/*; do
        head -1 "$script" | grep -q bash || continue
        bash -n "$script" || fail "$script is no script"
        checked=$((checked + 1))
    done
    [ "$checked" -ge 10 ] || fail "only $checked scripts were found"
    echo "$checked scripts can be read"
}

step_length() {
    local checked=0 lines file
    while IFS= read -r file; do
        lines=$(wc -l <"$file")
        [ "$lines" -le 800 ] || fail "$file has $lines lines: split it before 800"
        checked=$((checked + 1))
    done < <(find . \( -name target -o -name .git \) -prune -o \( -name '*.rs' -o -path './.ci/*' \) -type f -print)
    [ "$checked" -gt 20 ] || fail "only $checked files were found"
    echo "$checked files have at most 800 lines"
}

step_names() {
    mapfile -t manifests < <(find . \( -name target -o -name .git \) -prune -o -name Cargo.toml -print)
    [ ${#manifests[@]} -ge 10 ] || fail "only ${#manifests[@]} manifests were found"
    python3 .ci/workspace.py names "${manifests[@]}"
    echo "${#manifests[@]} manifests name no stranger"
}

step_star() {
    python3 .ci/workspace.py star
    # The tree also sees what a third crate would drag in.
    local crate sibling tree
    for crate in iot-identity iot-ota iot-transport iot-twin; do
        tree=$(cargo tree --locked -p "$crate" --all-features -e normal,build,dev --prefix none)
        grep -q "^iot-sdk-core " <<<"$tree" || fail "$crate does not stand on iot-sdk-core"
        for sibling in iot-identity iot-ota iot-transport iot-twin; do
            [ "$sibling" = "$crate" ] || ! grep -q "^$sibling " <<<"$tree" || fail "$crate reaches its sibling $sibling"
        done
    done
    echo "the four siblings meet only in iot-sdk-core"
}

# Bugs that nobody can plant any more would be called found by nobody.
step_bugs() {
    .ci/mutants --check
    .ci/crash_mutants --check
}

step_deny() {
    cargo deny --locked --all-features check licenses bans sources
}

step_clippy() {
    cargo clippy --locked --quiet --keep-going --workspace --all-targets --all-features -- -D warnings
    local crate core alloc set sets
    for crate in $fuzz_crates; do
        (cd "$crate/fuzz" && CARGO_TARGET_DIR=$target/fuzz cargo clippy --locked --quiet --all-targets -- -D warnings)
    done
    sets=$(feature_sets)
    while read -r crate core alloc; do
        for set in "" "$core" "$alloc"; do
            echo "clippy $crate [${set:-default}]"
            cargo clippy --locked --quiet -p "$crate" --lib --no-default-features --features "${set/#-/}" -- -D warnings
        done
    done <<<"$sets"
}

# Lines `crate core-features alloc-features`; at least one a library, or the gate would check nothing.
feature_sets() {
    local sets
    sets=$(python3 .ci/workspace.py features)
    [ "$(grep -c . <<<"$sets")" -ge 5 ] || fail "the libraries were not found"
    printf '%s\n' "$sets"
}

step_test() {
    local command log=$target/ci-test.log
    command=$(readme_command 'cargo test')
    echo "\$ $command"
    bash -c "$command" 2>&1 | tee "$log"
    passed_tests "$log" 100
}

# passed_tests LOG LEAST: sums what the test programs say; fewer than LEAST is a failure.
passed_tests() {
    local sum
    sum=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$1" | paste -sd+ | bc_sum)
    [ "$sum" -ge "$2" ] || fail "only $sum tests ran, at least $2 were expected"
    echo "$sum tests passed"
}

bc_sum() {
    local terms
    read -r terms || true
    echo $((${terms:-0}))
}

step_defaults() {
    local crate crates log=$target/ci-defaults.log
    : >"$log"
    crates=$(published)
    for crate in $crates; do
        cargo test --locked --quiet -p "$crate" 2>&1 | tee -a "$log"
    done
    passed_tests "$log" 10
}

step_ignored() {
    local vectors=${IOT_VECTORS:-$root/../shared/vectors} log=$target/ci-ignored.log skip=() name marked left_out=""
    marked=$(tests_marked 'needs ')
    if [ "$vectors" = none ]; then
        left_out=$(tests_marked 'needs IOT_VECTORS')
        for name in $left_out; do
            echo "left out, IOT_VECTORS=none: $name"
            skip+=(--skip "$name")
        done
    else
        [ -d "$vectors" ] || fail "no vectors at $vectors: set IOT_VECTORS to their folder, or to none to go without"
        IOT_VECTORS=$(cd "$vectors" && pwd)
        export IOT_VECTORS
    fi
    cargo test --locked --workspace --all-features --tests -- --ignored "${skip[@]}" 2>&1 | tee "$log"
    # Each test that is marked in the sources must have run: a cfg that hides one would pass in silence.
    for name in $marked; do
        grep -qx "$name" <<<"$left_out" || grep -qE "^test (.*::)?$name( - .*)? \.\.\. ok$" "$log" ||
            fail "the ignored test $name is marked in the sources and did not run"
    done
    passed_tests "$log" 1
}

# tests_marked REASON: the names of the tests that are ignored because of it.
tests_marked() {
    find . \( -name target -o -name .git \) -prune -o -name '*.rs' -print0 |
        xargs -0 awk -v reason="$1" '
            FNR == 1 { marked = 0 }
            /#\[ignore/ && index($0, reason) { marked = 1 }
            marked && match($0, /fn [a-z0-9_]+/) { print substr($0, RSTART + 3, RLENGTH - 3); marked = 0 }'
}

step_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --workspace --all-features --no-deps
}

step_bare() {
    local crate core alloc sets
    sets=$(feature_sets)
    while read -r crate core alloc; do
        bare_check thumbv7em-none-eabi core "$crate" ""
        bare_check thumbv7em-none-eabi core "$crate" "${core/#-/}"
        bare_check thumbv7em-none-eabi core,alloc "$crate" "${alloc/#-/}"
        bare_check thumbv6m-none-eabi core "$crate" "${core/#-/}"
        bare_check riscv32imac-unknown-none-elf core "$crate" "${core/#-/}"
    done <<<"$sets"
}

bare_check() {
    echo "$1 ($2): $3 [$4]"
    bare_cargo "$1" "$2" check --locked --quiet -p "$3" --no-default-features --features "$4"
}

step_firmware() {
    local output
    firmware_image firmware
    output=$(qemu "$image") || fail "the firmware ended with code $?: $output"
    printf '%s\n' "$output"
    grep -q '^RESULT ok .*stack=[0-9]' <<<"$output" || fail "the firmware did not print its result"
    .ci/powercut 3
    .ci/uplink 3
    .ci/updatecut 211
    .ci/wycheproof
    .ci/manifests
}

# The engines of the crash report, and how a run of each must end in the small scopes. `bounded` stands for those whose
# fixpoint is out of reach here.
crash_engines='
boot-direct          bounded
boot-overwrite       bounded
boot-resumed         bounded
boot-swap            bounded
boot-swap-short      bounded
counter              yes
log                  yes
records              yes
records-full         yes
commands             yes
commands-any-order   bounded
commands-backup      bounded
commands-expiry      bounded
commands-four-issuers bounded
commands-in-turn     bounded
commands-not-before  bounded
commands-one-lane    bounded
commands-overflow    bounded
commands-taken-back  bounded
commands-two-issuers bounded
delta                yes
download             bounded
download-patch       bounded
outbox               bounded
outbox-pushed-out    bounded
rotation             bounded
rotation-in-use      bounded
twin                 bounded
twin-two-fields      bounded
'

# Every state that power cuts can lead to, in the small scopes; the large ones are in .ci/deep.
step_crash() {
    local log=$target/ci-crash.log engine end strange
    cargo run --locked --quiet --release -p iot-benches --bin crash_report | tee "$log"
    while read -r engine end; do
        [ -n "$engine" ] || continue
        [ "$end" = yes ] || end='[a-z]*'
        grep -q "^$engine .*states=[1-9].*violations=0 fixpoint=$end " "$log" || fail "nothing was explored of $engine"
    done <<<"$crash_engines"
    # What is not on the list could leave the report in silence.
    strange=$(awk -v known="$(awk '{ print $1 }' <<<"$crash_engines")" '
        BEGIN { split(known, names, "\n"); for (at in names) listed[names[at]] = 1 }
        !($1 in listed) && !told[$1]++ { print $1 }' "$log")
    [ -z "$strange" ] || fail "the list of the crash report's engines lacks:" $strange
}

step_size() {
    .ci/size --check
    .ci/count
}

step_examples() {
    local example examples count=0 log=$target/ci-example.log main
    main=$(readme_command 'cargo run')
    examples=$(python3 .ci/workspace.py examples)
    cargo build --locked --quiet --release -p iot-examples --examples
    for example in $examples; do
        # The README's own command stands for its example, so that what it promises is what runs.
        if [[ "$main" == *"--example $example" ]]; then
            echo "\$ $main"
            timeout 900 bash -c "$main" 2>&1 | tee "$log" || fail "$example failed, or waits for ever"
            tail -1 "$log" | grep -q '^RESULT ok devices=300' || fail "$example did not end with RESULT ok devices=300"
            main=""
        else
            echo "\$ cargo run --release --example $example"
            # One that waits for ever has failed as well.
            timeout 900 cargo run --locked --quiet --release --example "$example" 2>&1 | tee "$log" ||
                fail "$example failed, or waits for ever"
        fi
        grep -q '^RESULT ok' "$log" || fail "the example $example did not print RESULT ok"
        count=$((count + 1))
    done
    [ -z "$main" ] || fail "the README's command runs no example of this workspace: $main"
    [ "$count" -ge 6 ] || fail "only $count examples were found"
    echo "$count examples passed"
}

step_facts() {
    local run
    for run in 1 2; do
        cargo run --locked --quiet --release --example smart_building -- --seed 1 --json >"$target/ci-facts-$run.json"
    done
    python3 .ci/workspace.py equal-facts "$target"/ci-facts-{1,2}.json
}

step_ratios() {
    local log=$target/ci-ratios.log
    cargo run --locked --quiet --release -p iot-benches --bin ratios | tee "$log"
    grep -qE '^[a-z0-9_-]+ ours=[0-9.]+ peer=[0-9.]+ unit=.* goal=.* (ok|short)$' "$log" || fail "no ratio was measured"
}

# Nothing of an earlier run may serve: cargo unpacks a workspace's own packages under its home, builds them
# once, and knows both by name and version alone, so a package would be proved against a dependency of yesterday.
step_package() {
    local wanted crate crates found room=$target/packaged
    wanted=$(published | wc -l)
    rm -rf "$room"
    for crate in $(published); do
        rm -rf "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$crate"-[0-9]*
    done
    cargo package --locked --quiet --allow-dirty --workspace --exclude iot-benches --exclude iot-examples \
        --target-dir "$room"
    crates=("$room"/package/*.crate)
    [ ${#crates[@]} -eq "$wanted" ] || fail "${#crates[@]} packages were made, $wanted are published"
    found=$(mktemp -d)
    for crate in "${crates[@]}"; do tar -xzf "$crate" -C "$found" --wildcards '*/Cargo.toml'; done
    python3 .ci/workspace.py names "$found"/*/Cargo.toml
    rm -r "$found"
    echo "${#crates[@]} packages build by themselves and name no stranger"
}

# The seeds first: what the decoders' own encoders make must keep the claims without any luck.
step_fuzz() {
    local log=$target/ci-fuzz.log crate
    for crate in $fuzz_crates; do
        (cd "$crate/fuzz" && CARGO_TARGET_DIR=$target/fuzz cargo test --locked --quiet) 2>&1
    done | tee "$log"
    passed_tests "$log" "$(fuzz_targets | wc -l)"
    fuzz_all 5 1
}

# Each feature alone; .ci/deep combines them.
step_features() {
    powerset 1
}

"step_$1"
