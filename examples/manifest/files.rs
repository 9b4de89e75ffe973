//! Files, with errors that name them.

use std::fs;
use std::io::{Error, ErrorKind, Write};
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

/// Reads a file that will be published: one in this folder or below it, wherever links lead. Whoever wrote the description
/// would otherwise choose which file of its reader is published.
pub(crate) fn read_beside(folder: &Path, name: &Path) -> Result<Vec<u8>, Problem> {
    let path = folder.join(name);
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let problem = |error| {
        let remedy = "check the path, and that it may be read";
        Problem::new(path.display(), error, remedy)
    };
    let folder = fs::canonicalize(folder).map_err(problem)?;
    let whole = fs::canonicalize(&path).map_err(problem)?;
    if !whole.starts_with(&folder) {
        let cause = "it lies outside the folder of the description, and would be published";
        let remedy = "copy the file into the folder of the description";
        return Err(Problem::new(path.display(), cause, remedy));
    }
    read(&whole)
}

/// Writes the whole file or none of it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let (mut file, partial) = begin(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|error| cannot_write(&partial, error))?;
    finish(&partial, path)
}

/// A file beside the one that is to be written, which [`finish`] puts in its place. What was there before, a link or
/// what an earlier run left, is removed, and never written through.
pub(crate) fn begin(path: &Path) -> Result<(fs::File, PathBuf), Problem> {
    let partial = beside(path, "part");
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(cannot_write(&partial, error));
        }
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).open(&partial);
    let file = file.map_err(|error| cannot_write(&partial, error))?;
    Ok((file, partial))
}

/// Puts a file that is whole in its place.
pub(crate) fn finish(partial: &Path, path: &Path) -> Result<(), Problem> {
    fs::rename(partial, path).map_err(|error| cannot_write(path, error))
}

fn cannot_write(path: &Path, error: Error) -> Problem {
    let remedy = "check that the folder exists and may be written";
    Problem::new(path.display(), error, remedy)
}

/// Writes a file that does not exist yet.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| is_there(path, error))
}

fn is_there(path: &Path, error: Error) -> Problem {
    let remedy = "name a file that does not exist: a key is never overwritten";
    Problem::new(path.display(), error, remedy)
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
    written.map_err(|error| is_there(path, error))
}

/// The path with one more ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}
