//! What the kernel is asked for, and in which order: no test can cut the power of its host.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// One call that was made: its name, and the files that it names.
#[derive(Debug, Eq, PartialEq)]
struct Call {
    name: String,
    files: Vec<PathBuf>,
}

impl Call {
    fn new(name: &str, file: &Path) -> Self {
        Self {
            name: name.into(),
            files: vec![file.into()],
        }
    }

    /// Reads `1234 fsync(3</tmp/a>) = 0` and `1234 rename("/tmp/b", "/tmp/c") = 0`.
    fn of(line: &str) -> Option<Self> {
        let (head, arguments) = line.split_once('(')?;
        let name = head.split_whitespace().last()?;
        let files = match name.starts_with("rename") {
            true => arguments.split('"').skip(1).step_by(2).collect(),
            false => vec![arguments.split_once('<')?.1.split_once('>')?.0],
        };
        Some(Self {
            name: name.into(),
            files: files.into_iter().map(PathBuf::from).collect(),
        })
    }
}

/// What another test of this program asks the kernel for, about its own files.
fn calls(test: &str) -> Vec<Call> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let traced = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-e",
            "trace=pwrite64,write,fdatasync,fsync,/^rename",
            "-o",
        ])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--test-threads", "1", "--exact", test])
        .output()
        .unwrap();
    assert!(traced.status.success(), "{traced:?}");
    let told = String::from_utf8(traced.stdout).unwrap();
    assert!(told.contains("1 passed"), "{told}");
    let lines = fs::read_to_string(log).unwrap();
    let folder = fs::canonicalize(std::env::temp_dir()).unwrap();
    let calls = lines.lines().filter_map(Call::of);
    calls
        .filter(|call| call.files[0].starts_with(&folder))
        .collect()
}

#[test]
#[ignore = "needs strace"]
fn what_a_record_counts_is_synced_first_and_so_is_each_name() {
    let calls =
        calls("slot::linux::tests::a_system_is_tried_confirmed_and_counted_across_processes");
    let (mut written, mut renamed) = (0, 0);
    for (at, call) in calls.iter().enumerate() {
        match call.name.as_str() {
            "pwrite64" => {
                assert_eq!(calls[at + 1], Call::new("fdatasync", &call.files[0]));
                written += 1;
            }
            name if name.starts_with("rename") => {
                let [from, to] = &call.files[..] else {
                    panic!("{call:?}")
                };
                assert_eq!(calls[at - 2], Call::new("write", from));
                assert_eq!(calls[at - 1], Call::new("fsync", from));
                assert_eq!(calls[at + 1], Call::new("fsync", to.parent().unwrap()));
                renamed += 1;
            }
            _ => {}
        }
    }
    // The factory, an image, a stage, a trial, a confirmation and two counters; each environment and its spare.
    assert!(written == 1 && renamed >= 12, "{written} {renamed}");
}
