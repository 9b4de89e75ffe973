//! Files, with errors that name them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::problem::Problem;

/// An envelope or image that is larger has been given by mistake.
const MAX_FILE_BYTES: u64 = 256 << 20;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let problem = |error| {
        Problem::new(
            path.display(),
            error,
            "check the path, and that it may be read",
        )
    };
    let bytes = fs::metadata(path).map_err(problem)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(Problem::new(
            path.display(),
            format!("{bytes} bytes are more than {MAX_FILE_BYTES}"),
            "give the image itself, not an archive of several",
        ));
    }
    fs::read(path).map_err(problem)
}

pub(crate) fn read_text(path: &Path) -> Result<String, Problem> {
    String::from_utf8(read(path)?)
        .map_err(|_| Problem::new(path.display(), "not text in UTF-8", "save it as UTF-8"))
}

/// Writes the whole file or none of it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let problem = |error| {
        let remedy = "check that the folder exists and may be written";
        Problem::new(path.display(), error, remedy)
    };
    let partial = beside(path, "part");
    fs::write(&partial, bytes).map_err(problem)?;
    fs::rename(&partial, path).map_err(problem)
}

/// Writes a file that nobody else may read, and that does not exist yet.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| {
        let remedy = "name a file that does not exist: a key is never overwritten";
        Problem::new(path.display(), error, remedy)
    })
}

/// The path with one more ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}
