//! A store whose files hold arbitrary bytes.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use iot_core::engine::{BatchWriter, RecordKey};
use iot_core::port::Records;
use iot_core::storage::directory::{Directory, DirectoryError};
use tempfile::TempDir;

use crate::input::Input;

const RECORD: u8 = 0;
const SEALED_RECORD: u8 = 1;
const BATCH: u8 = 2;
const SEALED_BATCH: u8 = 3;

/// The input is a list of files: their kind, for records a key, and their content, which is given a valid
/// checksum where the kind says so. Whatever lies there, opening and reading end in a value or an error;
/// what is committed afterwards is there after opening again, and so is all that could be read before.
pub fn run(data: &[u8]) {
    let folder = folder();
    let mut input = Input(data);
    while lay(folder.path(), &mut input).is_some() {}
    // A whole batch wins over what the files held.
    let expected = batch(&fs::read(folder.path().join("batch")).unwrap_or_default());
    let Ok(mut store) = Directory::open(folder.path()) else {
        return;
    };
    let before = read_all(&mut store);
    for (key, value) in expected.into_iter().flatten() {
        let found = before.get(&key);
        assert_eq!(found, value.map(Some).as_ref(), "record {key}");
    }
    for (key, found) in &before {
        let file =
            fs::read(folder.path().join(format!("{key:08x}.rec"))).expect("a key that is listed");
        assert_eq!(*found, record(&file, *key), "record {key}");
    }
    let mut buffer = [0; 64];
    let mut writer = BatchWriter::new(&mut buffer);
    for key in [0, 7] {
        writer.put(RecordKey::new(key), b"new").expect("it fits");
    }
    ready(store.commit(&writer.finish())).expect("a store that is open takes a batch");
    drop(store);
    let mut store = Directory::open(folder.path()).expect("what was open opens again");
    let mut after = read_all(&mut store);
    for key in [0, 7] {
        assert_eq!(after.remove(&key), Some(Some(b"new".to_vec())));
    }
    assert!(
        before
            .into_iter()
            .filter(|(key, _)| ![0, 7].contains(key))
            .eq(after)
    );
}

/// Writes one file; `None` when the input is used up.
fn lay(folder: &Path, input: &mut Input<'_>) -> Option<()> {
    let kind = input.byte()? % 4;
    let name = match kind {
        RECORD | SEALED_RECORD => format!("{:08x}.rec", input.byte()? % 16),
        _ => "batch".to_owned(),
    };
    let mut content = input.short()?.to_vec();
    if matches!(kind, SEALED_RECORD | SEALED_BATCH) {
        let crc = crc32(&content);
        content.extend(crc.to_be_bytes());
    }
    fs::write(folder.join(name), content).expect("a writable folder");
    Some(())
}

/// Every record by its key; `None` for one that could not be read, and then with a reason that fits.
fn read_all(store: &mut Directory) -> BTreeMap<u32, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut from = Some(RecordKey::new(0));
    while let Some(key) = from.and_then(|from| ready(store.next_key(from)).expect("an open store"))
    {
        let mut buffer = [0; 512];
        let value = match ready(store.read(key, &mut buffer)) {
            Ok(value) => Some(value.expect("a key that is listed").to_vec()),
            Err(DirectoryError::Corrupt { .. } | DirectoryError::Version { .. }) => None,
            Err(error) => panic!("reading {key:?}: {error}"),
        };
        all.insert(key.get(), value);
        from = key.offset(1);
    }
    all
}

/// The value in the file of a record, by the documented format; `None` when it is not whole.
fn record(file: &[u8], key: u32) -> Option<Vec<u8>> {
    let (covered, crc) = file.split_last_chunk()?;
    let content = covered.strip_prefix(b"IOTR\x01")?;
    let (found, content) = content.split_first_chunk()?;
    let (len, value) = content.split_first_chunk()?;
    let whole = crc32(covered) == u32::from_be_bytes(*crc)
        && u32::from_be_bytes(*found) == key
        && usize::try_from(u32::from_be_bytes(*len)) == Ok(value.len());
    whole.then(|| value.to_vec())
}

/// The last value of each key of a batch file, by the documented format; `None` when it is not whole.
fn batch(file: &[u8]) -> Option<BTreeMap<u32, Option<Vec<u8>>>> {
    let (covered, crc) = file.split_last_chunk()?;
    let content = covered.strip_prefix(b"IOTB\x01")?;
    let (count, mut content) = content.split_first_chunk()?;
    if crc32(covered) != u32::from_be_bytes(*crc) {
        return None;
    }
    let mut entries = BTreeMap::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (key, rest) = content.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (value, rest) = match u32::from_be_bytes(*len) {
            u32::MAX => (None, rest),
            len => {
                let (value, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
                (Some(value.to_vec()), rest)
            }
        };
        entries.insert(u32::from_be_bytes(*key), value);
        content = rest;
    }
    content.is_empty().then_some(entries)
}

/// A record as the store itself writes it, and batches as documented.
pub fn seeds() -> Vec<Vec<u8>> {
    let folder = folder();
    let mut store = Directory::open(folder.path()).expect("an empty folder");
    let mut buffer = [0; 64];
    let mut writer = BatchWriter::new(&mut buffer);
    writer.put(RecordKey::new(5), b"open").expect("it fits");
    ready(store.commit(&writer.finish())).expect("room");
    let record = fs::read(folder.path().join("00000005.rec")).expect("the record's file");
    let unsealed = &record[..record.len() - 4];
    let mut batch = b"IOTB\x01\0\0\0\x02".to_vec();
    batch.extend(&unsealed[5..]);
    batch.extend(b"\0\0\0\x03\xff\xff\xff\xff");
    let file = |head: &[u8], content: &[u8]| {
        let len = u8::try_from(content.len()).expect("a short file");
        [head, &[len], content].concat()
    };
    let (whole, sealed) = (
        file(&[RECORD, 5], &record),
        file(&[SEALED_RECORD, 3], unsealed),
    );
    let (torn, batch) = (file(&[BATCH], &batch), file(&[SEALED_BATCH], &batch));
    vec![
        whole.clone(),
        sealed.clone(),
        torn,
        batch.clone(),
        [sealed, whole, batch].concat(),
    ]
}

/// In memory where the system offers that: a disk would set the pace.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => TempDir::new_in(memory),
        false => TempDir::new(),
    };
    folder.expect("a temporary folder")
}

/// The result of a future that has nothing to wait for.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the directory's calls block"),
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn the_seeds_open_or_are_torn_and_keep_the_claims() {
    let opens = |seed: &Vec<u8>| {
        let folder = folder();
        let mut input = Input(seed);
        while lay(folder.path(), &mut input).is_some() {}
        Directory::open(folder.path())
            .map(|mut store| read_all(&mut store))
            .ok()
    };
    let opened: Vec<_> = seeds().iter().map(opens).collect();
    let open = Some(b"open".to_vec());
    assert_eq!(opened[0], Some(BTreeMap::from([(5, open.clone())])));
    assert_eq!(opened[2], None);
    assert_eq!(opened[4], Some(BTreeMap::from([(5, open)])));
    seeds().iter().for_each(|seed| run(seed));
}
