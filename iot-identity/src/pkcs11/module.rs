//! Libraries, each loaded and initialised once in a process.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use super::error::{Fault, OpenError};

static LOADED: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());

pub(super) struct Module {
    pub(super) library: Pkcs11,
    /// How often we initialised it: handles of an earlier time mean something else now, or nothing.
    epoch: AtomicU64,
    /// Nothing else keeps two stores of this process from making two keys for one slot.
    generating: Mutex<()>,
}

impl Module {
    pub(super) fn load(path: &Path) -> Result<Arc<Self>, OpenError> {
        // Two names of one file are one library with one state.
        let path = path.canonicalize().map_err(|_| OpenError::Module)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let module = match loaded.get(&path) {
            Some(module) => Arc::clone(module),
            None => Arc::new(Self {
                library: Pkcs11::new(&path).map_err(|_| OpenError::Module)?,
                epoch: AtomicU64::new(0),
                generating: Mutex::new(()),
            }),
        };
        let ready = module.initialise();
        ready.map_err(|error| OpenError::Fault(Fault::of(&error)))?;
        loaded.insert(path, Arc::clone(&module));
        Ok(module)
    }

    /// Initialises the library unless that was done, by whomever.
    pub(super) fn initialise(&self) -> Result<(), Error> {
        let args = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        match self.library.initialize(args) {
            Ok(()) => {
                self.epoch.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
            other => other,
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    pub(super) fn generating(&self) -> MutexGuard<'_, ()> {
        self.generating
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
