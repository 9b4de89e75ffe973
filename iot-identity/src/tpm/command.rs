//! Commands, one function each, and what is done when a TPM has no time or no room for one.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use std::thread;
use std::time::Instant;

use super::code::{Failure, Fault, Remedy, remedy};
use super::public;
use super::transport::{Link, MAX_RESPONSE_BYTES};
use super::wire::{Command, Response};

const OWNER: u32 = 0x4000_0001;
const NULL_HIERARCHY: u32 = 0x4000_0007;
const HASH_CHECK: u16 = 0x8024;
const FIRST_TRANSIENT: u32 = 0x8000_0000;
const HANDLES: u32 = 1;

// Part 2 §6.5.2.
const EVICT_CONTROL: u32 = 0x120;
const CREATE_PRIMARY: u32 = 0x131;
const STARTUP: u32 = 0x144;
const CREATE: u32 = 0x153;
const LOAD: u32 = 0x157;
const SIGN: u32 = 0x15d;
const FLUSH_CONTEXT: u32 = 0x165;
const READ_PUBLIC: u32 = 0x173;
const GET_CAPABILITY: u32 = 0x17a;

/// Longer than any structure of a P-256 key, and short enough to bound what a response makes us read.
const MAX_STRUCTURE: usize = 1024;
/// How many handles are asked for at a time.
const MAX_HANDLES: u32 = 64;

const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// A TPM, and the transient objects that we have in it.
pub(super) struct Tpm {
    link: Box<dyn Link + Send>,
    response: Vec<u8>,
    own: Vec<u32>,
    sole_user: bool,
}

/// A new key as its parent keeps it.
pub(super) struct Wrapped {
    private: Vec<u8>,
    public: Vec<u8>,
}

impl Tpm {
    pub(super) fn new(link: Box<dyn Link + Send>, sole_user: bool) -> Self {
        Self {
            link,
            response: vec![0; MAX_RESPONSE_BYTES],
            own: Vec::new(),
            sole_user,
        }
    }

