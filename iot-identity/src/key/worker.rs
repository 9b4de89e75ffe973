//! One thread that owns a device, a queue in front of it, and a deadline for everybody who waits.
//!
//! A token's library may hang for ever, and blocks whoever called it. So only this thread calls it: others
//! wait for its answer as long as their deadline allows, and then go on without one.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use iot_core::crypto::KeyError;

type Work<D> = Box<dyn FnOnce(&mut D, Instant) + Send>;

struct Job<D> {
    number: u64,
    deadline: Instant,
    work: Work<D>,
}

struct State<D> {
    jobs: VecDeque<Job<D>>,
    next: u64,
    /// No more jobs: the store was dropped, or the thread died.
    closed: bool,
    /// The thread has let go of the device.
    gone: bool,
}

struct Queue<D> {
    state: Mutex<State<D>>,
    changed: Condvar,
    capacity: usize,
}

impl<D> Queue<D> {
    fn lock(&self) -> MutexGuard<'_, State<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, at most until `deadline`; `None` when that has passed.
    fn wait<'q>(
        &'q self,
        state: MutexGuard<'q, State<D>>,
        deadline: Instant,
    ) -> Option<MutexGuard<'q, State<D>>> {
        let rest = deadline.checked_duration_since(Instant::now())?;
        let (state, _) = self
            .changed
            .wait_timeout(state, rest)
            .unwrap_or_else(PoisonError::into_inner);
        Some(state)
    }

    fn push(&self, deadline: Instant, work: Work<D>) -> Result<u64, KeyError> {
        let mut state = self.lock();
        while !state.closed && state.jobs.len() >= self.capacity {
            state = self.wait(state, deadline).ok_or(KeyError::Device)?;
        }
        if state.closed {
            return Err(KeyError::Device);
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        state.jobs.push_back(Job {
            number,
            deadline,
            work,
        });
        self.changed.notify_all();
        Ok(number)
    }

    fn pop(&self) -> Option<Job<D>> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                self.changed.notify_all();
                return Some(job);
            }
            if state.closed {
                return None;
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes back a job that nobody waits for any more, if it has not begun.
    fn cancel(&self, number: u64) {
        self.lock().jobs.retain(|job| job.number != number);
        self.changed.notify_all();
    }

    fn close(&self, gone: bool) {
        let mut state = self.lock();
        state.closed = true;
        state.gone |= gone;
        state.jobs.clear();
        self.changed.notify_all();
    }
}

/// The way to a device that one thread owns.
pub(crate) struct Worker<D> {
    queue: Arc<Queue<D>>,
    patience: Duration,
    // The thread does not live in a forked child.
    process: u32,
}

impl<D: 'static> Worker<D> {
    /// Starts the thread and has it open the device; `late` is what to say when that takes too long.
    pub(crate) fn start<E: Send + 'static>(
        name: &str,
        patience: Duration,
        capacity: usize,
        open: impl FnOnce(Instant) -> Result<D, E> + Send + 'static,
        late: E,
    ) -> Result<Self, E> {
        let queue = Arc::new(Queue {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                next: 0,
                closed: false,
                gone: false,
            }),
            changed: Condvar::new(),
            capacity: capacity.max(1),
        });
        let deadline = later(patience);
        let (tell, told) = sync_channel(1);
        let served = Closing(Arc::clone(&queue));
        let serve = move || {
            // Declared first, so that it is dropped last: gone is told when the device is closed.
            let served = served;
            let mut device = match open(deadline) {
                Ok(device) => device,
                Err(error) => {
                    let _ = tell.send(Err(error));
                    return;
                }
            };
            // Without anybody who waits the queue is closed, and the loop ends.
            let _ = tell.send(Ok(()));
            while let Some(job) = served.0.pop() {
                (job.work)(&mut device, job.deadline);
            }
        };
        let worker = Self {
            queue,
            patience,
            process: std::process::id(),
        };
        if thread::Builder::new()
            .name(String::from(name))
            .spawn(serve)
            .is_err()
        {
            worker.queue.close(true);
            return Err(late);
        }
        match told.recv_timeout(patience) {
            Ok(Ok(())) => Ok(worker),
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                // A thread that hangs must not be waited for once more.
                worker.queue.close(true);
                Err(late)
            }
        }
    }

    /// Has the thread do `work`, and waits for its answer until the deadline.
    ///
    /// [`KeyError::Device`] when it comes too late; nothing is then known about the outcome.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut D, Instant) -> Result<T, KeyError> + Send + 'static,
    ) -> Result<T, KeyError> {
        if self.process != std::process::id() {
            return Err(KeyError::Device);
        }
        let deadline = later(self.patience);
        let (tell, told) = sync_channel(1);
        let work = Box::new(move |device: &mut D, deadline: Instant| {
            if Instant::now() < deadline {
                let _ = tell.send(work(device, deadline));
            }
        });
        let number = self.queue.push(deadline, work)?;
        let rest = deadline.saturating_duration_since(Instant::now());
        match told.recv_timeout(rest) {
            Ok(outcome) => outcome,
            Err(_) => {
                self.queue.cancel(number);
                Err(KeyError::Device)
            }
        }
    }
}

