//! Where the boot environment is kept: in one file, and in a spare one beside it.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::FileBanksError;
use super::environment::{Environment, MAX_BYTES};

/// As many links as Linux follows (`path_resolution(7)`).
const LINKS: usize = 40;

/// Two files that say the same, of which the first one counts as long as it is whole.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    first: PathBuf,
    spare: PathBuf,
}

impl Place {
    /// Follows links, also to a file that is not there yet: what others read is to be replaced, and not the link to it.
    pub(super) fn of(environment: &Path) -> io::Result<Self> {
        let mut path = environment.to_owned();
        for _ in 0..LINKS {
            let Ok(target) = fs::read_link(&path) else {
                break;
            };
            path = folder_of(&path).join(target);
        }
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = fs::canonicalize(folder_of(&path))?;
        let first = folder.join(name);
        Ok(Self {
            spare: with_suffix(&first, ".spare"),
            first,
            folder,
        })
    }

    /// What counts: nothing yet when there is neither file.
    pub(super) fn read(&self) -> Result<Environment, FileBanksError> {
        let mut why = None;
        for path in [&self.first, &self.spare] {
            match read(path) {
                Ok(None) => {}
                Ok(Some(bytes)) => match Environment::decode(&bytes) {
                    Some(environment) => return Ok(environment),
                    None => why = Some(FileBanksError::Corrupt),
                },
                Err(error) => why = Some(error.into()),
            }
        }
        why.map_or(Ok(Environment::EMPTY), Err)
    }

    /// Makes both files say what counts. What keeps them from it keeps nobody from reading.
    pub(super) fn settle(&self, environment: &Environment) {
        let holds = |path: &Path| matches!(read(path), Ok(Some(bytes)) if bytes == environment.encode().as_bytes());
        if *environment == Environment::EMPTY {
            return;
        }
        if !holds(&self.first) && self.replace_first(environment).is_err() {
            return;
        }
        if !holds(&self.spare) {
            let _ = self.replace_spare(environment);
        }
    }

    /// Replaces the first file, durably: after a power cut it is the old or the new one.
    pub(super) fn replace_first(&self, environment: &Environment) -> io::Result<()> {
        replace(&self.first, environment)?;
        self.sync()
    }

    /// Replaces the spare file likewise, once the first one is durable: so one of them is whole at any time, also where
    /// renaming over a file is no single step.
    pub(super) fn replace_spare(&self, environment: &Environment) -> io::Result<()> {
        replace(&self.spare, environment)?;
        self.sync()
    }

    /// Makes durable which names there are.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match File::open(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn replace(path: &Path, environment: &Environment) -> io::Result<()> {
    let beside = with_suffix(path, ".tmp");
    let mut file = File::create(&beside)?;
    file.write_all(environment.encode().as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn folder_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|path| !path.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(suffix);
    path.into()
}