    /// Sends a command until the TPM has time and room for it, or the deadline passes.
    fn ask(&mut self, command: Command, deadline: Instant) -> Result<Response<'_>, Failure> {
        let command = command.finish();
        let sessions = Command::has_sessions(&command);
        let mut pause = PAUSE;
        loop {
            let length = self.send(&command, deadline)?;
            let code = {
                let bytes = self.response.get(..length).ok_or(Fault::Response)?;
                match Response::parse(bytes, sessions) {
                    Ok(_) => break,
                    Err(Failure::Code(code)) => code,
                    Err(other) => return Err(other),
                }
            };
            match remedy(code) {
                Remedy::Give => return Err(Failure::Code(code)),
                Remedy::Start => self.start(deadline)?,
                Remedy::Room if self.sole_user => self.make_room(deadline)?,
                // Waiting with a slot in hand for another is how everybody waits for ever.
                Remedy::Room if !self.own.is_empty() => return Err(Failure::Code(code)),
                Remedy::Room | Remedy::Wait => {}
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest <= pause {
                return Err(Failure::Code(code));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        let length = usize::try_from(size_of(&self.response)).map_err(|_| Fault::Response)?;
        Response::parse(
            self.response.get(..length).ok_or(Fault::Response)?,
            sessions,
        )
    }

    fn send(&mut self, command: &[u8], deadline: Instant) -> Result<usize, Failure> {
        let rest = deadline.saturating_duration_since(Instant::now());
        Ok(self.link.transact(command, &mut self.response, rest)?)
    }

    /// One command without remedies, for the remedies themselves.
    fn once(&mut self, command: Command, deadline: Instant) -> Result<Response<'_>, Failure> {
        let length = self.send(&command.finish(), deadline)?;
        Response::parse(self.response.get(..length).ok_or(Fault::Response)?, false)
    }

    fn start(&mut self, deadline: Instant) -> Result<(), Failure> {
        let started = self.once(Command::new(STARTUP).u16(0), deadline);
        Ok(started?.parameters()?.end()?)
    }

    /// Flushes every transient object that is not ours.
    fn make_room(&mut self, deadline: Instant) -> Result<(), Failure> {
        let ask = capability(FIRST_TRANSIENT);
        for handle in handles(self.once(ask, deadline)?)? {
            if !self.own.contains(&handle) {
                let flush = Command::new(FLUSH_CONTEXT).u32(handle);
                self.once(flush, deadline)?.parameters()?.end()?;
            }
        }
        Ok(())
    }

    /// Some handles in use from `first` on, of its kind and in order; none when there is no more.
    pub(super) fn handles(&mut self, first: u32, deadline: Instant) -> Result<Vec<u32>, Failure> {
        handles(self.ask(capability(first), deadline)?)
    }

    /// Makes the storage key above new keys.
    pub(super) fn create_primary(
        &mut self,
        owner: &[u8],
        deadline: Instant,
    ) -> Result<u32, Failure> {
        let command = creation(
            Command::new(CREATE_PRIMARY).u32(OWNER).password(owner),
            &public::storage(),
        );
        let mut response = self.ask(command, deadline)?;
        let handle = response.handle()?;
        let whole = response.parameters().and_then(|mut rest| {
            rest.sized(MAX_STRUCTURE)?;
            created(&mut rest)?;
            rest.sized(MAX_STRUCTURE)?;
            rest.end()
        });
        self.hold(handle, whole)
    }

    pub(super) fn create(
        &mut self,
        parent: u32,
        template: &[u8],
        deadline: Instant,
    ) -> Result<Wrapped, Failure> {
        let command = creation(Command::new(CREATE).u32(parent).password(&[]), template);
        let mut rest = self.ask(command, deadline)?.parameters()?;
        let wrapped = Wrapped {
            private: rest.sized(MAX_STRUCTURE)?.into(),
            public: rest.sized(MAX_STRUCTURE)?.into(),
        };
        created(&mut rest)?;
        rest.end()?;
        Ok(wrapped)
    }

    pub(super) fn load(
        &mut self,
        parent: u32,
        key: &Wrapped,
        deadline: Instant,
    ) -> Result<u32, Failure> {
        let command = Command::new(LOAD)
            .u32(parent)
            .password(&[])
            .sized(&key.private)
            .sized(&key.public);
        let mut response = self.ask(command, deadline)?;
        let handle = response.handle()?;
        let whole = response.parameters().and_then(|mut rest| {
            rest.sized(MAX_STRUCTURE)?;
            rest.end()
        });
        self.hold(handle, whole)
    }

    /// A transient object is ours to flush, whatever the rest of the response was.
    fn hold(&mut self, handle: u32, whole: Result<(), Fault>) -> Result<u32, Failure> {
        self.own.push(handle);
        whole?;
        Ok(handle)
    }

    /// Makes a transient object persistent, or evicts a persistent one that is given twice.
    pub(super) fn evict(
        &mut self,
        owner: &[u8],
        object: u32,
        persistent: u32,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let command = Command::new(EVICT_CONTROL)
            .u32(OWNER)
            .u32(object)
            .password(owner)
            .u32(persistent);
        Ok(self.ask(command, deadline)?.parameters()?.end()?)
    }

    /// Gives back every transient slot that we took; what cannot be flushed now stays ours, for the next time.
    pub(super) fn flush(&mut self, deadline: Instant) {
        for handle in core::mem::take(&mut self.own) {
            let flush = Command::new(FLUSH_CONTEXT).u32(handle);
            let flushed = self.ask(flush, deadline).map(|_| ());
            let gone = flushed.is_err_and(Failure::is_no_object);
            if flushed.is_err() && !gone {
                self.own.push(handle);
            }
        }
    }

    /// The public area of an object, as it is.
    pub(super) fn read_public(
        &mut self,
        handle: u32,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let command = Command::new(READ_PUBLIC).u32(handle);
        let mut rest = self.ask(command, deadline)?.parameters()?;
        let area = rest.sized(MAX_STRUCTURE)?.into();
        rest.sized(MAX_STRUCTURE)?;
        rest.sized(MAX_STRUCTURE)?;
        rest.end()?;
        Ok(area)
    }

    pub(super) fn sign(
        &mut self,
        handle: u32,
        digest: &[u8; 32],
        deadline: Instant,
    ) -> Result<[u8; 64], Failure> {
        let [scheme, hash] = public::SCHEME;
        let command = Command::new(SIGN)
            .u32(handle)
            .password(&[])
            .sized(digest)
            .u16(scheme)
            .u16(hash)
            .u16(HASH_CHECK)
            .u32(NULL_HIERARCHY)
            .sized(&[]);
        let rest = self.ask(command, deadline)?.parameters()?;
        Ok(public::signature(rest)?)
    }
}

/// The size that a header states.
fn size_of(response: &[u8]) -> u32 {
    match response {
        [_, _, a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}

fn capability(first: u32) -> Command {
    Command::new(GET_CAPABILITY)
        .u32(HANDLES)
        .u32(first)
        .u32(MAX_HANDLES)
}

/// `TPMS_CAPABILITY_DATA` with handles (Part 2 §10.10.2).
fn handles(response: Response<'_>) -> Result<Vec<u32>, Failure> {
    let mut rest = response.parameters()?;
    let (_more, kind, count) = (rest.u8()?, rest.u32()?, rest.u32()?);
    if kind != HANDLES || count > MAX_HANDLES {
        return Err(Fault::Response.into());
    }
    let handles = (0..count).map(|_| rest.u32()).collect::<Result<_, _>>()?;
    rest.end()?;
    Ok(handles)
}

/// What both ways of creation ask for: no password, no data of ours, no outside info, no PCR.
fn creation(command: Command, template: &[u8]) -> Command {
    command.sized(&[0; 4]).sized(template).sized(&[]).u32(0)
}

/// Creation data, its hash and its ticket, which nobody here needs.
fn created(rest: &mut super::wire::Reader<'_>) -> Result<(), Fault> {
    rest.sized(MAX_STRUCTURE)?;
    rest.sized(MAX_STRUCTURE)?;
    rest.u16()?;
    rest.u32()?;
    rest.sized(MAX_STRUCTURE)?;
    Ok(())
}