impl<D> Drop for Worker<D> {
    /// Waits until the device is closed, unless it hangs: whoever opens it next finds it free.
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        self.queue.close(false);
        let deadline = later(self.patience);
        let mut state = Some(self.queue.lock());
        while let Some(held) = state {
            if held.gone {
                return;
            }
            state = self.queue.wait(held, deadline);
        }
    }
}

/// Closes the queue however the thread ends.
struct Closing<D>(Arc<Queue<D>>);

impl<D> Drop for Closing<D> {
    fn drop(&mut self) {
        self.0.close(true);
    }
}

/// The last fault of a device, which says more than a [`KeyError`] can.
pub(crate) struct Told<F>(Arc<Mutex<Option<F>>>);

impl<F> Default for Told<F> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<F: Copy + Send + 'static> Told<F> {
    pub(crate) fn last(&self) -> Option<F> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, fault: F) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// As [`Worker::call`]; what the work or its absence tells is remembered.
    pub(crate) fn call<D: 'static, T: Send + 'static>(
        &self,
        worker: &Worker<D>,
        late: F,
        work: impl FnOnce(&mut D, Instant) -> Result<T, (KeyError, Option<F>)> + Send + 'static,
    ) -> Result<T, KeyError> {
        let outcome = worker.call(move |device, deadline| Ok(work(device, deadline)));
        let (error, fault) = match outcome {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(told)) => told,
            Err(error) => (error, Some(late)),
        };
        if let Some(fault) = fault {
            self.set(fault);
        }
        Err(error)
    }
}

/// So long from now; a clock that cannot count so far is at its end.
pub(crate) fn later(patience: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(patience).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(60);
    const LONG: Duration = Duration::from_secs(600);

    fn worker(patience: Duration) -> Worker<u32> {
        Worker::start("test", patience, 2, |_| Ok::<_, ()>(0), ()).unwrap()
    }

    #[test]
    fn jobs_of_many_threads_run_one_after_the_other() {
        let worker = worker(LONG);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let add = |count: &mut u32, _| {
                            *count += 1;
                            Ok(())
                        };
                        worker.call(add).unwrap();
                    }
                });
            }
        });
        assert_eq!(worker.call(|count, _| Ok(*count)), Ok(800));
    }

    #[test]
    fn a_device_that_hangs_holds_up_nobody_longer_than_the_deadline() {
        // It hangs until the test is over, so that whoever waited for it would wait for ever.
        let (release, held) = sync_channel::<()>(0);
        let mut worker = worker(LONG);
        worker.patience = SHORT;
        let hang = move |_: &mut u32, _| {
            let _ = held.recv();
            Ok(())
        };
        assert_eq!(worker.call(hang), Err(KeyError::Device));
        // More than the queue holds: neither waiting in it nor in front of it lasts longer.
        thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| assert_eq!(worker.call(|_, _| Ok(())), Err(KeyError::Device)));
            }
        });
        drop(worker);
        drop(release);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_begun() {
        let (release, held) = sync_channel::<()>(0);
        let (begun, begins) = sync_channel::<()>(1);
        let worker = worker(LONG);
        let nap = move |count: &mut u32, _| {
            begun.send(()).unwrap();
            let _ = held.recv();
            *count += 1;
            Ok(())
        };
        let outcome = thread::scope(|scope| {
            let slow = scope.spawn(|| worker.call(nap));
            begins.recv().unwrap();
            // The same queue, with less patience; dropped it would close it.
            let hasty = core::mem::ManuallyDrop::new(Worker {
                queue: Arc::clone(&worker.queue),
                patience: SHORT,
                process: worker.process,
            });
            let add = |count: &mut u32, _| {
                *count += 10;
                Ok(())
            };
            assert_eq!(hasty.call(add), Err(KeyError::Device));
            drop(release);
            slow.join().unwrap()
        });
        assert_eq!(outcome, Ok(()));
        assert_eq!(worker.call(|count, _| Ok(*count)), Ok(1));
    }

    #[test]
    fn after_a_panic_every_call_is_refused_at_once() {
        let worker = worker(LONG);
        let broken = |_: &mut u32, _| -> Result<(), KeyError> { panic!("a bug in a library") };
        assert_eq!(worker.call(broken), Err(KeyError::Device));
        assert_eq!(worker.call(|_, _| Ok(())), Err(KeyError::Device));
    }

    #[test]
    fn dropping_waits_until_the_device_is_closed() {
        struct Device(Arc<Mutex<bool>>);
        impl Drop for Device {
            fn drop(&mut self) {
                thread::sleep(SHORT);
                *self.0.lock().unwrap() = true;
            }
        }
        let closed = Arc::new(Mutex::new(false));
        let device = Device(Arc::clone(&closed));
        drop(Worker::start("test", LONG, 2, |_| Ok::<_, ()>(device), ()).unwrap());
        assert!(*closed.lock().unwrap());
    }
}
